"""Replays the tree's client scripts against a real ZooKeeper.

    scripts/zookeeper.sh run target/venv/bin/python tests/golden_check.py

host/tree/tests/scripts/client/ holds scripts of what a ZooKeeper client does and sees. Our
own test runs them against the tree alone; this program sends the same commands with kazoo
to the server at ZOOKEEPER_ADDRESS, which nobody may have used before, and compares the
output line by line. Zxids are named in the order of their appearance on both sides, so that
what must be equal is which are equal; times and session ids are not shown.

1. A script is read: blocks of commands, `---`, the expected output.
2. Each command is sent on its client's session (the prefix, `s` without one).
3. What comes back is written as the Rust side writes it, and compared.
"""

import ast
import os
import re
import struct
import sys
import time
from collections import namedtuple
from pathlib import Path

from kazoo.client import KazooClient
from kazoo.exceptions import (
    EXCEPTIONS,
    KazooException,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.protocol.serialization import (
    CheckVersion,
    Create,
    Create2,
    Delete,
    Exists,
    GetACL,
    GetChildren2,
    GetData,
    MultiHeader,
    SetACL,
    SetData,
    Transaction,
    read_string,
    stat_struct,
    write_string,
)
from kazoo.protocol.states import ZnodeStat
from kazoo.security import ACL, Id

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "host/tree/tests/scripts/client"
PERMS = {"r": 1, "w": 2, "c": 4, "d": 8, "a": 16}
MODES = {None: 0, "e": 1, "s": 2, "es": 3}
OPEN = [ACL(31, Id("world", "anyone"))]


class CreateContainer(Create2):
    """createContainer, which kazoo does not have."""

    type = 19


class CreateTtl(namedtuple("CreateTtl", "path data acl flags ttl")):
    """createTTL, which kazoo does not have."""

    type = 21

    def serialize(self):
        return Create2(*self[:4]).serialize() + struct.pack("!q", self.ttl)

    @classmethod
    def deserialize(cls, data, offset):
        return Create2.deserialize(data, offset)


class DeleteContainer(namedtuple("DeleteContainer", "path")):
    """deleteContainer, which only servers send."""

    type = 20

    def serialize(self):
        return write_string(self.path)

    @classmethod
    def deserialize(cls, data, offset):
        return True


class CountAll(namedtuple("CountAll", "path")):
    """getAllChildrenNumber."""

    type = 104

    def serialize(self):
        return write_string(self.path)

    @classmethod
    def deserialize(cls, data, offset):
        return struct.unpack_from("!i", data, offset)[0]


class Multi(Transaction):
    """A multi whose results may be those of any create."""

    @classmethod
    def deserialize(cls, data, offset):
        results = []
        while True:
            header, offset = MultiHeader.deserialize(data, offset)
            if header.done:
                return results
            if header.type == -1:
                code = struct.unpack_from("!i", data, offset)[0]
                offset += 4
                results.append(EXCEPTIONS[code]())
            elif header.type in (Create.type, Create2.type):
                path, offset = read_string(data, offset)
                if header.type == Create2.type:
                    offset += stat_struct.size
                results.append(path)
            elif header.type == SetData.type:
                results.append(ZnodeStat._make(stat_struct.unpack_from(data, offset)))
                offset += stat_struct.size
            else:
                results.append(True)


class Zookeeper:
    """The clients of one script."""

    def __init__(self, address):
        self.address = address
        self.clients = {}
        self.sessions = {}
        self.zxids = {}
        self.events = []

    def client(self, name):
        if name not in self.clients:
            client = KazooClient(hosts=self.address, timeout=10)
            client.start()
            self.clients[name] = client
            self.sessions[client.client_id[0]] = name
        return self.clients[name]

    def close(self):
        for client in self.clients.values():
            client.stop()
            client.close()

    def call(self, name, request):
        """Sends a request as it is: kazoo's own methods tidy paths up first."""
        client = self.client(name)
        result = client.handler.async_result()
        client._call(request, result)
        return result.get(timeout=10)

    def watcher(self, name, watch):
        if not watch:
            return None
        return lambda event: self.events.append((name, event.type, event.path))

    def command(self, name, verb, args, keys):
        output = self.answer(name, verb, args, keys)
        if any(client.connected for client in self.clients.values()):
            self.settle()
        fired = sorted({(who, spell(kind), path) for who, kind, path in self.events})
        self.events.clear()
        return output + [f"> {who} {kind} {path}" for who, kind, path in fired]

    def settle(self):
        """Events come before the answer to a request that follows them on a session."""
        for name in list(self.clients):
            self.call(name, Exists("/", None))
        deadline = time.monotonic() + 0.05
        while time.monotonic() < deadline:
            time.sleep(0.01)

    def answer(self, name, verb, args, keys):
        if verb == "auth":
            self.client(name).add_auth("digest", args[0])
            return []
        if verb == "close":
            client = self.clients.pop(name)
            client.stop()
            client.close()
            return []
        try:
            if verb == "multi":
                return self.multi(name, args)
            return [self.single(name, verb, args, keys)]
        except KazooException as error:
            return [f"error {spell_error(error)}"]

    def single(self, name, verb, args, keys):
        path, watch = args[0], "watch" in args[1:]
        if verb == "create":
            path, stat = self.call(name, operation(verb, args, keys, Create2))
            return f"created {path}: {self.stat(stat)}"
        if verb in ("delete", "deletecontainer"):
            self.call(name, operation(verb, args, keys))
            return "deleted"
        if verb == "count":
            return str(self.call(name, CountAll(path)))
        if verb in ("set", "setacl"):
            return f"set: {self.stat(self.call(name, operation(verb, args, keys)))}"
        if verb == "get":
            data, stat = self.call(name, GetData(path, self.watcher(name, watch)))
            shown = "null" if data is None else f"'{data.decode()}'"
            return f"{shown} {self.stat(stat)}"
        if verb == "exists":
            stat = self.call(name, Exists(path, self.watcher(name, watch)))
            return "error NoNode" if stat is None else self.stat(stat)
        if verb == "children":
            names, stat = self.call(name, GetChildren2(path, self.watcher(name, watch)))
            shown = ", ".join(f'"{child}"' for child in sorted(names, key=str.encode))
            return f"[{shown}] {self.stat(stat)}"
        if verb == "getacl":
            acl, stat = self.call(name, GetACL(path))
            return f"{show_acl(acl)} {self.stat(stat)}"
        raise ValueError(f"unknown command {verb}")

    def multi(self, name, texts):
        operations = []
        for text in texts:
            words = [word for word in text.split(" ") if word]
            keys = dict(word.split("=", 1) for word in words[1:] if "=" in word)
            args = [word for word in words[1:] if "=" not in word]
            operations.append(operation(words[0], args, keys))
        results = self.call(name, Multi(operations))
        for index, result in enumerate(results):
            if isinstance(result, Exception) and not isinstance(
                result, (RolledBackError, RuntimeInconsistency)
            ):
                return [f"operation {index} failed: {spell_error(result)}"]
        return [self.result(asked, result) for asked, result in zip(operations, results)]

    def result(self, asked, result):
        if isinstance(asked, (Create, CreateContainer, CreateTtl)):
            return f"created {result}"
        if isinstance(asked, Delete):
            return "deleted"
        if isinstance(asked, SetData):
            return f"set: {self.stat(result)}"
        return "checked"

    def zxid(self, zxid):
        if zxid == 0:
            return "0"
        return self.zxids.setdefault(zxid, f"z{len(self.zxids) + 1}")

    def stat(self, stat):
        owner = self.sessions.get(stat.ephemeralOwner, "?") if stat.ephemeralOwner else "-"
        czxid, mzxid, pzxid = (self.zxid(zxid) for zxid in (stat.czxid, stat.mzxid, stat.pzxid))
        return (
            f"version={stat.version} cversion={stat.cversion} aversion={stat.aversion} "
            f"owner={owner} length={stat.dataLength} children={stat.numChildren} "
            f"czxid={czxid} mzxid={mzxid} pzxid={pzxid}"
        )


def operation(verb, args, keys, create=Create):
    path, version = args[0], int(keys.get("version", -1))
    data = None if "null" in args[1:] else keys.get("data", "").encode()
    if verb == "create":
        acl = parse_acl(keys["acl"]) if "acl" in keys else OPEN
        mode = keys.get("mode")
        if mode == "c":
            return CreateContainer(path, data, acl, 4)
        if mode in ("t", "ts"):
            return CreateTtl(path, data, acl, 5 if mode == "t" else 6, int(keys.get("ttl", 0)))
        return create(path, data, acl, MODES[keys.get("mode")])
    if verb == "delete":
        return Delete(path, version)
    if verb == "deletecontainer":
        return DeleteContainer(path)
    if verb == "set":
        return SetData(path, data, version)
    if verb == "setacl":
        return SetACL(path, parse_acl(keys["acl"]), version)
    if verb == "check":
        return CheckVersion(path, version)
    raise ValueError(f"unknown operation {verb}")


def parse_acl(text):
    entries = []
    for entry in filter(None, text.split(",")):
        rest, letters = entry.rsplit(":", 1)
        scheme, ident = rest.split(":", 1)
        entries.append(ACL(sum(PERMS[letter] for letter in letters), Id(scheme, ident)))
    return entries


def show_acl(entries):
    def letters(perms):
        return "".join(letter for letter in "cdrwa" if perms & PERMS[letter])

    return ",".join(f"{e.id.scheme}:{e.id.id}:{letters(e.perms)}" for e in entries)


def spell(kind):
    return {
        "CREATED": "NodeCreated",
        "DELETED": "NodeDeleted",
        "CHANGED": "NodeDataChanged",
        "CHILD": "NodeChildrenChanged",
    }[kind]


def spell_error(error):
    name = type(error).__name__.removesuffix("Error")
    return {"InvalidACL": "InvalidAcl", "Marshalling": "MarshallingError"}.get(name, name)


def parse(script):
    """Yields (commands, expected output): a command is (prefix, verb, args, keys, text)."""
    commands, expected, in_output = [], [], False
    for line in [*script.read_text().split("\n"), ""]:
        if in_output:
            if line == "":
                yield commands, expected
                commands, expected, in_output = [], [], False
            else:
                expected.append(line)
        elif line == "---":
            in_output = True
        elif line and not line.startswith("#"):
            commands.append(parse_command(line))


def parse_command(line):
    prefix, text = re.fullmatch(r"(?:([a-z]+): )?(.*)", line).groups()
    words = re.findall(r'(?:[^\s"]|"[^"]*")+', text)
    args, keys = [], {}
    for word in words[1:]:
        key = re.fullmatch(r"([a-z]+)=(.*)", word)
        if key:
            keys[key[1]] = unquote(key[2])
        else:
            args.append(unquote(word))
    return prefix, words[0], args, keys, line


def unquote(word):
    return ast.literal_eval(word) if word.startswith('"') else word


def replay(script, address):
    """Says in how many blocks the server agreed, and how many there are."""
    server = Zookeeper(address)
    agreed = blocks = 0
    try:
        for commands, expected in parse(script):
            actual = []
            for prefix, verb, args, keys, _ in commands:
                lines = server.command(prefix or "s", verb, args, keys)
                actual += [f"{prefix}: {line}" if prefix else line for line in lines]
            # Goldenscript writes `ok` where a block has no output.
            actual = actual or ["ok"]
            blocks += 1
            if actual == expected:
                agreed += 1
                continue
            print(f"{script.name}: the block of `{commands[0][4]}` differs")
            for ours, theirs in zip(pad(expected, actual), pad(actual, expected)):
                if ours != theirs:
                    print(f"    ours      {ours}\n    ZooKeeper {theirs}")
    finally:
        server.close()
    return agreed, blocks


def pad(lines, other):
    return lines + ["(nothing)"] * (len(other) - len(lines))


def main():
    address = os.environ["ZOOKEEPER_ADDRESS"]
    wanted = sys.argv[1:]
    agreed = blocks = 0
    for script in sorted(SCRIPTS.iterdir()):
        if wanted and script.name not in wanted:
            continue
        good, all_ = replay(script, address)
        print(f"{script.name}: {good} of {all_} blocks agree")
        agreed, blocks = agreed + good, blocks + all_
    print(f"golden-check: {agreed} of {blocks} blocks agree with ZooKeeper")
    sys.exit(agreed != blocks)


if __name__ == "__main__":
    main()
