#!/bin/sh
# Runs a command beside a real ZooKeeper, for tests that compare with it:
#
#     scripts/zookeeper.sh fetch           # only fetch it, from Maven Central
#     scripts/zookeeper.sh jars            # the same, and print the folder of its jars
#     scripts/zookeeper.sh run COMMAND...  # with ZOOKEEPER_ADDRESS=127.0.0.1:PORT
#
# The server's jars are kept in target/zookeeper; its data is a temporary folder
# that goes when the command ends. The super user is super:super; znodes may have
# a time to live, hard quotas refuse, and sasl is a scheme of ACLs.
set -eu
. "$(dirname "$0")/lib.sh"

version=3.9.5
home=$target_dir/zookeeper/$version

fetch() {
    # ZooKeeper marks as "provided" what its own tarball carries beside it: the
    # server does not start without metrics-core, so it is named here.
    fetch_jars "$home" \
        org.apache.zookeeper:zookeeper:$version \
        io.dropwizard.metrics:metrics-core:4.1.12.1 \
        org.xerial.snappy:snappy-java:1.1.10.5
}

run() {
    [ $# -gt 0 ] || fail "usage: scripts/zookeeper.sh run COMMAND..."
    command -v python3 >/dev/null 2>&1 || need_packages "a free port is found with Python" python3
    folder=$(mktemp -d)
    java_pid=
    trap 'if [ -n "$java_pid" ]; then kill "$java_pid" 2>/dev/null || :; wait "$java_pid" 2>/dev/null || :; fi; rm -rf "$folder"' EXIT
    trap 'exit 130' INT TERM
    port=$(free_port)
    cat >"$folder/zoo.cfg" <<CFG
tickTime=500
dataDir=$folder/data
clientPort=$port
clientPortAddress=127.0.0.1
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=srvr,ruok
CFG
    # super:super, as DigestAuthenticationProvider.generateDigest prints it.
    java -cp "$home/lib/*" \
        -Dzookeeper.DigestAuthenticationProvider.superDigest='super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss=' \
        -Dzookeeper.extendedTypesEnabled=true \
        -Dzookeeper.enforceQuota=true \
        -Dzookeeper.authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider \
        org.apache.zookeeper.server.quorum.QuorumPeerMain "$folder/zoo.cfg" >"$folder/log" 2>&1 &
    java_pid=$!
    # Ready is what the server says of itself, asked for at most 30 s.
    if ! python3 - "$port" <<'PY'
import socket, sys, time
end = time.monotonic() + 30
while time.monotonic() < end:
    try:
        with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1) as s:
            s.sendall(b"ruok")
            if s.recv(4) == b"imok":
                sys.exit(0)
    except OSError:
        pass
    time.sleep(0.1)
sys.exit(1)
PY
    then
        tail -n 30 "$folder/log" >&2
        fail "ZooKeeper did not start within 30 s; the end of its log stands above."
    fi
    ZOOKEEPER_ADDRESS=127.0.0.1:$port
    export ZOOKEEPER_ADDRESS
    say "ZooKeeper $version listens on $ZOOKEEPER_ADDRESS"
    "$@"
}

action=${1:-}
[ $# -gt 0 ] && shift
case $action in
fetch) fetch ;;
jars) fetch >&2 && echo "$home/lib" ;;
run) fetch && run "$@" ;;
*) fail "usage: scripts/zookeeper.sh fetch | jars | run COMMAND..." ;;
esac
