# What run.sh and test.sh share: the checkout's root, and installing what a fresh machine lacks.
# Sourced by them with `set -euo pipefail`. Written for bash 3.2, which macOS has.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        fail "$* needs root; run it as root, then start this script again"
    fi
}

apt_updated=no

# install_packages APT_NAMES BREW_NAMES; an empty name means nothing is needed there.
install_packages() {
    if has apt-get; then
        if [ "$apt_updated" = no ]; then
            as_root apt-get update -q
            apt_updated=yes
        fi
        # shellcheck disable=SC2086 # several names in one argument
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $1
    elif has brew; then
        # shellcheck disable=SC2086
        HOMEBREW_NO_AUTO_UPDATE=1 brew install $2
    else
        fail "neither apt-get nor brew is here; install $2 by hand, then start this script again"
    fi
}

ensure_compiler() {
    has cc && return
    if [ "$(uname)" = Darwin ]; then
        fail "there is no C compiler; install Apple's with: xcode-select --install"
    fi
    say "installing a C compiler"
    install_packages build-essential gcc
}

ensure_curl() {
    has curl && return
    say "installing curl"
    install_packages "curl ca-certificates" curl
}

# version_at_least HAVE WANTED: compares major.minor.
version_at_least() {
    local have_major=${1%%.*} have_rest=${1#*.} want_major=${2%%.*} want_rest=${2#*.}
    local have_minor=${have_rest%%.*} want_minor=${want_rest%%.*}
    [ "$have_major" -gt "$want_major" ] ||
        { [ "$have_major" -eq "$want_major" ] && [ "$have_minor" -ge "$want_minor" ]; }
}

ensure_rust() {
    # rustup puts cargo there; a shell opened before that does not know it yet.
    PATH="$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin"
    export PATH
    if ! has cargo; then
        ensure_curl
        say "installing Rust with rustup"
        curl --proto '=https' --tlsv1.2 -fsSL https://sh.rustup.rs |
            sh -s -- -y --profile minimal --component rustfmt --component clippy
    fi
    local wanted have
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
    have=$(rustc --version | cut -d ' ' -f 2)
    version_at_least "$have" "$wanted" ||
        fail "Rust $have is too old, $wanted is needed; run: rustup update stable (a Rust from apt-get must go first)"
}

# ensure_component NAME: rustfmt or clippy.
ensure_component() {
    has "cargo-${1/rustfmt/fmt}" && cargo "${1/rustfmt/fmt}" --version >/dev/null 2>&1 && return
    has rustup || fail "$1 is not installed; install it with the tool that installed Rust"
    say "installing $1"
    rustup component add "$1"
}

ensure_redis() {
    if ! has redis-server; then
        say "installing redis-server"
        install_packages redis-server redis
        # Debian's package starts a service on port 6379. VTOX starts its own redis-server, so the one that came with
        # this installation is not needed. Should another Redis hold 6379, `vtox up` takes a free port and prints it.
        if [ -d /run/systemd/system ] && has systemctl; then
            as_root systemctl disable --now redis-server || say "the redis-server service keeps port 6379"
        fi
    fi
    local have
    have=$(redis-server --version | sed -n 's/.* v=\([0-9.]*\).*/\1/p')
    version_at_least "$have" 7.0 ||
        fail "Redis $have is too old, 7.0 is needed; install it from Redis' own packages (https://redis.io/docs/latest/operate/oss_and_stack/install/)"
}

# What every build needs.
ensure_tools() {
    ensure_curl
    ensure_compiler
    ensure_rust
    ensure_redis
}
