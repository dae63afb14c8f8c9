"""Texts from a file or a pipe, one by one, in bounded memory: csv, tsv, jsonl, or a text on each line.

As strict as `readers`, but for what only a whole file can show. Knows nothing about labels or models.
"""

from __future__ import annotations

import os
import queue
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from dkd_cli.data.decoding import HALF, encodable
from dkd_cli.data.json_rows import DECODER
from dkd_cli.data.separated import Dialect, ragged, records
from dkd_cli.errors import DataError

LONGEST_LINE = 10_000_000
"""Bytes; more is no text, and would have to fit into memory."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the texts are; a list of lines has no columns."""

    text: str
    text_pair: str | None


@dataclass(frozen=True, slots=True)
class TextRow:
    """One row."""

    text: str
    text_pair: str | None

    def __len__(self) -> int:
        return len(self.text) + len(self.text_pair or "")


Lines = Iterator[tuple[int, str]]


def read_examples(stream: BinaryIO, place: str, format: str, columns: Columns) -> Iterator[TextRow]:
    """Yield the rows in order.

    Args:
        stream: read line by line, no further than asked for.
        place: how the user named it.
        format: one of `FORMATS`.
        columns: ignored for lines, apart from a pair, which they cannot hold.

    Raises:
        DataError: at the line that is wrong, after the rows before it; or if there is no row at all.
    """
    found = False
    for example in FORMATS[format](_lines(stream, place), place, columns):
        found = True
        yield example
    if not found:
        raise DataError(place, "there are no texts", "give it one on each line, or a file with rows")


def is_live(stream: BinaryIO) -> bool:
    """Whether what comes next may be a while away: a terminal or a pipe, and no file."""
    try:
        return not stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:
        return False


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
        """Whether the next row is not there yet."""
        return self._queue.empty()


def _lines(stream: BinaryIO, place: str) -> Lines:
    number = 0
    while raw := stream.readline(LONGEST_LINE + 1):
        number += 1
        where = f"{place}:{number}"
        if len(raw) > LONGEST_LINE:
            raise DataError(where, f"a line of more than {LONGEST_LINE} bytes", "is it a text file?")
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            problem = f"byte {error.start} of the line (0x{raw[error.start]:02x}) is not UTF-8"
            raise DataError(where, problem, "save it as UTF-8") from None
        if "\0" in line:
            raise DataError(where, "a NUL character", "it is damaged or not a text file")
        yield number, line


def _plain(lines: Lines, place: str, columns: Columns) -> Iterator[TextRow]:
    if columns.text_pair is not None:
        raise DataError(
            place,
            "lines hold one text each, and this model reads pairs",
            f"give csv, tsv or jsonl with the columns {columns.text} and {columns.text_pair}",
        )
    return (TextRow(line.rstrip("\r\n"), None) for _, line in lines)


def _csv(lines: Lines, place: str, columns: Columns) -> Iterator[TextRow]:
    return _separated(lines, place, columns, ",")


def _tsv(lines: Lines, place: str, columns: Columns) -> Iterator[TextRow]:
    return _separated(lines, place, columns, "\t")


def _separated(lines: Lines, place: str, columns: Columns, delimiter: str) -> Iterator[TextRow]:
    header: list[str] | None = None
    dialect = Dialect(delimiter, quoted=delimiter == ",")
    for number, record in records((line for _, line in lines), place, dialect, LONGEST_LINE):
        where = f"{place}:{number}"
        if header is None:
            header = record
            _check_columns(header, where, columns)
        elif len(record) != len(header):
            raise ragged(where, len(record), len(header), dialect)
        else:
            row = dict(zip(header, record, strict=True))
            yield TextRow(row[columns.text], None if columns.text_pair is None else row[columns.text_pair])


def _jsonl(lines: Lines, place: str, columns: Columns) -> Iterator[TextRow]:
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
        _check_columns(list(row), where, columns)
        yield TextRow(
            _string(row[columns.text], where),
            None if columns.text_pair is None else _string(row[columns.text_pair], where),
        )


def _check_columns(present: Sequence[str], where: str, columns: Columns) -> None:
    for option, name in (("--text", columns.text), ("--text-pair", columns.text_pair)):
        if name is not None and present.count(name) != 1:
            problem = f"there is no column {name!r}" if name not in present else f"{name!r} appears twice"
            raise DataError(where, problem, f"name one of {', '.join(present)} with {option}")


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(where, f"the text is {value!r}, which is not text", 'write it in quotes ("...")')
    if not encodable(value):
        raise DataError(where, HALF, "write both halves, or the character itself")
    return value


FORMATS: dict[str, Callable[[Lines, str, Columns], Iterator[TextRow]]] = {
    "lines": _plain,
    "csv": _csv,
    "tsv": _tsv,
    "jsonl": _jsonl,
}
