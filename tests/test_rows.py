"""Cached rows: waiting, written, found by other processes, merged; and what goes wrong on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dkd_cli.engine.cache import rows as module
from dkd_cli.engine.cache.entries import Cache
from dkd_cli.engine.cache.rows import CachedRows
from dkd_cli.engine.cache.shards import Array, row_keys

ROWS, WIDTH, F4 = 200, 8, np.dtype("<f4")
KEYS = np.sort(row_keys([[[number] for number in range(ROWS)]]))
FACTS = {"weights": "w"}
WRITER = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_rows import FACTS, F4, KEYS, ROWS, WIDTH, Cache, CachedRows, row
from pathlib import Path
cache = Cache(Path(sys.argv[2]), 10**9, print)
mine = CachedRows(KEYS, WIDTH, F4, cache.attach("t", FACTS))
order = np.random.default_rng(int(sys.argv[3])).permutation(ROWS)
print("begun", flush=True)
for start in range(0, ROWS, 10):
    slots = order[start : start + 10]
    mine.put({slot: row(slot) for slot in mine.lacking(slots)})
    mine.flush()
    if sys.argv[4] == "forever":
        mine._shard[:] = -1  # so that it goes on writing until it is killed
        mine._seen.clear()
while sys.argv[4] == "forever":
    mine.put({slot: row(slot) for slot in range(ROWS)})
    mine.flush()
    mine._shard[:] = -1
mine.finish(1)
"""


def row(slot: int) -> Array:
    """A row of one to five positions that tells which it is."""
    return np.full((1 + slot % 5, WIDTH), slot, dtype=F4) + np.arange(WIDTH, dtype=F4) / 16


def rows(*slots: int) -> dict[int, Array]:
    return {slot: row(slot) for slot in slots}


def check(found: Array, slots: list[int]) -> None:
    for place, slot in enumerate(slots):
        np.testing.assert_array_equal(found[place, : len(row(slot))], row(slot))
        assert not found[place, len(row(slot)) :].any()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, said: list[str]) -> Cache:
    return Cache(tmp_path / "cache", 10**9, said.append)


@pytest.fixture
def make(cache: Cache) -> Callable[[], CachedRows]:
    return lambda: CachedRows(KEYS, WIDTH, F4, cache.attach("t", FACTS))


def slots(*chosen: int) -> module.Slots:
    return np.array(chosen, dtype=np.intp)


def test_what_waits_is_given_and_what_is_written_is_found(make: Callable[[], CachedRows]) -> None:
    one = make()
    assert one.lacking(slots(3, 1, 3, 4)) == [3, 1, 4]
    one.put(rows(3, 1))
    assert one.lacking(slots(3, 1, 3, 4)) == [4]
    check(one.gather(slots(1, 3, 1)), [1, 3, 1])
    assert make().lacking(slots(1)) == [1], "nothing is written yet"
    one.flush()
    one.put(rows(4))
    check(one.gather(slots(1, 4, 3)), [1, 4, 3])
    other = make()
    assert other.stored().tolist() == [1, 3]
    check(other.gather(slots(3, 1)), [3, 1])


def test_the_first_value_stays(make: Callable[[], CachedRows]) -> None:
    one, other = make(), make()
    one.put(rows(5))
    one.put({5: row(5) + 1})
    one.flush()
    other.put({5: row(5) + 2})
    other.flush()
    for reader in (one, make()):
        check(reader.gather(slots(5)), [5])


