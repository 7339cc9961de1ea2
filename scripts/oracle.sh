#!/bin/sh
# Compares Innkeeper with a real ZooKeeper:
#
#     scripts/oracle.sh ARGS...     # those of innkeeper-oracle
#
# Where no Java can be had it says so and counts as skipped; with CI=true that is a failure.
set -eu
. "$(dirname "$0")/lib.sh"

if ! "$root_dir/scripts/zookeeper.sh" fetch; then
    [ "${CI:-}" = true ] &&
        fail "the oracle needs a real ZooKeeper, and with CI=true it may not be skipped"
    say "SKIPPED: nothing was compared with a real ZooKeeper, for the reason above"
    exit 0
fi
exec "$target_dir/debug/innkeeper-oracle" --jars "$target_dir/zookeeper/3.9.5/lib" "$@"
