#!/usr/bin/env bash
# Runs what the StatefulSets of Redis run, in containers with the names, users, rights and read-only roots of their pods: a
# failover, the return of a primary that lost its disk, a planned stop, a power cut, and the end of a primary in whichever way while
# its replica has not all data yet lose nothing; lost disks and a restore go as the manual says.
#   k8s/tests/redis-sentinel.sh SECRETS      as made by k8s/secrets.sh
set -euo pipefail

secrets=$(cd "$1" && pwd)
component=$(cd "$(dirname "${BASH_SOURCE[0]}")/../components/redis-sentinel" && pwd)
image=redis:$(sed -n 's/.*name: redis, newTag: \(.*\)}/\1/p' "$component/kustomization.yaml")
run=vtox-k8s-$$
names=$(sed -n 's/^ *value: \(redis-sentinel-0.*\)/\1/p' "$component/redis.yaml")

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "$*"
    for pod in redis-0 redis-1 redis-sentinel-0; do
        say "--- $pod"
        docker logs --tail 15 "$run-$pod" >&2 || true
    done
    exit 1
}

finish() {
    docker ps -aq --filter "name=^$run-" | xargs -r docker rm -f >/dev/null 2>&1 || true
    docker volume ls -q --filter "name=^$run-" | xargs -r docker volume rm >/dev/null 2>&1 || true
    docker network rm "$run" >/dev/null 2>&1 || true
    rm -rf "$mounts"
}
mounts=$(mktemp -d)
trap finish EXIT

# As the kubelet mounts them: readable for the user of the pods.
mkdir "$mounts/configuration" "$mounts/users" "$mounts/passwords"
cp "$component"/redis.conf "$component"/*.sh "$mounts/configuration/"
cp "$secrets/users.acl" "$mounts/users/"
# Fills Redis and makes it slow.
echo "user test on nopass ~* -@all +set +config|set +dbsize" >>"$mounts/users/users.acl"
cp "$secrets"/{vtox-replica,vtox-sentinel,sentinel}.password "$mounts/passwords/"
chmod -R a+rX "$mounts"

# A network of its own, at the first addresses that are free.
for third in $(seq 200 254); do
    subnet=172.31.$third
    docker network create --subnet "$subnet.0/24" "$run" >/dev/null 2>&1 && break
done

# Names that stay, as those of Services do, whether the pod is there or not.
addresses=()
octet=10
for pod in redis-0 redis-1 $names; do
    addresses+=(--add-host "$pod:$subnet.$octet")
    octet=$((octet + 1))
done

# pod NAME SCRIPT
pod() {
    local address
    address=$(printf '%s\n' "${addresses[@]}" | sed -n "s/^$1://p")
    docker volume create "$run-$1" >/dev/null
    docker run --rm --user 0 -v "$run-$1:/data:nocopy" --entrypoint chown "$image" 10001:10001 /data
    docker run -d --name "$run-$1" --hostname "$1" --network "$run" --ip "$address" "${addresses[@]}" --user 10001:10001 --read-only \
        --cap-drop ALL --security-opt no-new-privileges --tmpfs /run/redis:mode=0777 -v "$run-$1:/data:nocopy" \
        -v "$mounts/configuration:/etc/vtox/redis:ro" -v "$mounts/users:/etc/redis:ro" \
        -v "$mounts/passwords:/etc/vtox/passwords:ro" -e SENTINELS="$names" -e MAXMEMORY=64mb \
        --entrypoint sh "$image" "/etc/vtox/redis/$2" >/dev/null
}

redis_pod() {
    pod "$1" start-redis.sh
}

# as_cli POD WORD...: a command of Redis as vtox-cli.
as_cli() {
    local pod=$1
    shift
    docker exec -e REDISCLI_AUTH="$(cat "$secrets/vtox-cli.password")" "$run-$pod" \
        redis-cli --no-auth-warning --user vtox-cli "$@" 2>/dev/null || true
}

# as_test POD WORD...: a command of Redis as the user that is of this test alone.
as_test() {
    local pod=$1
    shift
    docker exec "$run-$pod" redis-cli --no-auth-warning --user test --pass any "$@"
}

# sees N: the primary, its replicas and the other sentinels as sentinel N sees them.
sees() {
    docker exec -e REDISCLI_AUTH="$(cat "$secrets/sentinel.password")" "$run-redis-sentinel-$1" \
        redis-cli --no-auth-warning -p 26379 sentinel master vtox 2>/dev/null |
        awk 'NR % 2 { key = $0; next } { of[key] = $0 } END { print of["ip"], of["num-slaves"], of["num-other-sentinels"] }'
}

# eventually SECONDS WHAT WORD...: until the command works.
eventually() {
    local deadline=$((SECONDS + $1)) began=$SECONDS what=$2
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || fail "not in time: $what"
        sleep 0.2
    done
    say "$what: $((SECONDS - began)) s"
}

# All sentinels name $1 and know its replica and each other, and the replica follows.
leads() {
    local sentinel
    for sentinel in 0 1 2; do
        [ "$(sees "$sentinel")" = "$1 1 2" ] || return 1
    done
    as_cli "$1" info replication | tr -d '\r' | grep -q '^slave0:.*state=online' || return 1
}

# Most sentinels name $1, and it says the same.
named() {
    local sentinel count=0
    for sentinel in 0 1 2; do
        case $(sees "$sentinel") in "$1 "*) count=$((count + 1)) ;; esac
    done
    [ "$count" -ge 2 ] && as_cli "$1" info replication | tr -d '\r' | grep -q '^role:master'
}

keeps() {
    [ "$(as_cli "$1" hget vtox:switches "$2")" = kept ]
}

everything=(redis-0 redis-1 redis-sentinel-0 redis-sentinel-1 redis-sentinel-2)
start_all() {
    local n
    redis_pod redis-0
    redis_pod redis-1
    for n in 0 1 2; do
        pod "redis-sentinel-$n" start-sentinel.sh
    done
}

# lose POD...: all at once; then their disks.
lose() {
    docker rm -f "${@/#/$run-}" >/dev/null
    docker volume rm "${@/#/$run-}" >/dev/null
}

ready() {
    docker exec "$run-$1" sh /etc/vtox/redis/ready-redis.sh
}

follows_ready() {
    leads "$1" && ready redis-0 && ready redis-1
}

# syncs_slowly PRIMARY POD: the pod is back without its disk, and it takes a quarter of a minute until it has all data.
syncs_slowly() {
    lose "$2"
    as_test "$1" config set rdb-key-save-delay 500000 >/dev/null
    redis_pod "$2"
    eventually 30 "$2 begins its first sync" replication "$2" master_sync_in_progress:1
    ! ready "$2" || fail "$2 is ready without data"
    as_test "$1" config set rdb-key-save-delay 0 >/dev/null
}

# replication POD LINE
replication() {
    docker exec -e REDISCLI_AUTH="$(cat "$secrets/vtox-sentinel.password")" "$run-$1" \
        redis-cli --no-auth-warning --user vtox-sentinel info replication | tr -d '\r' | grep -qx "$2"
}

# any_logged TEXT: a sentinel has.
any_logged() {
    local n
    for n in 0 1 2; do
        ! logged "redis-sentinel-$n" "$1" || return 0
    done
    return 1
}

# logged POD TEXT
logged() {
    docker logs "$run-$1" 2>&1 | grep -q -e "$2"
}

both_keep_all() {
    local pod
    for pod in redis-0 redis-1; do
        keeps "$pod" first && keeps "$pod" second && [ "$(as_test $pod dbsize)" -ge 31 ] || return 1
    done
}

nothing_refused() {
    local pod
    for pod in redis-0 redis-1; do
        [ -z "$(as_cli $pod acl log)" ] || fail "Redis refused something: $(as_cli $pod acl log)"
    done
}

start_all
eventually 60 "first start: redis-0 leads" leads redis-0
as_cli redis-0 hset vtox:switches first kept >/dev/null
eventually 5 "what was written is on the replica" keeps redis-1 first

docker rm -f "$run-redis-0" >/dev/null
eventually 30 "redis-0 is killed: redis-1 is named" named redis-1
redis_pod redis-0
eventually 60 "redis-0 is back: it follows redis-1" leads redis-1
as_cli redis-1 hset vtox:switches second kept >/dev/null
eventually 5 "what was written is on redis-0" keeps redis-0 second

lose redis-1
redis_pod redis-1
eventually 60 "redis-1 is back without its disk: redis-0 leads" leads redis-0
for key in first second; do
    eventually 5 "$key is on both" keeps redis-0 "$key"
    eventually 5 "$key is on both" keeps redis-1 "$key"
done

docker exec "$run-redis-0" sh /etc/vtox/redis/stop-redis.sh
named redis-1 || fail "redis-0 was about to stop and still leads"
docker stop -t 30 "$run-redis-0" >/dev/null
docker rm "$run-redis-0" >/dev/null
redis_pod redis-0
eventually 60 "redis-0 was stopped as planned: redis-1 leads" leads redis-1

for n in 0 1 2; do
    docker restart -t 5 "$run-redis-sentinel-$n" >/dev/null
done
eventually 30 "sentinels were restarted: redis-1 leads" leads redis-1

# As the manual says.
lose redis-sentinel-0 redis-sentinel-1 redis-sentinel-2
for n in 0 1 2; do
    pod "redis-sentinel-$n" start-sentinel.sh
done
for n in 0 1 2; do
    # shellcheck disable=SC2016 # for the shell in the pod
    eventually 10 "sentinel $n has lost its disk: it is told of redis-1" docker exec "$run-redis-sentinel-$n" sh -c \
        'export REDISCLI_AUTH=$(cat /etc/vtox/passwords/sentinel.password)
         redis-cli -e -p 26379 sentinel remove vtox && redis-cli -e -p 26379 sentinel monitor vtox redis-1 6379 2' >/dev/null
    docker restart -t 5 "$run-redis-sentinel-$n" >/dev/null
done
eventually 30 "all sentinels have lost their disks: redis-1 leads" leads redis-1

docker rm -f "${everything[@]/#/$run-}" >/dev/null
start_all
eventually 60 "all were killed at once: redis-1 leads" follows_ready redis-1
eventually 5 "second is there" keeps redis-1 second
for n in $(seq 30); do
    as_test redis-1 set "key-$n" "$n" >/dev/null
done
eventually 5 "31 keys are on both" both_keep_all

syncs_slowly redis-1 redis-0
began=$SECONDS
docker exec "$run-redis-1" sh /etc/vtox/redis/stop-redis.sh
named redis-0 || fail "redis-1 was about to stop and still leads"
both_keep_all || fail "data are lost"
say "redis-1 was to stop while redis-0 had not all data: it waited for $((SECONDS - began)) s, and redis-0 leads"
docker rm -f "$run-redis-1" >/dev/null
redis_pod redis-1
eventually 60 "redis-1 is back: it follows redis-0" follows_ready redis-0
both_keep_all || fail "data are lost"

syncs_slowly redis-0 redis-1
docker rm -f "$run-redis-0" >/dev/null
eventually 60 "redis-0 is killed while redis-1 has not all data: redis-1 is not promoted" any_logged -failover-abort-no-good-slave
redis_pod redis-0
eventually 90 "redis-0 is back: it leads" follows_ready redis-0
both_keep_all || fail "data are lost"

# A first sync that is cut short leaves a file, but no data.
syncs_slowly redis-0 redis-1
docker rm -f "$run-redis-1" "$run-redis-0" >/dev/null
redis_pod redis-1
sleep 5
redis_pod redis-0
eventually 90 "both are killed while redis-1 has not all data: redis-0 leads" follows_ready redis-0
both_keep_all || fail "data are lost"
nothing_refused

# As the manual restores: new sentinels name redis-0.
docker rm -f "${everything[@]/#/$run-}" >/dev/null
docker volume create "$run-copy" >/dev/null
docker run --rm --user 0 -v "$run-redis-1:/from:ro" -v "$run-copy:/to" --entrypoint cp "$image" -a /from/. /to
docker volume rm "${everything[@]/#/$run-}" >/dev/null
docker volume create "$run-redis-0" >/dev/null
docker run --rm --user 0 -v "$run-copy:/from:ro" -v "$run-redis-0:/to" --entrypoint cp "$image" -a /from/. /to
start_all
eventually 60 "restored from a copy of redis-1's disk: redis-0 leads" follows_ready redis-0
both_keep_all || fail "data are lost"

lose redis-0 redis-1
redis_pod redis-0
redis_pod redis-1
eventually 30 "both disks are lost: redis-0 says so" logged redis-0 "Both disks of Redis are lost"
lose "${everything[@]}"
start_all
eventually 60 "with new sentinels it begins anew" follows_ready redis-0
nothing_refused
