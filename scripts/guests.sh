#!/bin/sh
# Builds the guests to WebAssembly and lays each beside the others as
# target/guest-modules/<crate>.wasm, where the host's build script finds them.
#
#     scripts/guests.sh [auto|rustup|debian]
#
# 1. A route to the target is chosen: rustup's own target (also where a
#    distribution's Rust has it installed), or Debian's rustc with the standard
#    library built from its sources. `auto` takes the first that works. The
#    choice, forced or found, is remembered in target/guests.route: `auto` does
#    not ask a rustup that cannot fetch again at every build.
# 2. Cargo builds the guests' workspace in a target folder of the route's own,
#    so that the two never invalidate each other; unchanged guests cost a
#    fraction of a second.
# 3. A module is copied only if its bytes differ: the host is rebuilt only when
#    a guest really changed.
set -eu
. "$(dirname "$0")/lib.sh"

wanted=${1:-auto}
triple=wasm32-unknown-unknown
modules=$target_dir/guest-modules
stamp=$target_dir/guests.route
mkdir -p "$modules"

# Does this compiler have the target's standard library installed?
has_target() {
    [ -d "$("$1" --print sysroot 2>/dev/null)/lib/rustlib/$triple/lib" ]
}

rustup_route() {
    cd "$root_dir/guests"
    has_target rustc && return 0
    command -v rustup >/dev/null 2>&1 || return 1
    say "adding Rust's target $triple"
    rustup target add $triple >&2
}

debian_route() {
    source=$(/usr/bin/rustc --print sysroot 2>/dev/null || echo /usr)/lib/rustlib/src/rust/library
    [ -x /usr/bin/rustc ] && [ -d "$source" ] && command -v wasm-ld >/dev/null 2>&1 && return 0
    packages="rustc-web rust-web-src lld"
    # A plain rustc from Debian cannot stand beside rustc-web; it has its
    # sources in a package of its own.
    if dpkg -s rustc >/dev/null 2>&1 && ! dpkg -s rustc-web >/dev/null 2>&1; then
        packages="rust-src lld"
    fi
    # shellcheck disable=SC2086 # a list of words on purpose
    need_packages "the guests' compiler target is missing" $packages
}

case $wanted in
auto)
    route=$(cat "$stamp" 2>/dev/null || :)
    if [ "$route" = debian ]; then
        debian_route
    elif rustup_route; then
        route=rustup
    else
        say "Rust's own target $triple cannot be had here: taking Debian's packages"
        debian_route
        route=debian
    fi
    ;;
rustup)
    rustup_route || fail "rustup could not add $triple; try: make guests GUEST_TOOLCHAIN=debian"
    route=rustup
    ;;
debian)
    debian_route
    route=debian
    ;;
*) fail "GUEST_TOOLCHAIN is auto, rustup or debian, not $wanted." ;;
esac
printf '%s\n' "$route" >"$stamp"

cd "$root_dir/guests"
# Flags meant for the host's build (or a sanitizer, or coverage) do not belong
# into a guest: its bytes should depend on its sources and its compiler only.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET CARGO_BUILD_RUSTFLAGS
# A panic names its file: no folder of the machine that built the module stands in it.
separator=$(printf '\037')
flags="--remap-path-prefix=$root_dir/="
for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags="$flags$separator--remap-path-prefix=$crates/="
done
export CARGO_ENCODED_RUSTFLAGS="$flags"
if [ "$route" = debian ]; then
    export CARGO_TARGET_DIR="$target_dir/guests-debian"
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld \
        cargo build --release --workspace --lib --target $triple -Zbuild-std=std,panic_abort
else
    export CARGO_TARGET_DIR="$target_dir/guests"
    cargo build --release --workspace --lib --target $triple
fi

# A guest is a crate of the workspace that makes a cdylib.
names=
for manifest in "$root_dir"/guests/*/Cargo.toml "$root_dir"/guests/*/*/Cargo.toml; do
    [ -f "$manifest" ] && grep -q '^crate-type.*"cdylib"' "$manifest" || continue
    name=$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -n 1)
    names="$names $name"
    built=$CARGO_TARGET_DIR/$triple/release/$(printf %s "$name" | tr - _).wasm
    cmp -s "$built" "$modules/$name.wasm" && continue
    # Renamed into place, so that nobody ever reads half a module.
    cp "$built" "$modules/.$name.new"
    mv "$modules/.$name.new" "$modules/$name.wasm"
done
[ -n "$names" ] || fail "guests/ holds no crate that makes a module."

# A guest that is gone from the sources must not live on in the binary.
for module in "$modules"/*.wasm; do
    name=$(basename "$module" .wasm)
    case " $names " in
    *" $name "*) ;;
    *) rm -f "$module" ;;
    esac
done
