"""Rows that an unclosed quote has glued together, which a CSV reader takes for one long text.

Knows nothing about files; works on rows that are already split into fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

FEW = 20


def merged_rows(rows: Sequence[Sequence[str]], label: int, delimiter: str) -> Iterator[int]:
    """Yield the indices of rows whose multi-line text holds what looks like further rows.

    A line inside a text looks like a row if splitting it plainly gives as many fields as a row has and the
    field in the label's place is one of the labels of the file's single-line rows. A line break in a text
    is fine, and so is a line with the right number of commas.
    """
    plain = {row[label] for row in rows if not any("\n" in field for field in row)}
    # Labels that hardly ever repeat are measurements: there a number of the same shape is evidence enough.
    shapes = {_shape(value) for value in plain} if len(plain) > max(FEW, len(rows) // 2) else set()
    for index, row in enumerate(rows):
        for column, field in enumerate(row):
            if "\n" in field and any(
                len(pieces) == len(row) and (pieces[label] in plain or _shape(pieces[label]) in shapes)
                for pieces in _telling_lines(row, column, label, delimiter)
            ):
                yield index
                break


def _telling_lines(row: Sequence[str], column: int, label: int, delimiter: str) -> Iterator[list[str]]:
    """Split those lines of a row that need not have a label in its place, as they stand in the file."""
    first, *inner, last = (line.rstrip("\r").split(delimiter) for line in row[column].split("\n"))
    if label >= column:
        yield [*row[:column], *first]
    yield from inner
    if label <= column:
        yield [*last, *row[column + 1 :]]


def _shape(value: str) -> str:
    """What a number looks like.

    >>> _shape("-3.25")
    '-0.00'
    """
    return re.sub(r"\d", "0", value)
