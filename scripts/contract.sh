#!/usr/bin/env bash
# Calls a running cluster in every way its OpenAPI document allows, and in many it does not: no 5xx, no answer that is not
# described, no answer that breaks its schema.
#   scripts/contract.sh            some examples of each operation
#   scripts/contract.sh 500        more of them
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

ensure_tools
has python3 || install_packages "python3 python3-venv" python3
bin=${CARGO_TARGET_DIR:-target}
cargo build --workspace --bins --locked

tools=$bin/contract-tools
if ! "$tools/bin/schemathesis" --version >/dev/null 2>&1; then
    python3 -m venv "$tools" || { install_packages python3-venv python3 && python3 -m venv "$tools"; }
    "$tools/bin/pip" install --quiet 'schemathesis==4.32.5'
fi

data=$(mktemp -d)
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
port=$(free_port)
VTOX_GATEWAY__PORT=$port VTOX_COORDINATOR__PORT=$(free_port) VTOX_MONITOR__PORT=$(free_port) \
    VTOX_BRIDGE__PORT=$(free_port) VTOX_WORKER__PORT=$(free_port) \
    "$bin/debug/vtox" up --workers 1 --data "$data" 2>"$data/up.log" &
cluster=$!
finish() {
    kill -INT "$cluster" 2>/dev/null || true
    wait "$cluster" 2>/dev/null || true
    rm -rf "$data"
}
trap finish EXIT
for _ in $(seq 150); do
    grep -q 'VTOX is ready' "$data/up.log" && break
    kill -0 "$cluster" 2>/dev/null || { cat "$data/up.log"; fail "the cluster did not start"; }
    sleep 0.2
done
redis=$(sed -n 's/^  redis *//p' "$data/up.log")
token=$("$bin/debug/vtox" token issue --role admin --label contract --redis "$redis")
# A new key takes effect within a second.
sleep 1.2

# The switches would stop what is being tested; e2e tests have them.
SCHEMATHESIS_HOOKS=scripts.contract.hooks "$tools/bin/schemathesis" run "http://127.0.0.1:$port/openapi.json" \
    --url "http://127.0.0.1:$port" --header "Authorization: Bearer $token" --max-examples "${1:-30}" --seed 1 --no-color \
    --phases examples,coverage,fuzzing --request-timeout 30 \
    --exclude-path-regex '/(initialize|start|stop|scale|control)$|^/ws/' \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance
