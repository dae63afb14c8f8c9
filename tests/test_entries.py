"""The cache's folder: its limit, who is at work, what is removed and what is never touched."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dkd_cli.engine.cache import entries
from dkd_cli.engine.cache.entries import Cache, cache_limit, cache_root
from dkd_cli.engine.cache.rows import CachedRows
from dkd_cli.engine.cache.shards import row_keys
from dkd_cli.errors import RecipeError
from dkd_cli.files import write_json

HOLDER = """
import sys
from pathlib import Path
from dkd_cli.engine.cache.entries import Cache
held = Cache(Path(sys.argv[1]), 10**9, print).attach("t", {"weights": sys.argv[2]})
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10**9, pytest.fail)


@pytest.fixture
def filled(cache: Cache) -> Callable[[str, float], Path]:
    """`filled("a", 5.0)`: an entry of about 10 kB that nobody uses any more, last used at that moment."""

    def fill(name: str, last_used: float) -> Path:
        entry = cache.attach(name, {"weights": name})
        assert entry is not None
        keys = np.sort(row_keys([[[1], [2]]]))
        kept = CachedRows(keys, 1250, np.dtype("<f4"), entry)
        kept.put({slot: np.ones((1, 1250), dtype="<f4") for slot in range(2)})
        kept.flush()
        write_json(entry.folder / "use.json", {"hits": 1, "last_used": last_used})
        cache.close()
        return entry.folder

    return fill


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"DKD_CACHE": "/a/b"}, Path("/a/b")),
        ({"DKD_CACHE": "off"}, None),
        ({"XDG_CACHE_HOME": "/x"}, Path("/x/dkd")),
        ({"DKD_CACHE": "", "XDG_CACHE_HOME": "/x"}, Path("/x/dkd")),
        ({"HOME": "/home/me"}, Path("/home/me/.cache/dkd")),
        ({"DKD_CACHE": "~/c", "HOME": "/home/me"}, Path("/home/me/c")),
    ],
)
def test_where_it_is(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: Path | None
) -> None:
    for name in ("DKD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_root() == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [("", 20 * 10**9), ("500MB", 5 * 10**8), ("1.5 gb", 15 * 10**8), ("0B", 0), ("2TB", 2 * 10**12)],
)
def test_the_limit(monkeypatch: pytest.MonkeyPatch, written: str, expected: int) -> None:
    monkeypatch.setenv("DKD_CACHE_LIMIT", written)
    assert cache_limit() == expected


@pytest.mark.parametrize("written", ["20", "many", "-1GB", "1e3MB", "nan GB"])
def test_what_is_no_limit(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("DKD_CACHE_LIMIT", written)
    with pytest.raises(RecipeError, match="20GB") as caught:
        cache_limit()
    assert caught.value.place == "DKD_CACHE_LIMIT"


def test_other_facts_are_another_entry(cache: Cache) -> None:
    one, other, same = (cache.attach("t", {"layers": layers}) for layers in ([0], [1], [0]))
    assert one is not None
    assert other is not None
    assert same is not None
    assert one.folder == same.folder != other.folder
    renamed = cache.attach("another name", {"layers": [0]})
    assert renamed is not None
    assert renamed.folder == one.folder


def test_another_schema_is_another_entry(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    one = cache.attach("t", {})
    monkeypatch.setattr(entries, "SCHEMA", entries.SCHEMA + 1)
    other = cache.attach("t", {})
    assert one is not None
    assert other is not None
    assert one.folder != other.folder


def test_the_least_recently_used_goes_first(cache: Cache, filled: Callable[[str, float], Path]) -> None:
    old, older, recent = filled("old", 5.0), filled("older", 4.0), filled("recent", 6.0)
    cache.limit = 34_000
    assert cache.make_room(1000)
    assert old.exists()
    assert older.exists()
    assert cache.make_room(10_000)
    assert not older.exists()
    assert cache.make_room(20_000)
    assert not old.exists()
    assert recent.exists()
    assert not cache.make_room(40_000)


def test_what_is_in_use_stays(cache: Cache, filled: Callable[[str, float], Path]) -> None:
    old, recent = filled("old", 1.0), filled("recent", 2.0)
    used = cache.attach("old", {"weights": "old"})
    assert used is not None
    write_json(old / "use.json", {"hits": 0, "last_used": 0.0})
    cache.limit = 22_000
    assert cache.make_room(5000)
    assert old.exists()
    assert not recent.exists()
    removed, left = cache.clear(10.0)
    assert (removed, [entry.folder for entry in left]) == ([], [old])
    cache.close()
    assert [entry.folder for entry in cache.clear(10.0)[0]] == [old]


def test_a_dead_process_holds_nothing(cache: Cache) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(cache.root), "w"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        [folder] = cache.folders()
        token = next(folder.glob("*.lock")).stem
        (folder / f".1-{token}.shard.{holder.pid}.tmp").write_bytes(b"half")
        assert cache.clear(float("inf"))[0] == []
        os.kill(holder.pid, signal.SIGKILL)
    finally:
        holder.kill()
        holder.communicate()
    entry = cache.attach("t", {"weights": "w"})
    assert entry is not None
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".json", ".lock"]
    cache.close()
    assert [listed.folder for listed in cache.clear(float("inf"))[0]] == [folder]


def test_only_entries_are_ever_removed(cache: Cache, filled: Callable[[str, float], Path]) -> None:
    filled("a", 1.0)
    theirs = [cache.root / "notes.txt", cache.root / ("0" * 32) / "theirs", cache.root / "models" / "x"]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    cache.limit = 0
    assert not cache.make_room(1)
    cache.clear(float("inf"))
    assert cache.folders() == []
    assert all(path.read_text() == "mine" for path in theirs)


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    said: list[str] = []
    cache = Cache(tmp_path / "file" / "cache", 10**9, said.append)
    assert cache.attach("t", {"a": 1}) is None
    assert cache.attach("t", {"a": 2}) is None
    assert len(said) == 1
    assert "DKD_CACHE" in said[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told_once(tmp_path: Path) -> None:
    said: list[str] = []
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert Cache(tmp_path / "cache", 10**9, said.append).attach("t", {}) is None
    finally:
        tmp_path.chmod(stat.S_IRWXU)
    assert len(said) == 1


def test_a_file_is_digested_when_it_is_new(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    cache.root.mkdir()
    first = cache.file_digest(weights)
    with monkeypatch.context() as patch:
        patch.setattr(entries.hashlib, "file_digest", pytest.fail)
        assert Cache(cache.root, 1, pytest.fail).file_digest(weights) == first
    weights.write_bytes(b"two")
    os.utime(weights, ns=(1, 1))
    second = cache.file_digest(weights)
    assert second != first
    (cache.root / "weights.json").write_text("{torn")
    assert cache.file_digest(weights) == second


def test_a_digest_that_decayed_is_not_believed(cache: Cache, tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    cache.root.mkdir()
    digest = cache.file_digest(weights)
    memory = cache.root / "weights.json"
    remembered = memory.read_text()
    for damaged in (
        remembered.replace(digest, f"{digest[:-1]}{'0' if digest[-1] == '1' else '1'}"),
        json.dumps({str(weights): 3}),
        json.dumps({str(weights): [digest]}),
    ):
        assert damaged != remembered
        memory.write_text(damaged)
        assert cache.file_digest(weights) == digest
        assert memory.read_text() == remembered


def test_a_copy_that_brings_its_time_along_is_digested(cache: Cache, tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    cache.root.mkdir()
    before, first = weights.stat(), cache.file_digest(weights)
    weights.write_bytes(b"two")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cache.file_digest(weights) != first


def test_a_description_that_is_damaged_is_written_anew(
    cache: Cache, filled: Callable[[str, float], Path]
) -> None:
    folder = filled("a", 5.0)
    described = (folder / "entry.json").read_text()
    for damaged in ("", "[]", described.replace('"weights": "a"', '"weights": "b"')):
        (folder / "entry.json").write_text(damaged)
        assert [(entry.facts, entry.rows) for entry in cache.entries()] == [({}, 2)]
        entry = cache.attach("a", {"weights": "a"})
        assert entry is not None
        assert entry.folder == folder
        assert (folder / "entry.json").read_text() == described


@pytest.mark.parametrize(
    "written", ['{"hits": "many", "last_used": []}', '{"hits": -1, "last_used": NaN}', "null"]
)
def test_notes_that_are_no_numbers_are_none(
    cache: Cache, filled: Callable[[str, float], Path], written: str
) -> None:
    (filled("a", 5.0) / "use.json").write_text(written)
    assert [(entry.hits, entry.last_used) for entry in cache.entries()] == [(0, 0.0)]
    assert cache.attach("a", {"weights": "a"}) is not None


def test_notes_that_are_torn_are_empty(cache: Cache, filled: Callable[[str, float], Path]) -> None:
    folder = filled("a", 5.0)
    (folder / "use.json").write_text("[1")
    assert [(entry.hits, entry.last_used, entry.rows) for entry in cache.entries()] == [(0, 0.0, 2)]
