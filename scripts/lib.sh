# Shared by the scripts beside it; to be sourced, not run.

root_dir=$(cd "$(dirname "$0")/.." && pwd)
target_dir=${CARGO_TARGET_DIR:-$root_dir/target}

say() { printf '%s\n' "innkeeper: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

# need_packages REASON PACKAGE... : installs Debian packages as root. Anyone
# else is told the one command to run; nothing is ever done through sudo behind
# somebody's back.
need_packages() {
    need_reason=$1
    shift
    if ! command -v apt-get >/dev/null 2>&1; then
        fail "$need_reason. This machine has no apt-get: install the equivalent of Debian's $* and run make again."
    fi
    if [ "$(id -u)" -ne 0 ]; then
        fail "$need_reason. Run this, then make again:
    sudo apt-get install -y $*"
    fi
    say "$need_reason: installing $*"
    export DEBIAN_FRONTEND=noninteractive
    # The package lists of a fresh image are empty or stale, so a first failure
    # is answered by fetching them. Nothing that is installed is ever removed.
    apt-get install -y --no-install-recommends --no-remove "$@" >&2 ||
        { apt-get update >&2 && apt-get install -y --no-install-recommends --no-remove "$@" >&2; } ||
        fail "apt-get could not install $*. Install them by hand and run make again."
}

# fetch_jars FOLDER GROUP:ARTIFACT:VERSION... : puts the jars and what they need at run
# time into FOLDER/lib, from Maven Central, unless they are there.
fetch_jars() {
    fetch_home=$1
    shift
    [ -f "$fetch_home/fetched" ] && return
    command -v java >/dev/null 2>&1 || need_packages "a real ZooKeeper runs on Java" default-jre-headless
    command -v mvn >/dev/null 2>&1 || need_packages "ZooKeeper is fetched with Maven" maven
    say "fetching $*"
    mkdir -p "$fetch_home"
    {
        printf '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>\n'
        printf '<groupId>innkeeper</groupId><artifactId>jars</artifactId><version>1</version><dependencies>\n'
        for jar in "$@"; do
            rest=${jar#*:}
            printf '<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n' \
                "${jar%%:*}" "${rest%%:*}" "${rest#*:}"
        done
        printf '</dependencies></project>\n'
    } >"$fetch_home/pom.xml"
    mvn --batch-mode --quiet -f "$fetch_home/pom.xml" \
        dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$fetch_home/lib" >&2 ||
        fail "Maven could not fetch $*. Is the network there?"
    : >"$fetch_home/fetched"
}

# fetch_zookeeper_admin VERSION FOLDER : ZooKeeper with its admin server and the Prometheus
# provider, which need jars that its own artifact does not bring. The provider's newest release on
# Maven Central is 3.9.4; it is a thin layer and works with 3.9.5.
fetch_zookeeper_admin() {
    # ZooKeeper marks as "provided" what its own tarball carries beside it: the
    # server does not start without metrics-core, so it is named here.
    fetch_jars "$2" \
        org.apache.zookeeper:zookeeper:"$1" \
        org.apache.zookeeper:zookeeper-prometheus-metrics:3.9.4 \
        io.dropwizard.metrics:metrics-core:4.1.12.1 \
        org.xerial.snappy:snappy-java:1.1.10.5 \
        org.eclipse.jetty:jetty-server:9.4.58.v20250814 \
        org.eclipse.jetty:jetty-servlet:9.4.58.v20250814 \
        com.fasterxml.jackson.core:jackson-databind:2.15.2
}

free_port() {
    # The kernel's own pick: an ephemeral port that was free a moment ago.
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
