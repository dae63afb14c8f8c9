"""HTML page from sections in one file: no network, no scripts, light and dark mode, for screens, phones and
paper.

Reports are built from `Section`s of the blocks below. All text is escaped by the template; pictures are SVG
from `drawing.svg`. Knows nothing about the meaning of the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dkd_cli.report.tables import Column, as_columns, is_numeric, written

MOST_ROWS = 200
"""The most rows of a table; the file next to the page has them all."""


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Tiles:
    """A few large figures with their captions."""

    figures: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class TableBlock:
    """Rows under columns; a figure that does not exist is None."""

    columns: Sequence[Column | str]
    rows: Sequence[Sequence[object]]
    notes: Sequence[str] = ()
    marked: Sequence[int] = ()
    """Highlighted rows."""

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
    """A plot and its caption."""

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
    """Collapsible blocks; expanded on paper."""

    summary: str
    blocks: Sequence[Block]


Block: TypeAlias = Prose | Tiles | TableBlock | Picture | Code | DisagreementBlock | Folded


@dataclass(frozen=True)
class Section:
    """A heading and its content."""

    anchor: str
    title: str
    blocks: Sequence[Block]
    part: str | None = None
    """The title of the part that begins here, if a page has several parts."""


def html_page(
    title: str,
    headline: Sequence[str],
    sections: Sequence[Section],
    *,
    machine: Mapping[str, object],
    made: Sequence[Block],
    figures: str,
) -> str:
    """Return the whole page.

    Args:
        title: of window and page.
        headline: the most important paragraphs.
        sections: in order; their anchors are unique.
        machine: versions and hardware, by name, `dkd` and `taken` among them.
        made: the recipes and commands that reproduce it; with the machine, the last section.
        figures: the file next to the page with all figures.
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
