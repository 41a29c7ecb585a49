#!/usr/bin/env bash
# Breaks a real cluster in every way it promises to survive, and says what came of each accepted message.
#   scripts/chaos.sh --quick            the short set, some minutes
#   scripts/chaos.sh --full --seed 7    everything, in the order and with the choices of seed 7
#   scripts/chaos.sh --full --only loss one fault of it; --list prints the schedule
# Needs redis-server. The full disk needs root, the wrong clocks libfaketime; without them these are skipped.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

ensure_tools
cargo build --workspace --bins --locked
exec "${CARGO_TARGET_DIR:-target}/debug/vtox-chaos" "$@"
