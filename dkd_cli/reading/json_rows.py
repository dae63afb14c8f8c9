"""JSON arrays and JSON lines: objects with the line that each begins on.

Knows nothing about files or encodings.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from dkd_cli.errors import DataError, raise_all
from dkd_cli.reading.decoding import HALF, encodable
from dkd_cli.reading.tables import MOST_PROBLEMS, ObjectColumns, Table

MOST_LEVELS = 50
"""JSON that is nested deeper is no row of a table."""

Row = tuple[int, dict[str, Any] | DataError]
"""A line number and what stands there."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        raise ValueError("a key appears twice")
    return keys


DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _checked(value: object, place: str, written: str) -> dict[str, Any] | DataError:
    if written.count("[") + written.count("{") > MOST_LEVELS and _levels(value) > MOST_LEVELS:
        return DataError(place, f"nested deeper than {MOST_LEVELS} levels", "write plain values")
    if "\\u" in written and not encodable(json.dumps(value, ensure_ascii=False)):
        return DataError(place, HALF, "write both halves, or the character itself")
    if isinstance(value, dict):
        return value
    return DataError(place, f"not an object but {type(value).__name__}", 'write {"column": value, ...}')


def _levels(value: object) -> int:
    """Depth of nested lists and objects, computed without recursion."""
    level, depth = [value], 0
    while level := [inside for one in level for inside in _inside(one)]:
        depth += 1
    return depth


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def json_lines(text: str, place: str) -> Iterator[Row]:
    """Yield the object on each line that is not blank, or what is wrong with it."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{place}:{number}"
            try:
                value = DECODER.decode(line)
            except (ValueError, RecursionError) as error:
                reason = getattr(error, "msg", str(error))
                remedy = "write one whole object per line; the file may have been cut off"
                yield number, DataError(where, f"not a JSON object ({reason})", remedy)
            else:
                yield number, _checked(value, where, line)


def array(text: str, place: str) -> Iterator[Row]:
    """Yield the elements of a JSON array one by one, so that each knows its line."""
    position, line, counted = text.index("[") + 1, 1, 0
    separator = ""
    while True:
        position = _skip_blank(text, position)
        line, counted = line + text.count("\n", counted, position), position
        if text[position : position + 1] == "]" and separator != ",":
            return
        start = position
        try:
            value, position = DECODER.raw_decode(text, start)
            end = _skip_blank(text, position)
            separator = text[end : end + 1]
            if separator not in (",", "]"):
                raise ValueError("a comma or ] is missing after it")
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", str(error))
            yield line, DataError(f"{place}:{line}", f"not JSON ({reason})", "the file may have been cut off")
            return
        yield line, _checked(value, f"{place}:{line}", text[start:position])
        position = end + (separator == ",")


def _skip_blank(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def objects(rows: Iterator[Row], place: str) -> Table:
    """Make columns of objects; a key that an object lacks is None there.

    Raises:
        DataError: what is wrong with the first rows that are no objects.
    """
    found: list[dict[str, Any]] = []
    lines: list[int] = []
    problems: list[DataError] = []
    for line, row in rows:
        if isinstance(row, DataError):
            problems.append(row)
            if len(problems) == MOST_PROBLEMS:
                break
        else:
            found.append(row)
            lines.append(line)
    raise_all(problems)
    return Table(place, ObjectColumns(found), lines)
