#!/usr/bin/env bash
# The Kubernetes manifests: what is rendered is valid, safe, and true of the services as they are built.
#   scripts/test-k8s.sh
# No cluster is needed. What runs beside the services is tried in containers where there is a Docker engine.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

# Of the Kubernetes whose API the manifests are checked against: the oldest they are for, and a newer one.
versions="1.30 1.34"

ensure_tools
has python3 || install_packages "python3 python3-venv" python3
has openssl || install_packages openssl openssl
if ! has kubectl; then
    fail "kubectl is not installed; it renders the manifests. Install it (https://kubernetes.io/docs/tasks/tools/, brew install kubectl, \
or snap install kubectl --classic), then start this script again"
fi
bin=${CARGO_TARGET_DIR:-target}
cargo build --workspace --bins --locked

tools=$bin/k8s-tools
if ! "$tools/bin/checkov" --version >/dev/null 2>&1; then
    say "installing kubernetes-validate and checkov into $tools"
    python3 -m venv "$tools" || { install_packages python3-venv python3 && python3 -m venv "$tools"; }
    "$tools/bin/pip" install --quiet 'kubernetes-validate==1.37.0' 'checkov==3.3.30' 'PyYAML==6.0.3'
fi
python=$tools/bin/python

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A copy, so that secrets are those of the test, and no installation's own are touched.
mkdir "$work/deploy"
cp -R deploy/redis "$work/deploy/"
(cd k8s && tar -cf - --exclude secrets .) | (mkdir "$work/k8s" && cd "$work/k8s" && tar -xf -)

announce() {
    printf '\n== %s\n' "$*"
}

# render OVERLAY: into $work/OVERLAY.yaml
render() {
    kubectl kustomize "$work/k8s/overlays/$1" >"$work/$1.yaml"
}

announce "shellcheck"
if has shellcheck; then
    shellcheck --external-sources k8s/*.sh k8s/*/*.sh k8s/*/*/*.sh
else
    echo "skipped: shellcheck is not installed"
fi

announce "production without secrets is refused"
if render production 2>"$work/refused"; then
    fail "the production overlay builds without secrets of its own"
fi
grep -q 'secrets/' "$work/refused" || fail "$(cat "$work/refused")"
"$work/k8s/secrets.sh" "$work/k8s/overlays/production/secrets"
announce "passwords are changed without a gap"
"$work/k8s/secrets.sh" "$work/rotated"
cp "$work/rotated/vtox-worker.toml" "$work/before.toml"
# hashes N: each of the eight users has so many passwords.
hashes() {
    [ "$(awk -v n="$1" '$1 == "user" && gsub(/ #/, "") == n' "$work/rotated/users.acl" | wc -l)" -eq 8 ] ||
        fail "users.acl has not $1 passwords for each user"
}
hashes 1
"$work/k8s/secrets.sh" --rotate "$work/rotated"
hashes 2
! cmp -s "$work/before.toml" "$work/rotated/vtox-worker.toml" || fail "the worker keeps its password"
"$work/k8s/secrets.sh" --retire "$work/rotated"
hashes 1
REDIS_AT=redis.example:6379 REDIS_SCHEME=redis+cluster "$work/k8s/secrets.sh" "$work/of-a-cluster"
[ "$(grep -c 'cluster|nodes' "$work/of-a-cluster/users.acl")" -eq 6 ] || fail "the services may not ask a Redis Cluster for its nodes"

announce "Redis' settings are those of deploy/redis"
cmp deploy/redis/redis.conf k8s/components/redis-sentinel/redis.conf || fail "copy the former to the latter"

announce "overlays, and production with each option"
# variant NAME SED: production with its kustomization changed.
variant() {
    cp -R "$work/k8s/overlays/production" "$work/k8s/overlays/$1"
    sed "$2" "$work/k8s/overlays/production/kustomization.yaml" >"$work/k8s/overlays/$1/kustomization.yaml"
}
variant production-options 's|# - \(../../components/[a-z-]*\)$|- \1|'
variant production-external 's|- ../../components/redis-sentinel|- ../../components/redis-external|; /name: redis-users/,/name: token-keys/{/name: token-keys/!d;}'
overlays="development production production-options production-external"
for overlay in $overlays; do
    render "$overlay"
    echo "$overlay: $(grep -c '^kind:' "$work/$overlay.yaml") documents"
