"""Timing in turns: every contestant once in each round, so that a busy machine disturbs all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from dkd_cli.report.terminal import Advance, Terminal


class Enough(Exception):
    """Ends a run whose steps have been timed: what follows them is not measured."""


class Stopwatch(Terminal):
    """A silent terminal whose progress times the steps of a run and then ends it.

    From the end of the first forward pass to that of the last: whole steps with their data, backward pass and
    update, without what comes only once.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(quiet=True)
        self._device = device
        self._steps = 0
        self._done = 0
        self.rows = 0
        """Examples that the timed steps saw."""
        self.seconds = 0.0

    def time(self, steps: int) -> None:
        """Time so many steps of the next run."""
        self._steps, self._done, self.rows, self.seconds = steps, 0, 0, 0.0

    @contextmanager
    def progress(self, *args: object, **settings: object) -> Iterator[Advance]:
        """What counts the steps."""
        yield self._tick

    def _tick(self, count: int, **fields: float) -> None:
        if not count:
            return
        if self._done in (0, self._steps):
            wait(self._device)
        now = time.perf_counter()
        if self._done == 0:
            self._started = now
        else:
            self.rows += count
            self.seconds = now - self._started
        self._done += 1
        if self._done > self._steps:
            raise Enough


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Contestant:
    """Something to be timed."""

    name: str
    what: str
    prepare: Callable[[], None]
    """Called once: loads, warms up, fills caches."""
    run: Callable[[], float]
    """Does it and returns the milliseconds that a step took, the mean of several."""


@dataclass(frozen=True)
class Spread:
    """A median and its quartiles."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        lower, median, upper = np.percentile(values, [25, 50, 75])
        return cls(float(median), float(lower), float(upper))


def take_turns(
    contestants: Sequence[Contestant], rounds: int, say: Callable[[str], None]
) -> dict[str, list[float]]:
    """Milliseconds by contestant, one figure for each round; each round begins with another contestant."""
    for one in contestants:
        say(f"preparing {one.name}")
        one.prepare()
    figures: dict[str, list[float]] = {one.name: [] for one in contestants}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        first = number % max(1, len(contestants))
        for one in (*contestants[first:], *contestants[:first]):
            figures[one.name].append(one.run())
    return figures


def ratio(figures: dict[str, list[float]], above: str, below: str) -> Spread | None:
    """One contestant's figures over another's, round by round; None where either was left out."""
    if above not in figures or below not in figures:
        return None
    pairs = zip(figures[above], figures[below], strict=True)
    return Spread.of([one / other for one, other in pairs])
