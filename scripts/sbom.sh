#!/usr/bin/env bash
# What each service is made of, as CycloneDX: one file per binary, with every crate, version, licence and checksum.
#   scripts/sbom.sh            writes sbom/vtox-gateway.cdx.json and so on
#   scripts/sbom.sh DIRECTORY
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

services="vtox-gateway vtox-coordinator vtox-worker vtox-monitor vtox-websocket-bridge vtox"
version=0.5.9

directory=$(mkdir -p "${1:-$root/sbom}" && cd "${1:-$root/sbom}" && pwd)
cd "$root"
ensure_curl
ensure_compiler
ensure_rust
has jq || install_packages jq jq

tools=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)/sbom-tools
if ! "$tools/bin/cargo-cyclonedx" cyclonedx --version 2>/dev/null | grep -qF "$version"; then
    say "installing cargo-cyclonedx $version into $tools"
    cargo install --quiet --locked --root "$tools" --version "$version" cargo-cyclonedx
fi

# It writes beside each Cargo.toml.
clean() {
    rm -f crates/*/*.cdx.json
}
trap clean EXIT
# As the images are: their platform, and nothing that only tests and builds need.
"$tools/bin/cargo-cyclonedx" cyclonedx --quiet --format json --spec-version 1.5 --describe binaries --no-build-deps \
    --target x86_64-unknown-linux-gnu

# packages BINARY: what cargo links into it, as `name version`, by another way.
packages() {
    cargo tree --locked --package "$1" --edges normal --target x86_64-unknown-linux-gnu --prefix none --format '{p}' |
        sed -E 's/ \(.*//; s/ v/ /' | sort -u
}

for binary in $services; do
    package=${binary/%vtox/vtox-cli}
    found=$(echo crates/*/"${binary}"_bin.cdx.json)
    [ -f "$found" ] || fail "cargo-cyclonedx wrote nothing for $binary"
    jq -e --arg name "$binary" '.bomFormat == "CycloneDX" and .metadata.component.name == $name
        and all(.components[]; .version != "" and (.purl | startswith("pkg:cargo/")))' "$found" >/dev/null ||
        fail "$found does not describe $binary"
    # It may name some more: what features of other services would bring.
    missing=$(comm -23 <(packages "$package" | grep -v "^$package ") \
        <(jq -r '.components[] | "\(.name) \(.version)"' "$found" | sort -u))
    [ -z "$missing" ] || fail "$found lacks what cargo links into $binary: $missing"
    mv "$found" "$directory/$binary.cdx.json"
    echo "$directory/$binary.cdx.json: $(jq '.components | length' "$directory/$binary.cdx.json") components"
done
