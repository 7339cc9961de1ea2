#!/bin/sh
# Writes host/proto/tests/golden/ anew from kazoo's serializer and ZooKeeper's own
# classes. `cargo test` reads the committed files and needs neither; run this only
# when the scripts beside it change, and look at the difference before committing.
# Needs python3 with venv, a JDK, Maven and the network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
golden=$root/host/proto/tests/golden
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

python3 -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check kazoo==2.11.0
"$scratch/venv/bin/python" "$here/golden_from_kazoo.py" >"$scratch/requests"

"$root/scripts/zookeeper.sh" fetch
jars=$target/zookeeper/3.9.5/lib
javac -encoding UTF-8 -cp "$jars/*" -d "$scratch/classes" "$here/GoldenReplies.java" "$here/GoldenExtended.java"
java -Dfile.encoding=UTF-8 -cp "$scratch/classes:$jars/*" GoldenReplies >"$scratch/replies"
java -Dfile.encoding=UTF-8 -cp "$scratch/classes:$jars/*" GoldenExtended >"$scratch/extended"

mkdir -p "$golden"
mv "$scratch/requests" "$golden/kazoo.golden"
mv "$scratch/replies" "$golden/zookeeper.golden"
mv "$scratch/extended" "$golden/extended.golden"
