"""Transactions: all or nothing, with ZooKeeper's results either way."""

import struct

import pytest
from kazoo.exceptions import (
    BadVersionError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)

import wire as w


def test_all_operations_at_one_zxid(zk, base):
    zk.create(f"{base}/gone")
    transaction = zk.transaction()
    transaction.create(f"{base}/a", b"1")
    transaction.create(f"{base}/a/s-", b"2", sequence=True)
    transaction.set_data(base, b"3")
    transaction.check(f"{base}/a", 0)
    transaction.delete(f"{base}/gone")
    path, child, stat, checked, deleted = transaction.commit()
    assert path == f"{base}/a"
    assert child == f"{base}/a/s-0000000000"
    assert stat.version == 1
    assert checked is True and deleted is True
    assert zk.exists(f"{base}/gone") is None
    zxids = {zk.exists(path).czxid, zk.exists(child).czxid, stat.mzxid, zk.exists(base).pzxid}
    assert len(zxids) == 1


def test_what_a_transaction_created_it_can_use(zk, base):
    transaction = zk.transaction()
    transaction.create(f"{base}/a", b"", ephemeral=True)
    transaction.set_data(f"{base}/a", b"xyz")
    transaction.check(f"{base}/a", 1)
    _, stat, _ = transaction.commit()
    # The Stat of a set in the transaction that created the znode.
    assert stat.version == 1
    assert stat.czxid == stat.mzxid == zk.exists(f"{base}/a").czxid
    assert stat.ephemeralOwner == zk.client_id[0]
    assert stat.dataLength == 3


def test_created_and_deleted_in_one_transaction(zk, base):
    transaction = zk.transaction()
    transaction.create(f"{base}/a")
    transaction.delete(f"{base}/a")
    assert transaction.commit() == [f"{base}/a", True]
    stat = zk.exists(base)
    assert (stat.cversion, stat.numChildren) == (2, 0)


@pytest.mark.parametrize(
    "failing, error",
    [
        (lambda t, base: t.check(base, 7), BadVersionError),
        (lambda t, base: t.set_data(base, b"", version=7), BadVersionError),
        (lambda t, base: t.create(base), NodeExistsError),
        (lambda t, base: t.create(f"{base}/no/where"), NoNodeError),
        (lambda t, base: t.delete(f"{base}/missing"), NoNodeError),
        (lambda t, base: t.delete(base), NotEmptyError),
        (lambda t, base: t.check(f"{base}/missing", 0), NoNodeError),
    ],
    ids=["check", "set", "exists", "no-parent", "delete", "not-empty", "check-missing"],
)
def test_a_failure_undoes_everything(zk, base, failing, error):
    zk.create(f"{base}/child")
    before = zk.get(base)
    transaction = zk.transaction()
    transaction.set_data(base, b"changed")
    transaction.create(f"{base}/new")
    failing(transaction, base)
    transaction.create(f"{base}/never")
    first, second, third, fourth = transaction.commit()
    assert isinstance(first, RolledBackError) and isinstance(second, RolledBackError)
    assert isinstance(third, error)
    assert isinstance(fourth, RuntimeInconsistency)
    assert zk.get(base) == before
    assert zk.get_children(base) == ["child"]


def test_a_failed_transaction_uses_up_no_sequence_number(zk, base):
    transaction = zk.transaction()
    transaction.create(f"{base}/s-", sequence=True)
    transaction.check(base, 99)
    transaction.commit()
    assert zk.create(f"{base}/s-", sequence=True) == f"{base}/s-0000000000"


def test_permissions_hold_inside(zk, connect, base):
    from kazoo.security import make_digest_acl

    zk.create(f"{base}/closed", acl=[make_digest_acl("u", "p", all=True)])
    transaction = zk.transaction()
    transaction.create(f"{base}/open")
    transaction.set_data(f"{base}/closed", b"no")
    first, second = transaction.commit()
    assert isinstance(first, RolledBackError) and isinstance(second, NoAuthError)
    assert zk.exists(f"{base}/open") is None


def test_an_empty_transaction(zk):
    assert zk.transaction().commit() == []


def test_watches_fire_for_each_path_once(zk, base):
    from waiting import Events

    data, children = Events(), Events()
    zk.get(base, watch=data)
    zk.get_children(base, watch=children)
    transaction = zk.transaction()
    transaction.set_data(base, b"1")
    transaction.create(f"{base}/a")
    transaction.create(f"{base}/b")
    transaction.commit()
    assert data.next().type == "CHANGED"
    assert children.next().type == "CHILD"
    zk.sync(base)
    assert data.empty() and children.empty()


def test_the_bytes_of_a_failure(wire, base):
    """The header's error stays 0 (Kafka relies on it); each result tells its own."""
    connection = wire()
    _, error, body = connection.call(
        w.MULTI,
        w.multi(
            (w.CREATE, w.create(f"{base}/a")),
            (w.CHECK, w.path_version(base, 5)),
            (w.CREATE, w.create(f"{base}/b")),
        ),
    )
    assert error == 0
    expected = b"".join(struct.pack(">i?ii", -1, False, code, code) for code in (0, -103, -2))
    assert body == expected + struct.pack(">i?i", -1, True, -1)


def test_the_bytes_of_a_success(wire, base):
    connection = wire()
    zxid, error, body = connection.call(
        w.MULTI,
        w.multi(
            (w.CREATE, w.create(f"{base}/a", None)),
            (w.SET_DATA, w.set_data(f"{base}/a", b"xy")),
            (w.CHECK, w.path_version(base, 0)),
            (w.CREATE2, w.create(f"{base}/b", b"abc")),
            (w.DELETE, w.path_version(f"{base}/a", 1)),
        ),
    )
    assert error == 0

    def stat(at, **wanted):
        names = "czxid mzxid ctime mtime version cversion aversion owner length children pzxid".split()
        values = dict(zip(names, struct.unpack_from(">qqqqiiiqiiq", body, at)))
        assert {name: values[name] for name in wanted} == wanted
        return at + 68

    at = 0

    def header(opcode):
        nonlocal at
        assert struct.unpack_from(">i?i", body, at) == (opcode, False, 0)
        at += 9

    header(w.CREATE)
    path, at = w.read_string(body, at)
    assert path == f"{base}/a"
    header(w.SET_DATA)
    at = stat(at, czxid=zxid, mzxid=zxid, version=1, length=2)
    header(w.CHECK)
    header(w.CREATE2)
    path, at = w.read_string(body, at)
    assert path == f"{base}/b"
    at = stat(at, czxid=zxid, mzxid=zxid, pzxid=zxid, version=0, length=3)
    header(w.DELETE)
    assert body[at:] == struct.pack(">i?i", -1, True, -1)
