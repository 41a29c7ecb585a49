#!/usr/bin/env bash
# Builds the images, runs the cluster of docker-compose.cluster.yml as a user does, and does to it what happens to clusters.
# Profiles whose images cannot be had are skipped; VTOX_NGINX_IMAGE and the like name others.
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
# Of the profiles.
VTOX_HTTP_PORT=$((VTOX_PORT + 1))
VTOX_HTTPS_PORT=$((VTOX_PORT + 2))
VTOX_PROMETHEUS_PORT=$((VTOX_PORT + 3))
VTOX_GRAFANA_PORT=$((VTOX_PORT + 4))
# As docs/deploy.md says it for the profile production.
VTOX_LOGINS_PER_ADDRESS=0
VTOX_LARGEST_SHARE=1
export VTOX_PORT VTOX_VERSION REVISION VTOX_HTTP_PORT VTOX_HTTPS_PORT VTOX_PROMETHEUS_PORT VTOX_GRAFANA_PORT VTOX_LOGINS_PER_ADDRESS VTOX_LARGEST_SHARE
gateway=http://127.0.0.1:$VTOX_PORT
nginx=http://127.0.0.1:$VTOX_HTTP_PORT
prometheus=http://127.0.0.1:$VTOX_PROMETHEUS_PORT/api/v1
targets=(gateway coordinator worker monitor bridge cli)
work=$(mktemp -d)
next=$project-next
passed=0
failed=0
skipped=0

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

# What a command says is of interest when it fails.
quietly() {
    "$@" >"$work/said" 2>&1 || { tail -n 20 "$work/said"; return 1; }
}

