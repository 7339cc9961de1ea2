#!/bin/sh
# Starts a real ZooKeeper for every case of tests/starts/cases.py, and compares the outcome with
# tests/starts/outcomes.txt. `make test` compares Innkeeper with the same file.
#
#     scripts/starts.sh            # compare
#     scripts/starts.sh --record   # write outcomes.txt anew
#
# Some cases end at ZooKeeper's own default ports, 8080 and 7000. They run in a network of their
# own where this system lets them; else these ports must be free.
set -eu
. "$(dirname "$0")/lib.sh"

version=3.9.5
home=$target_dir/zookeeper/$version-admin
classes=$target_dir/starts

fetch_zookeeper_admin $version "$home"
command -v javac >/dev/null 2>&1 || need_packages "the cases are started by a small Java program" default-jdk-headless
command -v python3 >/dev/null 2>&1 || need_packages "the cases are written in Python" python3
rm -rf "$classes"
mkdir -p "$classes/main" "$classes/probe"
javac -d "$classes/main" "$root_dir/tests/starts/Starts.java"
javac -nowarn -cp "$home/lib/*" -d "$classes/probe" "$root_dir/tests/starts/Probe.java"
# shellcheck disable=SC2046 # The jars' names have no blanks.
exec python3 "$root_dir/tests/starts/check.py" "$@" \
    -cp "$classes/main" Starts "$classes/probe" $(echo "$home"/lib/*.jar)
