#!/bin/sh
# Checks that what `make build` and `make test` build of foreign crates is the same,
# so that neither builds wasmtime a second time. Cargo says what it would build
# (--unit-graph, unstable, hence the bootstrap flag); nothing is compiled.
set -eu
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null 2>&1 || need_packages "the comparison is a Python script" python3
cd "$root_dir"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export RUSTC_BOOTSTRAP=1
cargo build --workspace --bins -Z unstable-options --unit-graph >"$folder/build"
cargo test --workspace --no-run -Z unstable-options --unit-graph >"$folder/test"
python3 - "$folder" <<'PY'
import json, sys

def units(name):
    """Foreign crates by name, each with the ways in which it is built."""
    crates = {}
    for unit in json.load(open(f"{sys.argv[1]}/{name}"))["units"]:
        if "registry" in unit["pkg_id"]:
            profile = {key: value for key, value in unit["profile"].items() if key != "name"}
            way = (unit["target"]["kind"][0], unit["mode"], unit["platform"], str(profile), tuple(unit["features"]))
            crates.setdefault(unit["pkg_id"].split("#")[-1], set()).add(way)
    return crates

build, test = units("build"), units("test")
apart = sorted(crate for crate in build if not build[crate] <= test.get(crate, set()))
for crate in apart:
    print(f"{crate}: built with {[way[-1] for way in build[crate]]}, tested with {[way[-1] for way in test.get(crate, [])]}")
if apart:
    sys.exit("make build and make test share these no longer; see the end of tests/bench/Cargo.toml")
PY
