"""What the soak asks of a child process: a command line, and the fault that strikes it; plain values.

Knows nothing of how a child is started or what is promised of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

COUNTED = ("file", "cache", "training", "evaluation", "selection", "caching", "saving")
"""What a child counts as it goes: operations on files of the trial, those of them in the cache, and the
beginnings of each phase of a run."""

Kind = Literal["kill", "signal", "torn", "full"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Strikes when the child is about to do something for the n-th time."""

    kind: Kind
    """`kill`: SIGKILL; `signal`: another signal; `torn`: it dies as a write passes `reach` bytes of a file;
    `full`: from now on no file grows past `reach` bytes, and where that is 0 none is made."""
    at: str
    """One of `COUNTED`."""
    number: int
    """From 1."""
    signal: int = 0
    reach: int = 0

    def __str__(self) -> str:
        struck = {"signal": f"signal {self.signal}", "torn": f"torn at {self.reach} bytes"}
        how = struck.get(self.kind, f"full at {self.reach} bytes" if self.kind == "full" else self.kind)
        return f"{how}, {self.at} {self.number}"


@dataclass(frozen=True, kw_only=True)
class Order:
    """A command line of `dkd`, and where it runs."""

    words: tuple[str, ...]
    folder: str
    """The trial's own: working directory, output and cache."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the environment."""
    counters: str
    """A file of eight bytes for each of `COUNTED`, mapped, so that it outlives a kill."""
    report: str
    """Where it tells how the run ended."""
    save_always: bool = False
    """A checkpoint after every update, instead of one a minute."""
    fault: Fault | None = None
