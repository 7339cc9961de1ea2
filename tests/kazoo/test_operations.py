"""The operations that no Python client sends, as bytes that are written out by hand."""

import struct

import pytest

import wire as w

PERSISTENT, RECURSIVE = 0, 1
CHILDREN, DATA, ANY, KIND_PERSISTENT, KIND_RECURSIVE = 1, 2, 3, 4, 5
CREATED, DELETED, CHANGED, CHILD = 1, 2, 3, 4
CONNECTED = 3
NO_WATCHER, NO_NODE, MARSHALLING = -121, -101, -5
STAT_BYTES = 68


@pytest.fixture
def watcher(wire):
    return wire()


def events(connection):
    """What came until the answer of a ping: (kind, path) of each."""
    connection.send(w.PING, xid=-2)
    came = []
    while True:
        xid, _, error, body = connection.receive()
        assert error == 0
        if xid == -2:
            return came
        assert xid == w.NOTIFICATION_XID
        kind, state, path = w.read_notification(body)
        assert state == CONNECTED
        came.append((kind, path))


def ok(connection, opcode, body=b""):
    _, error, reply = connection.call(opcode, body)
    assert error == 0
    return reply


def test_a_persistent_watch_stays(watcher, zk, base):
    assert ok(watcher, w.ADD_WATCH, w.path_number(base, PERSISTENT)) == bytes(4)
    for _ in range(2):
        zk.set(base, b"1")
        zk.create(f"{base}/child")
        zk.set(f"{base}/child", b"1")
        zk.delete(f"{base}/child")
    assert events(watcher) == [(CHANGED, base), (CHILD, base), (CHILD, base)] * 2


def test_a_recursive_watch_hears_of_what_is_below(watcher, zk, base):
    ok(watcher, w.ADD_WATCH, w.path_number(base, RECURSIVE))
    zk.create(f"{base}/a")
    zk.create(f"{base}/a/b", b"")
    zk.set(f"{base}/a/b", b"1")
    zk.create(f"{base}x")
    zk.delete(base, recursive=True)
    zk.delete(f"{base}x")
    assert events(watcher) == [
        (CREATED, f"{base}/a"),
        (CREATED, f"{base}/a/b"),
        (CHANGED, f"{base}/a/b"),
        (DELETED, f"{base}/a/b"),
        (DELETED, f"{base}/a"),
        (DELETED, base),
    ]


def test_one_event_comes_however_many_watches_match(watcher, zk, base):
    ok(watcher, w.GET_DATA, w.path_watch(base, True))
    ok(watcher, w.GET_CHILDREN, w.path_watch(base, True))
    for mode in (PERSISTENT, RECURSIVE):
        ok(watcher, w.ADD_WATCH, w.path_number(base, mode))
    zk.delete(base)
    assert events(watcher) == [(DELETED, base)]
    for kind, expected in ((DATA, NO_WATCHER), (CHILDREN, NO_WATCHER), (KIND_PERSISTENT, 0), (KIND_RECURSIVE, 0)):
        assert watcher.call(w.CHECK_WATCHES, w.path_number(base, kind))[1] == expected
    ok(watcher, w.REMOVE_WATCHES, w.path_number(base, ANY))
    assert watcher.call(w.CHECK_WATCHES, w.path_number(base, ANY))[1] == NO_WATCHER
    zk.create(base)
    assert events(watcher) == []


@pytest.mark.parametrize("opcode", [w.CHECK_WATCHES, w.REMOVE_WATCHES, w.ADD_WATCH])
def test_a_kind_that_is_none_cannot_be_read(watcher, base, opcode):
    assert watcher.call(opcode, w.path_number(base, 9))[1:] == (MARSHALLING, b"")


def test_set_watches_2_sets_persistent_watches_without_an_event(watcher, zk, base):
    paths = [f"{base}/{name}" for name in ("data", "persistent", "recursive")]
    for path in paths:
        zk.create(path)
    seen = zk.get(base)[1].last_modified_transaction_id
    lists = [[paths[0]], [f"{base}/none"], [], [paths[1]], [paths[2]]]
    body = struct.pack(">q", seen) + b"".join(map(w.strings, lists))
    # What was created since counts as changed.
    watcher.send(w.SET_WATCHES2, body, xid=-8)
    xid, zxid, _, notification = watcher.receive()
    assert (xid, zxid) == (w.NOTIFICATION_XID, -1)
    assert w.read_notification(notification) == (CHANGED, CONNECTED, paths[0])
    assert watcher.receive()[0::2] == (-8, 0)
    for path in paths:
        zk.set(path, b"1")
    zk.create(f"{paths[2]}/below")
    assert events(watcher) == [(CHANGED, paths[1]), (CHANGED, paths[2]), (CREATED, f"{paths[2]}/below")]


