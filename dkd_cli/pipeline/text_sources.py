"""Sources of `dkd predict`: a file in any format of the data, stdin, or texts on the command line.

Knows nothing about models but the columns that one was trained on.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dkd_cli.errors import DataError, RecipeError
from dkd_cli.reading.hub import is_saved_split, read_saved_split
from dkd_cli.reading.locate import PREFIX, local_path
from dkd_cli.reading.readers import READERS, file_suffix
from dkd_cli.reading.streams import FORMATS, Columns, TextRow, read_examples, table_examples
from dkd_cli.reading.text_streams import Note, is_live

STDIN = "-"
TEXT_SUFFIX = ".txt"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Source of the texts, as the user named it."""

    inputs: tuple[str, ...] = ()
    """One file, `-` or nothing for stdin, or texts."""
    format: str | None = None
    """One of `streams.FORMATS`; None: by the file's suffix, or by the first line."""
    text: str | None = None
    """The column; None: the one that the model was trained on."""
    text_pair: str | None = None
    kept: tuple[str, ...] = ()
    """Columns that stay beside the answers."""
    encoding: str | None = None
    """Of a text file that is neither UTF-8 nor recognised."""

    def columns(self, text: str, text_pair: str | None) -> Columns:
        """The columns to read, given those that the model was trained on."""
        named = bool(self.text or self.text_pair or self.kept)
        return Columns(self.text or text, self.text_pair or text_pair, self.kept, named)


@dataclass(frozen=True)
class Opened:
    """A source that is there: a stream, or neither for texts and saved data sets."""

    source: Source
    stream: BinaryIO | None
    file: Path | None
    """None: stdin, or texts."""
    texts: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Return whether what comes next may be a while away."""
        return self.stream is not None and is_live(self.stream)

    def examples(self, columns: Columns, note: Note) -> Iterator[TextRow]:
        """Yield the rows in order; raises as `read_examples` does."""
        if self.texts:
            return iter(_given(self.texts, columns, self.source))
        if self.stream is None:
            return table_examples(read_saved_split(str(self.file)), columns)
        place = "stdin" if self.file is None else self.source.inputs[0]
        format = input_format(self.source, self.file)
        return read_examples(self.stream, place, format, columns, encoding=self.source.encoding, note=note)


@contextlib.contextmanager
def opened(source: Source, note: Note) -> Iterator[Opened]:
    """Open a file or stdin, or take the inputs as texts.

    What is live is read by a thread, which may be waiting for more when all is over. So it is never closed
    here, which would wait too; and stdin is opened again, for Python aborts where it ends and finds a thread
    in its own.

    Raises:
        DataError: there is no such file, or it cannot be read.
        RecipeError: its suffix names no format, or several files are given.
    """
    if source.inputs in ((), (STDIN,)):
        stdin = sys.stdin.buffer
        live = is_live(stdin)
        yield Opened(source, os.fdopen(os.dup(stdin.fileno()), "rb") if live else stdin, None)
        return
    files = [name for name in source.inputs if _names_file(name)]
    if not files:
        (word, *more) = source.inputs
        if not more and len(word.split()) == 1:
            note(f"no file is called {word!r}, so it was classified as a text")
        yield Opened(source, None, None, source.inputs)
        return
    if len(source.inputs) > 1:
        raise RecipeError(files[0], "is one of several inputs", "give one file, or texts alone")
    file = local_path(files[0])
    if is_saved_split(str(file)):
        yield Opened(source, None, file)
        return
    input_format(source, file)
    try:
        stream = file.open("rb")
    except OSError as error:
        raise DataError(files[0], f"cannot be read ({error.strerror})", "check the path") from error
    with contextlib.nullcontext(stream) if is_live(stream) else stream:
        yield Opened(source, stream, file)


def input_format(source: Source, file: Path | None) -> str | None:
    """Format that the user or the suffix names; None where the first line has to tell."""
    if source.format is not None or file is None:
        return source.format
    suffix = file_suffix(file.name)
    if suffix == TEXT_SUFFIX:
        return None
    if suffix not in READERS:
        known = ", ".join((TEXT_SUFFIX, *READERS))
        remedy = f"say --format {', '.join(FORMATS)}"
        raise RecipeError(str(file), f"{suffix or 'no suffix'!r} is not one of {known}", remedy)
    format = suffix.removeprefix(".")
    if format not in FORMATS:
        remedy = "write the texts to a .txt file, one on each line"
        raise RecipeError(str(file), "holds tagged words, not texts to predict", remedy)
    return format


def _names_file(word: str) -> bool:
    """Return whether an input is a file, or is meant to be one; else it is a text."""
    if word.startswith(PREFIX):
        return True
    if not word.strip():  # as a path the current folder
        return False
    try:
        if Path(word).expanduser().exists():
            return True
    except (OSError, ValueError):  # longer than a path can be, say
        return False
    return len(word.split()) == 1 and (Path(word).suffix[1:].isalnum() or os.sep in word)


def _given(texts: tuple[str, ...], columns: Columns, source: Source) -> list[TextRow]:
    if source.kept:
        raise RecipeError("--keep", "names a column, and texts have none", "leave it out")
    if columns.text_pair is None:
        return [TextRow(text, None) for text in texts]
    if len(texts) % 2:
        problem = f"this model reads pairs of texts, and there are {len(texts)}"
        raise RecipeError("dkd predict", problem, "give both texts of each pair")
    return [TextRow(*pair) for pair in zip(texts[::2], texts[1::2], strict=True)]
