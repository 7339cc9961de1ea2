"""The example consumer, with this test in the part of the group's guest: what it
shows must be what stands in the tree."""

import json
import os
import pathlib
import subprocess

import pytest

from waiting import Events, Task

BINARY = pathlib.Path(os.environ.get("INNKEEPER", "target/debug/innkeeper")).with_name("innkeeper-consumer")


@pytest.fixture
def consume(node, base):
    """Starts a consumer of the group `base`."""
    processes = []

    def start(member, *arguments):
        process = subprocess.Popen(
            [BINARY, "--connect", node.zookeeper, "--group", base, "--member", member, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def line(process):
    return json.loads(Task(process.stdout.readline).result())


def wait_for(zk, path, present):
    events = Events()
    while bool(zk.exists(path, watch=events)) is not present:
        events.next()


def assignment(generation, **topics):
    return json.dumps({"generation": generation, "topics": topics}).encode()


def test_it_registers_and_prints_what_it_is_given(zk, base, consume):
    consumer = consume("ann", "--topics", "orders,returns")
    wait_for(zk, f"{base}/members/ann", True)
    data, stat = zk.get(f"{base}/members/ann")
    assert json.loads(data) == {"topics": ["orders", "returns"]}
    assert stat.ephemeralOwner != 0

    path = f"{base}/assignments/ann"
    zk.create(path, assignment(1, orders=[0, 1, 2]), makepath=True)
    assert line(consumer) == {"member": "ann", "generation": 1, "topics": {"orders": [0, 1, 2]}}
    zk.set(path, assignment(2, orders=[2], returns=[0]))
    assert line(consumer) == {"member": "ann", "generation": 2, "topics": {"orders": [2], "returns": [0]}}
    zk.delete(path)
    zk.create(path, assignment(3))
    assert line(consumer) == {"member": "ann", "generation": 3, "topics": {}}


@pytest.mark.parametrize("how", ["end of input", "SIGTERM"])
def test_it_leaves_cleanly(zk, base, consume, how):
    consumer = consume("ann")
    path = f"{base}/members/ann"
    wait_for(zk, path, True)
    assert json.loads(zk.get(path)[0]) == {}
    if how == "SIGTERM":
        consumer.terminate()
    else:
        consumer.stdin.close()
    assert consumer.wait(20) == 0
    # Not at its session's timeout: when it has ended, the ephemeral is gone.
    zk.sync(path)
    assert zk.exists(path) is None


def test_a_new_life_waits_for_the_old_one_to_expire(zk, base, consume):
    path = f"{base}/members/ann"
    first = consume("ann", "--session-timeout-ms", "1500")
    wait_for(zk, path, True)
    owner = zk.exists(path).ephemeralOwner
    first.kill()
    consume("ann")
    events = Events()
    while (stat := zk.exists(path, watch=events)) is None or stat.ephemeralOwner == owner:
        events.next(60)


def test_it_says_why_it_cannot_start(consume, zk, base):
    zk.create(f"{base}/members/ann", makepath=True)
    process = consume("ann")
    assert process.wait(20) != 0
