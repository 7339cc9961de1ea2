"""Prints the bytes that kazoo 2.11.0 sends for each request, as `name hex` lines.

The frames come out of kazoo's own connection code, which writes length, xid and
opcode in front of what its serializer makes; only the socket is replaced.
Regenerate with tests/proto/regenerate.sh. The values are repeated by hand in
host/proto/tests/golden.rs, which compares.
"""

import logging

import kazoo
from kazoo.protocol import serialization as s
from kazoo.protocol.connection import AUTH_XID, PING_XID, ConnectionHandler
from kazoo.security import ACL, Id, OPEN_ACL_UNSAFE


class Recorder(ConnectionHandler):
    """A connection whose socket is a list."""

    def __init__(self):
        self.logger = logging.getLogger("golden")
        self.written = []

    def _write(self, msg, timeout):
        self.written.append(bytes(msg))


def frame(request, xid=None):
    recorder = Recorder()
    recorder._submit(request, 10, xid)
    (written,) = recorder.written
    return written


WORLD = OPEN_ACL_UNSAFE
DIGEST = [
    ACL(31, Id("digest", "alice:x1nq8J5GOJVPY6zgzhtTtA9izLc=")),
    ACL(1, Id("ip", "127.0.0.1/8")),
    ACL(31, Id("auth", "")),
]

GOLDEN = {
    "connect_new": frame(s.Connect(0, 0, 10000, 0, b"\0" * 16, False)),
    "connect_again_read_only": frame(
        s.Connect(0, 0x100000002, 40000, 0x1020304050607080, bytes(range(16)), True)
    ),
    "create_persistent": frame(s.Create("/a", b"data", WORLD, 0), 1),
    "create_ephemeral_sequential": frame(s.Create("/a/n-", b"", WORLD, 3), 2),
    "create_null_data": frame(s.Create("/a", None, WORLD, 0), 3),
    "create_acls": frame(s.Create("/a", b"x", DIGEST, 1), 4),
    "create_no_acl": frame(s.Create("/a", b"x", [], 2), 5),
    "create_unicode": frame(s.Create("/ü/日本/\U0001f980", "Größe".encode(), WORLD, 0), 6),
    "create2": frame(s.Create2("/a", b"data", WORLD, 0), 7),
    "delete": frame(s.Delete("/a", -1), 8),
    "delete_version": frame(s.Delete("/a", 7), 9),
    "exists": frame(s.Exists("/a", None), 10),
    "exists_watch": frame(s.Exists("/a", print), 11),
    "get_data": frame(s.GetData("/a", None), 12),
    "get_data_watch": frame(s.GetData("/a", print), 13),
    "set_data": frame(s.SetData("/a", b"\x00\xff", 3), 14),
    "set_data_null": frame(s.SetData("/a", None, -1), 15),
    "get_acl": frame(s.GetACL("/a"), 16),
    "set_acl": frame(s.SetACL("/a", DIGEST, 2), 17),
    "get_children": frame(s.GetChildren("/", None), 18),
    "get_children_watch": frame(s.GetChildren("/", print), 19),
    "get_children2": frame(s.GetChildren2("/", None), 20),
    "get_children2_watch": frame(s.GetChildren2("/", print), 21),
    "sync": frame(s.Sync("/a"), 22),
    "ping": frame(s.PingInstance, PING_XID),
    "multi": frame(
        s.Transaction(
            [
                s.CheckVersion("/a", 5),
                s.Create("/b", b"1", WORLD, 0),
                s.Create2("/c", None, DIGEST, 2),
                s.SetData("/a", b"2", 5),
                s.Delete("/d", -1),
            ]
        ),
        23,
    ),
    "multi_empty": frame(s.Transaction([]), 24),
    "auth": frame(s.Auth(0, "digest", "alice:secret"), AUTH_XID),
    "auth_empty": frame(s.Auth(0, "world", ""), AUTH_XID),
    "close": frame(s.CloseInstance, 25),
    "sasl": frame(s.SASL(b"token"), 26),
    "reconfig": frame(s.Reconfig("server.1=a:1:2", "", "", 5), 27),
    "check_alone": frame(s.CheckVersion("/a", 5), 28),
}

print(f"# Requests as kazoo {kazoo.__version__} writes them. Made by tests/proto/golden_from_kazoo.py.")
for name, written in GOLDEN.items():
    print(name, written.hex())
