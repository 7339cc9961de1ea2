#!/bin/sh
# Installs into target/venv exactly what the requirements.txt of tests/kazoo and of
# tests/kazoo_suite ask for. Does nothing when that is there.
set -eu
. "$(dirname "$0")/lib.sh"

venv=$target_dir/venv
ours=$root_dir/tests/kazoo/requirements.txt
suites=$root_dir/tests/kazoo_suite/requirements.txt

# A venv is tied to the interpreter that made it: one whose Python is gone is
# made again.
if cat "$ours" "$suites" | cmp -s - "$venv/requirements.txt" &&
    "$venv/bin/python" -c 'import kazoo, pytest, jks, OpenSSL, eventlet, gevent' 2>/dev/null; then
    exit 0
fi

command -v python3 >/dev/null 2>&1 || need_packages "the client tests need Python" python3 python3-venv
# Debian splits what venv needs from Python itself, and the name carries the version
# only where several are installed.
python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages "Python's venv is missing" python3-venv

say "fetching the ZooKeeper client for the tests into target/venv"
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$ours" -r "$suites" >&2 ||
    fail "pip could not fetch what the requirements.txt of tests/kazoo and tests/kazoo_suite name. Is the network there?"
cat "$ours" "$suites" >"$venv/requirements.txt"
