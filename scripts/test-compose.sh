#!/usr/bin/env bash
# Builds the images, runs the cluster of docker-compose.cluster.yml as a user does, and does to it what happens to clusters.
#   scripts/test-compose.sh            needs a Docker engine with Compose v2 on Linux
#   scripts/test-compose.sh --keep     leaves the cluster running
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

has docker || fail "docker is not here; install Docker Engine with the Compose plugin (https://docs.docker.com/engine/install/)"
docker info >/dev/null 2>&1 || fail "no Docker engine answers; start it, or join the group docker"
docker compose version >/dev/null 2>&1 || fail "docker has no Compose plugin; install docker-compose-plugin"
has jq || install_packages jq jq
ensure_curl

keep=no
[ "${1:-}" != --keep ] || keep=yes

project=vtox-test-$$
VTOX_PORT=${VTOX_PORT:-18080}
VTOX_VERSION="test"
REVISION=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
export VTOX_PORT VTOX_VERSION REVISION
gateway=http://127.0.0.1:$VTOX_PORT
work=$(mktemp -d)
passed=0
failed=0

compose() {
    docker compose -p "$project" -f docker-compose.cluster.yml "$@"
}

# Containers of a service, by their ids.
containers() {
    compose ps -q "$1"
}

address() {
    docker inspect -f "{{(index .NetworkSettings.Networks \"${project}_back\").IPAddress}}" "$1"
}

# vtox on the network of this machine, as the user of Redis that its commands have.
vtox() {
    docker run --rm -i --network host --read-only -e VTOX_TOKEN "vtox/cli:$VTOX_VERSION" "$@"
}

check() {
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok      $what"
    else
        failed=$((failed + 1))
        echo "FAILED  $what"
    fi
}

# eventually SECONDS COMMAND...
eventually() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 1
    done
}

finish() {
    local code=$?
    if [ "$code" -ne 0 ]; then
        compose ps -a || true
        compose logs --tail 20 || true
    fi
    if [ "$keep" = no ]; then
        compose --profile tools down --volumes --timeout 40 >/dev/null 2>&1 || true
    fi
    rm -rf "$work"
}
trap finish EXIT

services=(redis api_gateway coordinator worker_turn_fault worker_insulation worker_bearing worker_eccentricity
    worker_broken_bar monitor websocket_bridge)
instances=13

all_healthy() {
    local id healthy=0
    for id in $(compose ps -q "${services[@]}" 2>/dev/null); do
        [ "$(docker inspect -f '{{.State.Health.Status}}' "$id")" != healthy ] || healthy=$((healthy + 1))
    done
    [ "$healthy" -eq "$instances" ]
}

as_viewer() {
    curl -fsS --max-time 10 -H "Authorization: Bearer $VTOX_TOKEN" "$gateway$1"
}

four_bearing_workers() {
    [ "$(as_viewer /api/v1/cluster/status | jq '[.data.worker_nodes[] | select(.status == "healthy" and .fault_types == ["bearing"])] | length')" = 4 ]
}

bearing_results() {
    local id
    for id in $(containers worker_bearing); do
        curl -fsS --max-time 5 "http://$(address "$id"):8002/metrics" |
            awk '/^vtox_worker_results_total\{fault_type="bearing"/ { n = $2 } END { print n + 0 }'
    done
}

# Largest over smallest of what came between two looks is at most 1.1 of the mean either way.
even_shares() {
    paste "$1" "$2" | awk '
        { n[NR] = $2 - $1; sum += n[NR] }
        END {
            for (i = 1; i <= NR; i++) { share = n[i] * NR / sum; printf "        worker %d: %d results, %.3f of the mean\n", i, n[i], share; if (share < 0.9 || share > 1.1) bad = 1 }
            exit bad || NR != 4
        }'
}

nothing_lost() {
    jq -c . "$1"
    jq -e '.accepted > 0 and .results >= .expected_results and .lost == 0 and .duplicates == 0 and .out_of_order == 0' "$1" >/dev/null
}

not_root() {
    local id name
    for id in $(docker ps -q --filter "label=com.docker.compose.project=$project"); do
        name=$(docker inspect -f '{{.Name}}' "$id")
        [ "$(docker inspect -f '{{.HostConfig.ReadonlyRootfs}}' "$id")" = true ] || { echo "        $name can write to its root"; return 1; }
        # The first process: one that the engine starts for a check of health is root's until it runs.
        [ "$(stat -c %u "/proc/$(docker inspect -f '{{.State.Pid}}' "$id")")" != 0 ] || { echo "        $name runs as root"; return 1; }
    done
}

