"""The cache on disk: its folder, its entries, its limit, and who is at work in it.

A teacher's answer to a text is a constant, and so are its tokens: they are kept for all runs, seeds,
strategies and processes. Each *entry* is a folder of shards, named by a digest of all that decides its rows;
its `entry.json` says it in words. Knows neither what is in a shard's rows (`kept` does) nor torch: `dkd
cache info` answers at once.

Whoever uses an entry holds a lock on a file of its own in it, which ends with the process, however it ends.
One lock over the whole cache is held, for moments only, by whoever comes, makes room or clears.
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
    """`$DKD_CACHE`, else `dkd` in `$XDG_CACHE_HOME` or `~/.cache`; None where DKD_CACHE is `off`."""
    named = os.environ.get("DKD_CACHE")
    if named == OFF:
        return None
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "dkd"
    return Path(named or base).expanduser().absolute()


def cache_limit() -> int:
    """`$DKD_CACHE_LIMIT` in bytes, 20 GB if it is not set.

    Raises:
        RecipeError: for what is no size.
    """
    written = os.environ.get("DKD_CACHE_LIMIT") or DEFAULT_LIMIT
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B)\s*", written.upper())
    if found is None:
        raise RecipeError("DKD_CACHE_LIMIT", f"{written!r} is no size", "write it like 20GB or 500MB")
    return round(float(found[1]) * UNITS[found[2]])


@dataclass(frozen=True)
class EntryFacts:
    """What `dkd cache info` shows of an entry."""

    folder: Path
    facts: Mapping[str, Any]
    """As in `entry.json`; none where that is damaged, until the entry is used again."""
    rows: int
    """Distinct ones."""
    size: int
    """In bytes."""
    hits: int
    """Answers that runs found here instead of asking the teacher."""
    last_used: float
    """Seconds since 1970."""


class Cache:
    """The cache of this process, made once for a command.

    What goes wrong with it is told by `warn` in one line and never ends a run: the cache is then off.
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
            teacher: for people, the name of it or of the tokenizer; decides nothing.
            facts: all that decides the rows, ready for JSON.
        """
        if self.off:
            return None
        facts = {"schema": SCHEMA, **facts}
        try:
            with self.locked():
                return self._attach(self.root / _entry_name(facts), {"teacher": teacher, **facts})
        except (OSError, NotImplementedError) as error:  # the latter where a file system knows no locks
            self.give_up(error)
            return None

    def _attach(self, folder: Path, described: Mapping[str, Any]) -> CacheEntry:
        folder.mkdir(exist_ok=True)
        _in_use(folder)  # what dead processes left is taken away
        token = f"{os.getpid()}-{secrets.token_hex(4)}"
        lock = FileLock(folder / f"{token}.lock")
        lock.acquire(timeout=0)
        self._held.append(lock)
        if not _description(folder):
            write_json(folder / "entry.json", described)
        _note_use(folder, 0)
        return CacheEntry(self, folder, described, token)

    def close(self) -> None:
        """Let go of all entries: from now on they may be removed."""
        for lock in self._held:
            lock.release()
        self._held.clear()

    def file_digest(self, path: Path) -> str:
        """A digest of a file's content; remembered as long as the file's size and time stay the same."""
        memory = self.root / "weights.json"
        about = path.stat()
        # The last change of anything about it, too: a copy may bring size and time along, but not that.
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
        """Say once that the cache cannot be used; from now on nothing more is kept."""
        if not self.off:
            self.off = True
            self.warn(
                f"the cache {self.root} cannot be written ({reason(error)}); answers are not kept; "
                "set DKD_CACHE to another folder, or to off"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock over the whole cache."""
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / "lock").acquire(timeout=SECONDS_FOR_THE_LOCK):
            yield

    def make_room(self, needed: int) -> bool:
        """Whether `needed` more bytes fit, after the least recently used entries have gone if they must.

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
        """The entries; whatever else stands in the folder is none of ours."""
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
            Those removed, and those that stay although they are old enough, because a process uses them.

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
        # Renamed first, so that an entry is there or not, also where removing is cut short.
        folder.rename(self.root / f"{GONE}{folder.name}-{secrets.token_hex(4)}")
        for gone in self.root.glob(f"{GONE}*"):
            shutil.rmtree(gone, ignore_errors=True)


@dataclass
class CacheEntry:
    """An entry in use by this process, until its cache is closed."""

    cache: Cache
    folder: Path
    described: Mapping[str, Any]
    """What `entry.json` says."""
    token: str
    """Names this user among all processes, and the shards it writes."""
    _listed_at: int = field(init=False, default=-1)

    @property
    def owner(self) -> bytes:
        """What the entry's shards are told by from those of others."""
        return bytes.fromhex(self.folder.name)

    def shards(self) -> list[Path]:
        """All shards there are now, in an order that every process agrees on: the oldest first."""
        return sorted(self.folder.glob("*.shard"))

    def shards_if_changed(self) -> list[Path]:
        """The shards, if any came or went since the last call; else nothing."""
        try:
            # Before listing: what comes in between is seen the next time.
            changed = self.folder.stat().st_mtime_ns
        except FileNotFoundError:
            return []  # removed by hand; the next shard makes it anew
        if changed == self._listed_at:
            return []
        self._listed_at = changed
        return self.shards()

    def new_shard(self) -> Path:
        """A path that no other process takes, last in order."""
        return self.folder / f"{time.time_ns():020d}-{self.token}.shard"

    def make_room(self, needed: int) -> bool:
        """As `Cache.make_room`; the entry is made anew where somebody removed it by hand."""
        if not (self.folder / "entry.json").exists():
            write_json(self.folder / "entry.json", self.described)
        return self.cache.make_room(needed)

    def discard(self, shard: Path, why: str) -> None:
        """Take away a shard that cannot be believed, and say so; its rows are computed again."""
        self.cache.warn(f"the cache's {shard} {why}; it is removed, and what it held is made again")
        # One that cannot be removed, such as another user's, is passed over all the same.
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
        """Whether this process alone merges shards of the entry."""
        try:
            held = FileLock(self.folder / "merge").acquire(timeout=0)
        except Timeout:
            yield False
            return
        with held:
            yield True


