#!/usr/bin/env bash
# Does a guard guard? Builds the host with one guard taken out (`innkeeper_break`, see the code)
# and runs the tests that must then fail. Succeeds if they do.
#
#   scripts/broken.sh NAME [cargo test arguments]   one guard
#   scripts/broken.sh all                           every guard, each with its test
#
# It builds into target/broken, so that no broken binary is ever left where others look for the
# real one. Only our own crates see the flag, through a compiler wrapper of a name of its own per
# guard: dependencies are built once for all of them, which takes --workspace, since another selection
# of packages has other features and builds wasmtime anew.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
export INNKEEPER_GUEST_MODULES=${INNKEEPER_GUEST_MODULES:-$target/guest-modules}
export INNKEEPER_REQUIRE_GUESTS=1

run() {
    local name=$1
    shift
    local wrapper=$target/broken/wrappers/$name
    mkdir -p "$(dirname "$wrapper")"
    printf '#!/bin/sh\nexec "$@" --cfg '"'"'innkeeper_break="%s"'"'"'\n' "$name" >"$wrapper"
    chmod +x "$wrapper"
    export CARGO_TARGET_DIR=$target/broken RUSTC_WORKSPACE_WRAPPER=$wrapper
    # A build that fails shows nothing about the guard.
    cargo test --no-run "$@"
    if cargo test "$@"; then
        echo "broken.sh: without the guard \"$name\" the tests still pass: $*" >&2
        return 1
    fi
    echo "broken.sh: without the guard \"$name\" the tests fail, as they should"
}

case ${1:-} in
'')
    sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//'
    exit 2
    ;;
all)
    failed=0
    (run log-sync --workspace --test power) || failed=1
    (run command-bound --workspace --test bounds every_kind_straddles_the_bound) || failed=1
    (run checkpoint-limit --workspace --test snapshot) || failed=1
    (run ack-in-transaction --workspace --test exactly_once) || failed=1
    (run activation-check --workspace --test swaps) || failed=1
    (run policy-check --workspace --test flips) || failed=1
    (run watch-lock --workspace --test watches) || failed=1
    (run host-work-fuel --workspace --test host_work) || failed=1
    (run host-work-deadline --workspace --test host_work) || failed=1
    (run compile-limits --workspace --test compile) || failed=1
    (run fair-order --workspace --lib fair) || failed=1
    exit "$failed"
    ;;
*)
    run "$@"
    ;;
esac
