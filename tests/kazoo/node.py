"""A running node (or a real ZooKeeper) to test against."""

import base64
import hashlib
import os
import pathlib
import queue
import subprocess
import threading

SUPER = ("digest", "super:super")
SUPER_DIGEST = "super:" + base64.b64encode(hashlib.sha1(b"super:super").digest()).decode()

# A cold debug build on a busy machine takes its time over the first start.
START_SECONDS = 60


def digest_id(user, password):
    """The id that digest authentication gives: user:base64(sha1(user:password))."""
    hashed = hashlib.sha1(f"{user}:{password}".encode()).digest()
    return f"{user}:{base64.b64encode(hashed).decode()}"


class Node:
    """One `innkeeper serve` on ports of the kernel's choosing."""

    def __init__(self, folder, *arguments):
        self.folder = pathlib.Path(folder)
        self.arguments = list(arguments)
        self.process = None
        self.zookeeper = None
        self.http = None
        self.admin = None

    def start(self):
        binary = os.environ.get("INNKEEPER", "target/debug/innkeeper")
        self.log = self.folder / "node.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [
                    binary,
                    "serve",
                    "--data",
                    str(self.folder / "data"),
                    "--listen",
                    "127.0.0.1:0",
                    "--http",
                    "127.0.0.1:0",
                    "--super-digest",
                    SUPER_DIGEST,
                    # Sessions as short as 1 s, so that a test can wait for one to expire.
                    "--tick-time-ms",
                    "500",
                    "--max-client-cnxns",
                    "0",
                    *self.arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        lines = queue.Queue()

        # A pipe has no timeout of its own; the reader also keeps it drained.
        def read():
            for line in self.process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=START_SECONDS)
            except queue.Empty:
                self.kill()
                raise AssertionError(f"the node said nothing for {START_SECONDS} s:\n{self.tail()}") from None
            if line is None:
                raise AssertionError(f"the node ended with {self.process.wait()}:\n{self.tail()}")
            if line.startswith("innkeeper ready: "):
                break
        said = dict(word.split("=", 1) for word in line.split()[2:])
        self.zookeeper, self.http, self.admin = said["zookeeper"], said["http"], said["admin"]
        return self

    def tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def stop(self):
        """Ends it as an operator would and returns its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the node did not end within 20 s of SIGTERM:\n{self.tail()}") from None

    def kill(self):
        self.process.kill()
        self.process.wait()


class RealZooKeeper:
    """What `make golden-check` has started; it lives and dies elsewhere."""

    http = admin = None

    def __init__(self, address):
        self.zookeeper = address
