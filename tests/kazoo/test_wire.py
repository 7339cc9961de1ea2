"""What a client library never sends, and what must happen to it: that connection
ends, and nothing else does."""

import socket
import struct

import pytest

import wire as w


@pytest.fixture
def bystander(wire, base):
    """A connection that must not notice any of it."""
    connection = wire()
    connection.call(w.GET_DATA, w.path_watch(base))
    yield connection
    assert connection.call(w.SET_DATA, w.set_data(base, b"still here"))[1] == 0


@pytest.mark.parametrize("length", [0x7FFFFFFF, 64 << 20, -1, -0x80000000], ids=["2G", "64M", "minus-one", "least"])
@pytest.mark.parametrize("connected", [True, False], ids=["session", "handshake"])
def test_a_frame_of_impossible_length(wire, bystander, length, connected):
    connection = wire(connected)
    connection.send_bytes(struct.pack(">i", length))
    assert connection.ends()


def test_a_frame_above_the_limit_is_not_even_read(wire, bystander, base):
    connection = wire()
    body = connection.request(w.SET_DATA, w.set_data(base, bytes(2 << 20)))
    try:
        connection.send_frame(body)
    except (BrokenPipeError, ConnectionResetError):
        return
    assert connection.ends()


@pytest.mark.parametrize(
    "body",
    [b"", b"\0", w.string("/x")[:5], struct.pack(">i", 0x7FFFFFF0), struct.pack(">i", -5) + b"abc"],
    ids=["empty", "one-byte", "cut-path", "path-of-2G", "negative-path"],
)
def test_a_request_that_breaks_off(wire, bystander, body, base):
    """It is answered with MarshallingError, and the connection is as good as before."""
    connection = wire()
    assert connection.call(w.GET_DATA, body)[1:] == (-5, b"")
    assert connection.call(w.EXISTS, w.path_watch(base))[1] == 0


@pytest.mark.parametrize("opcode", [w.AUTH, w.SASL], ids=["auth", "sasl"])
def test_credentials_that_break_off(wire, bystander, opcode):
    connection = wire()
    connection.send(opcode, b"\0\0")
    with pytest.raises(w.Closed):
        connection.receive()


def test_a_header_that_breaks_off(wire, bystander):
    connection = wire()
    connection.send_frame(b"\0\0")
    assert connection.ends()


def test_a_handshake_of_noise(wire, bystander):
    connection = wire(False)
    connection.send_frame(bytes(range(7)))
    assert connection.ends()


def test_an_unknown_operation_is_unimplemented_and_ends_the_connection(wire, bystander):
    connection = wire()
    sent = connection.send(4711)
    xid, _, error, _ = connection.receive()
    assert (xid, error) == (sent, -6)
    assert connection.ends()


@pytest.mark.parametrize("opcode", [4711, w.MULTI, w.CLOSE, w.SYNC])
def test_a_transaction_of_what_is_no_write_cannot_be_read(wire, bystander, opcode, base):
    connection = wire()
    assert connection.call(w.MULTI, w.multi((opcode, b"")))[1:] == (-5, b"")
    assert connection.call(w.EXISTS, w.path_watch(base))[1] == 0


def test_check_is_for_transactions_only(wire, bystander, base):
    """Refused by itself since 3.9.3."""
    connection = wire()
    sent = connection.send(w.CHECK, w.path_version(base, 0))
    xid, _, error, _ = connection.receive()
    assert (xid, error) == (sent, -6)


def test_frames_cut_anywhere_are_put_together(wire, base):
    connection = wire()
    stream = b""
    for count in range(5):
        frame = connection.request(w.SET_DATA, w.set_data(base, str(count).encode()))
        stream += struct.pack(">i", len(frame)) + frame
    for at in range(len(stream)):
        connection.send_bytes(stream[at : at + 1])
    assert [connection.receive()[0] for _ in range(5)] == [1, 2, 3, 4, 5]


def test_a_handshake_and_requests_in_one_packet(wire, base):
    """A client may send on before it has read the answer to its connect."""
    connection = wire(False)
    hello = struct.pack(">iqiq", 0, 0, 10_000, 0) + w.buffer(bytes(16)) + b"\0"
    request = connection.request(w.EXISTS, w.path_watch(base))
    connection.send_bytes(
        struct.pack(">i", len(hello)) + hello + struct.pack(">i", len(request)) + request
    )
    assert len(connection.receive_frame()) == 37
    assert connection.receive()[0::2] == (1, 0)


