#!/bin/sh
# Fuzzes the codec, from the golden messages on:
#
#     tests/fuzz/run.sh -max_total_time=600    # libFuzzer's own options
#
# Needs a nightly compiler, a C++ compiler and, for `cargo fuzz`, cargo-fuzz
# (cargo install cargo-fuzz). What it finds is kept in tests/fuzz/artifacts.
set -eu
cd "$(dirname "$0")"

# Every golden message is a seed of its own.
python3 - corpus/decode_anything ../../host/proto/tests/golden/*.golden <<'PY'
import pathlib, sys

corpus = pathlib.Path(sys.argv[1])
corpus.mkdir(parents=True, exist_ok=True)
for golden in map(pathlib.Path, sys.argv[2:]):
    for line in golden.read_text().splitlines():
        if not line.startswith("#"):
            name, digits = line.split()
            (corpus / f"golden-{golden.stem}-{name}").write_bytes(bytes.fromhex(digits))
PY

exec cargo +nightly fuzz run --fuzz-dir . decode_anything -- "$@"
