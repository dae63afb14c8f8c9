"""A page that stands alone: sentences, tables and intervals as HTML and SVG, with no network and no script.

Knows nothing about what the figures mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from dkd_cli.report.tables import Column, as_columns, cell

ROW, LEFT, WIDTH = 26, 260, 420
"""Pixels of an interval plot: the height of a line, the room for labels, the width of the scale."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --pale: #6a737d; --line: #d0d7de; --strong: #0b62c4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --pale: #9aa4ae; --line: #3a424b; --strong: #6cb0ff; }
  body { background: #0f1318; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.lead p:first-child { font-size: 1.2rem; font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
td.number, th.number { text-align: right; }
summary { cursor: pointer; margin-top: 2rem; font-weight: 600; }
.note { color: var(--pale); font-size: .87rem; }
svg text { font: 13px system-ui, sans-serif; fill: var(--ink); } svg .pale { fill: var(--pale); }
svg line { stroke: var(--pale); stroke-width: 1.5; } svg .zero { stroke: var(--line); }
svg circle { fill: var(--pale); }
svg .clear line { stroke: var(--strong); } svg .clear circle { fill: var(--strong); }
"""


@dataclass(frozen=True)
class Bar:
    """A value and its interval, as one line of a plot."""

    label: str
    low: float
    value: float
    high: float
    clear: bool
    """Drawn strongly."""


def page(title: str, lead: Sequence[str], parts: Sequence[str]) -> str:
    """A whole document: a heading, sentences, and parts that are HTML already."""
    sentences = "\n".join(f"<p>{escape(line)}</p>" for line in lead)
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        f'<h1>{escape(title)}</h1>\n<div class="lead">\n{sentences}\n</div>\n{body}\n</html>\n'
    )


def html_table(
    title: str, columns: Sequence[Column | str], rows: Sequence[Sequence[object]], notes: Sequence[str] = ()
) -> str:
    """The table that a terminal would show, as HTML."""
    named = as_columns(columns)
    kinds = [
        ' class="number"' if any(isinstance(row[i], int | float) for row in rows) else ""
        for i in range(len(named))
    ]
    head = "".join(f"<th{kind}>{escape(one.name)}</th>" for one, kind in zip(named, kinds, strict=True))
    lines = [
        "<tr>"
        + "".join(
            f"<td{kind}>{escape(cell(one, value))}</td>"
            for one, kind, value in zip(named, kinds, row, strict=True)
        )
        + "</tr>"
        for row in rows
    ]
    below = "\n".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    body = "\n".join(lines)
    table = f'<div class="scroll"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'
    return f"<h2>{escape(title)}</h2>\n{table}\n{below}"


def html_text(title: str, text: str) -> str:
    """Text as it is written, under a heading that opens it."""
    return f"<details><summary>{escape(title)}</summary>\n<pre>{escape(text)}</pre></details>"


def interval_plot(title: str, bars: Sequence[Bar]) -> str:
    """Values and intervals on one scale that holds 0, the first on top; nothing for no bars."""
    if not bars:
        return ""
    low, high = min(0.0, *(one.low for one in bars)), max(0.0, *(one.high for one in bars))
    span = high - low or 1.0

    def across(value: float) -> str:
        return f"{LEFT + WIDTH * (value - low) / span:.1f}"

    height = ROW * (len(bars) + 1)
    drawn = [f'<line class="zero" x1="{across(0)}" x2="{across(0)}" y1="0" y2="{height - ROW}"/>']
    for place, one in enumerate(bars):
        middle = ROW * place + ROW / 2
        kind = "clear" if one.clear else "alike"
        drawn.append(
            f'<g class="{kind}">'
            f'<text x="{LEFT - 12}" y="{middle + 4}" text-anchor="end">{escape(one.label)}</text>'
            f'<line x1="{across(one.low)}" x2="{across(one.high)}" y1="{middle}" y2="{middle}"/>'
            f'<circle cx="{across(one.value)}" cy="{middle}" r="4.5"/></g>'
        )
    drawn += [
        f'<text class="pale" x="{across(value)}" y="{height - 8}" text-anchor="middle">{tick}</text>'
        for value, tick in ((low, f"{low:+.1f}"), (0.0, "0"), (high, f"{high:+.1f}"))
        if tick == "0" or abs(value) > span / 10  # nearer ones would be written over the 0
    ]
    return (
        f'<h2>{escape(title)}</h2>\n<div class="scroll"><svg width="{LEFT + WIDTH + 40}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">\n' + "\n".join(drawn) + "\n</svg></div>"
    )
