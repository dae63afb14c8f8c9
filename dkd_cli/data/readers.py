"""Strict readers for csv, tsv, json, jsonl and parquet: what a file says is what comes out, or an error.

Text stays text: `NA` is two letters and `007` three digits. Comma-separated files follow RFC 4180.
Tab-separated ones are unquoted, as those of GLUE and SST are: a quote is a character like any other.
Knows nothing about tasks or splits.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from dkd_cli.data.merged_rows import merged_rows
from dkd_cli.data.tables import Table
from dkd_cli.errors import DataError, RecipeError, raise_all

MOST_PROBLEMS = 5
"""So many problems of a file are shown at once."""
ANY_FIELD = 2**31 - 1
MOST_LEVELS = 50
"""JSON that is nested deeper is no row of a table."""
HALF = "holds half a character (a lone surrogate)"


def read_table(path: Path, place: str, label: str, encoding: str | None = None) -> Table:
    """Read a data file in the format that its suffix names.

    Args:
        place: how the user named the file.
        label: the column with the label; tells whether a quote swallowed the rows that follow it.
        encoding: for text files that are not UTF-8.

    Raises:
        DataError: the file is missing, empty, broken or in an unknown format; up to five problems at once.
        RecipeError: there is no such encoding.
    """
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise unknown_format(place, path)
    if not path.is_file():
        problem = "is a folder, not a file" if path.is_dir() else "there is no such file"
        raise DataError(place, problem, "check the path; it is relative to the working directory")
    try:
        table = READERS[suffix](path, place, label, encoding)
    except OSError as error:
        raise DataError(
            place, f"cannot be read ({error.strerror or error})", "check its permissions"
        ) from error
    if not len(table):
        raise DataError(place, "the file has no rows", "give it at least two examples of each class")
    return table


def unknown_format(place: str, path: Path) -> DataError:
    """What is said of a file whose suffix names no format."""
    suffix = path.suffix.lower() or "no suffix"
    return DataError(place, f"{suffix!r} is not a known format", f"use {', '.join(READERS)}")


def _decode(path: Path, place: str, encoding: str | None) -> str:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text = _decode_otherwise(content, place, encoding, error)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{place}:{line}", "a NUL character", "the file is damaged or not a text file")
    if not text.strip():
        raise DataError(place, "the file is empty", "give it a header and rows")
    if not encodable(text):  # some encodings have escapes of their own
        raise DataError(place, HALF, "name its encoding in data.encoding")
    return text


def _decode_otherwise(content: bytes, place: str, encoding: str | None, error: UnicodeDecodeError) -> str:
    if encoding is not None:
        try:
            return content.decode(encoding)
        except (LookupError, UnicodeEncodeError):
            raise RecipeError(
                "data.encoding", f"{encoding!r} is no text encoding", "use a name such as latin-1 or cp1252"
            ) from None
        except UnicodeDecodeError as other:
            error = other
        except ValueError:  # `undefined`, `idna`: encodings, but of no text file
            raise DataError(place, f"is not {encoding!r}", "name another encoding in data.encoding") from None
    line = content.count(b"\n", 0, error.start) + 1
    raise DataError(
        f"{place}:{line}",
        f"byte {error.start} (0x{content[error.start]:02x}) is not {error.encoding}",
        "save the file as UTF-8, or name its encoding in data.encoding (latin-1 takes any byte)",
    ) from None


def _read_csv(path: Path, place: str, label: str, encoding: str | None) -> Table:
    return _separated(_decode(path, place, encoding), place, label, ",")


def _read_tsv(path: Path, place: str, label: str, encoding: str | None) -> Table:
    return _separated(_decode(path, place, encoding), place, label, "\t")


def _separated(text: str, place: str, label: str, delimiter: str) -> Table:
    # A carriage return inside a quoted text is no end of line, unless the file knows no other.
    ended = io.StringIO(text, newline="\n" if "\n" in text else "\r")
    found = records(ended, place, delimiter, ANY_FIELD)
    _, header = next(found)
    if repeated := [name for name in header if header.count(name) > 1]:
        raise DataError(f"{place}:1", f"the column {repeated[0]!r} appears twice", "rename one of them")
    rows: list[list[str]] = []
    lines: list[int] = []
    problems: list[DataError] = []
    try:
        for line, row in found:
            if len(row) == len(header):
                rows.append(row)
                lines.append(line)
            else:
                problems.append(ragged(f"{place}:{line}", len(row), len(header), delimiter))
                if len(problems) == MOST_PROBLEMS:
                    break
    except DataError as error:
        problems.append(error)
    raise_all(problems)
    if delimiter == "," and label in header:
        merged = merged_rows(rows, header.index(label), delimiter)
        raise_all([_merged(f"{place}:{lines[row]}") for row in islice(merged, MOST_PROBLEMS)])
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    return Table(place, dict(zip(header, columns, strict=True)), lines)


def records(
    lines: Iterable[str], place: str, delimiter: str, longest: int
) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not blank with the line it begins on; the header comes first.

    Args:
        lines: with their ends.
        place: how the user named the file.
        delimiter: a comma, or a tab, with which quotes mean nothing.
        longest: characters that a field may have.

    Raises:
        DataError: at a record that cannot be read, after those before it.
    """
    csv.field_size_limit(longest)
    reader = csv.reader(
        lines,
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE,
        strict=True,
    )
    while True:
        line = reader.line_num + 1
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
            yield line, record


