"""Sessions: the handshake, reattaching, expiry and closing."""

import queue
import time

import pytest
from kazoo.client import KazooClient, KazooState
from kazoo.protocol.states import EventType

import wire as w
from waiting import Events


def test_the_timeout_is_negotiated(wire):
    """Between 2 and 20 ticks; what lies between is taken as asked."""
    low = wire(False).connect(timeout_ms=1)[0]
    high = wire(False).connect(timeout_ms=10_000_000)[0]
    assert high == 10 * low > 0
    middle = (low + high) // 2
    assert wire(False).connect(timeout_ms=middle)[0] == middle


def test_the_handshake_answers_as_it_was_asked(wire):
    """The readOnly byte goes to those who sent one, and to nobody else."""
    timeout, session, password, rest = wire(False).connect(read_only=False)
    assert timeout > 0 and session != 0 and len(password) == 16 and any(password)
    assert rest == b"\0"
    assert wire(False).connect(read_only=None)[3] == b""


def test_sessions_are_told_apart(wire):
    sessions = {(wire().session, wire().password) for _ in range(20)}
    assert len({session for session, _ in sessions}) == 20
    assert len({password for _, password in sessions}) == 20


def test_ping(wire):
    connection = wire()
    zxid, error, body = connection.call(w.PING, xid=-2)
    assert error == 0 and body == b"" and zxid >= 0


def test_reattach_keeps_the_ephemerals_and_ends_the_old_connection(wire, connect, base):
    old = wire()
    assert old.call(w.CREATE, w.create(f"{base}/e", flags=1))[1] == 0
    again = connect(client_id=(old.session, old.password))
    assert again.client_id == (old.session, old.password)
    assert again.exists(f"{base}/e").ephemeralOwner == old.session
    assert old.ends()
    again.delete(f"{base}/e")


def test_a_wrong_password_gets_nothing(wire, base, zk):
    owner = wire()
    owner.call(w.CREATE, w.create(f"{base}/e", flags=1))
    thief = wire(False)
    timeout, session, password, _ = thief.connect(session=owner.session, password=b"x" * 16)
    assert (timeout, session, password) == (0, 0, bytes(16))
    assert thief.ends()
    # The session itself is none the worse for it. (ZooKeeper drops the owner's
    # connection here before it looks at the password, so the owner comes back.)
    again = wire(False)
    assert again.connect(session=owner.session, password=owner.password)[1] == owner.session
    assert zk.exists(f"{base}/e").ephemeralOwner == owner.session


def test_an_unknown_session_is_expired(wire):
    stranger = wire(False)
    timeout, session, password, _ = stranger.connect(session=0x1234_5678, password=b"x" * 16)
    assert (timeout, session, password) == (0, 0, bytes(16))
    assert stranger.ends()


def test_a_closed_session_cannot_be_reattached(wire):
    connection = wire()
    session, password = connection.session, connection.password
    assert connection.call(w.CLOSE)[1] == 0
    assert connection.ends()
    assert wire(False).connect(session=session, password=password)[1] == 0


def test_a_client_that_has_seen_the_future_is_refused(wire):
    """Its session would go back in time; ZooKeeper closes without an answer."""
    connection = wire(False)
    with pytest.raises(w.Closed):
        connection.connect(last_zxid=1 << 60)


def test_expiry_takes_the_ephemerals_but_not_before_its_time(wire, zk, base):
    silent = wire(False)
    timeout_ms, session, password, _ = silent.connect(timeout_ms=1)
    silent.call(w.CREATE, w.create(f"{base}/e", flags=1))
    silent.call(w.CREATE, w.create(f"{base}/e-", flags=3))
    silent.call(w.CREATE, w.create(f"{base}/stays"))
    events = Events()
    assert zk.exists(f"{base}/e", watch=events)
    heard = time.monotonic()
    silent.close()
    assert events.next(60).type == EventType.DELETED
    # The server heard it last a moment before that clock was started.
    assert time.monotonic() - heard > 0.9 * timeout_ms / 1000
    zk.sync(base)
    assert zk.get_children(base) == ["stays"]
    assert wire(False).connect(session=session, password=password)[1] == 0


def test_a_pinging_session_does_not_expire(wire, zk, base):
    connection = wire(False)
    timeout_ms, session, _, _ = connection.connect(timeout_ms=1)
    connection.call(w.CREATE, w.create(f"{base}/e", flags=1))
    until = time.monotonic() + 2.5 * timeout_ms / 1000
    # Nothing comes here: the wait for it paces the pings.
    pace = Events()
    while time.monotonic() < until:
        assert connection.call(w.PING, xid=-2)[1] == 0
        with pytest.raises(queue.Empty):
            pace.next(timeout_ms / 4000)
    assert zk.exists(f"{base}/e").ephemeralOwner == session


def test_a_lost_connection_loses_no_session(node, base, zk):
    """kazoo reconnects on its own; its ephemeral never goes away."""
    client = KazooClient(hosts=node.zookeeper, timeout=10.0)
    states = Events()
    client.add_listener(states)
    client.start(timeout=20)
    try:
        assert states.next() == KazooState.CONNECTED
        session = client.client_id
        client.create(f"{base}/e", ephemeral=True)
        gone = Events()
        zk.exists(f"{base}/e", watch=gone)
        client._connection._socket.shutdown(2)  # the network's doing, not the client's
        assert states.next() == KazooState.SUSPENDED
        assert states.next() == KazooState.CONNECTED
        assert client.client_id == session
        assert client.exists(f"{base}/e")
        assert gone.empty()
    finally:
        client.stop()
        client.close()


def test_an_expired_client_is_told(node, wire, connect, base, zk):
    """Another connection closes the session; the holder learns that it is lost."""
    client = connect()
    states = Events()
    client.add_listener(states)
    client.create(f"{base}/e", ephemeral=True)
    session, password = client.client_id
    thief = wire(session=session, password=password)
    thief.call(w.CLOSE)
    assert states.until(lambda state: state == KazooState.LOST)
    states.until(lambda state: state == KazooState.CONNECTED)
    assert client.client_id[0] != session
    assert zk.exists(f"{base}/e") is None
