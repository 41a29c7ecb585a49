#!/usr/bin/env bash
# Everything that must hold before a change goes in. The last line counts the tests.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

announce() {
    printf '\n== %s\n' "$*"
}

step() {
    announce "$*"
    "$@"
}

ensure_tools
ensure_component rustfmt
ensure_component clippy

# Tests on measured recordings run where these are at hand, and say so where they are not.
if [ -z "${VTOX_RECORDINGS:-}" ] && [ -d "$root/../shared/data/recordings" ]; then
    VTOX_RECORDINGS=$(cd "$root/../shared/data/recordings" && pwd)
    export VTOX_RECORDINGS
fi

step cargo fmt --all --check
step cargo fmt --manifest-path fuzz/Cargo.toml --check
step cargo clippy --workspace --all-targets --locked -- -D warnings
announce "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked"
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked

if ! has cargo-deny; then
    step cargo install --locked cargo-deny
fi
step cargo deny --locked check bans licenses sources
announce "cargo deny check advisories"
if cargo deny fetch db; then
    cargo deny --locked check advisories
else
    echo "skipped: the advisory database is out of reach"
fi

announce "shellcheck scripts"
if has shellcheck; then
    shellcheck --external-sources scripts/*.sh .ci/run
else
    echo "skipped: shellcheck is not installed"
fi

# Prints the links of a Markdown file that point at no file.
broken_links() {
    local link
    { grep -oE '\]\([^)[:space:]]+\)' "$1" || true; } | sed 's/^](//; s/)$//; s/#.*$//' | while read -r link; do
        case $link in
            "" | *://* | mailto:*) ;;
            *) [ -e "$(dirname "$1")/$link" ] || echo "$1: $link" ;;
        esac
    done
}

announce "relative links in Markdown files"
broken=$(find . -name target -prune -o -name .git -prune -o -name '*.md' -print | while read -r page; do
    broken_links "$page"
done)
[ -z "$broken" ] || fail "$broken"

step cargo build --workspace --bins --locked

step scripts/fuzz.sh 5

step scripts/contract.sh 10

announce "scripts/test-k8s.sh"
if has kubectl; then
    scripts/test-k8s.sh
else
    echo "skipped: kubectl is not installed"
fi

step scripts/chaos.sh --quick

announce "cargo test --workspace --locked"
output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$output" || status=$?

passed=$(awk '/^test result:/ && match($0, /[0-9]+ passed/) { n += substr($0, RSTART) } END { print n + 0 }' "$output")
failed=$(awk '/^test result:/ && match($0, /[0-9]+ failed/) { n += substr($0, RSTART) } END { print n + 0 }' "$output")
if [ "$status" -eq 0 ] && { [ "$passed" -eq 0 ] || [ "$failed" -gt 0 ]; }; then
    status=1
fi
echo "$passed passed, $failed failed"
exit "$status"
