#!/bin/sh
# Installs the tools that every build needs: Rust that is new enough, and a C compiler (it is the
# linker, and some crates have C or assembler).
#
#     scripts/toolchain.sh           # for building
#     scripts/toolchain.sh checks    # and clippy and rustfmt
set -eu
. "$(dirname "$0")/lib.sh"

# The workspace's own rust-version is the only place where the number stands.
wanted=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' "$root_dir/Cargo.toml" | head -n 1)

if ! command -v cargo >/dev/null 2>&1; then
    fail "there is no Rust here. Install it, then run make again:
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
fi

rust_version() {
    (cd "$root_dir" && rustc --version 2>/dev/null) | sed 's/^rustc \([0-9.]*\).*/\1/'
}
new_enough() {
    have=$(rust_version)
    [ -n "$have" ] && [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1)" = "$wanted" ]
}

if ! new_enough && command -v rustup >/dev/null 2>&1; then
    say "Rust $wanted or newer is needed and $(rust_version) is here: updating the stable toolchain"
    rustup update stable --no-self-update >&2 || :
    new_enough || fail "Rust ${have:-(none)} is still too old for $wanted. Make the stable toolchain the default, then run make again:
    rustup default stable"
fi
new_enough || fail "Rust $wanted or newer is needed and ${have:-none} is here. Install a newer one, then run make again:
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"

command -v cc >/dev/null 2>&1 || need_packages "a C compiler is missing" build-essential

[ "${1:-}" = checks ] || exit 0
for tool in clippy fmt; do
    (cd "$root_dir" && cargo $tool --version >/dev/null 2>&1) && continue
    component=$tool
    [ $tool = fmt ] && component=rustfmt
    if command -v rustup >/dev/null 2>&1; then
        rustup component add $component >&2 || fail "rustup could not add $component."
    elif dpkg -s rustc-web >/dev/null 2>&1; then
        need_packages "cargo $tool is missing" rust-web-clippy rustfmt-web
    else
        need_packages "cargo $tool is missing" rust-clippy rustfmt
    fi
done
