"""Cache on disk: folder, entries, size limit and locks.

A teacher's output for a text is constant, and so are its tokens: both are cached for all runs. Each *entry*
is a folder of shards, named by a digest of everything that decides its rows; `entry.json` spells this out.
Knows neither the content of rows (`rows` does) nor torch: `dkd cache info` starts fast.
A process that uses an entry holds a lock on a file of its own in it, which the system releases with the
process. One lock over the whole cache is held briefly by a process that opens an entry, makes room or clears.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import BaseFileLock, FileLock, Timeout

from dkd_cli.engine.cache.shards import SCHEMA, Damaged, checksum, read_index
from dkd_cli.errors import RecipeError, reason
from dkd_cli.files import write_json

OFF = "off"
DEFAULT_LIMIT = "20GB"
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
ENTRY_NAME = re.compile(r"[0-9a-f]{32}")
GONE = ".gone-"
SECONDS_FOR_THE_LOCK = 30

Warn = Callable[[str], None]


def cache_root() -> Path | None:
    """The cache folder: `$DKD_CACHE`, else `dkd` in `$XDG_CACHE_HOME` or `~/.cache`; None if DKD_CACHE is
    `off`."""
    named = os.environ.get("DKD_CACHE")
    if named == OFF:
        return None
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "dkd"
    return Path(named or base).expanduser().absolute()


def cache_limit() -> int:
    """The size limit: `$DKD_CACHE_LIMIT` in bytes, 20 GB if it is not set.

    Raises:
        RecipeError: if it is not a size.
    """
    written = os.environ.get("DKD_CACHE_LIMIT") or DEFAULT_LIMIT
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B)\s*", written.upper())
    if found is None:
        raise RecipeError("DKD_CACHE_LIMIT", f"{written!r} is not a size", "write it like 20GB or 500MB")
    return round(float(found[1]) * UNITS[found[2]])


@dataclass(frozen=True)
class EntryFacts:
    """Facts about an entry that `dkd cache info` shows."""

    folder: Path
    facts: Mapping[str, Any]
    """As in `entry.json`; empty if that is damaged, until the entry is used again."""
    rows: int
    """Number of distinct rows."""
    size: int
    """Size in bytes."""
    hits: int
    """Rows that runs found here and did not have to compute."""
    last_used: float
    """Time of the last use, in seconds since 1970."""


class Cache:
    """The cache of this process, created once per command.

    Failures are reported by `warn` in one line and never end a run: the cache is then off.
    """

    def __init__(self, root: Path, limit: int, warn: Warn) -> None:
        self.root = root
        self.limit = limit
        self.warn = warn
        self.off = False
        self._held: list[BaseFileLock] = []

    def attach(self, teacher: str, facts: Mapping[str, Any]) -> CacheEntry | None:
        """The entry for some facts, made if there is none; None where the cache cannot be written.

        Args:
            teacher: the name of the teacher or tokenizer, for display only.
            facts: everything that decides the rows, as JSON values.
        """
        if self.off:
            return None
        facts = {"schema": SCHEMA, **facts}
        try:
            with self.locked():
                return self._attach(self.root / _entry_name(facts), {"teacher": teacher, **facts})
        except (OSError, NotImplementedError) as error:  # the latter on a file system without locks
            self.give_up(error)
            return None

    def _attach(self, folder: Path, described: Mapping[str, Any]) -> CacheEntry:
        folder.mkdir(exist_ok=True)
        _in_use(folder)  # remove what dead processes left
        token = f"{os.getpid()}-{secrets.token_hex(4)}"
        lock = FileLock(folder / f"{token}.lock")
        lock.acquire(timeout=0)
        self._held.append(lock)
        if not _description(folder):
            write_json(folder / "entry.json", described)
        _note_use(folder, 0)
        return CacheEntry(self, folder, described, token)

    def close(self) -> None:
        """Release all entries: from now on they may be removed."""
        for lock in self._held:
            lock.release()
        self._held.clear()

    def file_digest(self, path: Path) -> str:
        """A digest of a file's content; stored as long as the file's size and times are unchanged."""
        memory = self.root / "weights.json"
        about = path.stat()
        # The time of the last metadata change, too: a copy may preserve size and modification time, but not
        # this one.
        key, state = str(path.resolve()), [about.st_size, about.st_mtime_ns, about.st_ctime_ns]
        known = {name: digest for name, digest in _read_json(memory).items() if _is_sealed(name, digest)}
        if key in known and known[key][:-2] == state:
            return str(known[key][-2])
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        known = {name: value for name, value in known.items() if Path(name).exists()}
        known[key] = [*state, digest, _seal(key, [*state, digest])]
        if not self.off:
            try:
                write_json(memory, known)
            except OSError as error:
                self.give_up(error)
        return digest

    def give_up(self, error: OSError | NotImplementedError) -> None:
        """Warn once that the cache cannot be used; from then on nothing is cached."""
        if not self.off:
            self.off = True
            self.warn(
                f"the cache {self.root} cannot be written ({reason(error)}); outputs are not cached; "
                "set DKD_CACHE to another folder, or to off"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock over the whole cache."""
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / "lock").acquire(timeout=SECONDS_FOR_THE_LOCK):
            yield

    def make_room(self, needed: int) -> bool:
        """Return whether `needed` more bytes fit, after removing the least recently used entries if
        necessary.

        Raises:
            OSError: if the cache cannot be written.
        """
        with self.locked():
            folders = sorted(self.folders(), key=_last_used)
            total = sum(map(_size, folders))
            for folder in folders:
                if total + needed <= self.limit:
                    break
                if not _in_use(folder):
                    total -= _size(folder)
                    self._remove(folder)
        return total + needed <= self.limit

    def folders(self) -> list[Path]:
        """The entries; other files in the folder are ignored."""
        if not self.root.is_dir():
            return []
        return [
            path
            for path in sorted(self.root.iterdir())
            if ENTRY_NAME.fullmatch(path.name) and (path / "entry.json").is_file()
        ]

    def entries(self) -> list[EntryFacts]:
        """All entries, the most recently used first."""
        found = [
            EntryFacts(
                folder,
                _description(folder),
                _rows(folder),
                _size(folder),
                int(_number(folder / "use.json", "hits")),
                _last_used(folder),
            )
            for folder in self.folders()
        ]
        return sorted(found, key=lambda entry: -entry.last_used)

    def clear(self, before: float) -> tuple[list[EntryFacts], list[EntryFacts]]:
        """Remove the entries last used before a moment (in seconds since 1970).

        Returns:
            The removed entries, and those that are old enough but in use by a process.

        Raises:
            OSError: if the cache cannot be written.
        """
        if not self.root.is_dir():
            return [], []
        removed, used = [], []
        with self.locked():
            for entry in self.entries():
                if entry.last_used >= before:
                    continue
                if _in_use(entry.folder):
                    used.append(entry)
                else:
                    self._remove(entry.folder)
                    removed.append(entry)
        return removed, used

    def _remove(self, folder: Path) -> None:
        # Renamed first, so that an entry exists or not, even if the removal is interrupted.
        folder.rename(self.root / f"{GONE}{folder.name}-{secrets.token_hex(4)}")
        for gone in self.root.glob(f"{GONE}*"):
            shutil.rmtree(gone, ignore_errors=True)


