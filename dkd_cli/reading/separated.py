"""Comma-separated text and its relatives: which separator and which quoting a file has, and its records.

Knows nothing about encodings, files or what the columns mean.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from dkd_cli.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
SAMPLE = 50
"""Records that a separator is recognised by."""
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
ANY_FIELD = 2**31 - 1
DECLARATION = re.compile(r"\ufeff?sep=(.)\s*", re.IGNORECASE)
"""A first line that names the separator, for Excel."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Separator and quoting of a file."""

    separator: str
    quoted: bool = True
    """True if quotes enclose fields; else they are characters like any other."""
    spaced: bool = False
    """True if a space follows each separator, also before a quote."""
    skipped: int = 0
    """Lines before the header: `sep=;`, as Excel reads it."""


def recognise(lines: Iterable[str], usual: str) -> Dialect:
    """Tell the dialect from the first lines of a file, with their ends.

    The separator is the usual one if it makes a header of several columns; another one if the usual one makes
    a single column and that one makes as many fields of every record as of the header. Quotes enclose fields,
    but between tabs only where they do so everywhere (`encloses`).

    Args:
        lines: all of them, or as many as there are.
        usual: what the file's suffix says.
    """
    lines = iter(lines)
    head = list(islice(lines, SAMPLE))
    declared = DECLARATION.fullmatch(head[0]) if head else None
    skipped = 1 if declared else 0
    head = head[skipped:]
    separator = declared[1] if declared else _separator(head, usual)
    names = next((line for line in head if line.strip()), "").rstrip("\r\n").split(separator)[1:]
    # The space is dropped only where a quote after it would else be a character of the text.
    spaced = all(name.startswith(" ") for name in names) and any(f'{separator} "' in line for line in head)
    quoted = separator != "\t" or encloses(chain(head, lines), separator)
    return Dialect(separator, quoted, spaced and quoted, skipped)


def _separator(head: Sequence[str], usual: str) -> str:
    """The usual one, or another that fits the records better."""
    fits = {mark: _fit(head, mark) for mark in dict.fromkeys((usual, *SEPARATORS))}
    columns, share = fits.pop(usual)
    if columns > 1 and share == 1:
        return usual
    if columns > 1 and share >= 0.5:
        # A file of the usual kind with an error in it, unless another separator makes more columns and none.
        return next((mark for mark, fit in fits.items() if fit[0] > columns and fit[1] == 1), usual)
    return next((mark for mark, fit in fits.items() if fit[0] > 1 and fit[1] >= 0.5), usual)


def _fit(head: Sequence[str], separator: str) -> tuple[int, float]:
    """Columns of the header, and the share of the other records that have as many."""
    reader = csv.reader(head, delimiter=separator, strict=True)
    widths: list[int] = []
    try:
        for record in reader:
            if record:
                widths.append(len(record))
    except csv.Error:
        if reader.line_num < len(head):  # else the sample ends inside a record
            widths.append(0)
    header, *others = widths or [0]
    return header, sum(width == header for width in others) / len(others) if others else 1.0


def encloses(lines: Iterable[str], separator: str) -> bool:
    """Return whether quotes enclose fields, as pandas and R write, or belong to the texts, as in GLUE.

    They do if every quote is explained by it: no field has one inside unless it is enclosed, and every
    enclosed one needs it, or the header is enclosed too. Lines that are whole records as they stand are no
    parts of a quoted one.
    """
    read: list[str] = []

    def noted() -> Iterator[str]:
        for line in lines:
            read.append(line)
            yield line

    width, always, found = 0, False, False
    csv.field_size_limit(ANY_FIELD)
    reader = csv.reader(noted(), delimiter=separator, strict=True)
    try:
        for record in reader:
            whole, several = "".join(read), len(read) > 1
            enclosed = list(_enclosed(whole, record))
            if not width:
                width, always = len(record), all(enclosed)
            if record and len(record) != width:
                return False
            for field, quoted in zip(record, enclosed, strict=True):
                needed = any(mark in field for mark in ('"', separator, "\n", "\r"))
                if needed != quoted and not (quoted and always):
                    return False
                found = found or quoted
            if several and all(line.count(separator) == width - 1 for line in read if line.strip()):
                return False
            read.clear()
    except csv.Error:
        return False
    return found


def _enclosed(whole: str, record: Sequence[str]) -> Iterator[bool]:
    """Return whether each field stands in quotes in the text of its record."""
    position = 0
    for field in record:
        quoted = whole.startswith('"', position)
        yield quoted
        position += len(field) + 1 + (field.count('"') + 2 if quoted else 0)


def records(
    lines: Iterable[str], place: str, dialect: Dialect, longest: int = ANY_FIELD
) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not blank with the line it begins on; the header comes first.

    Spaces around the header's names are dropped.

    Args:
        lines: with their ends, from the first line of the file on.
        place: how the user named it.
        dialect: as `recognise` tells it.
        longest: characters that a field may have.

    Raises:
        DataError: at a record that cannot be read, after those before it.
    """
    csv.field_size_limit(longest)
    reader = csv.reader(
        islice(lines, dialect.skipped, None),
        delimiter=dialect.separator,
        quoting=csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
        skipinitialspace=dialect.spaced,
        strict=True,
    )
    header = True
    while True:
        line = reader.line_num + 1 + dialect.skipped
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{place}:{line}",
                f"the row that begins here cannot be read ({error})",
                'look for a quote that is never closed; inside a quoted text a quote is written ""',
            ) from None
        if record:
            yield line, [name.strip() for name in record] if header else record
            header = False


def ragged(place: str, found: int, expected: int, dialect: Dialect) -> DataError:
    """The error for a row with another number of columns than the header."""
    remedy = (
        f"put texts that contain {NAMES.get(dialect.separator, 'separators')} or line breaks in quotes"
        if dialect.quoted
        else "texts cannot contain tabs or line breaks"
    )
    return DataError(place, f"{found} columns where the header has {expected}", remedy)
