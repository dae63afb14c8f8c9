"""Texts to classify from a file or a pipe, one by one: tables, JSON lines, or a text on each line.

Lines are read in bounded memory and as strictly as `readers` does, but for what only a whole file can show;
other formats are read whole. Knows nothing about labels or models.
"""

from __future__ import annotations

import io
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, BinaryIO, cast

from dkd_cli.errors import DataError, raise_all
from dkd_cli.reading.decoding import HALF, encodable, unpacked
from dkd_cli.reading.json_rows import DECODER
from dkd_cli.reading.readers import READERS, Content, missing_columns
from dkd_cli.reading.separated import DECLARATION, Dialect, ragged, recognise, records
from dkd_cli.reading.tables import Table, reached
from dkd_cli.reading.text_streams import LONGEST_LINE, Lines, Note, is_live, text_lines


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of the texts; a list of lines has none."""

    text: str
    text_pair: str | None
    kept: tuple[str, ...] = ()
    """Columns whose values stay beside the answers."""
    named: bool = False
    """True if the user named a column, so that there must be a header."""

    def wanted(self) -> list[tuple[str, str]]:
        """The options that name columns, and the columns."""
        texts = [("--text", self.text), ("--text-pair", self.text_pair or "")]
        return [*(one for one in texts if one[1]), *(("--keep", name) for name in self.kept)]


@dataclass(frozen=True, slots=True)
class TextRow:
    """One row."""

    text: str
    text_pair: str | None
    kept: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.text) + len(self.text_pair or "")


def read_examples(
    stream: BinaryIO,
    place: str,
    format: str | None,
    columns: Columns,
    *,
    encoding: str | None = None,
    note: Note = lambda said: None,
) -> Iterator[TextRow]:
    """Yield the rows in order.

    Args:
        stream: read line by line, no further than asked for, unless the format is none of lines.
        place: how the user named it.
        format: one of `FORMATS`; None: lines, unless the first one is a header or an object with the text.
        columns: ignored for lines, apart from a pair, which they cannot hold.
        encoding: of a text that is neither UTF-8 nor recognised.
        note: called with how the stream is read, if that was guessed.

    Raises:
        DataError: at the line that is wrong, after the rows before it; or if there is no row at all.
        RecipeError: there is no such encoding.
    """
    opened = (
        stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, stream))
    )
    found = False
    if format in WHOLE:
        data = unpacked(opened.read(), place)
        rows = table_examples(READERS[f".{format}"](Content(data, place, "", encoding)), columns)
    else:
        rows = _line_examples(opened, place, format, columns, encoding, note)
    for example in rows:
        found = True
        yield example
    if not found:
        raise DataError(place, "there are no texts", "give it one on each line, or a file with rows")


def table_examples(table: Table, columns: Columns) -> Iterator[TextRow]:
    """The rows of a table that was read whole.

    Raises:
        DataError: it lacks a column, or a text is none.
    """
    raise_all(missing_columns(table, [name for _, name in columns.wanted()]))
    found = {name: table.column(name) or () for _, name in columns.wanted()}
    for row in range(len(table)):
        where = table.where(row)
        yield _example({name: values[row] for name, values in found.items()}, columns, where)


def _line_examples(
    stream: io.BufferedReader,
    place: str,
    format: str | None,
    columns: Columns,
    encoding: str | None,
    note: Note,
) -> Iterator[TextRow]:
    """Rows of a format of lines; a file is read from its beginning once more where it must be recognised."""
    again = stream.tell() if not is_live(stream) and stream.seekable() else None

    def lines(said: Note = lambda _: None) -> Lines:
        if again is not None:
            stream.seek(again)
        return text_lines(stream, place, encoding, said)

    whole = lines(note) if again is None else lines()
    head = list(islice(whole, 1))
    if head and DECLARATION.fullmatch(head[0][1]):
        head += islice(whole, 1)
    if format is None:
        format = _format([line for _, line in head], columns, place, note)
    usual = SEPARATORS.get(format)
    known = head if again is None else lines()
    dialect = None if usual is None else recognise((line for _, line in known), usual)
    rest = chain(head, whole) if again is None else lines(note)
    if dialect is None:
        yield from LINES[format](rest, place, columns)
    else:
        yield from _separated(rest, place, columns, dialect)


def _format(head: list[str], columns: Columns, place: str, note: Note) -> str:
    """The format that the first lines tell: a header or an object with the wanted columns, or texts."""
    first = head[-1] if head else ""
    wanted = [name for _, name in columns.wanted()]
    if first.lstrip().startswith("{"):
        try:
            row = DECODER.decode(first)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and (columns.named or all(reached(row, name) for name in wanted)):
            return "jsonl"
    dialect = recognise(head, ",")
    header = first.strip().split(dialect.separator)
    names = [name.strip().strip('"') for name in header]
    format = "tsv" if dialect.separator == "\t" else "csv"
    if columns.named or all(name in names for name in wanted):
        return format
    if HEADER.fullmatch(first.strip()):
        note(
            f"{place}: the first line reads like a header ({', '.join(names)}) and was classified as a text; "
            "name the column of the texts with --text"
        )
    return "lines"


def windows(examples: Iterator[TextRow], size: int, *, live: bool) -> Iterator[list[TextRow]]:
    """Yield the rows in groups of `size`, and the rest; of a live stream what has come so far.

    A wrong row is raised after the group of those before it.
    """
    ahead = Ahead(examples, size) if live else None
    rows: Iterator[TextRow] = ahead or examples
    window: list[TextRow] = []
    try:
        for example in rows:
            window.append(example)
            if len(window) == size or (ahead is not None and ahead.would_wait()):
                yield window
                window = []
    except DataError:
        if window:
            yield window
        raise
    if window:
        yield window


class Ahead(Iterator[TextRow]):
    """Reads in a thread, so that what has come can be told from what is still to come."""

    def __init__(self, examples: Iterator[TextRow], most: int) -> None:
        self._queue: queue.Queue[TextRow | Exception] = queue.Queue(maxsize=most)
        threading.Thread(target=self._read, args=(examples,), daemon=True).start()

    def _read(self, examples: Iterator[TextRow]) -> None:
        try:
            for example in examples:
                self._queue.put(example)
            self._queue.put(StopIteration())
        except Exception as error:  # raised where the rows are wanted
            self._queue.put(error)

    def __next__(self) -> TextRow:
        found = self._queue.get()
        if isinstance(found, Exception):
            raise found
        return found

    def would_wait(self) -> bool:
        """Return whether the next row is not there yet."""
        return self._queue.empty()


def _plain(lines: Lines, place: str, columns: Columns) -> Iterator[TextRow]:
    if columns.text_pair is not None:
        raise DataError(
            place,
            "lines hold one text each, and this model reads pairs",
            f"give csv, tsv or jsonl with the columns {columns.text} and {columns.text_pair}",
        )
    if columns.kept:
        raise DataError(place, "lines have no columns to keep", "leave out --keep, or say --format csv")
    return (TextRow(line.rstrip("\r\n"), None) for _, line in lines)


def _separated(lines: Lines, place: str, columns: Columns, dialect: Dialect) -> Iterator[TextRow]:
    header: list[str] | None = None
    for number, record in records((line for _, line in lines), place, dialect, LONGEST_LINE):
        where = f"{place}:{number}"
        if header is None:
            header = record
            _check_columns(header, where, columns)
        elif len(record) != len(header):
            raise ragged(where, len(record), len(header), dialect)
        else:
            yield _example(dict(zip(header, record, strict=True)), columns, where)


def _jsonl(lines: Lines, place: str, columns: Columns) -> Iterator[TextRow]:
    first = True
    for number, line in lines:
        if not line.strip():
            continue
        where = f"{place}:{number}"
        try:
            row = DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", str(error))
            raise DataError(
                where, f"not a JSON object ({reason})", "write one whole object per line"
            ) from None
        if not isinstance(row, dict):
            problem = f"not an object but {type(row).__name__}"
            raise DataError(where, problem, f'write {{"{columns.text}": ...}}')
        found = {name: reached(row, name) for _, name in columns.wanted()}
        for option, name in columns.wanted():
            # A key that is kept may be missing from later objects, as a text may not.
            if not found[name] and (first or option != "--keep"):
                raise _no_column(option, name, list(row), where)
        first = False
        yield _example({name: value[0] if value else None for name, value in found.items()}, columns, where)


def _example(row: Mapping[str, Any], columns: Columns, where: str) -> TextRow:
    pair = None if columns.text_pair is None else _string(row[columns.text_pair], where)
    kept = {name: row[name] for name in columns.kept}
    return TextRow(_string(row[columns.text], where), pair, kept)


def _check_columns(header: Sequence[str], where: str, columns: Columns) -> None:
    for option, name in columns.wanted():
        if header.count(name) > 1:
            raise DataError(where, f"{name!r} appears twice", "rename one of the columns")
        if name not in header:
            raise _no_column(option, name, header, where)


def _no_column(option: str, name: str, present: Sequence[str], where: str) -> DataError:
    remedy = f"name one of {', '.join(present)} with {option}"
    return DataError(where, f"there is no column {name!r}", remedy)


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(where, f"the text is {value!r}, which is not text", 'write it in quotes ("...")')
    if not encodable(value):
        raise DataError(where, HALF, "write both halves, or the character itself")
    return value


LINES: dict[str, Callable[[Lines, str, Columns], Iterator[TextRow]]] = {"lines": _plain, "jsonl": _jsonl}
SEPARATORS = {"csv": ",", "tsv": "\t"}
WHOLE = ("json", "parquet", "xlsx")
FORMATS = (*LINES, *SEPARATORS, *WHOLE)
HEADER = re.compile(r"\w[\w.-]*(?: [\w.-]+)?(?:[,;\t|]\w[\w.-]*(?: [\w.-]+)?)+")
"""A line of short names without a space after a separator, as texts have it."""
