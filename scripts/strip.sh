#!/bin/sh
# Takes the debug information out of a binary and lays it beside it.
#
#     scripts/strip.sh FILE
#
# 1. FILE.debug gets the debug information: names, files and lines, which gdb, perf and
#    addr2line find there by the link that FILE gets (.gnu_debuglink).
# 2. FILE loses its symbols, too; a backtrace finds them, and the lines, in FILE.debug
#    for as long as that lies beside it.
# 3. FILE is replaced, not changed: cargo's own copy, which may be the same file
#    under another name, stays as it was, so that cargo need not link it again.
#
# Without binutils (which a C compiler brings along) FILE stays as it is.
set -eu
. "$(dirname "$0")/lib.sh"

[ $# -eq 1 ] && [ -f "$1" ] || fail "usage: scripts/strip.sh FILE"
cd "$(dirname "$1")"
name=$(basename "$1")

for tool in objcopy llvm-objcopy; do
    command -v "$tool" >/dev/null 2>&1 && break
    tool=
done
if [ -z "$tool" ]; then
    say "$name keeps its debug information inside: objcopy is missing (package binutils)"
    exit 0
fi

# Nobody ever sees half of either.
trap 'rm -f ".$name.new" ".$name.debug.new"' EXIT
"$tool" --only-keep-debug "$name" ".$name.debug.new"
chmod a-x ".$name.debug.new"
mv ".$name.debug.new" "$name.debug"
"$tool" --strip-all --add-gnu-debuglink="$name.debug" "$name" ".$name.new"
mv ".$name.new" "$name"
