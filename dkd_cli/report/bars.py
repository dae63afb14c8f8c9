"""Progress bars on a terminal, drawn by rich. Knows nothing about what is counted."""

from __future__ import annotations

import sys
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text


class HasFigures(Protocol):
    """A task's `meter` field."""

    def figures(self) -> str:
        """The text beside the bar."""


class _Figures(ProgressColumn):
    def render(self, task: Task) -> Text:
        meter: HasFigures = task.fields["meter"]
        return Text(meter.figures())


def progress_bar(console: Console) -> Progress:
    """Make a bar with description and figures; each of its tasks has a field `meter`."""
    # rich would draw stderr's lines on stdout, even if the user redirects them to a file
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=12),
        _Figures(table_column=Column(no_wrap=True)),
        console=console,
        redirect_stderr=sys.stderr.isatty(),
    )
