#!/usr/bin/env bash
# Builds VTOX and runs a whole cluster with a simulated fleet until Ctrl-C.
# Options go to `vtox up`, such as --for 30, --vehicles 200, --mode production; `vtox up --help` lists them.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Standard output is for what `vtox up` prints.
ensure_tools >&2

cargo build --manifest-path "$root/Cargo.toml" --release --locked --bins >&2

vehicles="--vehicles 50"
for option in "$@"; do
    case $option in
        --vehicles | --vehicles=*) vehicles="" ;;
    esac
done

# shellcheck disable=SC2086 # an option and its value, or nothing
exec "${CARGO_TARGET_DIR:-$root/target}/release/vtox" up $vehicles "$@"
