"""One-shot watches of each kind: what fires them, what does not, and the order."""

import struct

import pytest
from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import EventType

import wire as w
from waiting import Events

CREATED, DELETED, CHANGED, CHILD = 1, 2, 3, 4


def test_data_watch_fires_on_set_once(zk, base):
    events = Events()
    zk.get(base, watch=events)
    zk.set(base, b"1")
    event = events.next()
    assert (event.type, event.path) == (EventType.CHANGED, base)
    zk.set(base, b"2")
    zk.sync(base)
    assert events.empty()


def test_data_watch_fires_on_delete(zk, base):
    path = zk.create(f"{base}/a")
    events = Events()
    zk.get(path, watch=events)
    zk.delete(path)
    assert events.next().type == EventType.DELETED


def test_exists_watch_fires_on_create_set_and_delete(zk, base):
    path = f"{base}/a"
    events = Events()
    assert zk.exists(path, watch=events) is None
    zk.create(path)
    assert events.next().type == EventType.CREATED
    assert zk.exists(path, watch=events)
    zk.set(path, b"1")
    assert events.next().type == EventType.CHANGED
    assert zk.exists(path, watch=events)
    zk.delete(path)
    assert events.next().type == EventType.DELETED


def test_child_watch_fires_on_child_created_and_deleted_and_self_deleted(zk, base):
    path = zk.create(f"{base}/a")
    events = Events()
    zk.get_children(path, watch=events)
    zk.create(f"{path}/child")
    event = events.next()
    assert (event.type, event.path) == (EventType.CHILD, path)
    zk.get_children(path, watch=events, include_data=True)
    zk.delete(f"{path}/child")
    assert events.next().type == EventType.CHILD
    zk.get_children(path, watch=events)
    zk.delete(path)
    assert events.next().type == EventType.DELETED


def test_what_does_not_fire(zk, base):
    path = zk.create(f"{base}/a")
    data, children = Events(), Events()
    zk.get(base, watch=data)
    zk.get_children(base, watch=children)
    zk.create(f"{path}/grandchild")  # not a child
    zk.set(path, b"1")  # a child's data is not the list of children
    zk.set_acls(base, zk.get_acls(base)[0])  # an ACL is no data
    zk.sync(base)
    assert data.empty() and children.empty()
    zk.create(f"{base}/b")
    assert children.next().type == EventType.CHILD
    zk.sync(base)
    assert data.empty()  # the list of children is no data


def test_a_failed_read_leaves_no_watch(zk, base):
    path = f"{base}/a"
    events = Events()
    for read in (zk.get, zk.get_children):
        with pytest.raises(NoNodeError):
            read(path, watch=events)
    zk.create(path)
    zk.set(path, b"1")
    zk.sync(path)
    assert events.empty()


def test_every_watching_client_is_told(zk, connect, base):
    watchers = [(connect(), Events()) for _ in range(5)]
    for client, events in watchers:
        client.get(base, watch=events)
    zk.set(base, b"1")
    for _, events in watchers:
        assert events.next().type == EventType.CHANGED


def test_an_event_comes_before_the_data_that_caused_it(wire, base):
    """On one connection: notification first, then a reply that shows the change."""
    writer, reader = wire(), wire()
    for count in range(200):
        _, error, _ = reader.call(w.GET_DATA, w.path_watch(base, True))
        assert error == 0
        value = str(count).encode()
        zxid, error, _ = writer.call(w.SET_DATA, w.set_data(base, value))
        assert error == 0
        sent = reader.send(w.GET_DATA, w.path_watch(base))
        xid, event_zxid, error, body = reader.receive()
        if xid == sent:
            # A read overtook the write: then it must not show it.
            assert body[4 : 4 + len(value)] != value
            xid, event_zxid, error, body = reader.receive()
        else:
            assert reader.receive()[3][4 : 4 + len(value)] == value
        assert (xid, error) == (w.NOTIFICATION_XID, 0)
        assert w.read_notification(body) == (CHANGED, 3, base)
        # Since 3.9 the header carries the zxid of the change.
        assert event_zxid == zxid


def test_the_writer_hears_its_own_event_before_its_reply(wire, base):
    connection = wire()
    connection.call(w.GET_DATA, w.path_watch(base, True))
    sent = connection.send(w.SET_DATA, w.set_data(base, b"1"))
    assert connection.receive()[0] == w.NOTIFICATION_XID
    assert connection.receive()[0] == sent


