"""Fuzzed recipes, command lines and data files; and that the fuzzer would notice what it looks for."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from soak.fuzz import LONGEST_LINE, check_lines, fuzz, untouched
from soak.watch import Hang, at_most, watched


def test_nothing_crashes_hangs_or_changes_a_file() -> None:
    seen = fuzz(300, 0)
    assert sum(seen.values()) == 300
    assert {"distill 0", "distill 2", "recipes 2", "data 0", "data 3", "answers 0", "answers 3"} <= set(seen)


@pytest.mark.parametrize(
    "line",
    [
        "dkd: error: a: b",
        "dkd: error: : b; c",
        "dkd: error: a: b; c\nmore",
        "dkd: error: dkd: unexpected ValueError: x; run it again",
        "Traceback (most recent call last):",
        f"dkd: error: a: {'b' * LONGEST_LINE}; c",
    ],
)
def test_a_line_out_of_form_is_noticed(line: str) -> None:
    check_lines(["dkd: error: a.csv:3: is torn; mend it"])
    with pytest.raises(AssertionError):
        check_lines([line])


def write(folder: Path) -> None:
    (folder / "new").write_text("x")


def remove(folder: Path) -> None:
    (folder / "old").unlink()


def connect(folder: Path) -> None:
    with socket.socket() as one, pytest.raises(OSError, match="refused"):
        one.connect(("127.0.0.1", 9))


def start(folder: Path) -> None:
    subprocess.run([sys.executable, "-S", "-c", ""], check=True)


@pytest.mark.parametrize("deed", [write, remove, connect, start])
def test_a_deed_is_noticed(deed: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    with untouched(tmp_path):
        assert (tmp_path / "old").read_text() == ""
    with pytest.raises(AssertionError), untouched(tmp_path):
        deed(tmp_path)


def test_each_kind_of_deed_is_told_apart(tmp_path: Path) -> None:
    with watched() as touched:
        write(tmp_path)
    assert (len(touched.files), touched.network, touched.processes) == (1, [], [])
    write(tmp_path)
    assert len(touched.files) == 1, "nothing is heard afterwards"


def sleep_through_errors() -> None:
    try:
        time.sleep(5)
    except Exception:  # on purpose as broad as careless code has it: `Hang` must pass it by, which is tested
        pytest.fail("swallowed")


def test_a_hang_is_no_exception_that_code_could_swallow() -> None:
    with pytest.raises(Hang), at_most(0.05):
        sleep_through_errors()