@dataclass
class CacheEntry:
    """An entry in use by this process, until its cache is closed."""

    cache: Cache
    folder: Path
    described: Mapping[str, Any]
    """Content of `entry.json`."""
    token: str
    """Identifies this user among all processes, and the shards it writes."""
    _listed_at: int = field(init=False, default=-1)

    @property
    def owner(self) -> bytes:
        """Identifies the entry's shards."""
        return bytes.fromhex(self.folder.name)

    def shards(self) -> list[Path]:
        """All current shards, in an order that every process agrees on: the oldest first."""
        return sorted(self.folder.glob("*.shard"))

    def shards_if_changed(self) -> list[Path]:
        """The shards if any were added or removed since the last call, else None."""
        try:
            # Before listing: changes in between are seen the next time.
            changed = self.folder.stat().st_mtime_ns
        except FileNotFoundError:
            return []  # removed by hand; the next shard creates it again
        if changed == self._listed_at:
            return []
        self._listed_at = changed
        return self.shards()

    def new_shard(self) -> Path:
        """A path that no other process uses, last in order."""
        return self.folder / f"{time.time_ns():020d}-{self.token}.shard"

    def make_room(self, needed: int) -> bool:
        """As `Cache.make_room`; creates the entry again if it was removed by hand."""
        if not (self.folder / "entry.json").exists():
            write_json(self.folder / "entry.json", self.described)
        return self.cache.make_room(needed)

    def discard(self, shard: Path, why: str) -> None:
        """Remove an invalid shard with a warning; its rows are computed again."""
        self.cache.warn(f"the cache's {shard} {why}; it is removed, and its rows are computed again")
        # One that cannot be removed, such as another user's, is ignored as well.
        with suppress(OSError):
            shard.unlink(missing_ok=True)

    def note_use(self, hits: int) -> None:
        """Add to the entry's hits, and make it the most recently used.

        Raises:
            OSError: if the cache cannot be written.
        """
        with self.cache.locked():
            _note_use(self.folder, hits)

    @contextmanager
    def merging(self) -> Iterator[bool]:
        """Return whether this process alone merges shards of the entry."""
        try:
            held = FileLock(self.folder / "merge").acquire(timeout=0)
        except Timeout:
            yield False
            return
        with held:
            yield True


