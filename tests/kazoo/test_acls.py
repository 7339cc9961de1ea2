"""Who may do what: schemes, permissions, and what a client sees of an ACL."""

import pytest
from kazoo.exceptions import (
    AuthFailedError,
    BadVersionError,
    InvalidACLError,
    NoAuthError,
    NoNodeError,
)
from kazoo.security import (
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    Permissions,
    make_acl,
    make_digest_acl,
)

import wire as w
from node import digest_id

WORLD_READ = make_acl("world", "anyone", read=True)


def test_a_znode_is_open_unless_told_otherwise(zk, base):
    acls, stat = zk.get_acls(base)
    assert acls == OPEN_ACL_UNSAFE
    assert stat == zk.exists(base)


def test_set_acl_counts_its_own_version(zk, base):
    stat = zk.set_acls(base, [make_acl("world", "anyone", all=True)], version=0)
    assert (stat.aversion, stat.version, stat.mzxid) == (1, 0, stat.czxid)
    with pytest.raises(BadVersionError):
        zk.set_acls(base, OPEN_ACL_UNSAFE, version=0)
    assert zk.set_acls(base, READ_ACL_UNSAFE + [make_acl("world", "anyone", admin=True)]).aversion == 2


def test_each_permission_guards_its_operations(zk, connect, base):
    """The permission is the only one withheld; a friend with all of them sets up."""
    friend = connect(auth_data=[("digest", "friend:secret")])

    def znode(name, missing):
        path = f"{base}/{name}"
        granted = Permissions.ALL & ~missing
        friend.create(path, b"data", acl=[make_digest_acl("friend", "secret", all=True), make_acl("world", "anyone", **flags(granted))])
        friend.create(f"{path}/child", acl=OPEN_ACL_UNSAFE)
        return path

    def flags(bits):
        names = ("read", "write", "create", "delete", "admin")
        return {name: bool(bits & getattr(Permissions, name.upper())) for name in names}

    path = znode("read", Permissions.READ)
    for call in (lambda: zk.get(path), lambda: zk.get_children(path), lambda: zk.exists(path)):
        with pytest.raises(NoAuthError):
            call()
    zk.set(path, b"written unread")

    path = znode("write", Permissions.WRITE)
    with pytest.raises(NoAuthError):
        zk.set(path, b"")
    assert zk.get(path)[0] == b"data"

    path = znode("create", Permissions.CREATE)
    with pytest.raises(NoAuthError):
        zk.create(f"{path}/another")
    zk.delete(f"{path}/child")

    # Deleting asks the parent.
    path = znode("delete", Permissions.DELETE)
    with pytest.raises(NoAuthError):
        zk.delete(f"{path}/child")
    zk.create(f"{path}/another")

    path = znode("admin", Permissions.ADMIN)
    with pytest.raises(NoAuthError):
        zk.set_acls(path, OPEN_ACL_UNSAFE)
    # READ is enough to look at an ACL.
    assert zk.get_acls(path)[0]


def test_digest(zk, connect, base):
    owner = connect(auth_data=[("digest", "ann:secret")])
    owner.create(f"{base}/a", b"mine", acl=[make_digest_acl("ann", "secret", all=True)])
    with pytest.raises(NoAuthError):
        zk.get(f"{base}/a")
    impostor = connect(auth_data=[("digest", "ann:guess")])
    with pytest.raises(NoAuthError):
        impostor.get(f"{base}/a")
    assert owner.get(f"{base}/a")[0] == b"mine"
    # Identities may be added in the middle of a session, and add up.
    zk.add_auth("digest", "bob:other")
    with pytest.raises(NoAuthError):
        zk.get(f"{base}/a")
    zk.add_auth("digest", "ann:secret")
    assert zk.get(f"{base}/a")[0] == b"mine"