def open_cache(warn: Warn) -> Cache | None:
    """The cache that the environment names; None where it is off.

    Raises:
        RecipeError: for a limit that is no size.
    """
    root, limit = cache_root(), cache_limit()
    return None if root is None else Cache(root, limit, warn)


def _in_use(folder: Path) -> bool:
    """Whether a live process holds a lock in it; what dead ones left (locks, half-written files) goes."""
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
    """What `entry.json` says; nothing where it does not say what the entry is named by."""
    found = _read_json(folder / "entry.json")
    facts = {name: value for name, value in found.items() if name != "teacher"}
    return found if "teacher" in found and _entry_name(facts) == folder.name else {}


def _note_use(folder: Path, hits: int) -> None:
    before = int(_number(folder / "use.json", "hits"))
    write_json(folder / "use.json", {"hits": before + hits, "last_used": time.time()})


def _last_used(folder: Path) -> float:
    # Not in the future: what a damaged file says must not keep an entry for ever.
    return min(_number(folder / "use.json", "last_used"), time.time())


def _number(path: Path, name: str) -> float:
    """A figure that is no more than a note; 0 where it cannot be one."""
    found = _read_json(path).get(name, 0)
    valid = isinstance(found, int | float) and 0 <= found < float("inf")
    return found if valid else 0


def _seal(name: str, values: Sequence[Any]) -> str:
    return checksum(json.dumps([name, *values]).encode()).hex()


def _is_sealed(name: str, values: Any) -> bool:
    return isinstance(values, list) and len(values) > 1 and _seal(name, values[:-1]) == values[-1]


def _read_json(path: Path) -> dict[str, Any]:
    """What can be made anew may be missing or torn: then it is empty."""
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
            continue  # another process renamed or merged it meanwhile
    return sum(sizes)


def _rows(folder: Path) -> int:
    keys = []
    for path in folder.glob("*.shard"):
        try:
            with path.open("rb") as handle:
                keys.append(read_index(handle, bytes.fromhex(folder.name)).keys)
        except (OSError, Damaged):
            continue  # whoever asks for its rows will say so
    return len(np.unique(np.concatenate(keys))) if keys else 0
