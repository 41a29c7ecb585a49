#!/usr/bin/env bash
# Calls a running production cluster in every way its OpenAPI document allows, and in many it does not, as an admin and as those
# who may do less: no 5xx, no answer or code of a refusal that is not described, no answer that breaks its schema, and nothing
# that the users of Redis may not do.
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
vtox=$bin/debug/vtox

tools=$bin/contract-tools
if ! "$tools/bin/python" -c 'import msgpack, schemathesis' 2>/dev/null; then
    python3 -m venv "$tools" || { install_packages python3-venv python3 && python3 -m venv "$tools"; }
    "$tools/bin/pip" install --quiet 'schemathesis==4.32.5' 'msgpack==1.1.2'
fi

data=$(mktemp -d)
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
port=$(free_port)
VTOX_GATEWAY__PORT=$port VTOX_COORDINATOR__PORT=$(free_port) VTOX_MONITOR__PORT=$(free_port) \
    VTOX_BRIDGE__PORT=$(free_port) VTOX_WORKER__PORT=$(free_port) \
    "$vtox" up --mode production --workers 1 --data "$data" 2>"$data/up.log" &
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
grep -q 'VTOX is ready' "$data/up.log" || { cat "$data/up.log"; fail "the cluster is not ready after 30 s"; }
REDIS_URL=$(cat "$data/secrets/vtox-cli.url")
export REDIS_URL

# call TOKEN EXAMPLES ARGUMENTS...
call() {
    local token=$1 examples=$2
    shift 2
    SCHEMATHESIS_HOOKS=scripts.contract.hooks "$tools/bin/schemathesis" run "http://127.0.0.1:$port/openapi.json" \
        --url "http://127.0.0.1:$port" --header "Authorization: Bearer $token" --max-examples "$examples" --seed 1 --no-color \
        --request-timeout 30 "$@" \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,documented_code
}
admin=$("$vtox" token issue --role admin --label contract)
operator=$("$vtox" token issue --role operator --label contract-operator)
viewer=$("$vtox" token issue --role viewer --label contract-viewer)
vehicle=$("$vtox" token issue --role vehicle --vehicle contract)
# A new key takes effect within a second.
sleep 1.2

# Those who may use them would stop what is being tested; e2e tests have them.
switches='/(initialize|start|stop|scale|control)$'
call "$admin" "${1:-30}" --phases examples,coverage,fuzzing --exclude-path-regex "$switches"
call "$operator" 2 --phases examples,fuzzing --exclude-path-regex "$switches"
call "$viewer" 2 --phases examples,fuzzing
call "$vehicle" 2 --phases examples,fuzzing

denied=$(redis-cli -u "$REDIS_URL" --no-auth-warning ACL LOG)
[ -z "$denied" ] || fail "a user of Redis was refused what the services need: $denied"