reaches_redis() {
    docker run --rm --network "${project}_$1" --entrypoint bash "vtox/cli:$VTOX_VERSION" \
        -c "timeout 3 bash -c '</dev/tcp/$redis_address/6379'" >/dev/null 2>&1
}

hidden_from() {
    ! reaches_redis "$1"
}

only_gateway_is_published() {
    local published
    published=$(docker ps --filter "label=com.docker.compose.project=$project" --format '{{.Names}} {{.Ports}}' | grep -- '->' || true)
    [ "$(echo "$published" | grep -c .)" -eq 1 ] && [[ $published == *api_gateway* ]]
}

# Each line of the file: a container's name and the code it ended with.
all_ended_well() {
    [ "$(wc -l <"$1")" -eq "$instances" ] || { echo "        $(wc -l <"$1") of $instances containers ended"; return 1; }
    awk '$2 != 0 { print "        " $1 " ended with " $2; bad = 1 } END { exit bad }' "$1"
}

echo "== images"
compose --profile tools build
for target in gateway coordinator worker monitor bridge cli; do
    base=$(docker image inspect -f '{{.Size}}' "${RUNTIME_IMAGE:-debian:bookworm-slim}")
    size=$(docker image inspect -f '{{.Size}}' "vtox/$target:$VTOX_VERSION")
    echo "        vtox/$target: $(((size - base) / 1000000)) MB over its base"
    check "vtox/$target is less than 40 MB over its base" [ $((size - base)) -lt 40000000 ]
done

echo "== docker compose -f docker-compose.cluster.yml up --scale worker_bearing=4"
compose up --scale worker_bearing=4 >"$work/up.log" 2>&1 &
check "all $instances containers are healthy" eventually 120 all_healthy
VTOX_TOKEN=$(compose run --rm -T vtox token issue --role operator --label test 2>/dev/null)
export VTOX_TOKEN
check "four bearing workers are registered" eventually 30 four_bearing_workers
check "no container runs as root or can write to its root" not_root
redis=$(containers redis)
redis_address=$(address "$redis")
check "Redis is reached from the back network" reaches_redis back
check "Redis is not reached from the front network" hidden_from front
check "no port but the gateway's is published" only_gateway_is_published

# As the compose file has it, but from this machine, which is on both sides of the gateway.
redis_url=$(compose run --rm -T --entrypoint cat vtox /run/secrets/vtox/redis.url 2>/dev/null | sed "s/@redis:/@$redis_address:/")
load() {
    vtox simulate --gateway "$gateway" --redis "$redis_url" --vehicles 200 --interval 2 --block short --form binary --json "$@"
}

echo "== equal shares"
load --for 50 --offset 0 >"$work/even.json" 2>"$work/even.log" &
loading=$!
sleep 20
bearing_results >"$work/before"
sleep 25
bearing_results >"$work/after"
check "the four bearing workers have equal shares within 10 %" even_shares "$work/before" "$work/after"
wait "$loading" || true
check "nothing is lost" nothing_lost "$work/even.json"

echo "== trouble"
load --for 110 --offset 100000 >"$work/trouble.json" 2>"$work/trouble.log" &
loading=$!
sleep 10
mapfile -t bearing < <(containers worker_bearing)
echo "        killing a worker"
docker kill "${bearing[0]}" >/dev/null
sleep 15
docker start "${bearing[0]}" >/dev/null
echo "        pausing a worker"
docker pause "${bearing[1]}" >/dev/null
sleep 10
docker unpause "${bearing[1]}" >/dev/null
sleep 5
echo "        cutting a worker off its network"
docker network disconnect "${project}_back" "${bearing[2]}"
sleep 10
docker network connect "${project}_back" "${bearing[2]}"
sleep 5
echo "        restarting Redis"
docker restart --time 60 "$redis" >/dev/null
wait "$loading" || true
check "nothing is lost while a worker is killed, paused, cut off, and Redis restarts" nothing_lost "$work/trouble.json"
check "all $instances containers are healthy again" eventually 60 all_healthy

echo "== down"
docker events --filter event=die --filter "label=com.docker.compose.project=$project" \
    --format '{{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}' >"$work/ended" &
events=$!
began=$SECONDS
compose down >/dev/null 2>&1
echo "        took $((SECONDS - began)) s"
sleep 1
kill "$events"
check "every container ended by itself with exit code 0" all_ended_well "$work/ended"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
