"""Rows that an unclosed quote has glued together, which a CSV reader takes for one long text.

Knows nothing about files; works on rows that are already split into fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

FEW = 20


def merged_rows(rows: Sequence[Sequence[str]], label: int, separator: str) -> Iterator[int]:
    """Yield the indices of rows whose multi-line text is made of what looks like further rows.

    A stray quote swallows whole rows, so every line of the text must look like one, or like the part of one
    that is left of it: split plainly it has as many fields as a row. One of them must have a label of the
    file's single-line rows in the label's place; an empty label is no evidence, nor is the number of commas.
    """
    plain = {row[label] for row in rows if row[label].strip() and not any("\n" in field for field in row)}
    # Labels that hardly ever repeat are measurements: there a number of the same shape is evidence enough.
    shapes = {_shape(value) for value in plain} if len(plain) > max(FEW, len(rows) // 2) else set()
    for index, row in enumerate(rows):
        for column, field in enumerate(row):
            if "\n" not in field:
                continue
            lines = list(_telling_lines(row, column, label, separator))
            if all(len(pieces) == len(row) for pieces in lines) and any(
                pieces[label] in plain or _shape(pieces[label]) in shapes for pieces in lines
            ):
                yield index
                break


def _telling_lines(row: Sequence[str], column: int, label: int, separator: str) -> Iterator[list[str]]:
    """Split the lines of a text, the first and the last one only if it has the label's place."""
    first, *inner, last = (line.rstrip("\r") for line in row[column].split("\n"))
    if label >= column:
        yield [*row[:column], *first.split(separator)]
    yield from (line.split(separator) for line in inner if line.strip())
    if label <= column:
        yield [*last.split(separator), *row[column + 1 :]]


def _shape(value: str) -> str:
    """Return the pattern of a number.

    >>> _shape("-3.25")
    '-0.00'
    """
    return re.sub(r"\d", "0", value)
