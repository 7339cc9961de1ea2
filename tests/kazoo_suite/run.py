#!/usr/bin/env python3
"""Runs kazoo's own test suite, as it comes inside the package, against Innkeeper.

1. The suite's harness starts its servers by saying `java`: bin/ stands first on PATH, so
   that `java` is Innkeeper.
2. The test files are dealt to a few pytest processes with servers on ports of their own:
   most of the suite's time is sleep. record.py, inside each, writes down every outcome
   and every server.
3. Outcomes are compared by name with expected.txt, where each exception has its reason:
   any difference is a failure, an unexpected pass too.
4. Every server that was started must have said, asked `srvr`, that it is Innkeeper, must
   have lived until it was told to end, and have ended well. No process is left.

The harness has one server, or with --cluster-size 3 three that form a group. What three do
otherwise than one stands in expected_of_three.txt.

With --server zookeeper the same is done with a real ZooKeeper (its jars are named by
--classpath), and compared with what expected.txt says of that one: so we know that the
list asks for what ZooKeeper does.

    run.py [--server innkeeper|zookeeper] [--classpath JARS] [--cluster-size 1|3] [--write]
           [-k EXPRESSION] [FILE...]
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import kazoo.tests
import kazoo.version

from expected import FAILURE_LINES, OUTCOMES, SERVERS, SIZES, Expected, impostors, kind, sort_lines

HERE = pathlib.Path(__file__).resolve().parent
SUITE = pathlib.Path(kazoo.tests.__file__).resolve().parent

# How many pytest processes share the suite; each has a server of its own.
SHARDS = 3
# The longest that all of it may take: a guard against a hang outside of any test.
LIMIT_SECONDS = 15 * 60
# How long a stopped suite's servers may take to be gone.
GONE_SECONDS = 10


def main():
    arguments = parse(sys.argv[1:])
    # A run that is told to end takes its pytests and their servers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        expected = Expected.of_size(arguments.cluster_size)
    except ValueError as error:
        sys.exit(str(error))
    files = arguments.files or sorted(path.name for path in SUITE.glob("test_*.py"))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kazoo-suite-") as folder:
        lines, troubles = run_shards(arguments, deal(files, expected), pathlib.Path(folder))
    minutes = (time.monotonic() - started) / 60

    tests, servers = sort_lines(lines)
    if arguments.write:
        expected.learn(tests, arguments.server)
        expected.write()
    whole = not (arguments.files or arguments.k)
    troubles += expected.differences(tests, arguments.server, whole)
    troubles += impostors(servers, arguments.server)
    if whole and not servers:
        troubles.append("no server was started")
    for trouble in troubles:
        print(f"\nDIFFERENT: {trouble}")
    counts = collections.Counter(kind(test["outcome"]) for test in tests.values())
    said = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
    verdict = f"{len(troubles)} DIFFERENCES" if troubles else "all as expected"
    print(
        f"\nkazoo {kazoo.version.__version__}'s own suite against {arguments.cluster_size} {arguments.server}: "
        f"{len(tests)} tests in {minutes:.1f} min: {said or 'none ran'}; "
        f"{len(servers)} servers started; {verdict}"
    )
    return 1 if troubles else 0


def parse(words):
    parser = argparse.ArgumentParser(description="kazoo's own test suite against Innkeeper")
    parser.add_argument("--server", choices=SERVERS, default="innkeeper")
    parser.add_argument("--classpath", help="the jars of a real ZooKeeper")
    parser.add_argument("--cluster-size", type=int, choices=SIZES, default=1, help="servers of the harness [1]")
    parser.add_argument("--write", action="store_true", help="write the outcomes into the list")
    parser.add_argument("-k", help="only the tests that match, as pytest's -k")
    parser.add_argument("files", nargs="*", help="only these of the suite's files")
    arguments = parser.parse_args(words)
    if arguments.server == "zookeeper" and not arguments.classpath:
        parser.error("--server zookeeper needs --classpath: make kazoo-suite-check knows it")
    if arguments.server == "innkeeper" and not os.access(os.environ.get("INNKEEPER", ""), os.X_OK):
        parser.error("INNKEEPER must name the binary: make test-kazoo-suite knows it")
    return arguments


# The run


def deal(files, expected):
    """Deals the files to shards of about equal length, the longest first."""
    seconds = {file: 1 for file in files} | {f: s for f, s in expected.seconds.items() if f in files}
    shards = [[] for _ in range(min(SHARDS, len(files)))]
    for file in sorted(files, key=lambda file: (-seconds[file], file)):
        min(shards, key=lambda shard: sum(seconds[file] for file in shard)).append(file)
    return shards


def run_shards(arguments, shards, folder):
    """Runs all shards beside each other; gives their records and what went wrong outside of tests."""
    troubles = []
    end = time.monotonic() + LIMIT_SECONDS
    with contextlib.ExitStack() as stack:
        running = []
        for number, files in enumerate(shards):
            home = folder / f"shard-{number}"
            (home / "tmp").mkdir(parents=True)
            offset = stack.enter_context(free_ports(arguments.cluster_size))
            process = start_shard(arguments, files, home, offset)
            stack.callback(end_group, process)
            running.append((home, files, process))
        for home, files, process in running:
            try:
                code = process.wait(max(1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                troubles.append(f"the shard of {' '.join(files)} was not through after {LIMIT_SECONDS} s")
                continue
            # 0: all passed, 1: some did not, which is for expected.txt to judge; 5: -k chose none here.
            finished = any("finished" in line for line in records(home))
            if code not in (0, 1, 5) or not finished:
                troubles.append(f"pytest ended with {code} amid {' '.join(files)}:\n{last_words(home)}")
            if left := end_group(process):
                troubles.append(f"processes were left by {' '.join(files)}: {left}")
    if logs := os.environ.get("KAZOO_SUITE_LOGS"):
        shutil.copytree(folder, logs, dirs_exist_ok=True, ignore=shutil.ignore_patterns("tmp"))
    return [line for home, _, _ in running for line in records(home)], troubles


def records(home):
    record = home / "record.jsonl"
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def last_words(home):
    """The end of what a pytest said, and all threads' stacks if it was stuck."""
    logs = [path for path in (home / "pytest.log", home / "stuck.log") if path.exists()]
    said = (path.read_text(errors="replace").splitlines()[-FAILURE_LINES:] for path in logs)
    return "\n".join(line for lines in said for line in lines)


