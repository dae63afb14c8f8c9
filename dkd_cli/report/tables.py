"""Tables from rows of values, drawn by rich or as aligned text.

Knows only the width and the encoding of the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkd_cli.report.printable import printable

if TYPE_CHECKING:
    from rich.table import Table

MISSING = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading and number format; columns of numbers are aligned right."""

    name: str
    digits: int = 3
    """Decimals of a float."""
    suffix: str = ""
    """Written after each value, such as `×`."""


def as_columns(columns: Sequence[Column | str]) -> list[Column]:
    """Turn plain headings into columns with the default format."""
    return [Column(column) if isinstance(column, str) else column for column in columns]


def cell(column: Column, value: object) -> str:
    """Format a value: a float with the column's decimals, None as `–`, anything else unchanged."""
    if value is None:
        return MISSING
    if isinstance(value, float):
        return f"{value:.{column.digits}f}{column.suffix}"
    # a line break inside a cell would split the row
    return " ".join(f"{value}{column.suffix}".split())


def plain_table(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return the heading, a rule and one line per row, with aligned columns of their natural width."""
    from rich.cells import cell_len

    cells, widths = written(columns, rows), _widths(columns, rows)
    right = [is_numeric(rows, i) for i in range(len(columns))]

    def line(values: Sequence[str]) -> str:
        padded = []
        for value, width, to_the_right in zip(values, widths, right, strict=True):
            space = " " * (width - cell_len(value))
            padded.append(space + value if to_the_right else value + space)
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return [line([column.name for column in columns]), rule, *(line(row) for row in cells)]


def rich_table(
    title: str, columns: Sequence[Column], rows: Sequence[Sequence[object]], encoding: str
) -> Table:
    """Return the table for rich to draw; characters that `encoding` lacks are transliterated to ASCII."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(title, encoding)), box=box.SIMPLE_HEAD, title_justify="left")
    for i, column in enumerate(columns):
        heading = Text(printable(column.name, encoding))
        table.add_column(heading, justify="right" if is_numeric(rows, i) else "left", no_wrap=True)
    for row in written(columns, rows):
        table.add_row(*(Text(printable(value, encoding)) for value in row))
    return table


def fitting_groups(
    columns: Sequence[Column], rows: Sequence[Sequence[object]], width: int, gap: int = 3
) -> list[list[int]]:
    """Split the columns into groups no wider than `width`, each led by column 0; `gap`: space per column."""
    needed = [column_width + gap for column_width in _widths(columns, rows)]
    groups = [[0]]
    for i in range(1, len(columns)):
        if len(groups[-1]) > 1 and sum(needed[j] for j in groups[-1]) + needed[i] > width:
            groups.append([0])
        groups[-1].append(i)
    return groups


def written(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> list[list[str]]:
    """Return every cell as text."""
    return [[cell(column, value) for column, value in zip(columns, row, strict=True)] for row in rows]


def is_numeric(rows: Sequence[Sequence[object]], index: int) -> bool:
    """Return whether a column has only numbers, apart from empty cells."""
    values = [row[index] for row in rows if row[index] is not None]
    return bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> list[int]:
    from rich.cells import cell_len

    cells = written(columns, rows)
    return [max(cell_len(text) for text in (c.name, *(r[i] for r in cells))) for i, c in enumerate(columns)]