skip() {
    skipped=$((skipped + 1))
    echo "SKIPPED $1"
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
        compose --profile '*' down --volumes --timeout 40 >/dev/null 2>&1 || true
    fi
    for target in "${targets[@]}"; do
        docker rmi "vtox/$target:$next" >/dev/null 2>&1 || true
    done
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

labelled() {
    [ "$(docker image inspect -f '{{index .Config.Labels "org.opencontainers.image.version"}} {{index .Config.Labels "org.opencontainers.image.revision"}}' "$1")" = "$VTOX_VERSION $REVISION" ]
}

# Whether the image of a service of the compose file is here or can be had.
has_image() {
    local image
    image=$(compose --profile '*' config --format json | jq -r --arg service "$1" '.services[$service].image')
    docker image inspect "$image" >/dev/null 2>&1 || timeout 120 docker pull -q "$image" >/dev/null 2>&1
}

status_of() {
    curl -sS --max-time 5 -o /dev/null -w '%{http_code}' "$@" || true
}

answers() {
    local code=$1
    shift
    [ "$(status_of "$@")" = "$code" ]
}

# curl waits for the end of what it has opened; the code is there before.
websocket_through_nginx() {
    [ "$(status_of -H "Authorization: Bearer $VTOX_TOKEN" -H "Origin: $nginx" -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
        -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "$nginx/ws/frontend" 2>/dev/null)" = 101 ]
}

# The gateway would take all of them: they are of different users.
logins_are_limited() {
    local i codes
    codes=$(for i in $(seq 40); do
        status_of -X POST "$nginx/auth/token" -H 'Content-Type: application/json' -d "{\"username\": \"user$i\", \"password\": \"correct horse battery\"}" &
        echo
    done; wait)
    [[ $codes == *401* && $codes == *429* ]]
}

simulator_sends() {
    compose logs --no-log-prefix simulator 2>/dev/null | grep -qE 'accepted [1-9]'
}

every_job_is_up() {
    [ "$(curl -fsS "$prometheus/targets" | jq -c '[.data.activeTargets[] | select(.health == "up") | .labels.job] | group_by(.) | map([.[0], length])')" = \
        '[["api_gateway",1],["coordinator",1],["monitor",1],["websocket_bridge",1],["worker",8]]' ]
}

expressions() {
    jq -r '.. | .expr? // empty' deploy/grafana/dashboards/vtox.json
}

every_metric_is_known() {
    local unknown
    curl -fsS "$prometheus/label/__name__/values" | jq -r '.data[]' >"$work/known"
    unknown=$({ expressions; grep -v '^ *#' deploy/prometheus/alerts.yml; } | grep -o 'vtox_[a-z_]*' | sort -u | grep -vxF -f "$work/known" || true)
    [ -z "$unknown" ] || { echo "        Prometheus has no ${unknown//$'\n'/ }"; return 1; }
}

every_expression_is_read() {
    local expression
    [ "$(expressions | wc -l)" -gt 0 ] || return 1
    while read -r expression; do
        curl -fsS --data-urlencode "query=$expression" "$prometheus/query" >/dev/null || { echo "        $expression"; return 1; }
    done < <(expressions)
}

alerts_fire() {
    local image
    image=$(docker inspect -f '{{.Config.Image}}' "$(containers prometheus)")
    quietly docker run --rm --entrypoint promtool -v "$root/deploy/prometheus:/rules:ro" "$image" test rules /rules/alerts-test.yml
}

compose_next() {
    VTOX_VERSION=$next compose "$@"
}

misses_the_monitor() {
    curl -fsS "$prometheus/alerts" |
        jq -e 'any(.data.alerts[]; .labels.alertname == "VtoxServiceMissing" and .labels.job == "monitor" and .state == "firing")' >/dev/null
}

# replace SERVICE: as docs/upgrade.md has it.
replace() {
    local old
    mapfile -t old < <(containers "$1")
    quietly compose_next up -d --no-deps --no-build --no-recreate --wait --scale "$1=$((2 * ${#old[@]}))" "$1" &&
        quietly docker stop "${old[@]}" && quietly docker rm "${old[@]}"
}

runs_next() {
    local service
    for service in "$@"; do
        [ "$(compose ps --format '{{.Image}}' "$service" | grep -c ":$next\$")" -eq "$(containers "$service" | wc -l)" ] || return 1
    done
}

# Each line of the file: a container's name and the code it ended with.
all_ended_well() {
    [ "$(wc -l <"$1")" -eq "$instances" ] || { echo "        $(wc -l <"$1") of $instances containers ended"; return 1; }
    awk '$2 != 0 { print "        " $1 " ended with " $2; bad = 1 } END { exit bad }' "$1"
}

echo "== images"
compose --profile tools build
for target in "${targets[@]}"; do
    check "vtox/$target is labelled with version and revision" labelled "vtox/$target:$VTOX_VERSION"
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

echo "== profiles"
if has_image nginx; then
    check "nginx becomes healthy" quietly compose --profile production up -d --no-recreate --wait nginx
    check "nginx passes a request on" answers 200 -H "Authorization: Bearer $VTOX_TOKEN" "$nginx/api/v1/cluster/status"
    check "nginx does not show metrics" answers 404 "$nginx/metrics"
    check "nginx passes a WebSocket on" websocket_through_nginx
    check "nginx limits log-ins of an address" logins_are_limited
else
    skip "profile production: there is no image of nginx (VTOX_NGINX_IMAGE)"
fi
check "the simulator gets through" quietly compose --profile demo up -d --no-recreate --wait simulator
check "the simulator sends" eventually 20 simulator_sends
if has_image prometheus; then
    # A counter by reason is there from its first refusal on.
    check "what is no message is refused" answers 400 -X POST -H "Authorization: Bearer $VTOX_TOKEN" \
        -H 'Content-Type: application/json' -d '{}' "$gateway/api/v1/diagnosis-stream/vehicles/V1/data"
    check "Prometheus becomes healthy" quietly compose --profile observability up -d --no-recreate --no-deps --wait prometheus
    check "Prometheus reaches every instance" eventually 30 every_job_is_up
    check "Prometheus has every metric of the dashboard and of the alerts" every_metric_is_known
    check "Prometheus reads every expression of the dashboard" every_expression_is_read
    check "alerts fire when they must, by promtool" alerts_fire
    compose stop monitor >/dev/null 2>&1
    check "Prometheus raises an alert when the monitor is gone" eventually 100 misses_the_monitor
    compose start monitor >/dev/null 2>&1
else
    skip "profile observability: there is no image of Prometheus (VTOX_PROMETHEUS_IMAGE)"
fi
if has_image grafana; then
    check "Grafana becomes healthy" quietly compose --profile observability up -d --no-recreate --no-deps --wait grafana
    check "Grafana has the dashboard" answers 200 "http://127.0.0.1:$VTOX_GRAFANA_PORT/api/dashboards/uid/$(jq -r .uid deploy/grafana/dashboards/vtox.json)"
else
    skip "Grafana: there is no image of it (VTOX_GRAFANA_IMAGE)"
fi
check "no container of a profile runs as root or can write to its root" not_root
compose --profile '*' rm --stop --force nginx simulator simulator_token prometheus grafana >/dev/null 2>&1

echo "== upgrade"
for target in "${targets[@]}"; do
    docker tag "vtox/$target:$VTOX_VERSION" "vtox/$target:$next"
done
load --for 60 --offset 50000 >"$work/upgrade.json" 2>"$work/upgrade.log" &
loading=$!
sleep 3
for service in coordinator worker_insulation worker_bearing websocket_bridge; do
    check "$service is replaced" replace "$service"
done
for service in monitor api_gateway; do
    check "$service is replaced" quietly compose_next up -d --no-deps --no-build --wait "$service"
done
check "they are of the next version" runs_next coordinator worker_insulation worker_bearing websocket_bridge monitor api_gateway
wait "$loading" || true
check "nothing is lost meanwhile" nothing_lost "$work/upgrade.json"
check "all $instances containers are healthy" eventually 60 all_healthy

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

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
