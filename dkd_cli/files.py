"""Files that a crash leaves old or new, never half.

What has to survive a crash is synced, renamed, linked and removed here alone.
"""

from __future__ import annotations

import csv
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed over `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name that nobody can guess: a link put in its place would be written through.
    staged = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        yield staged
        sync_file(staged)
        rename(staged, path)
    finally:
        staged.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(path) as staged:
        staged.write_text(text, encoding="utf-8")


class CellWriter:
    r"""Writes rows of csv whose lines end in a line feed and whose cells may hold anything.

    Python's writer quotes a carriage return only if its lines end in one, so it writes with both and the
    first is dropped here: a cell `a\rb` that stood bare would be read as two rows.
    """

    def __init__(self, stream: TextIO, delimiter: str = ",") -> None:
        self._stream = stream
        self._writer = csv.writer(self, delimiter=delimiter, lineterminator="\r\n")

    def write(self, line: str) -> int:
        """Take one line from Python's writer."""
        return self._stream.write(line.removesuffix("\r\n") + "\n")

    def row(self, cells: Iterable[object]) -> None:
        """Write one row."""
        self._writer.writerow(cells)

    def rows(self, rows: Iterable[Iterable[object]]) -> None:
        """Write several."""
        for cells in rows:
            self.row(cells)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sync_file(path: Path) -> None:
    """Make what was written to a file survive a power cut."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def rename(source: Path, target: Path) -> None:
    """Rename a file over an older one, or a folder to a free name, and make that survive a power cut."""
    source.replace(target)
    sync_folder(target.parent)


def link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, or a copy of it where the file system has no links."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def remove(path: Path) -> None:
    """Remove a folder with all it holds, a file, or a link but not what it leads to; or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder: it keeps its name and all it has, or is gone; never half."""
    # Renamed first: what a crash leaves under the hidden name is nobody's.
    gone = Path(tempfile.mkdtemp(prefix=".gone-", dir=folder.parent))
    folder.rename(gone / folder.name)
    shutil.rmtree(gone)
