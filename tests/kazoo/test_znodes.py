"""Znodes: the four modes, Stat field by field, versions, null data, errors."""

import time

import pytest
from kazoo.exceptions import (
    BadArgumentsError,
    BadVersionError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
)


def test_create_get_and_stat(zk, base):
    before_ms = int(time.time() * 1000)
    path, created = zk.create(f"{base}/a", b"hello", include_data=True)
    assert path == f"{base}/a"
    data, stat = zk.get(path)
    assert data == b"hello"
    assert stat == created
    assert stat.czxid == stat.mzxid == stat.pzxid > 0
    assert stat.ctime == stat.mtime
    # The server's clock is this machine's, so this is generous.
    assert abs(stat.ctime - before_ms) < 60_000
    assert (stat.version, stat.cversion, stat.aversion) == (0, 0, 0)
    assert (stat.ephemeralOwner, stat.dataLength, stat.numChildren) == (0, 5, 0)
    assert zk.exists(path) == stat
    parent = zk.exists(base)
    assert (parent.cversion, parent.numChildren, parent.version) == (1, 1, 0)
    assert parent.pzxid == stat.czxid
    assert parent.mzxid < stat.czxid


def test_set_moves_only_what_a_set_moves(zk, base):
    path = zk.create(f"{base}/a", b"one")
    _, before = zk.get(path)
    stat = zk.set(path, b"three")
    data, after = zk.get(path)
    assert data == b"three"
    assert stat == after
    assert after.version == 1 and after.dataLength == 5
    assert after.mzxid > before.mzxid
    assert after.mtime >= before.mtime
    assert (after.czxid, after.ctime, after.pzxid, after.cversion) == (
        before.czxid,
        before.ctime,
        before.pzxid,
        before.cversion,
    )


def test_versions_guard_set_and_delete(zk, base):
    path = zk.create(f"{base}/a", b"")
    assert zk.set(path, b"1", version=0).version == 1
    with pytest.raises(BadVersionError):
        zk.set(path, b"2", version=0)
    assert zk.set(path, b"2", version=-1).version == 2
    with pytest.raises(BadVersionError):
        zk.delete(path, version=1)
    zk.delete(path, version=2)
    assert zk.exists(path) is None


def test_a_znode_made_again_starts_at_version_zero(zk, base):
    path = zk.create(f"{base}/a", b"")
    zk.set(path, b"1")
    old = zk.exists(path)
    zk.delete(path)
    zk.create(path, b"")
    new = zk.exists(path)
    assert new.version == 0
    assert new.czxid > old.mzxid


def test_null_is_not_empty(zk, base):
    zk.create(f"{base}/null", None)
    zk.create(f"{base}/empty", b"")
    data, stat = zk.get(f"{base}/null")
    assert data is None and stat.dataLength == 0
    data, stat = zk.get(f"{base}/empty")
    assert data == b"" and stat.dataLength == 0
    zk.set(f"{base}/empty", None)
    assert zk.get(f"{base}/empty")[0] is None
    zk.set(f"{base}/null", b"")
    assert zk.get(f"{base}/null")[0] == b""


def test_children_with_and_without_stat(zk, base):
    for name in ("b", "a", "c"):
        zk.create(f"{base}/{name}")
    assert sorted(zk.get_children(base)) == ["a", "b", "c"]
    names, stat = zk.get_children(base, include_data=True)
    assert sorted(names) == ["a", "b", "c"]
    assert stat.numChildren == 3 and stat.cversion == 3
    zk.delete(f"{base}/b")
    names, stat = zk.get_children(base, include_data=True)
    assert sorted(names) == ["a", "c"]
    # A znode's cversion counts creations and deletions of its children.
    assert stat.numChildren == 2 and stat.cversion == 4


def test_children_of_root_and_of_a_leaf(zk, base):
    assert base[1:] in zk.get_children("/")
    assert "zookeeper" in zk.get_children("/")
    assert zk.get_children(base) == []


def test_ephemeral_carries_its_owner(zk, base):
    path = zk.create(f"{base}/e", b"", ephemeral=True)
    assert zk.exists(path).ephemeralOwner == zk.client_id[0] != 0
    with pytest.raises(NoChildrenForEphemeralsError):
        zk.create(f"{path}/child")


def test_ephemerals_go_with_a_closed_session(zk, connect, base):
    other = connect()
    other.create(f"{base}/e", ephemeral=True)
    other.create(f"{base}/s-", ephemeral=True, sequence=True)
    other.create(f"{base}/stays")
    assert len(zk.get_children(base)) == 3
    other.stop()
    # The reply to closeSession comes after its commit, and this node serves both.
    zk.sync(base)
    assert zk.get_children(base) == ["stays"]