def start_shard(arguments, files, home, port_offset):
    environment = dict(os.environ)
    environment.update(
        ZOOKEEPER_CLUSTER_SIZE=str(arguments.cluster_size),
        ZOOKEEPER_VERSION="3.9.5",
        ZOOKEEPER_JAAS_AUTH="digest",
        ZOOKEEPER_PORT_OFFSET=str(port_offset),
        # The harness wants one, though only a real Java reads it.
        ZOOKEEPER_CLASSPATH=arguments.classpath or "innkeeper",
        CI="true",
        # Whatever the harness leaves in its temporary folders goes with ours.
        TMPDIR=str(home / "tmp"),
        PYTHONPATH=str(HERE),
        PYTHONDONTWRITEBYTECODE="1",
        KAZOO_SUITE_RECORD=str(home / "record.jsonl"),
    )
    if arguments.server == "innkeeper":
        environment["PATH"] = f"{HERE / 'bin'}{os.pathsep}{environment['PATH']}"
        environment["INNKEEPER"] = os.path.abspath(environment["INNKEEPER"])
    command = [sys.executable, "-m", "pytest", "-c", HERE / "pytest.ini", "--rootdir", SUITE]
    command += ["-p", "record"]
    if arguments.k:
        command += ["-k", arguments.k]
    with open(home / "pytest.log", "wb") as log:
        return subprocess.Popen(
            [*command, *(SUITE / file for file in files)],
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A group of its own, so that whatever it leaves can be found and ended.
            start_new_session=True,
        )


def end_group(process):
    """Ends what is left of a shard; gives the names of what had to be."""
    left = group(process.pid)
    named = [f"{pid} {name}" for pid, name in left]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    end = time.monotonic() + GONE_SECONDS
    while left and time.monotonic() < end:
        process.poll()
        time.sleep(0.1)
        left = group(process.pid)
    if left:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return named


def group(leader):
    """(pid, name) of the living processes of a process group."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # "pid (name) state ppid pgrp …"; the name may hold anything.
            head, _, tail = stat.read_text().rpartition(")")
            state, _, pgrp = tail.split()[:3]
            if int(pgrp) == leader and state != "Z":
                pid, _, name = head.partition(" (")
                found.append((int(pid), name))
    return found


@contextlib.contextmanager
def free_ports(cluster_size):
    """An offset from which the harness' ports are free: offset+0..4 of every ten.

    Below the ports that the kernel gives to outgoing connections, so that none of those
    takes one while a server restarts. The ninth of the first ten is held all the while:
    two runs on one machine never choose the same.
    """
    while True:
        offset = random.randrange(15_000, 32_000, 10)
        wanted = [offset + 10 * server + port for server in range(cluster_size) for port in range(5)]
        with contextlib.ExitStack() as held:
            mine = held.enter_context(socket.socket())
            try:
                mine.bind(("127.0.0.1", offset + 9))
                mine.listen()
                for port in wanted:
                    with socket.socket() as probe:
                        probe.bind(("", port))
            except OSError:
                continue
            yield offset
            return


if __name__ == "__main__":
    sys.exit(main())
