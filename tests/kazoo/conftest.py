"""Fixtures: one node for the whole run, and clients that are stopped after each test.

With ZOOKEEPER_ADDRESS set the same tests run against a real ZooKeeper, which is
how we know that they ask for what ZooKeeper does (`make golden-check`).
"""

import itertools
import os
import re

import pytest
from kazoo.client import KazooClient

from node import SUPER, Node, RealZooKeeper
from wire import Wire

REAL = os.environ.get("ZOOKEEPER_ADDRESS")


def pytest_collection_modifyitems(items):
    if REAL:
        for item in items:
            if item.get_closest_marker("innkeeper"):
                item.add_marker(pytest.mark.skip(reason="a real ZooKeeper has no such thing"))


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    if REAL:
        yield RealZooKeeper(REAL)
        return
    node = Node(tmp_path_factory.mktemp("node")).start()
    yield node
    alive = node.process.poll() is None
    assert alive, f"the node ended by itself during the tests:\n{node.tail()}"
    assert node.stop() == 0


@pytest.fixture
def connect(node):
    """Makes started clients: connect(), connect(auth_data=[...]), connect(node=other)."""
    clients = []

    def make(node=node, timeout=10.0, **options):
        client = KazooClient(hosts=node.zookeeper, timeout=timeout, **options)
        clients.append(client)
        client.start(timeout=20)
        return client

    yield make
    for client in clients:
        client.stop()
        client.close()


@pytest.fixture
def zk(connect):
    return connect()


@pytest.fixture
def super_zk(connect):
    return connect(auth_data=[SUPER])


@pytest.fixture
def wire(node):
    """Makes bare connections: wire() is connected to a session, wire(False) is not."""
    wires = []

    def make(handshake=True, node=node, **options):
        wire = Wire(node.zookeeper)
        wires.append(wire)
        if handshake:
            wire.connect(**options)
        return wire

    yield make
    for wire in wires:
        wire.close()


counter = itertools.count()


@pytest.fixture
def base(zk, request):
    """A znode that is this test's alone."""
    name = re.sub(r"\W+", "-", request.node.name)
    path = f"/kazoo-{os.getpid()}-{next(counter)}-{name}"
    zk.create(path)
    return path
