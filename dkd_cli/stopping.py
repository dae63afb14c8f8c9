"""Stopping of a command by Ctrl-C (SIGINT), or by SIGTERM as schedulers send it.

Where nothing is half done a command leaves at once. Within `finishing` the first signal only asks: whoever
works there looks at `asked`, ends what it has begun, and raises `Stopped`. Another signal then leaves at
once, which loses no more than a kill would. Knows nothing of what is done, nor how the end is told.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = b"\x1b[?25h"


class Stopped(BaseException):
    """The command was asked to stop. No `Exception`: nothing on the way out takes it for an error."""

    def __init__(self, number: int, done: str = "") -> None:
        super().__init__(number, done)
        self.number = number
        self.done = done
        """Description of what was saved; may be empty."""

    @property
    def exit_code(self) -> int:
        """As shells have it: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number


@dataclass
class _State:
    """Signals received by the process, of which there is one state."""

    number: int | None = None
    finishing: bool = False


_state = _State()


def asked() -> int | None:
    """The signal that wants an end, or None."""
    return _state.number


@contextmanager
def listening() -> Iterator[None]:
    """Take SIGINT and SIGTERM, for the time of a command. What the parent has ignored stays so."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in taken:
        signal.signal(number, _heard)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
        _state.number = None


@contextmanager
def finishing() -> Iterator[None]:
    """While it lasts a first signal only asks. One that nobody looked at stops the command at the end."""
    before, _state.finishing = _state.finishing, True
    try:
        yield
    finally:
        _state.finishing = before
    if _state.number is not None and not before:
        raise Stopped(_state.number)


def _heard(number: int, frame: FrameType | None) -> None:
    if _state.number is not None:
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), SHOW_CURSOR)  # a progress bar has hidden it
        os._exit(128 + number)
    _state.number = number
    if not _state.finishing:
        raise Stopped(number)
