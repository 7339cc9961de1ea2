"""That the suite's run fails when it should: a judge that passes everything proves nothing."""

import os
import pathlib
import subprocess

import pytest

from expected import Expected, impostors, sort_lines

JAVA = pathlib.Path(__file__).with_name("bin") / "java"
OURS = "Zookeeper version: 3.9.5-innkeeper, built on whatever"
THEIRS = "Zookeeper version: 3.9.5-71fb489, built on 2026-01-01"
LIST = """\
# a head
seconds test_a.py 2
passed test_a.py::one
failed:IndexError test_a.py::two  # wants three servers
failed|passed test_a.py::three  # not yet
"""


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "expected.txt"
    path.write_text(LIST)
    return Expected.read(path)


def outcomes(**tests):
    return {
        f"test_a.py::{name}": {"outcome": outcome, "text": "the text", "seconds": 0.0}
        for name, outcome in tests.items()
    }


def test_what_is_expected_is_no_difference(listed):
    tests = outcomes(one="passed", two="failed:IndexError", three="failed")
    assert listed.differences(tests, "innkeeper", True) == []
    tests = outcomes(one="passed", two="failed:IndexError", three="passed")
    assert listed.differences(tests, "zookeeper", True) == []


@pytest.mark.parametrize(
    "one, two",
    [
        ("failed:AssertionError", "failed:IndexError"),
        ("skipped", "failed:IndexError"),
        ("error:OSError", "failed:IndexError"),
        ("passed", "passed"),
        ("passed", "skipped"),
        ("passed", "failed:AssertionError"),
    ],
)
def test_any_other_outcome_is_a_difference(listed, one, two):
    found = listed.differences(outcomes(one=one, two=two, three="failed"), "innkeeper", True)
    assert len(found) == 1
    assert "the text" in found[0]


def test_a_test_that_did_not_run_is_a_difference(listed):
    tests = outcomes(one="passed", two="failed:IndexError")
    assert listed.differences(tests, "innkeeper", True) == ["test_a.py::three: did not run"]
    assert listed.differences(tests, "innkeeper", False) == []


def test_a_test_that_nobody_listed_is_a_difference(listed):
    tests = outcomes(one="passed", two="failed:IndexError", three="failed", four="passed")
    assert len(listed.differences(tests, "innkeeper", True)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "failed test_a.py::one",
        "skipped test_a.py::one  # ?",
        "failed|passed test_a.py::one",
        "well test_a.py::one",
        "passed test_a.py::one\npassed test_a.py::one",
    ],
)
def test_a_list_with_an_unexplained_exception_is_refused(tmp_path, line):
    path = tmp_path / "expected.txt"
    path.write_text(line + "\n")
    with pytest.raises(ValueError):
        Expected.read(path)


def test_what_a_run_taught_is_what_the_list_says(listed, tmp_path):
    listed.learn(outcomes(one="passed", two="failed:IndexError", three="passed"), "innkeeper")
    path = tmp_path / "written.txt"
    listed.write(path)
    again = Expected.read(path)
    assert again.outcomes["test_a.py::three"] == ("passed", "passed")
    assert again.reasons["test_a.py::two"] == "wants three servers"


def of_three(listed, tmp_path, lines):
    path = tmp_path / "of_three.txt"
    path.write_text(lines)
    return Expected.read(path, listed)


def test_three_servers_do_what_one_does_where_their_list_says_nothing(listed, tmp_path):
    expected = of_three(listed, tmp_path, "passed test_a.py::two\n")
    tests = outcomes(one="passed", two="passed", three="failed")
    assert expected.differences(tests, "innkeeper", True) == []
    assert len(listed.differences(tests, "innkeeper", True)) == 1
    tests = outcomes(one="passed", two="failed:IndexError")
    assert len(expected.differences(tests, "innkeeper", True)) == 2


@pytest.mark.parametrize(
    "line",
    ["passed test_a.py::one", "passed test_a.py::four", "failed test_a.py::one", "failed|passed test_a.py::three  # x"],
)
def test_a_line_for_three_names_a_test_of_one_and_differs(listed, tmp_path, line):
    with pytest.raises(ValueError):
        of_three(listed, tmp_path, line + "\n")


def test_what_three_servers_taught_leaves_the_list_of_one_as_it_is(listed, tmp_path):
    expected = of_three(listed, tmp_path, "# a head\nfailed:OSError test_a.py::one  # why\n")
    expected.learn(outcomes(one="failed:OSError", two="passed", three="failed"), "innkeeper")
    expected.learn(outcomes(one="failed:OSError", two="passed", three="passed"), "zookeeper")
    expected.write()
    lines = expected.path.read_text().splitlines()
    assert lines == [
        "# a head",
        "seconds test_a.py 0",
        "failed:OSError test_a.py::one  # why",
        "passed test_a.py::two",
    ]


def server(says=OURS, died=None, ended=0):
    lines = [{"server": "1.1", "port": 1}, {"server": "1.1", "says": says}]
    lines.append({"server": "1.1", "died": died, "ended": ended})
    return sort_lines(lines)[1]


def test_a_server_that_says_who_it_is_and_ends_well_is_no_impostor():
    assert impostors(server(), "innkeeper") == []
    assert impostors(server(says=THEIRS, ended=143), "zookeeper") == []


@pytest.mark.parametrize(
    "facts", [{"says": THEIRS}, {"says": None}, {"died": 101, "ended": 101}, {"ended": 143}, {"ended": -9}]
)
def test_every_other_server_is_one(facts):
    assert len(impostors(server(**facts), "innkeeper")) == 1


def test_java_passes_on_what_the_harness_says(tmp_path):
    # What is started in Innkeeper's place says what it was given, a word a line.
    program = tmp_path / "innkeeper"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 7\n')
    program.chmod(0o755)
    config = tmp_path / "a folder" / "zoo.cfg"
    config.parent.mkdir()
    main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
    words = ["-cp", "-Dno.property", "-Da=b c", "-De=", main, str(config)]
    done = subprocess.run([JAVA, *words], env={**os.environ, "INNKEEPER": str(program)})
    assert done.returncode == 7
    told = (config.parent / "zookeeper.log").read_text().splitlines()
    assert told == ["serve", str(config), "-Da=b c", "-De="]


@pytest.mark.parametrize("words", [[], ["-version"], ["-cp", "x", "org.example.Main", "zoo.cfg"]])
def test_java_is_nothing_else(words):
    done = subprocess.run([JAVA, *words], env={**os.environ, "INNKEEPER": "/bin/true"}, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert b"stand-in" in done.stderr