def test_one_session_hears_one_event_for_data_and_exists(wire, base):
    """Both leave the same kind of watch on a path."""
    connection = wire()
    connection.call(w.GET_DATA, w.path_watch(base, True))
    connection.call(w.EXISTS, w.path_watch(base, True))
    connection.call(w.GET_DATA, w.path_watch(base, True))
    sent = connection.send(w.SET_DATA, w.set_data(base, b"1"))
    assert connection.receive()[0] == w.NOTIFICATION_XID
    assert connection.receive()[0] == sent


def test_deletion_tells_data_and_child_watchers_once(wire, base, zk):
    path = zk.create(f"{base}/a")
    connection = wire()
    connection.call(w.GET_DATA, w.path_watch(path, True))
    connection.call(w.GET_CHILDREN, w.path_watch(path, True))
    connection.call(w.GET_CHILDREN, w.path_watch(base, True))
    sent = connection.send(w.DELETE, w.path_version(path))
    events = set()
    while True:
        xid, _, _, body = connection.receive()
        if xid == sent:
            break
        events.add(w.read_notification(body))
    assert events == {(DELETED, 3, path), (CHILD, 3, base)}


def set_watches(zxid, data=(), exists=(), children=()):
    return struct.pack(">q", zxid) + w.strings(data) + w.strings(exists) + w.strings(children)


def test_set_watches_fires_what_was_missed_and_keeps_the_rest(wire, zk, base):
    """What a client sends after a reconnect, with the zxid that it saw last."""
    for name in ("changed", "same", "deleted", "parent", "childless"):
        zk.create(f"{base}/{name}")
    old = zk.exists(f"{base}/childless").czxid
    zk.set(f"{base}/changed", b"1")
    zk.delete(f"{base}/deleted")
    zk.create(f"{base}/parent/child")
    zk.create(f"{base}/appeared")

    connection = wire()
    sent = connection.send(
        w.SET_WATCHES,
        set_watches(
            old,
            data=[f"{base}/changed", f"{base}/same", f"{base}/deleted"],
            exists=[f"{base}/appeared", f"{base}/absent"],
            children=[f"{base}/parent", f"{base}/childless"],
        ),
        xid=-8,
    )
    assert sent == -8
    events = set()
    while True:
        xid, _, error, body = connection.receive()
        if xid == -8:
            assert error == 0
            break
        events.add(w.read_notification(body))
    assert events == {
        (CHANGED, 3, f"{base}/changed"),
        (DELETED, 3, f"{base}/deleted"),
        (CREATED, 3, f"{base}/appeared"),
        (CHILD, 3, f"{base}/parent"),
    }
    # The rest waits for its event.
    for change, event in (
        (lambda: zk.set(f"{base}/same", b"1"), (CHANGED, 3, f"{base}/same")),
        (lambda: zk.create(f"{base}/absent"), (CREATED, 3, f"{base}/absent")),
        (lambda: zk.create(f"{base}/childless/c"), (CHILD, 3, f"{base}/childless")),
    ):
        change()
        xid, _, _, body = connection.receive()
        assert (xid, w.read_notification(body)) == (w.NOTIFICATION_XID, event)


def test_remove_watches(wire, base):
    connection = wire()
    any_kind = struct.pack(">i", 3)
    _, error, _ = connection.call(w.REMOVE_WATCHES, w.string(base) + any_kind)
    assert error == -121  # NoWatcher
    connection.call(w.GET_DATA, w.path_watch(base, True))
    connection.call(w.GET_CHILDREN, w.path_watch(base, True))
    # Kind 2 is data: the watch on the children stays.
    _, error, _ = connection.call(w.REMOVE_WATCHES, w.string(base) + struct.pack(">i", 2))
    assert error == 0
    _, error, _ = connection.call(w.SET_DATA, w.set_data(base, b"1"))  # call() takes no event
    assert error == 0
    _, error, _ = connection.call(w.REMOVE_WATCHES, w.string(base) + any_kind)
    assert error == 0
    _, error, _ = connection.call(w.CREATE, w.create(f"{base}/a"))
    assert error == 0


def test_a_closed_session_takes_its_watches_along(wire, zk, base):
    """Many come and go; the server must neither tell the dead nor trip over them."""
    for count in range(30):
        connection = wire()
        connection.call(w.GET_DATA, w.path_watch(base, True))
        if count % 2:
            connection.call(w.CLOSE)
        connection.close()
    zk.set(base, b"1")
    events = Events()
    zk.get(base, watch=events)
    zk.set(base, b"2")
    assert events.next().type == EventType.CHANGED