def test_sequences_count_every_child_ever_created(zk, base):
    assert zk.create(f"{base}/s-", sequence=True) == f"{base}/s-0000000000"
    assert zk.create(f"{base}/s-", sequence=True) == f"{base}/s-0000000001"
    zk.create(f"{base}/plain")
    assert zk.create(f"{base}/other-", sequence=True) == f"{base}/other-0000000003"
    zk.delete(f"{base}/other-0000000003")
    assert zk.create(f"{base}/s-", sequence=True) == f"{base}/s-0000000004"


def test_a_sequence_may_have_no_prefix(zk, base):
    assert zk.create(f"{base}/", sequence=True) == f"{base}/0000000000"


def test_all_four_modes(zk, base):
    paths = {
        zk.create(f"{base}/p"): False,
        zk.create(f"{base}/e", ephemeral=True): True,
        zk.create(f"{base}/ps-", sequence=True): False,
        zk.create(f"{base}/es-", ephemeral=True, sequence=True): True,
    }
    assert list(paths) == [f"{base}/p", f"{base}/e", f"{base}/ps-0000000002", f"{base}/es-0000000003"]
    for path, ephemeral in paths.items():
        assert (zk.exists(path).ephemeralOwner == zk.client_id[0]) is ephemeral


def test_create2_answers_the_stat(zk, base):
    path, stat = zk.create(f"{base}/s-", b"abc", sequence=True, ephemeral=True, include_data=True)
    assert path == f"{base}/s-0000000000"
    assert stat.dataLength == 3 and stat.ephemeralOwner == zk.client_id[0]
    assert zk.get(path) == (b"abc", stat)


def test_makepath_and_recursive_delete(zk, base):
    zk.create(f"{base}/x/y/z", b"deep", makepath=True)
    assert zk.get(f"{base}/x/y/z")[0] == b"deep"
    with pytest.raises(NotEmptyError):
        zk.delete(f"{base}/x")
    zk.delete(f"{base}/x", recursive=True)
    assert zk.exists(f"{base}/x") is None


def test_errors_of_missing_and_existing_znodes(zk, base):
    missing = f"{base}/missing"
    for call in (
        lambda: zk.get(missing),
        lambda: zk.set(missing, b""),
        lambda: zk.delete(missing),
        lambda: zk.get_children(missing),
        lambda: zk.get_children(missing, include_data=True),
        lambda: zk.get_acls(missing),
        lambda: zk.create(f"{missing}/child"),
    ):
        with pytest.raises(NoNodeError):
            call()
    assert zk.exists(missing) is None
    with pytest.raises(NodeExistsError):
        zk.create(base)


def test_root_is_neither_created_nor_deleted(zk):
    with pytest.raises(NodeExistsError):
        zk.create("/")
    with pytest.raises(BadArgumentsError):
        zk.delete("/")


def test_data_of_almost_a_megabyte(zk, base):
    data = bytes(range(256)) * 4000
    path = zk.create(f"{base}/big", data)
    assert zk.get(path)[0] == data
    stat = zk.set(path, data[::-1])
    assert stat.dataLength == len(data)
    assert zk.get(path)[0] == data[::-1]


def test_names_beyond_ascii(zk, base):
    path = zk.create(f"{base}/Gästehaus-旅館", "Zimmer frei".encode())
    assert zk.get(path)[0] == b"Zimmer frei"
    assert zk.get_children(base) == ["Gästehaus-旅館"]


def test_sync_answers_after_earlier_writes(zk, connect, base):
    other = connect()
    for count in range(20):
        other.set(base, str(count).encode())
        zk.sync(base)
        assert zk.get(base)[0] == str(count).encode()


def test_pipelined_requests_answer_in_order(zk, base):
    """Requests of one session are executed in the order sent, reads behind writes."""
    results = []
    for count in range(300):
        results.append(zk.create_async(f"{base}/n-", str(count).encode(), sequence=True))
        results.append(zk.set_async(base, str(count).encode()))
        results.append(zk.get_async(base))
        results.append(zk.get_children_async(base))
    values = [result.get(timeout=60) for result in results]
    for count in range(300):
        path, stat, (data, read), names = values[4 * count : 4 * count + 4]
        assert path == f"{base}/n-{count:010}"
        assert stat.version == count + 1
        assert data == str(count).encode() and read.version == count + 1
        assert len(names) == count + 1


def test_many_clients_count_without_loss(zk, connect, base):
    """Compare-and-set by version: every success is one step."""
    clients = [connect() for _ in range(4)]
    zk.set(base, b"0")

    def add(client):
        while True:
            data, stat = client.get(base)
            try:
                return client.set(base, str(int(data) + 1).encode(), version=stat.version)
            except BadVersionError:
                continue

    from waiting import Task

    tasks = [Task(lambda c=client: [add(c) for _ in range(25)]) for client in clients]
    for task in tasks:
        task.result(60)
    assert zk.get(base)[0] == b"100"
