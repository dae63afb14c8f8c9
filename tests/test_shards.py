"""Shards: what was written is read again, and nothing else is believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dkd_cli.engine.cache.shards import (
    MAGIC,
    PREFIX,
    SCHEMA,
    Array,
    Damaged,
    Shard,
    row_keys,
    shard_bytes,
    write_shard,
)

F4 = np.dtype("<f4")
LENGTHS = [3, 1, 7, 2]
WIDTH = 5
OWNER = bytes(range(16))


def rows() -> list[Array]:
    random = np.random.default_rng(0)
    return [random.normal(size=(length, WIDTH)).astype(F4) for length in LENGTHS]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written = tmp_path / "a.shard"
    write_shard(written, OWNER, row_keys([[[1], [2], [3], [4]]]), LENGTHS, rows(), WIDTH, F4)
    return written


def test_what_is_written_is_read(path: Path) -> None:
    shard = Shard(path, OWNER, WIDTH, F4)
    shard.verify()
    assert (shard.keys == row_keys([[[1], [2], [3], [4]]])).all()
    for number, row in enumerate(rows()):
        np.testing.assert_array_equal(shard.row(number), row)
    assert path.stat().st_size == shard_bytes(4, sum(LENGTHS), WIDTH, F4)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.shard"]


def test_a_key_is_all_that_a_model_reads() -> None:
    one = row_keys([[[1, 2], [1, 2], [1], [1, 2, 0]], [[0, 0], [0, 1], [0], [0, 0, 0]]])
    assert len(set(one.tolist())) == 4
    assert (
        one == row_keys([[np.array([1, 2]), (1, 2), [1], [1, 2, 0]], [[0, 0], [0, 1], [0], [0] * 3]])
    ).all()
    assert row_keys([[]]).shape == (0,)


def flipped(place: int) -> Callable[[bytes], bytes]:
    """Change one bit of the byte at `place`."""

    def flip(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[place] ^= 1
        return bytes(changed)

    return flip


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[:-1], "is not as long as it should be"),
        (lambda content: content[:100], "is not as long as it should be"),
        (lambda content: content[:20], "is not a file of the cache"),
        (lambda content: b"", "is not a file of the cache"),
        (lambda content: b"PAR1" + content[4:], "is not a file of the cache"),
        (
            lambda content: (
                PREFIX.pack(MAGIC, SCHEMA + 1, *PREFIX.unpack(content[: PREFIX.size])[2:])
                + content[PREFIX.size :]
            ),
            f"has schema {SCHEMA + 1}, not {SCHEMA}",
        ),
        (flipped(PREFIX.size), "has an index that does not match its checksum"),
        (flipped(PREFIX.size + 4 * 16 + 9), "has an index that does not match its checksum"),
        (flipped(-5 - sum(LENGTHS) * WIDTH * 4), "has data in its padding"),
        (flipped(-1), "does not match its checksum"),
        (flipped(-5), "does not match its checksum"),
        (flipped(-4 - sum(LENGTHS) * WIDTH * 4), "does not match its checksum"),
    ],
)
def test_damage_is_found(path: Path, damage: Callable[[bytes], bytes], said: str) -> None:
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Damaged) as caught:
        Shard(path, OWNER, WIDTH, F4).verify()
    assert str(caught.value) == said


@pytest.mark.parametrize(("width", "dtype"), [(WIDTH + 1, F4), (WIDTH, np.dtype("<i2"))])
def test_another_kind_of_values_is_refused(path: Path, width: int, dtype: np.dtype[np.generic]) -> None:
    with pytest.raises(Damaged, match="another kind"):
        Shard(path, OWNER, width, dtype)


def test_anothers_rows_are_refused(path: Path) -> None:
    with pytest.raises(Damaged, match="another entry"):
        Shard(path, OWNER[::-1], WIDTH, F4)


def test_what_is_open_can_be_read_after_it_was_removed(path: Path) -> None:
    shard = Shard(path, OWNER, WIDTH, F4)
    path.unlink()
    shard.verify()
    np.testing.assert_array_equal(shard.row(2), rows()[2])


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def torn() -> list[Array]:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_shard(
            tmp_path / "a.shard", OWNER, row_keys([[[1]]]), [1], (torn() for _ in range(1)), WIDTH, F4
        )  # type: ignore[misc]
    assert list(tmp_path.iterdir()) == []
