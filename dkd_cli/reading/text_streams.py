"""Lines of text from a file or a pipe, in bounded memory: gzip and encodings as `decoding` recognises them.

A file is looked through once before it is read, so that it is decoded as a whole file would be; of a pipe
each line is judged by itself. Knows nothing about columns.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from typing import IO, cast

from dkd_cli.errors import DataError, RecipeError
from dkd_cli.reading.decoding import GZIP, STRANGE_SHARE, WESTERN, ZIP, as_western, mark, strangeness

LONGEST_LINE = 10_000_000
"""Bytes; more is no text, and would have to fit into memory."""
CHUNK = 1 << 20

Lines = Iterator[tuple[int, str]]
"""Numbers from 1 on, and lines with their ends."""
Note = Callable[[str], None]


def is_live(stream: IO[bytes]) -> bool:
    """Return whether what comes next may be a while away: a terminal or a pipe, and no file."""
    try:
        return not stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:
        return False


def text_lines(stream: io.BufferedReader, place: str, encoding: str | None, note: Note) -> Lines:
    """Yield the lines of a stream, which is read no further than asked for if it is live.

    Args:
        stream: bytes, compressed or not.
        place: how the user named it.
        encoding: for texts that are not UTF-8 and whose encoding is not recognised.
        note: called with an encoding that was guessed.

    Raises:
        DataError: at the line that cannot be read, after those before it.
        RecipeError: there is no such encoding.
    """
    try:
        yield from _lines(stream, place, encoding, note)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(place, f"not a whole gzip file ({error})", "compress it again") from error


def _lines(stream: io.BufferedReader, place: str, encoding: str | None, note: Note) -> Lines:
    live = is_live(stream)
    opened = cast(IO[bytes], stream)
    head = stream.peek(4)[:4]
    if head.startswith(GZIP):
        packed = gzip.GzipFile(fileobj=stream)
        opened, head = cast(IO[bytes], packed), packed.peek(4)[:4]
    if head == ZIP:
        raise DataError(place, "is a zip archive or an Excel workbook, not text", "name a workbook .xlsx")
    marked = mark(head)
    if marked is not None:
        yield from _wide_lines(opened, place, marked)
        return
    if encoding is not None:
        _check_encoding(encoding)
    elif not live and opened.seekable():
        encoding = _recognised(opened)
        if encoding is not None:
            note(f"{place}: not UTF-8, read as {encoding}; --encoding names another encoding")
    yield from _plain_lines(opened, place, encoding, live, note)


def _plain_lines(
    stream: IO[bytes], place: str, encoding: str | None, live: bool, note: Note
) -> Iterator[tuple[int, str]]:
    number, noted = 0, False
    while raw := stream.readline(LONGEST_LINE + 1):
        number += 1
        where = f"{place}:{number}"
        if len(raw) > LONGEST_LINE:
            raise DataError(where, f"a line of more than {LONGEST_LINE} bytes", "is it a text file?")
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            guessed = as_western(raw) if live and encoding is None else None
            if guessed is not None and not noted:
                note(f"{place}: not UTF-8, read as {WESTERN}; --encoding names another encoding")
                noted = True
            line = _decoded(raw, where, encoding, error) if guessed is None else guessed
        if "\0" in line:
            raise DataError(where, "a NUL character", "it is damaged or not a text file")
        yield number, line


def _decoded(raw: bytes, where: str, encoding: str | None, error: UnicodeDecodeError) -> str:
    problem = f"byte {error.start} of the line (0x{raw[error.start]:02x}) is not UTF-8"
    if encoding is not None:
        try:
            return raw.decode(encoding)
        except UnicodeError:
            problem += f" nor {encoding}"
    raise DataError(where, problem, "save it as UTF-8, or name its encoding with --encoding") from None


def _check_encoding(encoding: str) -> None:
    """Refuse what is no encoding of lines: where a character takes several bytes, so does a line's end."""
    try:
        fits = "a\n".encode(encoding) == b"a\n"
    except (LookupError, UnicodeError):
        fits = False
    if not fits:
        problem = f"{encoding!r} is no encoding of lines"
        raise RecipeError("--encoding", problem, "use a name such as latin-1 or cp1252")


def _wide_lines(stream: IO[bytes], place: str, encoding: str) -> Lines:
    """Lines of UTF-16 and UTF-32, whose ends are several bytes."""
    text = io.TextIOWrapper(cast(io.BufferedReader, stream), encoding=encoding, newline="\n")
    number = 1
    try:
        while line := text.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                problem = f"a line of more than {LONGEST_LINE} characters"
                raise DataError(f"{place}:{number}", problem, "is it a text file?")
            yield number, line
            number += 1
    except UnicodeDecodeError as error:
        raise DataError(f"{place}:{number}", f"is not {error.encoding}", "save it as UTF-8") from None
    finally:
        if not stream.closed:
            text.detach()  # who gave the stream closes it


def _recognised(stream: IO[bytes]) -> str | None:
    """The encoding of a file that is not UTF-8, if it is recognised; the file is back where it was."""
    start = stream.tell()
    utf8 = codecs.getincrementaldecoder("utf-8")()
    try:
        while chunk := stream.read(CHUNK):
            utf8.decode(chunk)
        utf8.decode(b"", final=True)
        return None
    except UnicodeDecodeError:
        stream.seek(start)
        return WESTERN if _is_western(stream) else None
    finally:
        stream.seek(start)


def _is_western(stream: IO[bytes]) -> bool:
    strange = beyond = 0
    while lines := stream.readlines(CHUNK):
        try:
            found = strangeness(b"".join(lines).decode(WESTERN))
        except UnicodeDecodeError:
            return False
        strange, beyond = strange + found[0], beyond + found[1]
    return strange <= STRANGE_SHARE * beyond
