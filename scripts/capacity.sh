#!/usr/bin/env bash
# Measures how many vehicles this machine carries: a cluster of its own, and fleets of growing size that send to it as existing vehicles do
# (50 blocks a minute of 800 samples). Prints a table. Needs Linux and ports 8000 to 8012; the senders take processor time as well.
#   scripts/capacity.sh                                   fleets of 50 to 1500, rows and binary, everysec and always
#   FORMS=binary DURABILITIES=always SECONDS_EACH=60 VEHICLES="200 400" scripts/capacity.sh
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

[ -r /proc/self/stat ] || fail "this measures processor time from /proc, which only Linux has"
ensure_tools
has jq || install_packages jq jq
cargo build --release --locked --bins >&2
bin=${CARGO_TARGET_DIR:-$root/target}/release
export PATH=$bin:$PATH

interval=1.2
work=$(mktemp -d)
up=
finish() {
    [ -z "$up" ] || { kill "$up" 2>/dev/null && wait "$up" 2>/dev/null; } || true
    rm -rf "$work"
}
trap finish EXIT

# Processor time of processes, s.
processor_s() {
    local pid
    for pid in "$@"; do
        cat "/proc/$pid/stat" 2>/dev/null || true
    done | awk -v tick="$(getconf CLK_TCK)" '{ sub(/^.*\) /, ""); sum += $12 + $13 } END { printf "%.2f\n", sum / tick }'
}

parts=(redis-server vtox-gateway vtox-worker vtox-websocket-bridge)
look() {
    local part
    for part in "${parts[@]}"; do
        # shellcheck disable=SC2046 # process ids
        processor_s $(pgrep -P "$up" -f "$part")
    done
    # shellcheck disable=SC2046
    processor_s "$up" $(pgrep -P "$up")
}

echo "$(nproc) processors, $(awk '/MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo) GiB, $(git describe --always 2>/dev/null || echo unknown)"
echo
echo "| durability | form | vehicles | sent/s | accepted/s | p50 ms | p95 ms | p99 ms | lost | cores: Redis | gateway | workers | bridge | all | sender | holds |"
echo "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
for durability in ${DURABILITIES:-everysec always}; do
    for form in ${FORMS:-rows binary}; do
        VTOX_REDIS__DURABILITY=$durability vtox up --data "$work/$durability-$form" >"$work/up.log" 2>&1 &
        up=$!
        for _ in $(seq 100); do
            kill -0 "$up" 2>/dev/null || fail "$(tail -n 5 "$work/up.log")"
            ! curl -fsS http://127.0.0.1:8000/ready >/dev/null 2>&1 || break
            sleep 0.2
        done
        redis=$(sed -n 's/.*\(redis:\/\/127[^ "]*\).*/\1/p' "$work/up.log" | head -n 1)
        send() {
            vtox simulate --gateway http://127.0.0.1:8000 --redis "${redis:-redis://127.0.0.1:6379}" --interval $interval \
                --block seeds --form "$form" --json "$@" 2>"$work/run.log"
        }
        # Placement and speeds settle.
        send --vehicles 50 --for 10 >/dev/null
        failed=0
        for vehicles in ${VEHICLES:-50 100 150 200 300 400 600 800 1000 1500}; do
            look >"$work/before"
            began=$(date +%s%N)
            TIMEFORMAT='%U %S'
            { time send --vehicles "$vehicles" --for "${SECONDS_EACH:-20}" >"$work/run.json"; } 2>"$work/sender" || true
            look >"$work/after"
            took=$(($(date +%s%N) - began))
            cores=$(paste "$work/before" "$work/after" | awk -v took=$took '{ printf " %.2f |", ($2 - $1) * 1e9 / took }')
            row=$(jq -r --arg wanted "$(awk -v n="$vehicles" -v i=$interval 'BEGIN { print n / i }')" --arg seconds "${SECONDS_EACH:-20}" '
                (.accepted / ($seconds | tonumber)) as $accepted | ($wanted | tonumber) as $sent |
                ($accepted >= 0.9 * $sent and .lost == 0 and .duplicates == 0 and .latency_ms.p99 < 1000) as $holds |
                "\($sent | round) | \($accepted | round) | \(.latency_ms.p50) | \(.latency_ms.p95) | \(.latency_ms.p99) | \(.lost) ;\(if $holds then "yes" else "no" end)"' "$work/run.json")
            holds=${row##*;}
            echo "| $durability | $form | $vehicles | ${row%;*}|$cores $(awk -v took=$took '{ printf "%.2f", ($1 + $2) * 1e9 / took }' "$work/sender") | $holds |"
            [ "$holds" = yes ] || failed=$((failed + 1))
            [ "$failed" -lt 2 ] || break
        done
        kill "$up"
        wait "$up" || true
        up=
    done
done
