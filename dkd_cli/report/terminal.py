"""Terminal output of a command: lines, progress, tables and histograms on stdout, warnings on stderr.

On a terminal, rich draws; elsewhere (a file, a pipe, TERM=dumb) the same facts are plain lines without
control characters. Knows nothing about the meaning of the figures. rich is imported with the first line that
is printed: a prediction prints none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from dkd_cli import launch
from dkd_cli.report.histogram import histogram_lines
from dkd_cli.report.printable import printable
from dkd_cli.report.tables import Column, as_columns, fitting_groups, plain_table, rich_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

SECONDS_BETWEEN_LINES = 15.0
PLAIN_GAP = 2
PLAIN_WIDTH = 100
"""Columns of a table that is written to a file or a pipe."""

Advance = Callable[..., None]
"""`advance(count, **fields)`: `count` more units are done; fields such as loss=0.53 are shown."""


class Terminal:
    """Output of a command; of several processes started together, one prints."""

    def __init__(self, quiet: bool = False, console: Console | None = None) -> None:
        self.quiet = quiet or not launch.leads()
        self._given = console
        self._live: Progress | None = None
        self._open = 0

    def say(self, message: str) -> None:
        """Print a line on stdout; nothing when quiet."""
        if not self.quiet:
            self._write(message)

    def aside(self, message: str) -> None:
        """Print a line on stderr; nothing when quiet. For commands whose results go to stdout."""
        if not self.quiet:
            self._err.out(printable(message, self._err.encoding), highlight=False)

    def warn(self, message: str) -> None:
        """Print a line on stderr, even when quiet."""
        if not launch.leads():
            return
        self._err.out(printable(f"dkd: warning: {message}", self._err.encoding), highlight=False)

    def table(
        self,
        title: str,
        columns: Sequence[Column | str],
        rows: Sequence[Sequence[object]],
        notes: Sequence[str] = (),
    ) -> None:
        """Print a table and its notes; a figure that does not exist is None.

        Columns that do not fit the terminal, or the 100 columns of a file, follow in further tables, each
        starting with the first column.
        """
        if self.quiet:
            return
        named = as_columns(columns)
        if self._out.is_interactive:
            for group in fitting_groups(named, rows, self._out.width):
                chosen = [named[i] for i in group]
                cells = [[row[i] for i in group] for row in rows]
                self._out.print(rich_table(title, chosen, cells, self._encoding), soft_wrap=False)
        else:
            lines = [title]
            for group in fitting_groups(named, rows, PLAIN_WIDTH + PLAIN_GAP, PLAIN_GAP):
                chosen = [named[i] for i in group]
                lines += plain_table(chosen, [[row[i] for i in group] for row in rows])
            self._write("\n".join(lines))
        for note in notes:
            self._write(note)

    def histogram(self, title: str, values: Sequence[float], bins: int = 20) -> None:
        """Print a histogram of the (finite) values with `bins` equal intervals."""
        if not self.quiet:
            self._write("\n".join([title, *histogram_lines(values, bins)]))

    @contextmanager
    def progress(
        self, description: str, total: int, unit: str = "examples", done: int = 0
    ) -> Iterator[Advance]:
        """Show progress through `total` units, `done` of them before this call; may be nested."""
        meter = Meter(printable(description, self._encoding), total, unit, done)
        if self.quiet:
            yield meter.advance
        elif self._out.is_interactive:
            with self._bar(meter) as advance:
                yield advance
        else:
            with self._lines(meter) as advance:
                yield advance

    @cached_property
    def _out(self) -> Console:
        from rich.console import Console

        return self._given or Console()

    @cached_property
    def _err(self) -> Console:
        from rich.console import Console

        return Console(stderr=True)

    @property
    def _encoding(self) -> str:
        return self._out.encoding

    def _write(self, message: str) -> None:
        self._out.out(printable(message, self._encoding), highlight=False)

    @contextmanager
    def _lines(self, meter: Meter) -> Iterator[Advance]:
        nested, spoken = self._open > 0, time.monotonic()
        lines = 0

        def advance(count: int, **fields: float) -> None:
            nonlocal spoken, lines
            meter.advance(count, **fields)
            if meter.done < meter.total and time.monotonic() - spoken >= SECONDS_BETWEEN_LINES:
                self._write(f"{meter.description}  {meter.figures()}")
                spoken, lines = time.monotonic(), lines + 1

        self._open += 1
        try:
            yield advance
        finally:
            self._open -= 1
        if lines or not nested:
            self._write(f"{meter.description}  {meter.figures()}")

    @contextmanager
    def _bar(self, meter: Meter) -> Iterator[Advance]:
        nested = self._live is not None
        if self._live is None:
            from dkd_cli.report.bars import progress_bar

            self._live = progress_bar(self._out)
            self._live.start()
        live = self._live
        task = live.add_task(meter.description, total=meter.total, completed=meter.done, meter=meter)

        def advance(count: int, **fields: float) -> None:
            meter.advance(count, **fields)
            live.update(task, completed=meter.done)

        try:
            yield advance
        finally:
            if nested:
                live.remove_task(task)
            else:
                live.stop()
                self._live = None


@dataclass
class Meter:
    """Progress and rate of a piece of work."""

    description: str
    total: int
    unit: str
    done: int = 0
    fields: dict[str, float] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _before: int = field(init=False)

    def __post_init__(self) -> None:
        self._before = self.done

    def advance(self, count: int, **fields: float) -> None:
        """Count `count` more units; keep the latest value of each field."""
        self.done += count
        self.fields.update(fields)

    def figures(self) -> str:
        """`640/4000 examples  84/s  loss 0.53  39 s left`; at the end the total time."""
        seconds = time.monotonic() - self._started
        parts = [f"{self.done}/{self.total} {self.unit}"]
        rate = (self.done - self._before) / seconds if seconds > 0 else 0.0
        if rate > 0:
            slow = f"{duration(1 / rate)} each" if rate < 0.1 else f"{rate:.1f}/s"
            parts.append(f"{rate:.0f}/s" if rate >= 10 else slow)
        parts += [f"{name.replace('_', ' ')} {value:.3g}" for name, value in self.fields.items()]
        if self.done >= self.total:
            parts.append(f"in {duration(seconds)}")
        elif rate > 0:
            parts.append(f"{duration((self.total - self.done) / rate)} left")
        return "  ".join(parts)


def duration(seconds: float) -> str:
    """`8 s`, `2 min 05 s`, `1 h 07 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