def ragged(place: str, found: int, expected: int, delimiter: str) -> DataError:
    """The error for a row with another number of columns than the header."""
    remedy = (
        "put texts that contain commas or line breaks in quotes"
        if delimiter == ","
        else "texts cannot contain tabs or line breaks"
    )
    return DataError(place, f"{found} columns where the header has {expected}", remedy)


def _merged(place: str) -> DataError:
    return DataError(
        place,
        "a quote that is not closed on this row swallows the rows after it",
        'close it, or write it "" inside a quoted text; a line break that belongs to the text must not be '
        "followed by what looks like a row",
    )


def _read_json(path: Path, place: str, label: str, encoding: str | None) -> Table:
    text = _decode(path, place, encoding)
    return _objects(_array(text, place) if text.lstrip().startswith("[") else _json_lines(text, place), place)


def _read_jsonl(path: Path, place: str, label: str, encoding: str | None) -> Table:
    return _objects(_json_lines(_decode(path, place, encoding), place), place)


Row = tuple[int, dict[str, Any] | DataError]
"""A line number and what stands there."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        raise ValueError("a key appears twice")
    return keys


DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def encodable(text: str) -> bool:
    """Whether a text can be written down: it holds no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _checked(value: object, place: str, written: str) -> dict[str, Any] | DataError:
    if written.count("[") + written.count("{") > MOST_LEVELS and _levels(value) > MOST_LEVELS:
        return DataError(place, f"nested deeper than {MOST_LEVELS} levels", "write plain values")
    if "\\u" in written and not encodable(json.dumps(value, ensure_ascii=False)):
        return DataError(place, HALF, "write both halves, or the character itself")
    if isinstance(value, dict):
        return value
    return DataError(place, f"not an object but {type(value).__name__}", 'write {"column": value, ...}')


def _levels(value: object) -> int:
    """How deep lists and objects are nested, found without recursion."""
    level, depth = [value], 0
    while level := [inside for one in level for inside in _inside(one)]:
        depth += 1
    return depth


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _json_lines(text: str, place: str) -> Iterator[Row]:
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


def _array(text: str, place: str) -> Iterator[Row]:
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


def _objects(rows: Iterator[Row], place: str) -> Table:
    """Make columns of objects that all have the same keys."""
    objects: list[dict[str, Any]] = []
    lines: list[int] = []
    problems: list[DataError] = []
    for line, row in rows:
        if isinstance(row, DataError):
            problems.append(row)
        elif objects and row.keys() != objects[0].keys():
            differing = ", ".join(sorted(row.keys() ^ objects[0].keys()))
            remedy = "give every object the same keys"
            problems.append(
                DataError(f"{place}:{line}", f"other keys than in the first row: {differing}", remedy)
            )
        else:
            objects.append(row)
            lines.append(line)
        if len(problems) == MOST_PROBLEMS:
            break
    raise_all(problems)
    names = list(objects[0]) if objects else []
    return Table(place, {name: [row[name] for row in objects] for name in names}, lines)


def _read_parquet(path: Path, place: str, label: str, encoding: str | None) -> Table:
    # Only here: importing them takes a second, which the other formats need not pay.
    import pyarrow
    import pyarrow.parquet
    from datasets import Features

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's own; damage is an OSError too, without a number
        raise DataError(place, f"not a parquet file ({error})", "write it again") from error
    try:
        columns = {name: table[name].to_pylist() for name in table.column_names}
    except UnicodeDecodeError as error:
        raise DataError(
            place, f"holds a text that is not UTF-8 ({error.reason})", "write it again"
        ) from error
    return Table(place, columns, class_names=class_names(Features.from_arrow_schema(table.schema)))


def class_names(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The names of the classes in each column that declares them (the hub's `ClassLabel`)."""
    return {name: tuple(f.names) for name, f in features.items() if getattr(f, "names", None)}


Reader = Callable[[Path, str, str, str | None], Table]

READERS: dict[str, Reader] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}


def is_file_name(reference: str) -> bool:
    """Whether the recipe's value names a data file, rather than a split or a data set."""
    return reference.startswith("pkg://") or reference.lower().endswith(tuple(READERS))


def missing_columns(table: Table, wanted: Sequence[str]) -> list[DataError]:
    """One error for each wanted column that the table lacks."""
    present = ", ".join(table.columns)
    return [
        DataError(table.place, f"there is no column {name!r}", f"name one of: {present}")
        for name in wanted
        if name not in table.columns
    ]
