"""Plot of values with their intervals on a scale that includes 0; does not know what they measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkd_cli.report.drawing import svg
from dkd_cli.report.palette import INK
from dkd_cli.report.printable import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLEAR = "#0f79c4"


@dataclass(frozen=True)
class Interval:
    """A value between two bounds."""

    label: str
    low: float
    value: float
    high: float
    clear: bool
    """Emphasised."""


def interval_plot(intervals: Sequence[Interval], scale: str) -> str:
    """Draw a line for each interval, the first on top, over an axis labelled `scale`."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        places = range(len(intervals) - 1, -1, -1)
        for place, one in zip(places, intervals, strict=True):
            colour, strength = (CLEAR, 1.0) if one.clear else (INK, 0.5)
            axes.plot([one.low, one.high], [place, place], color=colour, alpha=strength)
            axes.plot([one.value], [place], "o", color=colour, alpha=strength)
        axes.set_yticks(places, [printable(one.label, "utf-8") for one in intervals])
        axes.set_ylim(-0.6, len(intervals) - 0.4)
        axes.set_xlabel(scale)
        axes.grid(axis="y", visible=False)

    return svg(draw, width=8.2, height=0.9 + 0.3 * len(intervals), label=scale)
