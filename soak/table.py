"""The table promise → tried → held, for people and as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dkd_cli.report.terminal import Terminal
from soak.progress import Progress
from soak.promises import Promise


@dataclass(frozen=True)
class Row:
    """What became of a promise."""

    name: str
    promise: str
    planned: int
    tried: int
    held: int
    broken: dict[int, str]
    """By the number of the trial."""

    @property
    def kept(self) -> bool:
        """Whether all trials were made, and all held."""
        return self.held == self.tried >= self.planned


def rows(promises: Sequence[Promise], planned: dict[str, int], progress: Progress) -> list[Row]:
    """A row for each promise."""
    found = []
    for promise in promises:
        broken = progress.broken(promise.name)
        tried = progress.tried(promise.name)
        found.append(
            Row(promise.name, promise.what, planned[promise.name], tried, tried - len(broken), broken)
        )
    return found


def show(terminal: Terminal, found: Sequence[Row]) -> None:
    """Print the table, and below it what did not hold."""
    terminal.table(
        "what is promised",
        ["", "promise", "tried", "held", "kept"],
        [
            [row.name, row.promise, f"{row.tried} of {row.planned}", row.held, "yes" if row.kept else "no"]
            for row in found
        ],
    )
    for row in found:
        for number, why in sorted(row.broken.items()):
            terminal.say(f"{row.name} {number}: {why}")
