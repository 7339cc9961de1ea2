"""A pytest plugin that runs inside kazoo's suite and writes down what happened, one JSON object per line.

1. Every test: its name, its outcome, and the failure's text if there is one.
   A test that still holds the suite up long after its time limit (a teardown that waits for
   ever is not under pytest-timeout's clock any more) ends the process, with every thread's stack.
2. Every server that kazoo's harness starts: its port, what it says of itself when asked
   `srvr`, and how it ended. The question is put by us, not by kazoo, so that a server
   that is not the one under test cannot hide behind passing tests.

run.py reads the lines and judges; nothing is judged here.
"""

import faulthandler
import itertools
import json
import os
import pathlib
import socket
import time

import pytest
from kazoo.testing.common import ManagedZooKeeper, ZookeeperCluster

RECORD = pathlib.Path(os.environ["KAZOO_SUITE_RECORD"])
# A debug build on a busy machine takes its time over the first start.
ANSWER_SECONDS = 30
LOG_LINES = 40
# The limit of a test in pytest.ini comes first; one that outlives even this is stuck.
STUCK_SECONDS = 240

# Not pytest's stderr, which it catches; where to, is looked at only when somebody is stuck.
stuck = open(RECORD.with_name("stuck.log"), "w")


def write(**line):
    # Appended and closed each time: a run that is killed leaves what it had seen.
    with RECORD.open("a") as record:
        record.write(json.dumps(line) + "\n")


# The tests


class Outcomes:
    """Makes one outcome of the reports about a test's setup, body and teardown."""

    def __init__(self):
        self.outcome = None
        self.text = None
        self.seconds = 0.0

    def add(self, report):
        self.seconds += report.duration
        if report.failed:
            # Which way it failed: a test that is expected to fail must fail as expected.
            outcome = ("failed:" if report.when == "call" else "error:") + report.raised
        elif hasattr(report, "wasxfail"):
            outcome = "xfailed" if report.skipped else "xpassed"
        elif report.skipped:
            outcome = "skipped"
        elif report.when == "call":
            outcome = "passed"
        else:
            return
        # A teardown that fails outweighs a body that passed, never the other way round.
        if ":" not in (self.outcome or ""):
            self.outcome = outcome
            self.text = report_text(report)


def report_text(report):
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    if not report.longrepr:
        return None
    sections = [report.longreprtext]
    sections += [f"--- {title}\n{text}" for title, text in report.sections if title == SERVER_LOG]
    return "\n".join(sections)


def pytest_runtest_logstart(nodeid):
    faulthandler.dump_traceback_later(STUCK_SECONDS, exit=True, file=stuck)


def pytest_sessionfinish():
    faulthandler.cancel_dump_traceback_later()
    write(finished=True)


running = {}


def pytest_runtest_logreport(report):
    outcomes = running.setdefault(report.nodeid, Outcomes())
    outcomes.add(report)
    if report.when == "teardown":
        del running[report.nodeid]
        write(
            test=report.nodeid,
            outcome=outcomes.outcome,
            text=outcomes.text,
            seconds=outcomes.seconds,
        )


SERVER_LOG = "the servers' logs"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        report.raised = call.excinfo.typename
        # Read now: the harness removes the folders of the servers after the class.
        import kazoo.testing.harness as harness

        for server in harness.CLUSTER or ():
            report.sections.append((SERVER_LOG, "".join(server.get_logs(LOG_LINES))))
    return report


# The servers


def ask(server, seconds):
    """The first line of the server's answer to `srvr`; None if it gives none."""
    end = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((server.host, server.client_port), 5) as stream:
                stream.sendall(b"srvr")
                answer = b"".join(iter(lambda: stream.recv(4096), b""))
            line = answer.decode().partition("\n")[0]
            if line.startswith("Zookeeper version: "):
                return line
        except OSError:
            pass
        if server.process.poll() is not None or time.monotonic() > end:
            return None
        time.sleep(0.1)


def introduce(server):
    """Asks a server once who it is, and writes the answer down."""
    if not server.introduced:
        server.introduced = True
        write(server=server.identity, says=ask(server, ANSWER_SECONDS))


counter = itertools.count(1)


def run(server, original=ManagedZooKeeper.run):
    if server.running:
        return
    original(server)
    # One per process, though a process id may come again.
    server.identity = f"{os.getpid()}.{next(counter)}"
    server.introduced = False
    write(server=server.identity, port=server.client_port)


def start(cluster, original=ZookeeperCluster.start):
    original(cluster)
    for server in cluster:
        introduce(server)


def stop(server, original=ManagedZooKeeper.stop):
    if not server.running:
        return
    # For those that a test started by itself, beside the cluster's start.
    introduce(server)
    died = server.process.poll()
    original(server)
    write(server=server.identity, died=died, ended=server.process.returncode)


def terminate(cluster, original=ZookeeperCluster.terminate):
    # While all of them run: the last of three does not serve, and need not say who it is.
    for server in cluster:
        if server.running:
            introduce(server)
    original(cluster)


ManagedZooKeeper.run = run
ManagedZooKeeper.stop = stop
ZookeeperCluster.start = start
ZookeeperCluster.terminate = terminate