def test_many_rows_are_written_before_they_fill_the_memory(
    make: Callable[[], CachedRows], cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLUSH_BYTES", 20 * row(4).nbytes)
    one = make()
    for start in range(0, ROWS, 10):
        one.put(rows(*range(start, start + 10)))
        assert one._waiting_bytes < 30 * row(4).nbytes
    assert len(list(cache.root.glob("*/*.shard"))) > 2
    check(one.gather(np.arange(ROWS)), list(range(ROWS)))


def test_many_shards_are_merged(
    make: Callable[[], CachedRows], cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_SHARDS", 4)
    one, reader = make(), make()
    for start in range(0, 50, 10):
        one.put(rows(*range(start, start + 10)))
        one.flush()
    reader.put(rows(7))  # known by now, but not to the reader
    reader.flush()
    assert reader.lacking(np.arange(50)) == []
    one.finish(0)
    assert len(list(cache.root.glob("*/*.shard"))) == 1
    for each in (one, reader, make()):
        assert each.lacking(np.arange(50)) == []
        check(each.gather(np.arange(50)), list(range(50)))


@pytest.mark.parametrize("fails", ["write_shard", "make_room"])
def test_a_full_disk_costs_the_answers_not_the_run(
    make: Callable[[], CachedRows], said: list[str], monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    one, two = make(), make()
    one.put(rows(1))
    one.flush()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    target = module if fails == "write_shard" else module.CacheEntry
    monkeypatch.setattr(target, fails, full)
    one.put(rows(2, 3))
    for each in (one, two):
        each.put(rows(9))
        each.flush()
        each.finish(0)
    assert len(said) == 1
    assert "No space left on device" in said[0]
    assert "DKD_CACHE" in said[0]
    check(one.gather(slots(1, 2, 3)), [1, 2, 3])
    # From here on only what is on disk, and the newest rows.
    assert one.lacking(slots(1, 2, 4)) == [2, 4]
    one.put(rows(2, 4))
    check(one.gather(slots(1, 2, 4)), [1, 2, 4])
    assert one.lacking(slots(3)) == [3]


def test_without_an_entry_the_newest_rows_are_at_hand() -> None:
    one = CachedRows(KEYS, WIDTH, F4, None)
    one.put(rows(1, 2))
    assert one.lacking(slots(1, 2)) == []
    assert one.lacking(slots(2, 3)) == [2, 3]
    one.put(rows(2, 3))
    one.finish(0)
    check(one.gather(slots(3, 2)), [3, 2])
    assert one.lacking(slots(1)) == [1]


def test_a_full_cache_is_told_once(tmp_path: Path, said: list[str]) -> None:
    cache = Cache(tmp_path / "cache", 3000, said.append)
    one = CachedRows(KEYS, WIDTH, F4, cache.attach("t", FACTS))
    one.put(rows(*range(ROWS)))
    one.flush()
    one.put(rows(3))
    one.flush()
    assert len(said) == 1
    assert "DKD_CACHE_LIMIT" in said[0]
    assert not list(cache.root.glob("*/*.shard"))


@pytest.mark.parametrize("content", [b"", b"nothing of ours", b"DKDROWS\n" + bytes(100)])
def test_a_foreign_file_is_named_and_taken_away(
    make: Callable[[], CachedRows], cache: Cache, said: list[str], content: bytes
) -> None:
    one = make()
    one.put(rows(1))
    one.flush()
    [folder] = cache.folders()
    (folder / "0.shard").write_bytes(content)
    check(make().gather(slots(1)), [1])
    assert len(said) == 1
    assert str(folder / "0.shard") in said[0]
    assert not (folder / "0.shard").exists()


def test_the_rows_of_another_entry_are_not_believed(
    make: Callable[[], CachedRows], cache: Cache, said: list[str]
) -> None:
    one = make()
    one.put(rows(1))
    one.flush()
    [folder] = cache.folders()
    [shard] = folder.glob("*.shard")
    other = cache.attach("another", {"weights": "another"})
    assert other is not None
    (other.folder / shard.name).write_bytes(shard.read_bytes())
    kept = CachedRows(KEYS, WIDTH, F4, other)
    assert kept.lacking(slots(1)) == [1]
    assert len(said) == 1
    assert "another entry" in said[0]


def test_what_cannot_be_read_is_passed_over(
    make: Callable[[], CachedRows], cache: Cache, said: list[str]
) -> None:
    one = make()
    one.put(rows(1))
    one.flush()
    [folder] = cache.folders()
    (folder / "0.shard").mkdir()
    again = make()
    check(again.gather(slots(1)), [1])
    assert again.lacking(slots(2)) == [2]
    again.put(rows(2))
    again.flush()
    assert len(said) == 1
    assert "0.shard cannot be read" in said[0]
    assert cache.off is False


def test_an_entry_that_is_removed_by_hand_is_made_anew(make: Callable[[], CachedRows], cache: Cache) -> None:
    one = make()
    one.put(rows(1))
    one.flush()
    [folder] = cache.folders()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert one.lacking(slots(1, 2)) == [2]
    one.put(rows(2))
    one.finish(3)
    assert [(entry.rows, entry.hits) for entry in cache.entries()] == [(1, 3)]
    check(one.gather(slots(1, 2)), [1, 2])


@pytest.fixture
def started(cache: Cache) -> Iterator[Callable[[int, str], subprocess.Popen[str]]]:
    begun: list[subprocess.Popen[str]] = []

    def start(seed: int, how: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(cache.root), str(seed), how]
        begun.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def test_four_processes_fill_one_entry_and_one_is_killed(
    started: Callable[[int, str], subprocess.Popen[str]],
    make: Callable[[], CachedRows],
    cache: Cache,
    said: list[str],
) -> None:
    victim, *others = [started(seed, "forever" if seed == 0 else "once") for seed in range(4)]
    assert victim.stdout is not None
    victim.stdout.readline()
    time.sleep(0.3)
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    for process in others:
        out, _ = process.communicate(timeout=60)
        assert (out, process.returncode) == ("begun\n", 0), out
    one = make()
    assert one.lacking(np.arange(ROWS)) == []
    check(one.gather(np.arange(ROWS)), list(range(ROWS)))
    assert said == []
    [entry] = cache.entries()
    assert (entry.rows, entry.hits) == (ROWS, 3)
    assert len(list(entry.folder.glob("*.lock"))) == 1, "those of dead processes are gone"
    assert list(entry.folder.glob("*.tmp")) == []
