"""One HTML file out of sections: no network, no scripts; light and dark; for a screen, a phone or paper.

Whoever reports builds `Section`s out of the blocks below. Every text is escaped by the template; pictures are
SVG made by `drawing.svg`. Knows nothing about what the figures mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dkd_cli.report.tables import Column, as_columns, is_numeric, written

MOST_ROWS = 200
"""Of a table: who wants more reads the file beside the page."""


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Tiles:
    """A few large figures, each with what it is."""

    figures: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class TableBlock:
    """Rows under columns; a figure that does not exist is None."""

    columns: Sequence[Column | str]
    rows: Sequence[Sequence[object]]
    notes: Sequence[str] = ()
    marked: Sequence[int] = ()
    """The rows that stand out."""

    @property
    def head(self) -> list[tuple[str, bool]]:
        """Each column's name, and whether it is one of numbers."""
        columns = as_columns(self.columns)
        return [(column.name, is_numeric(self.rows, place)) for place, column in enumerate(columns)]

    @property
    def body(self) -> list[list[str]]:
        """The cells as text."""
        return written(as_columns(self.columns), self.rows)


@dataclass(frozen=True)
class Picture:
    """A plot and what it shows."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Code:
    """Text to copy."""

    text: str


@dataclass(frozen=True)
class DisagreementBlock:
    """A text and what was said of it."""

    text: str
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Folded:
    """Blocks behind a line that one can click; open on paper."""

    summary: str
    blocks: Sequence[Block]


Block: TypeAlias = Prose | Tiles | TableBlock | Picture | Code | DisagreementBlock | Folded


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    anchor: str
    title: str
    blocks: Sequence[Block]
    part: str | None = None
    """The title of the part that begins here, where a page has several."""


def html_page(
    title: str,
    headline: Sequence[str],
    sections: Sequence[Section],
    *,
    machine: Mapping[str, object],
    made: Sequence[Block],
    figures: str,
) -> str:
    """The whole page.

    Args:
        title: of the window and the page.
        headline: what a reader who stops here should know, a paragraph each.
        sections: in order; their anchors are unique.
        machine: versions and hardware, by name, `dkd` and `taken` among them.
        made: the recipes and commands that lead here; with the machine the last section.
        figures: the file beside the page that has them all.
    """
    facts = [[name, str(value)] for name, value in machine.items() if value is not None]
    last = Section("made", "How it was made", [TableBlock(["", ""], facts), *made])
    footer = f"dkd {machine['dkd']}, {machine['taken']}. All figures: {figures}, beside this file."
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("dkd_cli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["kind"] = lambda block: type(block).__name__
    template = environment.get_template("page.html")
    return template.render(title=title, headline=headline, sections=[*sections, last], footer=footer)
