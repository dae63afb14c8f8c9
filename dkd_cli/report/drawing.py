"""matplotlib figures to SVG for use inside a page, with the page's colours.

Knows nothing about what is drawn. matplotlib is imported when the first figure is drawn.
"""

from __future__ import annotations

import io
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from markupsafe import escape

from dkd_cli.report.palette import INK, RULE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": RULE,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "font.size": 9.5,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "dkd",  # the same picture has the same ids
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a label is a dollar sign
    "xtick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.color": RULE,
    "ytick.labelcolor": INK,
}
LINE_HEIGHT = 17.0
"""The height of a label, in pixels, of which matplotlib has 100 per inch."""
COLUMNS = 5
"""Labels in different fifths of the axes do not overlap."""


@contextmanager
def drawing_style() -> Iterator[None]:
    """Draw in the report's style, whatever the user's own settings are."""
    import logging

    import matplotlib

    # It logs on first use that it searches for fonts, which does not concern the user.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about glyphs missing from its fonts: the browser's have them
        matplotlib.rcdefaults()
        for name, value in STYLE.items():
            matplotlib.rcParams[name] = value  # type: ignore[index]  # it lists its keys one by one
        yield


def svg(draw: Callable[[Figure], None], *, width: float, height: float, label: str) -> str:
    """Let `draw` fill a figure and return it as an SVG element.

    Args:
        draw: adds axes and what is in them.
        width: of the figure in inches of 96 pixels; a narrower screen shrinks it.
        height: in the same unit.
        label: the accessible description.
    """
    with drawing_style():
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _inline(buffer.getvalue(), label)


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Spread positions until neighbours are `gap` apart, with the least movement and in their order."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    groups: list[list[float]] = []  # [sum of centres, count]: labels that overlap move together
    for rank, i in enumerate(order):
        groups.append([places[i] - rank * gap, 1.0])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
            total, count = groups.pop()
            groups[-1][0] += total
            groups[-1][1] += count
    starts = [total / count for total, count in groups for _ in range(int(count))]
    spread_out = [0.0] * len(places)
    for rank, i in enumerate(order):
        spread_out[i] = starts[rank] + rank * gap
    return spread_out


def label_points(axes: Axes, points: Sequence[tuple[float, float, str, str]]) -> None:
    """Label points with (x, y, text, colour) to their right, without overlaps among points of similar x."""
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # settles how high the axes are
    left, right = axes.get_xlim()
    columns: dict[int, list[tuple[float, float, str, str]]] = defaultdict(list)
    for point in points:
        columns[round(COLUMNS * (point[0] - left) / (right - left))].append(point)
    for column in columns.values():
        _label_column(axes, column)


def _label_column(axes: Axes, points: Sequence[tuple[float, float, str, str]]) -> None:
    low, high = axes.get_ylim()
    gap = (high - low) * LINE_HEIGHT / axes.get_window_extent().height
    heights = spread([y for _, y, _, _ in points], gap)
    for (x, y, text, colour), height in zip(points, heights, strict=True):
        label = axes.annotate(
            text,
            xy=(x, y),
            xytext=(11, (height - y) / gap * LINE_HEIGHT * 72 / 100),
            textcoords="offset points",
            color=colour,
            va="center",
            fontsize=8.5,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "alpha": 0.5, "shrinkB": 4},
        )
        label.set_in_layout(False)


def _inline(text: str, label: str) -> str:
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    # Several pictures share a page, where unused ids would only clash.
    text = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", text)
    text = text.replace(INK, "currentColor").replace(RULE, "var(--rule, #b8b8b8)")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1).strip()
