#!/bin/sh
# Records what a real ZooKeeper's words, admin commands and metrics look like, into
# tests/admin/shapes.txt: starts one server with ZooKeeper's own metrics provider and one with
# Prometheus's, and runs tests/node/shapes.rs against them.
set -eu
. "$(dirname "$0")/lib.sh"

version=3.9.5
home=$target_dir/zookeeper/$version-admin

# A server in folder $1 with client port $2 and more lines of configuration on stdin.
start() {
    mkdir -p "$1"
    {
        echo "tickTime=500"
        echo "dataDir=$1/data"
        echo "clientPort=$2"
        echo "clientPortAddress=127.0.0.1"
        echo "maxClientCnxns=0"
        echo "4lw.commands.whitelist=*"
        cat
    } >"$1/zoo.cfg"
    java -cp "$home/lib/*" org.apache.zookeeper.server.quorum.QuorumPeerMain "$1/zoo.cfg" >"$1/log" 2>&1 &
    pids="$pids $!"
}

fetch_zookeeper_admin $version "$home"
folder=$(mktemp -d)
pids=
trap 'for pid in $pids; do kill "$pid" 2>/dev/null || :; wait "$pid" 2>/dev/null || :; done; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
plain=$(free_port)
admin=$(free_port)
prometheus=$(free_port)
metrics=$(free_port)
start "$folder/plain" "$plain" <<CFG
admin.serverAddress=127.0.0.1
admin.serverPort=$admin
CFG
start "$folder/prometheus" "$prometheus" <<CFG
admin.enableServer=false
metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider
metricsProvider.httpHost=127.0.0.1
metricsProvider.httpPort=$metrics
CFG
# Ready is what says that it serves, or listens where it says nothing; asked for at most 30 s.
python3 - "$plain" "$prometheus" -- "$admin" "$metrics" <<'PY' || fail "ZooKeeper did not start within 30 s: $(tail -n 5 "$folder"/*/log)"
import socket, sys, time
end = time.monotonic() + 30
split = sys.argv.index("--")
def ready(port, asked):
    try:
        with socket.create_connection(("127.0.0.1", int(port)), 1) as s:
            if not asked:
                return True
            s.sendall(b"isro")
            return s.recv(4) == b"rw"
    except OSError:
        return False
for ports, asked in ((sys.argv[1:split], True), (sys.argv[split + 1:], False)):
    for port in ports:
        while not ready(port, asked):
            if time.monotonic() > end:
                sys.exit(1)
            time.sleep(0.1)
PY
INNKEEPER_SHAPES_OF=127.0.0.1:$plain,127.0.0.1:$admin,127.0.0.1:$prometheus,127.0.0.1:$metrics
export INNKEEPER_SHAPES_OF
${CARGO:-cargo} test --workspace --test shapes
say "tests/admin/shapes.txt is as ZooKeeper $version answers"
