"""What a piece of code touches: the files it opens for writing, the network, other processes.

Sees what goes through Python, by its audit events; not what a library does in C.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = frozenset(
    {
        "os.mkdir",
        "os.rename",
        "os.remove",
        "os.rmdir",
        "os.symlink",
        "os.link",
        "os.truncate",
        "os.chmod",
        "os.chown",
        "os.utime",
    }
)
NETWORK = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"})
PROCESSES = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.spawn"}
)


@dataclass
class Touched:
    """What happened, a line each."""

    files: list[str] = field(default_factory=list)
    network: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)


_open: list[Touched] = []
_installed = False


class Hang(BaseException):
    """Something took too long. No Exception, so that nothing under test can take it for an error."""


@contextmanager
def watched() -> Iterator[Touched]:
    """Record what the code inside touches, in this process."""
    global _installed
    if not _installed:
        sys.addaudithook(_hear)  # for good: there is no way to take one away
        _installed = True
    touched = Touched()
    _open.append(touched)
    compiled, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield touched
    finally:
        sys.dont_write_bytecode = compiled
        _open.remove(touched)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _open:
        return
    for touched in _open:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITING and path != os.devnull:
                touched.files.append(f"open {path!r}")
        elif event in CHANGES:
            touched.files.append(f"{event} {arguments[0]!r}")
        elif event in NETWORK:
            touched.network.append(f"{event} {arguments[-1]!r}")
        elif event in PROCESSES:
            touched.processes.append(f"{event} {arguments[0]!r}")


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise Hang when the code inside takes longer; the caller's own alarm goes on afterwards."""

    def ring(number: int, frame: object) -> None:
        raise Hang(f"still at work after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)