def open_cache(warn: Warn) -> Cache | None:
    """Open the cache that the environment names; None if it is off.

    Raises:
        RecipeError: for an invalid size limit.
    """
    root, limit = cache_root(), cache_limit()
    return None if root is None else Cache(root, limit, warn)


def _in_use(folder: Path) -> bool:
    """Return whether a live process holds a lock in it; files of dead ones (locks, half-written files) are
    removed."""
    used = False
    for path in folder.glob("*.lock"):
        try:
            with FileLock(path).acquire(timeout=0):
                pass
        except Timeout:
            used = True
            continue
        for left in (path, *folder.glob(f".*{path.stem}*.tmp")):
            left.unlink(missing_ok=True)
    return used


def _entry_name(facts: Mapping[str, Any]) -> str:
    return checksum(json.dumps(facts, sort_keys=True).encode()).hex()


def _description(folder: Path) -> dict[str, Any]:
    """Content of `entry.json`; empty if it does not match the name of the entry."""
    found = _read_json(folder / "entry.json")
    facts = {name: value for name, value in found.items() if name != "teacher"}
    return found if "teacher" in found and _entry_name(facts) == folder.name else {}


def _note_use(folder: Path, hits: int) -> None:
    before = int(_number(folder / "use.json", "hits"))
    write_json(folder / "use.json", {"hits": before + hits, "last_used": time.time()})


def _last_used(folder: Path) -> float:
    # Not in the future: a damaged file must not keep an entry for ever.
    return min(_number(folder / "use.json", "last_used"), time.time())


def _number(path: Path, name: str) -> float:
    """A figure for display; 0 if invalid."""
    found = _read_json(path).get(name, 0)
    valid = isinstance(found, int | float) and 0 <= found < float("inf")
    return found if valid else 0


def _seal(name: str, values: Sequence[Any]) -> str:
    return checksum(json.dumps([name, *values]).encode()).hex()


def _is_sealed(name: str, values: Any) -> bool:
    return isinstance(values, list) and len(values) > 1 and _seal(name, values[:-1]) == values[-1]


def _read_json(path: Path) -> dict[str, Any]:
    """Files that can be created again may be missing or damaged: they are then empty."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _size(folder: Path) -> int:
    sizes = []
    for path in folder.iterdir():
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:
            continue  # another process has renamed or merged it
    return sum(sizes)


def _rows(folder: Path) -> int:
    keys = []
    for path in folder.glob("*.shard"):
        try:
            with path.open("rb") as handle:
                keys.append(read_index(handle, bytes.fromhex(folder.name)).keys)
        except (OSError, Damaged):
            continue  # a query of its rows will report it
    return len(np.unique(np.concatenate(keys))) if keys else 0
