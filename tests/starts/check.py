"""Starts a real ZooKeeper for every case of cases.py and holds what came of it against the table
outcomes.txt, which a test of Innkeeper's holds against Innkeeper: see scripts/starts.sh.

    check.py CLASSES LIBRARIES...            compare
    check.py --record CLASSES LIBRARIES...   write the table anew

A line of the table is a case and its outcome in JSON: `exit` and `why`, or in `values` what
differs from the first line, where nothing is said.
"""

import json
import queue
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cases

TABLE = Path(__file__).with_name("outcomes.txt")
# What ZooKeeper keeps of a closed server adds up; a worker ends after so many.
CASES_PER_WORKER = 60
WORKERS = 2


# Some cases end at ZooKeeper's own default ports: a worker has a network of its own, if it can.
APART = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "starts"]
if subprocess.run([*APART, "true"], capture_output=True, check=False).returncode:
    APART = []
# A server before may not have let go of them yet.
TRIES = 40


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def prepare(case, folder):
    """Writes a case's files, and gives the line that a worker reads."""
    def fill(text):
        text = text.replace("{folder}", str(folder))
        while "{port}" in text:
            text = text.replace("{port}", str(free_port()), 1)
        return text

    folder.mkdir()
    said = case.get("file", [])
    named = {line.lstrip("-").split("=")[0] for line in said}
    named |= {text.split("=")[0].removeprefix("zookeeper.") for text in case.get("properties", [])}
    lines = [f"{key}={value}" for key, value in cases.BASE.items() if key not in named]
    lines += [line for line in said if not line.startswith("-")]
    if "dataDir" not in named:
        (folder / "data").mkdir()
        if "myid" in case:
            (folder / "data" / "myid").write_bytes(case["myid"].encode())
    if "jaas" in case:
        (folder / "jaas.conf").write_text(case["jaas"])
    (folder / "zoo.cfg").write_text("".join(fill(line) + "\n" for line in lines))
    properties = [fill(text) for text in case.get("properties", [])]
    return "\x1f".join([str(folder / "zoo.cfg"), *properties])


class Worker:
    """A Java that starts one server after the other."""

    def __init__(self, arguments, folder):
        java = [*APART, "java", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx512m", *arguments]
        self.process = subprocess.Popen(
            java, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def ask(self, line):
        # A line of JSON keeps a carriage return from ending it.
        self.process.stdin.write(json.dumps(line).encode() + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().rstrip("\n")

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def outcome_of(answer, folder):
    answer = answer.replace(str(folder), "{folder}")
    kind, *rest = answer.split("\t")
    if kind == "exit":
        # How a name was looked for differs from one time to the next.
        why = re.sub(r"(UnknownHostException: [^:;]*): [^;]*", r"\1", "\t".join(rest[1:]))
        return {"exit": int(rest[0]), "why": why[:160]}
    if kind != "values":
        sys.exit(f"a worker ended: {answer!r}")
    return {"values": dict(pair.split("=", 1) for pair in rest)}


def run_all(every, arguments):
    todo = queue.Queue()
    for number, case in enumerate(every):
        todo.put((number, case))
    outcomes = [None] * len(every)
    scratch = Path(tempfile.mkdtemp(prefix="starts."))

    def work():
        while not todo.empty():
            folders = []
            # What a relative path names lies there, apart from the other worker's.
            home = Path(tempfile.mkdtemp(dir=scratch))
            worker = Worker(arguments, home)
            for _ in range(CASES_PER_WORKER):
                try:
                    number, case = todo.get_nowait()
                except queue.Empty:
                    break
                folder = scratch / str(number)
                folders.append(folder)
                line = prepare(case, folder)
                for _ in range(TRIES):
                    answer = worker.ask(line)
                    if "Address already in use" not in answer:
                        break
                    time.sleep(0.25)
                outcomes[number] = outcome_of(answer, folder)
                for left in home.iterdir():
                    shutil.rmtree(left, ignore_errors=True)
            worker.end()
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shutil.rmtree(scratch, ignore_errors=True)
    return outcomes


def lines_of(every, outcomes):
    plain = outcomes[0]["values"]
    yield json.dumps({"values": plain}, sort_keys=True)
    for case, outcome in zip(every[1:], outcomes[1:]):
        if outcome is None:
            sys.exit(f"no outcome: {case}")
        if "values" in outcome:
            outcome = {"values": {key: value for key, value in outcome["values"].items() if plain.get(key) != value}}
        yield json.dumps({**case, **outcome}, ensure_ascii=True)


def main(arguments):
    record = arguments[:1] == ["--record"]
    every = []
    for case in cases.every_case():
        if case not in every:
            every.append(case)
    lines = list(lines_of(every, run_all(every, arguments[record:])))
    if record:
        TABLE.write_text("".join(line + "\n" for line in lines))
        print(f"{len(lines)} cases are recorded in {TABLE}")
        return
    recorded = TABLE.read_text().splitlines()
    differ = [(was, now) for was, now in zip(recorded, lines) if was != now]
    for was, now in differ:
        print(f"recorded {was}\nnow      {now}")
    if differ or len(recorded) != len(lines):
        sys.exit(f"{len(differ)} of {len(lines)} cases differ from {TABLE}, which has {len(recorded)}")
    print(f"ZooKeeper does what {TABLE} says, in {len(lines)} cases")


if __name__ == "__main__":
    main(sys.argv[1:])
