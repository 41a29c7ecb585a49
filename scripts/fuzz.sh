#!/usr/bin/env bash
# Fuzzes everything that reads what strangers send: rows, columns, binary, CSV, tokens, entries.
#   scripts/fuzz.sh               10 s for each
#   scripts/fuzz.sh 600           10 min for each
#   scripts/fuzz.sh 600 csv       one of them
# What was found interesting is kept in fuzz/corpus, what crashed in fuzz/artifacts.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

ensure_tools
has cargo-fuzz || cargo install --locked cargo-fuzz

seconds=${1:-10}
shift || true
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(rows columns binary csv tokens entries)

# Coverage without a sanitizer needs no nightly compiler; there is no unsafe code to watch.
build=${CARGO_TARGET_DIR:-target}/fuzz
unset CARGO_TARGET_DIR
for target in "${targets[@]}"; do
    printf '\n== %s for %s s\n' "$target" "$seconds"
    mkdir -p "fuzz/corpus/$target"
    cargo fuzz run --sanitizer none --target-dir "$build" "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1
done
