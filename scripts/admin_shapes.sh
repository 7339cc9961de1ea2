#!/bin/sh
# Records what a real ZooKeeper's words, admin commands and metrics look like, into
# tests/admin/shapes.txt: starts one server with ZooKeeper's own metrics provider and one with
# Prometheus's, and runs host/server/tests/shapes.rs against them.
#
# The admin server and the Prometheus provider need jars that ZooKeeper's own artifact does not
# bring; they come from Maven Central into target/zookeeper. The provider's newest release there
# is 3.9.4; it is a thin layer and works with 3.9.5.
set -eu
. "$(dirname "$0")/lib.sh"

version=3.9.5
home=$target_dir/zookeeper/$version-admin

fetch() {
    [ -f "$home/fetched" ] && return
    command -v java >/dev/null 2>&1 || need_packages "a real ZooKeeper runs on Java" default-jre-headless
    command -v mvn >/dev/null 2>&1 || need_packages "ZooKeeper is fetched with Maven" maven
    say "fetching ZooKeeper $version with its admin server"
    mkdir -p "$home"
    cat >"$home/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>innkeeper</groupId>
  <artifactId>admin-shapes</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.zookeeper</groupId><artifactId>zookeeper</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.apache.zookeeper</groupId><artifactId>zookeeper-prometheus-metrics</artifactId><version>3.9.4</version></dependency>
    <dependency><groupId>io.dropwizard.metrics</groupId><artifactId>metrics-core</artifactId><version>4.1.12.1</version></dependency>
    <dependency><groupId>org.xerial.snappy</groupId><artifactId>snappy-java</artifactId><version>1.1.10.5</version></dependency>
    <dependency><groupId>org.eclipse.jetty</groupId><artifactId>jetty-server</artifactId><version>9.4.58.v20250814</version></dependency>
    <dependency><groupId>org.eclipse.jetty</groupId><artifactId>jetty-servlet</artifactId><version>9.4.58.v20250814</version></dependency>
    <dependency><groupId>com.fasterxml.jackson.core</groupId><artifactId>jackson-databind</artifactId><version>2.15.2</version></dependency>
  </dependencies>
</project>
POM
    mvn --batch-mode --quiet -f "$home/pom.xml" \
        dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$home/lib" >&2 ||
        fail "Maven could not fetch ZooKeeper $version. Is the network there?"
    : >"$home/fetched"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

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

fetch
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
metricsProvider.exportJvmInfo=false
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
