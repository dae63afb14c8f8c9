"""Ctrl-C and SIGTERM: at once where nothing is begun, after it where something is, and the second at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dkd_cli.stopping import Stopped, asked, finishing, listening

ROOT = Path(__file__).resolve().parent.parent


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.001)  # CPython hears a signal between two instructions


def leave(number: int, log: list[str]) -> None:
    with listening():
        send(number)
        log.append("went on")


def finish(number: int, log: list[str], error: Exception | None = None) -> None:
    with listening(), finishing():
        send(number)
        assert asked() == number
        log.append("went on")
        if error is not None:
            raise error


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_at_once(number: int, code: int) -> None:
    log: list[str] = []
    with pytest.raises(Stopped) as caught:
        leave(number, log)
    assert (caught.value.exit_code, log) == (code, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_begun_is_finished_first(number: int) -> None:
    log: list[str] = []
    with pytest.raises(Stopped):
        finish(number, log)
    assert log == ["went on"]


def test_an_error_on_the_way_out_is_told_all_the_same() -> None:
    with pytest.raises(ValueError, match="disk"):
        finish(signal.SIGTERM, [], ValueError("disk"))


def test_afterwards_signals_do_what_they_did() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped):
        leave(signal.SIGTERM, [])
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert asked() is None, "that command was asked, not the next one"


def test_what_the_parent_ignores_stays_ignored() -> None:
    """As under nohup, or in the background of a shell script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        leave(signal.SIGINT, log := [])
        assert log == ["went on"]
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_signal_leaves_at_once(number: int, code: int) -> None:
    script = (
        "import os, sys\n"
        "from dkd_cli.stopping import finishing, listening\n"
        "with listening(), finishing():\n"
        "    for _ in range(2):\n"
        "        os.kill(os.getpid(), int(sys.argv[1]))\n"
        "    print('it went on')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(int(number))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
