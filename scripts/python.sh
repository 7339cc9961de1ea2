#!/bin/sh
# Makes target/venv hold exactly what tests/kazoo/requirements.txt asks for, and
# does nothing when it already does.
set -eu
. "$(dirname "$0")/lib.sh"

venv=$target_dir/venv
requirements=$root_dir/tests/kazoo/requirements.txt

# A venv is tied to the interpreter that made it: one whose Python is gone is
# made again.
if cmp -s "$requirements" "$venv/requirements.txt" && "$venv/bin/python" -c 'import kazoo, pytest' 2>/dev/null; then
    exit 0
fi

command -v python3 >/dev/null 2>&1 || need_packages "the client tests need Python" python3 python3-venv
# Debian splits what venv needs from Python itself, and the name carries the version
# only where several are installed.
python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages "Python's venv is missing" python3-venv

say "fetching the ZooKeeper client for the tests into target/venv"
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2 ||
    fail "pip could not fetch what tests/kazoo/requirements.txt names. Is the network there?"
cp "$requirements" "$venv/requirements.txt"
