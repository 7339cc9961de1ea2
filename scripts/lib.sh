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
