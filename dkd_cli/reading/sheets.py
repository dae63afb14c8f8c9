"""Excel workbooks: the first sheet with anything in it, whose first row is the header.

Needs openpyxl, which the extra `excel` installs. Knows nothing about what the columns mean.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from dkd_cli.errors import DataError, reason
from dkd_cli.reading.tables import Table


def read_workbook(content: bytes, place: str) -> Table:
    """Read the values of a workbook; formulas count as what was last computed of them.

    Raises:
        DataError: it is damaged, a column's name stands twice, or openpyxl is not installed.
    """
    try:
        import openpyxl  # only here: it is optional, and takes a while
    except ModuleNotFoundError:
        raise DataError(
            place, "needs openpyxl to be read", "pip install 'dkd-cli[excel]', or save it as csv"
        ) from None
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheets = [(sheet.title, _rows(sheet)) for sheet in book.worksheets]
    # A damaged archive, XML or style raises a dozen unrelated types.
    except Exception as error:
        raise DataError(
            place, f"not an Excel workbook ({reason(error)})", "save it again as .xlsx"
        ) from error
    filled = [(title, rows) for title, rows in sheets if rows]
    if not filled:
        raise DataError(place, "the workbook is empty", "give it a header and rows")
    title, rows = filled[0]
    others = ", ".join(repr(name) for name, _ in filled[1:])
    notes = (f"{place}: the sheet {title!r} is read, {others} not",) if others else ()
    return _table(rows, place, notes)


def _rows(sheet: Any) -> list[tuple[int, Sequence[object]]]:
    """Rows that are not blank, with their numbers."""
    rows = enumerate(sheet.iter_rows(values_only=True), start=1)
    return [(number, row) for number, row in rows if any(value is not None for value in row)]


def _table(rows: Sequence[tuple[int, Sequence[object]]], place: str, notes: tuple[str, ...]) -> Table:
    line, header = rows[0]
    named = [(index, str(name).strip()) for index, name in enumerate(header) if name is not None]
    names = [name for _, name in named]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{place}:{line}", f"the column {repeated[0]!r} appears twice", "rename one of them")
    columns = {
        name: [row[index] if index < len(row) else None for _, row in rows[1:]] for index, name in named
    }
    return Table(place, columns, [number for number, _ in rows[1:]], notes=notes)
