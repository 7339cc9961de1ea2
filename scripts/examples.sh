#!/bin/sh
# Builds the example guests as target/examples/<language>/<guest>.wasm, with
# each language's own tools, which are fetched into target/example-tools.
#
#     scripts/examples.sh [python|javascript|c]...
#
# Ends with 3, and a sentence on the last line of its errors, where the tools
# cannot be had. What is up to date is not built again.
set -eu
. "$(dirname "$0")/lib.sh"

tools=$target_dir/example-tools
out=$target_dir/examples
cd "$root_dir"

# up_to_date OUTPUT INPUT... : no input is newer than the output.
up_to_date() {
    newest=$1
    shift
    [ -f "$newest" ] && [ -z "$(find "$@" scripts/examples.sh -newer "$newest" 2>/dev/null)" ]
}

# In a subshell, so that its failure is seen here. What stands before || heeds no set -e, so each
# step of fetching tools says itself that the next depends on it.
have_tools() {
    ("$1") || {
        say "the tools for the examples in $2 cannot be had here"
        exit 3
    }
}

# A venv of its own for each language: they share nothing.
venv_of() {
    command -v python3 >/dev/null 2>&1 || need_packages "the tools come with pip" python3 python3-venv
    python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages "Python's venv is missing" python3-venv
    say "fetching $(cat "$1/requirements.txt") into $2"
    rm -rf "$2" &&
        python3 -m venv "$2" &&
        "$2/bin/python" -m pip install --quiet --disable-pip-version-check -r "$1/requirements.txt" >&2 &&
        cp "$1/requirements.txt" "$2/fetched"
}

python_tools() {
    cmp -s examples/python/requirements.txt "$tools/python/fetched" || venv_of examples/python "$tools/python"
}

c_tools() {
    command -v cargo >/dev/null 2>&1 || fail "the bindings of C are written by a program in Rust, and there is no cargo"
    cmp -s examples/c/requirements.txt "$tools/c/fetched" || venv_of examples/c "$tools/c"
}

javascript_tools() {
    cmp -s examples/javascript/package.json "$tools/javascript/fetched" && return 0
    command -v npm >/dev/null 2>&1 || need_packages "the tools come with npm" nodejs npm
    say "fetching componentize-qjs and componentize-js into $tools/javascript"
    rm -rf "$tools/javascript" &&
        mkdir -p "$tools/javascript" &&
        cp examples/javascript/package.json "$tools/javascript/" &&
        npm install --prefix "$tools/javascript" --silent --no-audit --no-fund --no-package-lock >&2 &&
        cp examples/javascript/package.json "$tools/javascript/fetched"
}

# built OUTPUT : a command wrote the file $building, which becomes OUTPUT at once.
building=$out/.building.wasm
built() {
    mv "$building" "$1"
    say "built $1 ($(($(wc -c <"$1") / 1024)) KiB)"
}

python() {
    have_tools python_tools Python
    mkdir -p "$out/python"
    for guest in leader:recipe freeze:authorizer; do
        world=${guest#*:} guest=${guest%:*}
        up_to_date "$out/python/$guest.wasm" "examples/python/$guest.py" examples/python/requirements.txt wit && continue
        "$tools/python/bin/componentize-py" --wit-path wit --world "$world" \
            componentize --python-path examples/python "$guest" --output "$building" >&2
        built "$out/python/$guest.wasm"
    done
}

javascript() {
    have_tools javascript_tools JavaScript
    mkdir -p "$out/javascript"
    bin=$tools/javascript/node_modules/.bin
    for guest in leader:recipe freeze:authorizer; do
        world=${guest#*:} guest=${guest%:*}
        source=examples/javascript/$guest.js
        if ! up_to_date "$out/javascript/$guest.wasm" "$source" examples/javascript/package.json wit; then
            "$bin/componentize-qjs" --sync --wit wit --world "$world" --js "$source" --output "$building" >&2
            built "$out/javascript/$guest.wasm"
        fi
        # The same source on another engine.
        if ! up_to_date "$out/javascript/$guest-starlingmonkey.wasm" "$source" examples/javascript/package.json wit; then
            "$bin/componentize-js" "$source" --wit wit --world-name "$world" --out "$building" >&2
            built "$out/javascript/$guest-starlingmonkey.wasm"
        fi
    done
}

c() {
    have_tools c_tools C
    mkdir -p "$out/c"
    export ZIG_GLOBAL_CACHE_DIR="$tools/c/cache"
    for guest in leader:recipe freeze:authorizer; do
        world=${guest#*:} guest=${guest%:*}
        up_to_date "$out/c/$guest.wasm" "examples/c/$guest.c" examples/c/requirements.txt examples/c/bindings wit && continue
        bindings=$tools/c/bindings
        cargo run --quiet --manifest-path guests/Cargo.toml --target-dir "$target_dir/guests" \
            --package c-bindings -- wit "$world" "$bindings" >&2
        "$tools/c/bin/python" -m ziglang cc -target wasm32-wasi -mexec-model=reactor -Os -Wall -Werror \
            -Wl,-z,stack-size=65536 \
            -I"$bindings" "examples/c/$guest.c" "$bindings/$world.c" "$bindings/${world}_component_type.o" \
            -o "$building" >&2
        built "$out/c/$guest.wasm"
    done
}

[ $# -gt 0 ] || set -- python javascript c
for language in "$@"; do
    case $language in
    python | javascript | c) "$language" ;;
    *) fail "there are examples in python, javascript and c, not in $language." ;;
    esac
done