def test_scheme_auth_means_whoever_creates(connect, zk, base):
    owner = connect(auth_data=[("digest", "ann:secret"), ("digest", "bob:other")])
    owner.create(f"{base}/a", acl=CREATOR_ALL_ACL)
    acls, _ = owner.get_acls(f"{base}/a")
    assert {(acl.id.scheme, acl.id.id, acl.perms) for acl in acls} == {
        ("digest", digest_id("ann", "secret"), Permissions.ALL),
        ("digest", digest_id("bob", "other"), Permissions.ALL),
    }
    # Without an identity there is nobody to put there.
    with pytest.raises(InvalidACLError):
        zk.create(f"{base}/b", acl=CREATOR_ALL_ACL)
    assert zk.exists(f"{base}/b") is None


def test_hashes_are_masked_for_who_is_not_admin(connect, zk, base):
    owner = connect(auth_data=[("digest", "ann:secret")])
    owner.create(f"{base}/a", acl=[make_digest_acl("ann", "secret", all=True), WORLD_READ])
    seen = {acl.id.id for acl in zk.get_acls(f"{base}/a")[0]}
    assert seen == {"ann:x", "anyone"}
    seen = {acl.id.id for acl in owner.get_acls(f"{base}/a")[0]}
    assert seen == {digest_id("ann", "secret"), "anyone"}


def test_ip_and_ranges(zk, base):
    for name, pattern, allowed in (
        ("one", "127.0.0.1", True),
        ("range", "127.0.0.0/8", True),
        ("other", "10.1.2.3", False),
        ("other-range", "10.0.0.0/8", False),
    ):
        path = zk.create(f"{base}/{name}", b"x", acl=[make_acl("ip", pattern, all=True)])
        if allowed:
            assert zk.get(path)[0] == b"x"
        else:
            with pytest.raises(NoAuthError):
                zk.get(path)


@pytest.mark.parametrize(
    "acl",
    [
        [make_acl("world", "somebody", all=True)],
        [make_acl("no-such-scheme", "x", all=True)],
        [make_acl("ip", "not-an-address", all=True)],
        [make_acl("digest", "no-colon", all=True)],
    ],
    ids=["world", "scheme", "ip", "digest"],
)
def test_an_acl_that_is_none(zk, base, acl):
    with pytest.raises(InvalidACLError):
        zk.create(f"{base}/a", acl=acl)
    with pytest.raises(InvalidACLError):
        zk.set_acls(base, acl)
    assert zk.exists(base).aversion == 0


def test_an_empty_acl(wire, base):
    import struct

    connection = wire()
    body = w.string(f"{base}/a") + w.buffer(b"") + struct.pack(">ii", 0, 0)
    assert connection.call(w.CREATE, body)[1] == InvalidACLError.code


def test_the_super_user_passes_every_acl(super_zk, zk, connect, base):
    owner = connect(auth_data=[("digest", "ann:secret")])
    path = owner.create(f"{base}/a", b"mine", acl=[make_digest_acl("ann", "secret", read=True)])
    with pytest.raises(NoAuthError):
        zk.get(path)
    assert super_zk.get(path)[0] == b"mine"
    super_zk.set(path, b"super")
    super_zk.set_acls(path, OPEN_ACL_UNSAFE)
    assert zk.get(path)[0] == b"super"


def test_a_wrong_super_password_is_nobody(connect, base, zk):
    path = zk.create(f"{base}/a", acl=[make_digest_acl("ann", "secret", all=True)])
    nobody = connect(auth_data=[("digest", "super:guess")])
    with pytest.raises(NoAuthError):
        nobody.get(path)


def test_an_unknown_scheme_ends_the_connection(wire):
    import struct

    connection = wire()
    connection.send(w.AUTH, struct.pack(">i", 0) + w.string("no-such-scheme") + w.buffer(b"x"), xid=-4)
    xid, _, error, _ = connection.receive()
    assert (xid, error) == (-4, AuthFailedError.code)
    assert connection.ends()


def test_a_missing_znode_is_missing_for_everyone(zk, base):
    with pytest.raises(NoNodeError):
        zk.get_acls(f"{base}/missing")
    with pytest.raises(NoNodeError):
        zk.set_acls(f"{base}/missing", OPEN_ACL_UNSAFE)
