"""What each test should do (expected.txt), and the judgement of what it did (record.py's lines)."""

import collections
import pathlib
import socket

PATH = pathlib.Path(__file__).with_name("expected.txt")
# What three servers do otherwise than one.
OF_THREE = PATH.with_name("expected_of_three.txt")
SIZES = (1, 3)
OUTCOMES = ("passed", "skipped", "failed", "error", "xfailed", "xpassed")
SERVERS = ("innkeeper", "zookeeper")
# On both.
PASSED = ("passed", "passed")
FAILURE_LINES = 60

# What Innkeeper's answer to `srvr` holds and no other's, and how a server ends on SIGTERM.
MARK = "-innkeeper"
ENDS = {"innkeeper": 0, "zookeeper": 143}

# This test connects to ZooKeeper's own port, whatever the harness listens on, and expects
# to be refused: where something listens there it cannot pass, and says nothing of us.
NEEDS_2181_FREE = "test_utils.py::TestCreateTCPConnection::test_slow_connect"


def sort_lines(lines):
    """Sorts record.py's lines: what each test did, and all that is known of each server."""
    tests = {line["test"]: line for line in lines if "test" in line}
    servers = collections.defaultdict(dict)
    for line in lines:
        if "server" in line:
            servers[line["server"]].update(line)
    return tests, servers


class Expected:
    """expected.txt, and for three servers expected_of_three.txt on top of it.

    - A test stands there once, with Innkeeper's outcome and a real ZooKeeper's.
    - Whatever is no plain pass on both has its reason.
    - The second list names only tests of the first, and only what differs.
    """

    def __init__(self, path, one=None):
        self.path = path
        # The list for one server, if this is the one for three.
        self.one = one
        self.outcomes = dict(one.outcomes) if one else {}
        self.reasons = dict(one.reasons) if one else {}
        self.seconds = dict(one.seconds) if one else {}
        self.head = []

    @classmethod
    def of_size(cls, size):
        """What a harness with so many servers should give."""
        one = cls.read()
        return one if size == 1 else cls.read(OF_THREE, one)

    @classmethod
    def read(cls, path=PATH, one=None):
        """Lines are `OUTCOME TEST  # REASON`; `INNKEEPER|ZOOKEEPER` for OUTCOME where they differ."""
        expected = cls(path, one)
        named = set()
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("#") or not line:
                expected.head.append(line)
                continue
            fact, _, reason = line.partition("  # ")
            outcome, _, test = fact.partition(" ")
            if outcome == "seconds":
                file, seconds = test.split()
                expected.seconds[file] = int(seconds)
                continue
            ours, _, theirs = outcome.partition("|")
            both = (ours, theirs or ours)
            where = f"{path.name}:{number}"
            if not {kind(outcome) for outcome in both} <= set(OUTCOMES):
                raise ValueError(f"{where}: '{outcome}' is no outcome; write one of {', '.join(OUTCOMES)}")
            if test in named:
                raise ValueError(f"{where}: {test} is named twice")
            if both != PASSED and not reason.strip(" ?"):
                raise ValueError(f"{where}: write after two spaces and # why {test} is an exception")
            if one and test not in one.outcomes:
                raise ValueError(f"{where}: {one.path.name} does not know {test}; name it there first")
            if one and both == one.outcomes[test]:
                raise ValueError(f"{where}: {test} does the same in {one.path.name}; remove this line")
            named.add(test)
            expected.outcomes[test] = both
            expected.reasons[test] = reason
        return expected

    def of(self, test, server):
        outcomes = self.outcomes.get(test)
        if outcomes and test == NEEDS_2181_FREE and something_listens(2181):
            # pytest's own exception: the one that was asked for was not raised.
            return "failed:Failed"
        return outcomes and outcomes[SERVERS.index(server)]

    def learn(self, tests, server):
        """Takes a run's outcomes over. Reasons stay; a missing one is left for a human to write."""
        seconds = collections.Counter()
        for test, line in tests.items():
            seconds[test.partition("::")[0]] += line["seconds"]
            both = list(self.outcomes.get(test, (line["outcome"], line["outcome"])))
            both[SERVERS.index(server)] = line["outcome"]
            self.outcomes[test] = tuple(both)
        self.seconds.update((file, round(total)) for file, total in seconds.items())

    def write(self, path=None):
        """Writes the list; the one for three holds only what differs from the one for one server."""
        out = list(self.head)
        for file, seconds in sorted(self.seconds.items()):
            if not self.one or seconds != self.one.seconds.get(file):
                out.append(f"seconds {file} {seconds}")
        for test, both in sorted(self.outcomes.items()):
            if self.one and both == self.one.outcomes.get(test):
                continue
            reason = self.reasons.get(test, "")
            if both != PASSED:
                reason = reason or "?"
            elif self.one:
                # Not the reason for which one server fails.
                reason = ""
            ours, theirs = both
            outcome = ours if ours == theirs else f"{ours}|{theirs}"
            out.append(f"{outcome} {test}" + (f"  # {reason}" if reason else ""))
        (path or self.path).write_text("\n".join(out) + "\n")

    def differences(self, tests, server, whole):
        """What a run did that the list does not say; of a whole run, also what it did not do."""
        found = []
        for test, line in sorted(tests.items()):
            wanted = self.of(test, server)
            if wanted is None:
                found.append(f"{test}: {line['outcome']}, and {self.path.name} does not know it")
            elif wanted != line["outcome"]:
                text = "\n".join((line["text"] or "").splitlines()[-FAILURE_LINES:])
                found.append(f"{test}: {line['outcome']}, expected {wanted}\n{text}".rstrip())
        if whole:
            found += [f"{test}: did not run" for test in sorted(set(self.outcomes) - set(tests))]
        return found


def impostors(servers, server):
    """Servers that were not what a run is about, or that did not live and end as they should."""
    found = []
    for name, facts in sorted(servers.items()):
        says = facts.get("says")
        if says is None:
            found.append(f"server {name} never said who it is")
        elif (MARK in says) != (server == "innkeeper"):
            found.append(f"server {name} is not {server}: it says '{says}'")
        if facts.get("died") is not None:
            found.append(f"server {name} ended by itself with {facts['died']}")
        elif facts.get("ended") != ENDS[server]:
            found.append(f"server {name} ended with {facts.get('ended')} on SIGTERM, not {ENDS[server]}")
    return found


def kind(outcome):
    """`failed:AssertionError` is one way to be `failed`."""
    return outcome.partition(":")[0]


def something_listens(port):
    with socket.socket() as stream:
        return stream.connect_ex(("127.0.0.1", port)) == 0
