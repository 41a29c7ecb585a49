#!/usr/bin/env bash
# Replaces the services of another version by this one's, one after the other under load: nothing may be lost.
#   scripts/test-upgrade.sh            from the commit before the last one that changed a program
#   scripts/test-upgrade.sh v0.1.0     from that commit or tag
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

ensure_tools
asked=${1:-$(git log -1 --format=%H -- 'crates/*/src' Cargo.lock)~1}
from=$(git rev-parse --verify --quiet "$asked^{commit}") ||
    fail "$asked is no commit here; a shallow clone has too few: git fetch --unshallow"

target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
tree=$(mktemp -d)
finish() {
    git worktree remove --force "$tree" 2>/dev/null || true
}
trap finish EXIT
git worktree add --quiet --detach --force "$tree" "$from"

echo "== building $(git log -1 --format='%h %s' "$from")"
(cd "$tree" && CARGO_TARGET_DIR=$target/other-version cargo build --workspace --bins --locked)

echo "== building $(git log -1 --format='%h %s')"
cargo build --workspace --bins --locked
VTOX_TEST_OTHER_VERSION=$target/other-version/debug \
    cargo test --locked -p vtox-e2e --test upgrade -- --ignored --nocapture --test-threads 1