def test_a_thousand_requests_in_one_packet(wire, base):
    """Answers come in order, each read sees the write before it, zxids never fall."""
    connection = wire()
    stream = b""
    for count in range(500):
        for opcode, body in (
            (w.SET_DATA, w.set_data(base, str(count).encode())),
            (w.GET_DATA, w.path_watch(base)),
        ):
            frame = connection.request(opcode, body)
            stream += struct.pack(">i", len(frame)) + frame
    connection.send_bytes(stream)
    last_zxid = 0
    for count in range(500):
        xid, written, error, _ = connection.receive()
        assert (xid, error) == (2 * count + 1, 0)
        assert written > last_zxid
        xid, read, error, body = connection.receive()
        value = str(count).encode()
        assert (xid, error) == (2 * count + 2, 0)
        assert body[: 4 + len(value)] == w.buffer(value)
        assert read >= written
        last_zxid = written


def test_a_failed_request_carries_no_body_and_does_not_stop_the_next(wire, base):
    connection = wire()
    first = connection.send(w.GET_DATA, w.path_watch(f"{base}/missing"))
    second = connection.send(w.CREATE, w.create(base))
    third = connection.send(w.EXISTS, w.path_watch(base))
    assert connection.receive()[0::2] == (first, -101)
    xid, _, error, body = connection.receive()
    assert (xid, error, body) == (second, -110, b"")
    xid, _, error, body = connection.receive()
    assert (xid, error, len(body)) == (third, 0, 68)


@pytest.mark.parametrize(
    "path",
    ["", "no-slash", "//double", "BASE/", "BASE/..", "BASE/.", "/nul\0", "/control\x01", "/private-use\ue000"],
)
def test_a_path_that_is_not_a_path(wire, path, base):
    # Below a znode that exists: a missing parent is noticed first.
    path = path.replace("BASE", base)
    connection = wire()
    assert connection.call(w.CREATE, w.create(path))[1] == -8


def test_an_unknown_create_flag_is_bad_arguments(wire, base):
    connection = wire()
    assert connection.call(w.CREATE, w.create(f"{base}/a", flags=99))[1] == -8


def four_letter_word(node, word):
    host, port = node.zookeeper.rsplit(":", 1)
    with socket.create_connection((host, int(port)), w.SECONDS) as connection:
        connection.sendall(word.encode())
        said = b""
        while part := connection.recv(4096):
            said += part
    return said.decode()


def test_srvr_is_open(node):
    said = dict(line.split(": ", 1) for line in four_letter_word(node, "srvr").splitlines())
    assert said["Zookeeper version"].startswith("3.9.5")
    assert said["Mode"] == "standalone"
    assert said["Zxid"].startswith("0x")
    assert int(said["Node count"]) > 3
    assert {"Latency min/avg/max", "Received", "Sent", "Connections", "Outstanding"} <= set(said)


@pytest.mark.parametrize("word", ["stat", "mntr", "envi", "dump"])
def test_other_words_are_not(node, word):
    assert four_letter_word(node, word) == f"{word} is not executed because it is not in the whitelist.\n"


@pytest.mark.innkeeper
def test_a_whitelist_opens_them(tmp_path, connect):
    from node import Node

    node = Node(tmp_path, "--4lw-whitelist", "ruok,srvr,stat,mntr,envi").start()
    try:
        assert four_letter_word(node, "ruok") == "imok"
        zk = connect(node=node)
        stat = four_letter_word(node, "stat")
        assert stat.startswith("Zookeeper version: 3.9.5") and "Clients:" in stat
        metrics = dict(line.split("\t", 1) for line in four_letter_word(node, "mntr").splitlines())
        assert metrics["zk_version"].startswith("3.9.5")
        assert metrics["zk_server_state"] == "standalone"
        assert int(metrics["zk_znode_count"]) > 3
        assert int(metrics["zk_num_alive_connections"]) >= 1
        assert "zookeeper.version=3.9.5" in four_letter_word(node, "envi")
        # kazoo asks `envi` or `srvr` for the version itself.
        assert zk.server_version()[:3] == (3, 9, 5)
    finally:
        node.stop()
