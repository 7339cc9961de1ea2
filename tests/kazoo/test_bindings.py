"""Bindings are znodes, so any client that may write them can manage guests; and a
document that means nothing is refused however it arrives."""

import base64
import json
import os
import pathlib
import urllib.error
import urllib.request

import pytest
from kazoo.exceptions import BadArgumentsError, NoAuthError, NoNodeError, RolledBackError
from kazoo.security import make_digest_acl

from node import SUPER, Node

pytestmark = pytest.mark.innkeeper

BINDINGS = "/innkeeper/bindings"


def push(node, name):
    """Pushes one of the guests that `make` built and returns the name it got."""
    module = pathlib.Path(os.environ["INNKEEPER_GUEST_MODULES"], f"{name}.wasm").read_bytes()
    request = urllib.request.Request(f"http://{node.http}/v1/modules?wait_ms=60000", data=module, method="POST")
    request.add_header("Authorization", "Basic " + base64.b64encode(SUPER[1].encode()).decode())
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)["module"]


@pytest.fixture
def fresh(tmp_path):
    """A node of this test's own, where nothing was ever pushed."""
    node = Node(tmp_path).start()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def module(node):
    return push(node, "range")


def good(module):
    return {"world": "assignor", "module": module}


def encoded(document):
    return document if isinstance(document, bytes) else json.dumps(document).encode()


UNKNOWN = "sha256:" + "0" * 64

BAD = {
    "empty": lambda module: b"",
    "not-json": lambda module: b"{",
    "not-an-object": lambda module: b"[]",
    "not-utf8": lambda module: b'{"world": "\xff"}',
    "nothing-in-it": lambda module: {},
    "no-world": lambda module: {"module": module},
    "no-module": lambda module: {"world": "assignor"},
    "unknown-world": lambda module: {**good(module), "world": "poet"},
    "not-a-digest": lambda module: {**good(module), "module": "range"},
    "short-digest": lambda module: {**good(module), "module": "sha256:abcd"},
    "unknown-module": lambda module: {**good(module), "module": UNKNOWN},
    "unknown-field": lambda module: {**good(module), "wacth": ["/a"]},
    "path-without-slash": lambda module: {**good(module), "world": "recipe", "watch": ["groups"]},
    "path-with-slash-at-the-end": lambda module: {**good(module), "world": "recipe", "watch": ["/groups/"]},
    "double-star-inside": lambda module: {**good(module), "world": "recipe", "watch": ["/a/**/b"]},
    "star-inside-a-segment": lambda module: {**good(module), "world": "recipe", "watch": ["/a/b*"]},
    "paths-not-a-list": lambda module: {**good(module), "world": "recipe", "watch": "/a"},
    "negative-limit": lambda module: {**good(module), "limits": {"fuel": -1}},
    "unknown-limit": lambda module: {**good(module), "limits": {"patience": 1}},
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_document_is_refused_by_create_set_and_multi(super_zk, module, name):
    bad = encoded(BAD[name](module))
    path = f"{BINDINGS}/kazoo-bad-{name}"
    with pytest.raises(BadArgumentsError):
        super_zk.create(path, bad)
    with pytest.raises(NoNodeError):
        super_zk.get(path)

    super_zk.create(path, encoded(good(module)))
    try:
        before = super_zk.get(path)
        with pytest.raises(BadArgumentsError):
            super_zk.set(path, bad)

        transaction = super_zk.transaction()
        transaction.check(path, before[1].version)
        transaction.set_data(path, bad)
        first, second = transaction.commit()
        assert isinstance(first, RolledBackError) and isinstance(second, BadArgumentsError)

        transaction = super_zk.transaction()
        transaction.set_data(path, encoded(good(module)))
        transaction.create(f"{path}-2", bad)
        first, second = transaction.commit()
        assert isinstance(first, RolledBackError) and isinstance(second, BadArgumentsError)

        assert super_zk.get(path) == before
        assert super_zk.exists(f"{path}-2") is None
    finally:
        super_zk.delete(path)


def test_null_data_is_no_document(super_zk, module):
    path = f"{BINDINGS}/kazoo-null"
    with pytest.raises(BadArgumentsError):
        super_zk.create(path, None)
    super_zk.create(path, encoded(good(module)))
    with pytest.raises(BadArgumentsError):
        super_zk.set(path, None)
    super_zk.delete(path)


def test_a_good_document_is_taken_and_read_back(super_zk, zk, module):
    document = encoded(good(module))
    path = super_zk.create(f"{BINDINGS}/kazoo-good", document)
    try:
        data, stat = zk.get(path)
        assert data == document and stat.version == 0
        assert super_zk.set(path, document).version == 1
    finally:
        super_zk.delete(path)


def test_another_client_may_not_write_there(zk, super_zk, module):
    document = encoded(good(module))
    path = super_zk.create(f"{BINDINGS}/kazoo-mine", document)
    try:
        for write in (
            lambda: zk.create(f"{BINDINGS}/kazoo-theirs", document),
            lambda: zk.set(path, document),
            lambda: zk.delete(path),
            lambda: zk.create("/innkeeper/other"),
            lambda: zk.delete("/innkeeper", recursive=True),
        ):
            with pytest.raises(NoAuthError):
                write()
        transaction = zk.transaction()
        transaction.create(f"{BINDINGS}/kazoo-theirs", document)
        assert isinstance(transaction.commit()[0], NoAuthError)
    finally:
        super_zk.delete(path)
    assert super_zk.exists(f"{BINDINGS}/kazoo-theirs") is None


def test_another_client_cannot_create_innkeeper(fresh, connect):
    nobody = connect(node=fresh)
    somebody = connect(node=fresh, auth_data=[("digest", "super:guess")])
    for client in (nobody, somebody):
        with pytest.raises(NoAuthError):
            client.create("/innkeeper")
        with pytest.raises(NoAuthError):
            client.create("/innkeeper/bindings", makepath=True)
        transaction = client.transaction()
        transaction.create("/innkeeper")
        assert isinstance(transaction.commit()[0], NoAuthError)
        assert client.exists("/innkeeper") is None
    # A name that only begins so is anybody's.
    assert nobody.create("/innkeepers")

    owner = connect(node=fresh, auth_data=[SUPER])
    owner.create("/innkeeper", acl=[make_digest_acl(*SUPER[1].split(":"), all=True)])
    assert owner.exists("/innkeeper")


def test_the_first_module_makes_the_place(fresh, connect):
    nobody = connect(node=fresh)
    assert nobody.exists("/innkeeper") is None
    module = push(fresh, "range")
    assert module.startswith("sha256:") and len(module) == 7 + 64
    assert nobody.get_children("/innkeeper") == ["bindings"]
    assert nobody.get_children(BINDINGS) == []
    for path in ("/innkeeper/mine", f"{BINDINGS}/mine"):
        with pytest.raises(NoAuthError):
            nobody.create(path, encoded(good(module)))
    assert push(fresh, "range") == module  # the name is the content


def test_pushing_takes_the_super_user(fresh):
    for header in ({}, {"Authorization": "Basic " + base64.b64encode(b"super:guess").decode()}):
        request = urllib.request.Request(f"http://{fresh.http}/v1/modules", data=b"\0asm", method="POST", headers=header)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=20)
        assert refused.value.code == 401
