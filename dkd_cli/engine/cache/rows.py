"""Cached rows of one teacher or tokenizer for one split, found by key in an entry of the cache.

New rows wait in memory until they fill a shard; all others stay on disk, memory-mapped. Without an entry only
the newest rows are available. Knows neither torch nor the meaning of the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkd_cli.engine.cache.entries import CacheEntry
from dkd_cli.engine.cache.shards import Array, Damaged, Keys, Shard, shard_bytes, write_shard

FLUSH_BYTES = 32 * 2**20
"""The most bytes that wait in memory, plus at most one pass of the teacher."""
FLUSH_ROWS = 2**15
"""The most rows that wait: a small row costs more to hold than its values do."""
MOST_SHARDS = 64
SMALL_BYTES = 512 * 2**20
"""Shards are merged if there are more; larger ones are left alone, so that rows are not copied often."""

Slots = NDArray[np.intp]
"""Positions in `keys`."""


class CachedRows:
    """The rows of one kind for the distinct keys of a split.

    Args:
        keys: [U], sorted and distinct.
        width: values in each position of a row.
        dtype: of the values.
        entry: where they are stored; None: nowhere.
    """

    def __init__(self, keys: Keys, width: int, dtype: np.dtype[Any], entry: CacheEntry | None) -> None:
        self._keys = keys
        self._width, self._dtype = width, dtype
        self._entry = entry
        self._waiting: dict[int, Array] = {}
        self._waiting_bytes = 0
        self._forget_shards()
        self.refresh()

    def _forget_shards(self) -> None:
        self._shards: list[Shard] = []
        self._seen: set[str] = set()
        self._unverified = False
        self._shard = np.full(len(self._keys), -1, dtype=np.int32)
        self._row = np.zeros(len(self._keys), dtype=np.int64)

    def refresh(self) -> bool:
        """Return whether rows were added since the last call."""
        if self._entry is None:
            return False
        before = len(self._shards)
        self._open(self._entry, self._entry.shards_if_changed())
        return len(self._shards) > before

    def _open(self, entry: CacheEntry, paths: Iterable[Path]) -> None:
        for path in paths:
            if path.name not in self._seen:
                self._seen.add(path.name)
                shard = self._shard_at(entry, path)
                if shard is not None:
                    self._register(shard)

    def _shard_at(self, entry: CacheEntry, path: Path) -> Shard | None:
        """Load the rows that are valid; None for those that are missing or damaged."""
        try:
            return Shard(path, entry.owner, self._width, self._dtype)
        except FileNotFoundError:
            pass  # merged by another process; the result is seen next time
        except Damaged as damage:
            entry.discard(path, str(damage))
        except OSError as error:
            entry.discard(path, f"cannot be read ({error.strerror})")
        return None

    def _register(self, shard: Shard) -> None:
        place = np.searchsorted(self._keys, shard.keys)
        place[place == len(self._keys)] = 0
        wanted = (self._keys[place] == shard.keys) & (self._shard[place] < 0)
        # In reverse, because the first of equal keys counts and NumPy keeps the last assignment.
        rows = np.flatnonzero(wanted)[::-1]
        if len(rows):
            self._shard[place[rows]] = len(self._shards)
            self._row[place[rows]] = rows
            self._shards.append(shard)
            self._unverified |= not shard.verified

    def _verify(self, slots: Slots) -> None:
        """Verify the shards of these rows if that was not done yet; drop damaged ones."""
        if not self._unverified or self._entry is None:
            return
        for number in np.unique(self._shard[slots]):
            if number >= 0:
                try:
                    self._shards[number].verify()
                except Damaged as damage:
                    self._shard[self._shard == number] = -1
                    self._shards[number].verified = True  # nothing is read from it any more
                    self._entry.discard(self._shards[number].path, str(damage))
        self._unverified = not all(shard.verified for shard in self._shards)

    def stored(self) -> Slots:
        """The slots of all rows on disk, verified."""
        self._verify(np.flatnonzero(self._shard >= 0))
        return np.flatnonzero(self._shard >= 0)

    def singles(self, slots: Slots) -> Array:
        """Stored rows of one position each: [n, width]."""
        values = np.empty((len(slots), self._width), dtype=self._dtype)
        for number in np.unique(self._shard[slots]):
            here = self._shard[slots] == number
            values[here] = self._shards[number].payload[self._row[slots[here]]]
        return values

    def lacking(self, slots: Slots) -> list[int]:
        """The slots, each once and in this order, whose rows must be put before `gather` can return all."""
        self._verify(slots)
        if bool((self._shard[slots] >= 0).all()):
            return []
        if not self._absent_and_not_waiting(slots):
            return []
        self.refresh()
        self._verify(slots)
        missing = self._absent_and_not_waiting(slots)
        # If nothing is written, the next rows replace the waiting ones.
        return missing if self._writes or not missing else self._absent(slots)

    @property
    def _writes(self) -> bool:
        return self._entry is not None and not self._entry.cache.off

    def _absent(self, slots: Slots) -> list[int]:
        return list(dict.fromkeys(slots[self._shard[slots] < 0].tolist()))

    def _absent_and_not_waiting(self, slots: Slots) -> list[int]:
        return [slot for slot in self._absent(slots) if slot not in self._waiting]

    def put(self, rows: Mapping[int, Array]) -> None:
        """Add the rows of some slots, each [length, width]; existing rows are unchanged."""
        self._verify(np.fromiter(rows, dtype=np.intp))
        new = {slot: row for slot, row in rows.items() if self._shard[slot] < 0}
        if not self._writes:
            self._waiting = new
            return
        for slot, row in new.items():
            if slot not in self._waiting:
                self._waiting[slot] = row
                self._waiting_bytes += row.nbytes
        if self._waiting_bytes >= FLUSH_BYTES or len(self._waiting) >= FLUSH_ROWS:
            self.flush()

    def rows(self, slots: Slots) -> list[Array]:
        """Return rows, each [length, width], as views of mapped or waiting data; none may be missing."""
        return [
            self._waiting[slot] if number < 0 else self._shards[number].row(row)
            for slot, number, row in zip(
                slots.tolist(), self._shard[slots].tolist(), self._row[slots].tolist(), strict=True
            )
        ]

    def gather(self, slots: Slots) -> Array:
        """Return [n, L, width], L the longest of these rows, padded with zeros; none may be missing."""
        rows = self.rows(slots)
        values = np.empty((len(rows), max(map(len, rows)), self._width), dtype=self._dtype)
        for place, row in enumerate(rows):
            values[place, : len(row)] = row
            values[place, len(row) :] = 0
        return values

    def flush(self) -> None:
        """Write all waiting rows to one shard; if that fails, nothing more is cached."""
        if self._entry is None or not self._writes or not self._waiting:
            return
        slots, rows = list(self._waiting), list(self._waiting.values())
        lengths = [len(row) for row in rows]
        path = self._entry.new_shard()
        try:
            if not self._entry.make_room(shard_bytes(len(rows), sum(lengths), self._width, self._dtype)):
                self._entry.cache.off = True
                self._entry.cache.warn(
                    f"the cache {self._entry.cache.root} is full and all of it in use; further "
                    "outputs are not cached; raise DKD_CACHE_LIMIT"
                )
                return
            write_shard(path, self._entry.owner, self._keys[slots], lengths, rows, self._width, self._dtype)
            self._register(Shard(path, self._entry.owner, self._width, self._dtype, verified=True))
        except OSError as error:
            self._entry.cache.give_up(error)
            return
        self._seen.add(path.name)
        self._waiting, self._waiting_bytes = {}, 0

    def finish(self, hits: int) -> None:
        """Finish a run: write waiting rows, count the hits, merge small shards if there are many."""
        self.flush()
        if self._entry is None or not self._writes:
            return
        try:
            self._entry.note_use(hits)
            if len(self._entry.shards()) > MOST_SHARDS:
                self._merge(self._entry)
        except OSError as error:
            self._entry.cache.give_up(error)

    def _merge(self, entry: CacheEntry) -> None:
        """Make one shard of all small ones, each key once. Whoever has the old ones mapped may go on so."""
        with entry.merging() as alone:
            if not alone:
                return
            found = [self._shard_at(entry, path) for path in entry.shards()]
            small = [shard for shard in found if shard is not None and shard.payload.nbytes < SMALL_BYTES]
            for shard in small:
                try:
                    shard.verify()
                except Damaged as damage:
                    entry.discard(shard.path, str(damage))
            small = [shard for shard in small if shard.verified]
            if len(small) < 2:
                return
            keys = np.concatenate([shard.keys for shard in small])
            owner = np.repeat(np.arange(len(small)), [len(shard.keys) for shard in small])
            number = np.concatenate([np.arange(len(shard.keys)) for shard in small])
            first = np.sort(np.unique(keys, return_index=True)[1])
            lengths = np.concatenate([np.diff(shard.offsets) for shard in small])
            write_shard(
                entry.new_shard(),
                entry.owner,
                keys[first],
                lengths[first].tolist(),
                (small[owner[at]].row(number[at]) for at in first),
                self._width,
                self._dtype,
            )
            for shard in small:
                shard.path.unlink(missing_ok=True)
        self._forget_shards()
        self._open(entry, entry.shards())
