"""The examples in other languages than Rust: built with their own tools, and run against a node.

Where the tools cannot be had the tests are skipped, with the reason; in CI that is a failure.
"""

import functools
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest
from kazoo.exceptions import NoAuthError

from waiting import SECONDS, Events

# The first run of all fetches the tools.
pytestmark = [pytest.mark.innkeeper, pytest.mark.timeout(900)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TOOLS_MISSING = 3

# A guest's module, and the folder of its documents.
VARIANTS = {
    "python": ("python", ""),
    "javascript": ("javascript", ""),
    "javascript-starlingmonkey": ("javascript", "-starlingmonkey"),
    "c": ("c", ""),
}


@functools.cache
def built(language):
    """Why the guests of a language are not there, if its tools are not."""
    script = subprocess.run(
        [ROOT / "scripts" / "examples.sh", language], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if script.returncode == TOOLS_MISSING and os.environ.get("CI") != "true":
        return script.stderr.strip().splitlines()[-1]
    assert script.returncode == 0, script.stderr
    return None


def no_commands(folder, monkeypatch):
    """A machine that has none of the tools, and no way to install them."""
    commands = folder / "commands"
    commands.mkdir()
    for command in ["cat", "cmp", "cp", "dirname", "id", "mkdir", "rm"]:
        (commands / command).symlink_to(shutil.which(command))
    monkeypatch.setenv("PATH", str(commands))


def no_network(folder, monkeypatch):
    """A machine from which no registry can be reached."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("npm_config_offline", "true")
    monkeypatch.setenv("npm_config_cache", str(folder / "cache"))


@pytest.mark.parametrize("without", [no_commands, no_network])
@pytest.mark.parametrize(("language", "name"), [("python", "Python"), ("javascript", "JavaScript"), ("c", "C")])
def test_missing_tools_are_told_and_fail_in_ci(language, name, without, tmp_path, monkeypatch):
    if without is no_network and not shutil.which({"javascript": "npm"}.get(language, "python3")):
        pytest.skip("without its package manager this is the same as without commands")
    without(tmp_path, monkeypatch)
    monkeypatch.setenv("CARGO_TARGET_DIR", str(tmp_path / "target"))
    told = f"innkeeper: the tools for the examples in {name} cannot be had here"
    monkeypatch.delenv("CI", raising=False)
    assert built.__wrapped__(language) == told
    # The second time, too: what failed is not taken for fetched.
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match=told):
        built.__wrapped__(language)


@pytest.fixture(params=VARIANTS)
def example(request, node):
    """Binds a guest of one language below a znode: example("leader", base) gives the binding's name."""
    language, suffix = VARIANTS[request.param]
    reason = built(language)
    if reason:
        pytest.skip(reason)
    bound = []

    def operator(*arguments):
        binary = os.environ.get("INNKEEPER", "target/debug/innkeeper")
        command = [binary, *arguments, "--data", str(node.folder / "data")]
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def bind(guest, base):
        module = TARGET / "examples" / language / f"{guest}{suffix}.wasm"
        name = re.search("sha256:[0-9a-f]{64}", operator("module", "push", str(module))).group()
        document = (ROOT / "examples" / language / f"{guest}.json").read_text()
        # The document as its README has it, but below a znode of this test's own.
        document = document.replace("sha256:…", name).replace('"/', f'"{base}/')
        binding = f"{guest}-{request.param}"
        file = pathlib.Path(node.folder, f"{binding}.json")
        file.write_text(document)
        operator("binding", "set", binding, str(file))
        bound.append(binding)
        return binding

    bind.status = lambda binding: operator("binding", "status", binding)
    yield bind
    for binding in bound:
        operator("binding", "delete", binding)




def test_the_longest_standing_candidate_leads(node, example, zk, connect, base):
    zk.create(f"{base}/election/candidates", makepath=True)
    events = Events()
    assert zk.exists(f"{base}/election/leader", watch=events) is None
    binding = example("leader", base)

    def stand(name):
        client = connect()
        client.create(f"{base}/election/candidates/{name}", ephemeral=True)
        return client

    first, _second, _third = stand("zoe"), stand("ann"), stand("bob")
    assert events.next(60).type == "CREATED", node.tail()
    data, stat = zk.get(f"{base}/election/leader", watch=events)
    assert data == b"zoe"
    assert stat.ephemeralOwner == first.client_id[0]

    # The leader's session ends, and its znode with it: the next in line.
    first.stop()
    assert events.until(lambda event: event.type == "DELETED")
    deadline = time.monotonic() + SECONDS
    while True:
        watch = Events()
        if zk.exists(f"{base}/election/leader", watch=watch):
            break
        assert time.monotonic() < deadline, node.tail()
        watch.next()
    assert zk.get(f"{base}/election/leader")[0] == b"ann"

    # What it printed and what it logged.
    told = example.status(binding)
    assert f"nobody stands below {base}/election/candidates" in told
    assert "zoe leads now" in told and "ann leads now" in told


def test_what_is_frozen_cannot_be_changed(node, example, zk, super_zk, base):
    policy = f"{base}/policies/freeze"
    zk.create(policy, b"frozen", makepath=True)
    zk.create(f"{base}/data/a", b"1", makepath=True)
    example("freeze", base)

    before = zk.get(f"{base}/data/a")
    for change in (
        lambda: zk.set(f"{base}/data/a", b"3"),
        lambda: zk.create(f"{base}/data/b"),
        lambda: zk.delete(f"{base}/data/a"),
    ):
        with pytest.raises(NoAuthError):
            change()
    assert zk.get(f"{base}/data/a") == before
    assert zk.get_children(f"{base}/data") == ["a"]

    # Its policy is exact: thawed is thawed for the very next request, and frozen is frozen.
    for _ in range(5):
        super_zk.set(policy, b"thawed")
        zk.set(f"{base}/data/a", b"4")
        super_zk.set(policy, b"frozen")
        with pytest.raises(NoAuthError):
            zk.set(f"{base}/data/a", b"5")
    assert zk.get(f"{base}/data/a")[0] == b"4"
