"""A bare ZooKeeper connection: bytes in and out, for what a client library hides.

The layouts are written out by hand from zookeeper.jute, so that nothing here is
taken from the server under test.
"""

import socket
import struct

CREATE, DELETE, EXISTS, GET_DATA, SET_DATA = 1, 2, 3, 4, 5
GET_CHILDREN, SYNC, PING, GET_CHILDREN2, CHECK, MULTI, CREATE2 = 8, 9, 11, 12, 13, 14, 15
REMOVE_WATCHES, AUTH, SET_WATCHES, CLOSE = 18, 100, 101, -11
CHECK_WATCHES, CREATE_CONTAINER, DELETE_CONTAINER, CREATE_TTL, MULTI_READ = 17, 19, 20, 21, 22
SASL, GET_EPHEMERALS, GET_ALL_CHILDREN_NUMBER, SET_WATCHES2 = 102, 103, 104, 105
ADD_WATCH, WHO_AM_I, RECONFIG = 106, 107, 16

NOTIFICATION_XID = -1
SECONDS = 20


def buffer(data):
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def string(text):
    return buffer(text.encode())


def strings(texts):
    return struct.pack(">i", len(texts)) + b"".join(string(text) for text in texts)


OPEN_ACL = struct.pack(">ii", 1, 31) + string("world") + string("anyone")


def create(path, data=b"", flags=0):
    return string(path) + buffer(data) + OPEN_ACL + struct.pack(">i", flags)


def path_watch(path, watch=False):
    return string(path) + struct.pack(">?", watch)


def set_data(path, data, version=-1):
    return string(path) + buffer(data) + struct.pack(">i", version)


def path_version(path, version=-1):
    return string(path) + struct.pack(">i", version)


def path_number(path, number):
    """The body of addWatch, checkWatches and removeWatches: a path, and a mode or a kind."""
    return string(path) + struct.pack(">i", number)


def multi(*operations):
    """Each operation is (opcode, body)."""
    body = b"".join(struct.pack(">i?i", opcode, False, -1) + record for opcode, record in operations)
    return body + struct.pack(">i?i", -1, True, -1)


def read_string(body, at):
    (length,) = struct.unpack_from(">i", body, at)
    at += 4
    return (None, at) if length < 0 else (body[at : at + length].decode(), at + length)


def read_notification(body):
    """(event type, state, path)"""
    kind, state = struct.unpack_from(">ii", body, 0)
    path, end = read_string(body, 8)
    assert end == len(body)
    return kind, state, path


class Closed(Exception):
    """The server ended the connection."""


class Wire:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.xid = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def close(self):
        """Drops the connection; the session lives on."""
        self.socket.close()

    # Frames

    def send_bytes(self, data):
        self.socket.sendall(data)

    def send_frame(self, body):
        self.send_bytes(struct.pack(">i", len(body)) + body)

    def receive_exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                part = self.socket.recv(count - len(data))
            except ConnectionResetError:
                raise Closed from None
            if not part:
                raise Closed
            data += part
        return data

    def receive_frame(self):
        (length,) = struct.unpack(">i", self.receive_exactly(4))
        assert 0 <= length < 16 << 20, f"a frame of {length} bytes"
        return self.receive_exactly(length)

    def ends(self):
        """Whether the server closes the connection, whatever it sends before."""
        try:
            while True:
                self.receive_exactly(1)
        except Closed:
            return True
        except TimeoutError:
            return False

    # The handshake

    def connect(self, timeout_ms=10_000, session=0, password=b"\0" * 16, last_zxid=0, read_only=False):
        """Returns (timeout, session, password, rest); `read_only=None` leaves the byte out."""
        body = struct.pack(">iqiq", 0, last_zxid, timeout_ms, session) + buffer(password)
        if read_only is not None:
            body += struct.pack(">?", read_only)
        self.send_frame(body)
        reply = self.receive_frame()
        version, timeout, session = struct.unpack_from(">iiq", reply)
        assert version == 0
        (length,) = struct.unpack_from(">i", reply, 16)
        self.session, self.password = session, reply[20 : 20 + length]
        return timeout, session, self.password, reply[20 + length :]

    # Requests

    def request(self, opcode, body=b"", xid=None):
        if xid is None:
            self.xid += 1
            xid = self.xid
        return struct.pack(">ii", xid, opcode) + body

    def send(self, opcode, body=b"", xid=None):
        frame = self.request(opcode, body, xid)
        self.send_frame(frame)
        return struct.unpack_from(">i", frame)[0]

    def receive(self):
        """(xid, zxid, error, body)"""
        frame = self.receive_frame()
        xid, zxid, error = struct.unpack_from(">iqi", frame)
        return xid, zxid, error, frame[16:]

    def call(self, opcode, body=b"", xid=None):
        """(zxid, error, body) of the one request; events are not expected."""
        sent = self.send(opcode, body, xid)
        got, zxid, error, reply = self.receive()
        assert got == sent
        return zxid, error, reply