def test_a_multi_read_has_an_answer_for_each(wire, zk, base):
    zk.set(base, b"data")
    zk.create(f"{base}/child")
    connection = wire()
    reads = [(w.GET_DATA, base), (w.GET_CHILDREN, base), (w.GET_DATA, f"{base}/none")]
    reply = ok(connection, w.MULTI_READ, w.multi(*((op, w.path_watch(path)) for op, path in reads)))
    stat = zk.exists(base)
    expected = struct.pack(">i?i", w.GET_DATA, False, 0) + w.buffer(b"data")
    assert reply.startswith(expected)
    (czxid,) = struct.unpack_from(">q", reply, len(expected))
    assert czxid == stat.czxid
    rest = reply[len(expected) + STAT_BYTES :]
    assert rest == (
        struct.pack(">i?i", w.GET_CHILDREN, False, 0)
        + w.strings(["child"])
        + struct.pack(">i?ii", -1, False, NO_NODE, NO_NODE)
        + struct.pack(">i?i", -1, True, -1)
    )


def test_own_ephemerals_and_all_children(wire, zk, base):
    connection = wire()
    for name in ("one", "two"):
        ok(connection, w.CREATE, w.create(f"{base}/{name}", flags=1))
    zk.create(f"{base}/mine", ephemeral=True)
    found = ok(connection, w.GET_EPHEMERALS, w.string(f"{base}/o"))
    assert found == w.strings([f"{base}/one"])
    assert ok(connection, w.GET_ALL_CHILDREN_NUMBER, w.string(base)) == struct.pack(">i", 3)
    assert connection.call(w.GET_ALL_CHILDREN_NUMBER, w.string(f"{base}/none"))[1] == NO_NODE


def test_who_am_i(wire):
    connection = wire()
    address = w.string("ip") + w.string("127.0.0.1")
    assert ok(connection, w.WHO_AM_I) == struct.pack(">i", 1) + address
    ok(connection, w.AUTH, struct.pack(">i", 0) + w.string("digest") + w.string("ann:secret"))
    known = ok(connection, w.WHO_AM_I)
    assert known[:4] == struct.pack(">i", 2)
    assert address in known and w.string("digest") + w.string("ann") in known
    assert b"secret" not in known


def test_containers(wire, zk, base):
    connection = wire()
    path = f"{base}/container"
    reply = ok(connection, w.CREATE_CONTAINER, w.create(path, flags=4))
    assert reply.startswith(w.string(path)) and len(reply) == len(w.string(path)) + STAT_BYTES
    # Whose it is, a Stat says of ephemerals only.
    assert zk.exists(path).ephemeralOwner == 0
    assert connection.call(w.DELETE_CONTAINER, w.string(base))[1] == -111
    ok(connection, w.DELETE_CONTAINER, w.string(path))
    assert zk.exists(path) is None


@pytest.mark.innkeeper
def test_times_to_live_have_to_be_enabled(wire, base):
    """The real ZooKeeper of these tests has them enabled."""
    connection = wire()
    ttl = w.create(f"{base}/ttl", flags=5) + struct.pack(">q", 1000)
    assert connection.call(w.CREATE_TTL, ttl)[1] == -6
    results = ok(connection, w.MULTI, w.multi((w.CREATE, w.create(f"{base}/a")), (w.CREATE_TTL, ttl)))
    # Each code stands twice.
    failed = struct.pack(">i?ii", -1, False, 0, 0) + struct.pack(">i?ii", -1, False, -6, -6)
    assert results == failed + struct.pack(">i?i", -1, True, -1)


def test_reconfig_is_disabled(wire, zk):
    connection = wire()
    body = w.buffer(None) * 3 + struct.pack(">q", -1)
    assert connection.call(w.RECONFIG, body)[1] == -123
    data, stat = zk.get("/zookeeper/config")
    assert (data, stat.aversion) == (b"", -1)
