"""Strict readers for data files: what a file says is what comes out, or an error.

Text stays text: `NA` is two letters and `007` three digits. Encoding, compression and separator are
recognised, and noted where they are guessed. Knows nothing about tasks or splits.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from dkd_cli.errors import DataError, raise_all
from dkd_cli.reading.conll import TAGS, WORDS, tagged_words
from dkd_cli.reading.decoding import decode, unpacked
from dkd_cli.reading.json_rows import array, json_lines, objects
from dkd_cli.reading.merged_rows import merged_rows
from dkd_cli.reading.separated import NAMES, Dialect, ragged, recognise, records
from dkd_cli.reading.sheets import read_workbook
from dkd_cli.reading.tables import MOST_PROBLEMS, Table

PACKED = ".gz"


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a data file, and what a reader has to know about it."""

    data: bytes
    place: str
    """Its name as the user wrote it."""
    label: str
    """The column with the label; tells whether a quote swallowed the rows that follow it."""
    encoding: str | None
    """The recipe's, for a text file that is not UTF-8."""


def read_table(path: Path, place: str, label: str, encoding: str | None = None) -> Table:
    """Read a data file in the format that its suffix names; gzip is recognised by its content.

    Args:
        place: how the user named the file.
        label: the column with the label; tells whether a quote swallowed the rows that follow it.
        encoding: for text files that are not UTF-8 and whose encoding is not recognised.

    Raises:
        DataError: the file is missing, empty, broken or in an unknown format; up to five problems at once.
        RecipeError: there is no such encoding.
    """
    suffix = file_suffix(path.name)
    if suffix not in READERS:
        raise unknown_format(place, path)
    table = READERS[suffix](Content(read_bytes(path, place), place, label, encoding))
    if not len(table):
        raise DataError(place, "the file has no rows", "give it at least two examples of each class")
    return table


def read_bytes(path: Path, place: str) -> bytes:
    """Read a file whole, decompressed if it is gzipped.

    Raises:
        DataError: the file is missing, unreadable or damaged.
    """
    if not path.is_file():
        problem = "is a folder, not a file" if path.is_dir() else "there is no such file"
        raise DataError(place, problem, "check the path; it is relative to the working directory")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            place, f"cannot be read ({error.strerror or error})", "check its permissions"
        ) from error
    return unpacked(data, place)


def file_suffix(name: str) -> str:
    """The suffix that tells a file's format, in lower case and without that of gzip.

    >>> file_suffix("tickets.CSV.gz")
    '.csv'
    """
    return Path(name.lower().removesuffix(PACKED)).suffix


def unknown_format(place: str, path: Path) -> DataError:
    """The error for a file whose suffix names no format."""
    suffix = file_suffix(path.name) or "no suffix"
    return DataError(place, f"{suffix!r} is not a known format", f"use {', '.join(READERS)}, also gzipped")


def _text(file: Content) -> tuple[str, tuple[str, ...]]:
    """The text of a file, and a note where its encoding was guessed."""
    text, guessed = decode(file.data, file.place, file.encoding)
    if guessed is None:
        return text, ()
    return text, (f"{file.place}: not UTF-8, read as {guessed}; data.encoding names another encoding",)


def _read_csv(file: Content) -> Table:
    return _separated(file, ",")


def _read_tsv(file: Content) -> Table:
    return _separated(file, "\t")


def _separated(file: Content, usual: str) -> Table:
    text, notes = _text(file)
    # A carriage return inside a quoted text is no end of line, unless the file knows no other.
    newline = "\n" if "\n" in text else "\r"
    dialect = recognise(io.StringIO(text, newline=newline), usual)
    found = records(io.StringIO(text, newline=newline), file.place, dialect)
    top, header = next(found)
    named = [name for name in header if name]
    if repeated := [name for name in named if named.count(name) > 1]:
        raise DataError(
            f"{file.place}:{top}", f"the column {repeated[0]!r} appears twice", "rename one of them"
        )
    rows: list[list[str]] = []
    lines: list[int] = []
    problems: list[DataError] = []
    try:
        for line, row in found:
            if len(row) == len(header):
                rows.append(row)
                lines.append(line)
            else:
                problems.append(ragged(f"{file.place}:{line}", len(row), len(header), dialect))
                if len(problems) == MOST_PROBLEMS:
                    break
    except DataError as error:
        problems.append(error)
    raise_all(problems)
    if dialect.quoted and file.label in header:
        merged = merged_rows(rows, header.index(file.label), dialect.separator)
        raise_all([_merged(f"{file.place}:{lines[row]}") for row in islice(merged, MOST_PROBLEMS)])
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    # Of columns without a name pandas writes one and Excel many; nobody can ask for them.
    return Table(
        file.place,
        {name: column for name, column in zip(header, columns, strict=True) if name},
        lines,
        notes=(*notes, *_said(file.place, dialect, usual)),
    )


