"""Three nodes under kazoo's clients, whose leader is killed and stopped: at the end everything
that was acknowledged is there, and each client has seen its history in order.

A cut-off leader, expired sessions and their ephemerals are for the binary's own test
(host/cli/tests/process/histories.rs), whose client sees every answer.
"""

import signal
import socket
import threading
import time

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError
from kazoo.retry import KazooRetry

from node import Node
from waiting import Task

pytestmark = pytest.mark.innkeeper

NODES = 3
# A client on a stopped node gives it up after two thirds of its session's timeout.
PATIENCE = 120
TIMEOUTS = [2.0, 30.0, 2.0, 30.0]
# The steps of each client between two faults.
STEPS = 20


def until(what, holds):
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)


def free_ports(count):
    """Ports that were free a moment ago, each once."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def mode(node):
    host, port = node.zookeeper.split(":")
    with socket.create_connection((host, int(port)), 20) as stream:
        stream.sendall(b"srvr")
        answer = b"".join(iter(lambda: stream.recv(4096), b"")).decode()
    return next((line[6:] for line in answer.splitlines() if line.startswith("Mode: ")), None)


def votes(node):
    host, port = node.http.split(":")
    with socket.create_connection((host, int(port)), 20) as stream:
        stream.sendall(b"GET /v1/status HTTP/1.0\r\nHost: test\r\n\r\n")
        return b'"voters":[1,2,3]' in b"".join(iter(lambda: stream.recv(4096), b""))


class Group:
    def __init__(self, folder):
        peers = ",".join(f"{n}=127.0.0.1:{port}" for n, port in enumerate(free_ports(NODES), 1))
        self.nodes = []
        for number in range(1, NODES + 1):
            home = folder / str(number)
            home.mkdir()
            self.nodes.append(Node(home, "--id", str(number), "--peers", peers))
        for node in self.nodes:
            node.start()

    @property
    def hosts(self):
        return ",".join(node.zookeeper for node in self.nodes)

    def leader(self):
        """Waits until one leads, the others follow and all vote."""

        def whole():
            modes = sorted(str(mode(node)) for node in self.nodes)
            return modes == ["follower"] * (NODES - 1) + ["leader"] and all(map(votes, self.nodes))

        until("one leads, the others follow and all vote", whole)
        return next(node for node in self.nodes if mode(node) == "leader")


@pytest.fixture
def group(tmp_path):
    group = Group(tmp_path)
    yield group
    for node in group.nodes:
        node.process.send_signal(signal.SIGCONT)
        node.kill()


def forever():
    return KazooRetry(max_tries=-1, delay=0.05, backoff=1.5, max_delay=1)


class Worker:
    """A client that writes, and reads what it wrote, until it is told to end."""

    def __init__(self, number, timeout, hosts, ends):
        self.own = f"/own-{number}"
        self.ends = ends
        self.steps = 0
        self.seen = (None, 0)
        self.client = KazooClient(
            hosts, timeout=timeout, connection_retry=forever(), command_retry=forever()
        )
        self.client.start(timeout=PATIENCE)

    def ask(self, function, *arguments):
        answer = self.client.retry(function, *arguments)
        session, zxid = (self.client.client_id or (None,))[0], self.client.last_zxid
        # A client that begins another session begins to count anew.
        if session == self.seen[0]:
            assert zxid >= self.seen[1], f"{self.own} had seen {self.seen[1]:#x}, and then {zxid:#x}"
        self.seen = (session, zxid)
        return answer

    def create(self, path):
        try:
            self.ask(self.client.create, path)
        except NodeExistsError:
            # By an attempt that was not answered: nobody else creates it.
            pass

    def work(self):
        self.create(self.own)
        while not self.ends.is_set():
            text = str(self.steps)
            self.create(f"{self.own}/{text}")
            self.ask(self.client.set, self.own, text.encode())
            data, _ = self.ask(self.client.get, self.own)
            assert data.decode() == text, f"{self.own} reads what it wrote"
            self.steps += 1


def test_the_histories_of_clients_hold_while_the_leader_is_killed_and_stopped(group):
    group.leader()
    ends = threading.Event()
    workers = [Worker(number, timeout, group.hosts, ends) for number, timeout in enumerate(TIMEOUTS)]
    tasks = [Task(worker.work) for worker in workers]

    def all_go_on(when):
        before = [worker.steps for worker in workers]

        def on():
            failed = [task for task in tasks if not task.done.empty()]
            assert not failed, [task.result() for task in failed]
            return all(worker.steps >= steps + STEPS for worker, steps in zip(workers, before))

        until(f"all clients go on {when}", on)

    try:
        leader = group.leader()
        all_go_on("before a fault")
        leader.kill()
        all_go_on("while the leader is dead")
        leader.start()
        for worker in workers:
            worker.client.set_hosts(group.hosts)

        leader = group.leader()
        all_go_on("before the next fault")
        leader.process.send_signal(signal.SIGSTOP)
        all_go_on("while the leader is stopped")
        leader.process.send_signal(signal.SIGCONT)
        group.leader()
        all_go_on("after the faults")
    finally:
        ends.set()
    for task in tasks:
        task.result(PATIENCE)
    for node in group.nodes:
        client = KazooClient(node.zookeeper, timeout=30.0)
        client.start(timeout=PATIENCE)
        client.sync("/")
        for worker in workers:
            assert len(client.get_children(worker.own)) == worker.steps, f"{worker.own} at {node.zookeeper}"
            assert client.get(worker.own)[0].decode() == str(worker.steps - 1)
        client.stop()
        client.close()
    for worker in workers:
        worker.client.stop()
        worker.client.close()