done

announce "kubernetes-validate --strict"
for overlay in $overlays; do
    # What is of the API of Kubernetes; ServiceMonitor and ScaledObject are not.
    "$python" k8s/tests/split.py "$work/$overlay.yaml" "$work/$overlay.core.yaml"
    for version in $versions; do
        "$tools/bin/kubernetes-validate" --strict --quiet -k "$version" "$work/$overlay.core.yaml"
    done
    echo "$overlay: valid for Kubernetes $versions"
done

announce "checkov"
for overlay in $overlays; do
    "$tools/bin/checkov" -f "$work/$overlay.yaml" --framework kubernetes --skip-download --compact --quiet
done

announce "every name leads somewhere"
for overlay in $overlays; do
    "$python" k8s/tests/references.py . "$work/$overlay.yaml"
done

# alone WORD...: in a network of its own where the system lets us, so that ports are free.
alone() {
    if unshare -rn true 2>/dev/null; then
        OWN_NETWORK=yes unshare -rn "$@"
    else
        "$@"
    fi
}

for overlay in development production-options; do
    announce "the services as $overlay runs them"
    alone "$python" k8s/tests/live.py . "$bin/debug" "$work/$overlay.yaml"
done

announce "what is wrong is found"
# found OVERLAY SED CHECK...: the check must fail on the overlay changed like this.
found() {
    local overlay=$1 change=$2
    shift 2
    sed "$change" "$work/$overlay.yaml" >"$work/wrong.yaml"
    ! cmp -s "$work/$overlay.yaml" "$work/wrong.yaml" || fail "$change changes nothing"
    if "$@" "$work/wrong.yaml" >"$work/found" 2>&1; then
        fail "nobody sees $change"
    fi
    echo "$change -> $(grep . "$work/found" | tail -n 1 | cut -c 1-140)"
}
live() {
    found "$1" "$3" alone "$python" k8s/tests/live.py . "$bin/debug" --only "$2"
}
live development monitor 's/VTOX_HOST:/VTOX_HOTS:/'
live development worker-bearing 's/name: FAULT_TYPES/name: FAULTS/'
live development worker-bearing 's/value: bearing/value: bearings/'
live development monitor 's|path: /ready|path: /readyz|'
live development monitor 's/containerPort: 8011/containerPort: 8013/'
live production monitor 's/name: vtox_backlog_entries/name: vtox_backlog/'
live production api-gateway 's/VTOX_AUTH__KEYS_DIR/VTOX_AUTH__KEYS/'
references() {
    found production "$1" "$python" k8s/tests/references.py .
}
references 's/targetPort: http/targetPort: web/'
references 's/port: 8002$/port: 8003/'
references 's/serviceAccountName: monitor/serviceAccountName: watcher/'
references 's|value: /etc/vtox/redis/vtox.toml|value: /etc/vtox/redis/redis.toml|'
references '/kind: CronJob/,/^---/s/- configMapRef:/- secretRef:/'
references 's/name: redis-passwords/name: passwords/'
references 's/vtox-sentinel.password:/vtox-guard.password:/'
references 's/runAsNonRoot: true/runAsNonRoot: false/'
found development 's/readOnlyRootFilesystem/readOnlyRoot/' "$tools/bin/kubernetes-validate" --strict --quiet
found development 's/allowPrivilegeEscalation: false/allowPrivilegeEscalation: true/' \
    "$tools/bin/checkov" --framework kubernetes --skip-download --compact --quiet -f

announce "the gateway's keys and Redis' pods, in containers"
if has docker && docker info >/dev/null 2>&1; then
    k8s/tests/token-keys.sh "$work/k8s/overlays/production/secrets"
    k8s/tests/redis-sentinel.sh "$work/k8s/overlays/production/secrets"
else
    echo "skipped: there is no Docker engine"
fi