def _said(place: str, dialect: Dialect, usual: str) -> list[str]:
    if dialect.separator != usual:
        return [f"{place}: read as separated by {NAMES.get(dialect.separator, repr(dialect.separator))}"]
    if usual == "\t" and dialect.quoted:
        return [f"{place}: quotes around its texts are not part of them"]
    return []


def _merged(place: str) -> DataError:
    return DataError(
        place,
        "a quote that is not closed on this row swallows the rows after it",
        'close it, or write it "" inside a quoted text; a line break that belongs to the text must not be '
        "followed by what looks like a row",
    )


def _read_json(file: Content) -> Table:
    text, notes = _text(file)
    rows = array(text, file.place) if text.lstrip().startswith("[") else json_lines(text, file.place)
    return replace(objects(rows, file.place), notes=notes)


def _read_jsonl(file: Content) -> Table:
    text, notes = _text(file)
    return replace(objects(json_lines(text, file.place), file.place), notes=notes)


def _read_parquet(file: Content) -> Table:
    # Only here: importing them takes a second, which the other formats need not pay.
    import pyarrow
    import pyarrow.parquet
    from datasets import Features

    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(file.data))
    except (pyarrow.ArrowException, OSError) as error:  # damage is an OSError too
        raise DataError(file.place, f"not a parquet file ({error})", "write it again") from error
    try:
        columns = {name: table[name].to_pylist() for name in table.column_names}
    except UnicodeDecodeError as error:
        raise DataError(
            file.place, f"holds a text that is not UTF-8 ({error.reason})", "write it again"
        ) from error
    return Table(file.place, columns, class_names=class_names(Features.from_arrow_schema(table.schema)))


def _read_workbook(file: Content) -> Table:
    return read_workbook(file.data, file.place)


def _read_conll(file: Content) -> Table:
    text, notes = _text(file)
    return replace(tagged_words(text, file.place), notes=notes)


def class_names(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The names of the classes in each column that declares them (the hub's `ClassLabel`, or lists of it)."""
    of_items = {name: getattr(f, "feature", f) for name, f in features.items()}
    return {name: tuple(f.names) for name, f in of_items.items() if getattr(f, "names", None)}


READERS: dict[str, Callable[[Content], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
    ".xlsx": _read_workbook,
    ".conll": _read_conll,
    ".bio": _read_conll,
}


def is_file_name(reference: str) -> bool:
    """Return whether the recipe's value names a data file, rather than a split or a data set."""
    return reference.startswith("pkg://") or reference.lower().removesuffix(PACKED).endswith(tuple(READERS))


RENAME = "rename one of its columns: {}"
"""The remedy where all tables share the names of columns; the names that it has come in place of `{}`."""


def missing_columns(table: Table, wanted: Sequence[str], remedy: str = "name one of: {}") -> list[DataError]:
    """One error for each wanted column that the table lacks; `remedy` as in `no_column`."""
    return [no_column(table, name, remedy) for name in wanted if table.column(name) is None]


def no_column(table: Table, name: str, remedy: str = "name one of: {}") -> DataError:
    """The error for a column that a table lacks; `{}` in the remedy becomes the names that it has."""
    present = table.names()
    alike = [other for other in present if other.casefold() == name.casefold()]
    shown = f"did you mean {alike[0]!r}?" if alike else remedy.format(", ".join(present))
    if {WORDS, TAGS} <= {*present} and name in ("text", "label"):  # where nothing names a column
        shown = "these are words that carry tags: set data.kind: tokens"
    return DataError(table.place, f"there is no column {name!r}", shown)
