"""Shards: files of rows found by key, written whole and once, checked before they are believed.

A row is a key of 16 bytes and one or more positions of equal width. Knows nothing about teachers, nor about
the folder that a shard stands in. A shard is, from its first byte to its last:

    magic, schema, item size, owner, width, rows, positions 56 bytes
    keys                                                    16 bytes a row
    offsets: where each row's positions begin, and the end  8 bytes each
    BLAKE2b of all that                                     16 bytes
    zeros up to a multiple of 64
    payload                                                 [positions, width]
    CRC-32 of the payload                                   4 bytes

The payload has the quicker checksum, for it is long and is read through at every start.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dkd_cli.files import replacing

SCHEMA = 2
MAGIC = b"DKDROWS\n"
PREFIX = struct.Struct("<8sII16sQQQ")
KEY_BYTES = 16
DIGEST_BYTES = 16
CRC = struct.Struct("<I")
ALIGNMENT = 64
CHUNK_BYTES = 2**22

Array = NDArray[Any]
Keys = NDArray[np.bytes_]
"""[n] of dtype S16. NumPy overlooks zeros at the end of such a value; keys of one length stay distinct."""


class Damaged(Exception):
    """A file is no shard, another kind of shard, or not as it was written."""


@dataclass(frozen=True)
class Index:
    """The checked head of a shard."""

    item_bytes: int
    width: int
    keys: Keys
    offsets: NDArray[np.int64]
    """[rows + 1], in positions."""
    payload_start: int
    """In bytes."""


def checksum(*parts: Any) -> bytes:
    """16 bytes of BLAKE2b over some buffers."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        state.update(part)
    return state.digest()


def row_keys(columns: Sequence[Sequence[Any]]) -> Keys:
    """A key for each row from what a model reads of it: some columns, each a sequence of integers a row.

    The columns of a row are equally long, so that no two rows run into one.

    >>> bool((row_keys([[[1, 2], [3]]]) == row_keys([[[1, 2], [4]]])).tolist() == [True, False])
    True
    """
    digests = (
        checksum(*(np.ascontiguousarray(cells, dtype="<i4") for cells in row))
        for row in zip(*columns, strict=True)
    )
    return np.frombuffer(b"".join(digests), dtype=f"S{KEY_BYTES}")


def shard_bytes(rows: int, positions: int, width: int, dtype: np.dtype[Any]) -> int:
    """How long the file of so many rows is."""
    return _payload_start(rows) + positions * width * dtype.itemsize + CRC.size


def _payload_start(rows: int) -> int:
    head = PREFIX.size + rows * KEY_BYTES + (rows + 1) * 8 + DIGEST_BYTES
    return -(-head // ALIGNMENT) * ALIGNMENT


def write_shard(
    path: Path,
    owner: bytes,
    keys: Keys,
    lengths: Sequence[int],
    rows: Iterable[Array],
    width: int,
    dtype: np.dtype[Any],
) -> None:
    """Write a shard, whole or not at all; it survives a power cut once this returns.

    Args:
        path: where to.
        owner: 16 bytes that say whose rows these are.
        keys: [n].
        lengths: the positions of each row, [n].
        rows: in the same order, each [length, width] of `dtype`; taken one by one.
        width: values in each position.
        dtype: of the values.
    """
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype("<u8")
    prefix = PREFIX.pack(MAGIC, SCHEMA, dtype.itemsize, owner, width, len(keys), int(offsets[-1]))
    head = prefix + keys.tobytes() + offsets.tobytes()
    crc = 0
    with replacing(path) as staged, staged.open("wb") as handle:
        handle.write((head + checksum(head)).ljust(_payload_start(len(keys)), b"\0"))
        for row in rows:
            values = np.ascontiguousarray(row, dtype=dtype).data.cast("B")
            crc = zlib.crc32(values, crc)
            handle.write(values)
        handle.write(CRC.pack(crc))


def read_index(handle: BinaryIO, owner: bytes) -> Index:
    """The head of a shard, without its payload.

    Args:
        handle: at its beginning.
        owner: as `write_shard` was given it.

    Raises:
        Damaged: says in what way.
        OSError: if it cannot be read.
    """
    prefix = handle.read(PREFIX.size)
    if len(prefix) < PREFIX.size or not prefix.startswith(MAGIC):
        raise Damaged("is no file of the cache")
    _, schema, item_bytes, theirs, width, rows, positions = PREFIX.unpack(prefix)
    if schema != SCHEMA:
        raise Damaged(f"has schema {schema}, not {SCHEMA}")
    start = _payload_start(rows)
    if os.fstat(handle.fileno()).st_size != start + positions * width * item_bytes + CRC.size:
        raise Damaged("is not as long as it should be")
    cells = handle.read(rows * KEY_BYTES + (rows + 1) * 8)
    if handle.read(DIGEST_BYTES) != checksum(prefix, cells):
        raise Damaged("has an index that does not match its checksum")
    # The zeros after it, too: they decide nothing, but a file that is not as it was written is not believed.
    if any(handle.read(start - handle.tell())):
        raise Damaged("has something where nothing should be")
    if theirs != owner:
        raise Damaged("holds the rows of another entry")
    keys = np.frombuffer(cells[: rows * KEY_BYTES], dtype=f"S{KEY_BYTES}")
    offsets = np.frombuffer(cells[rows * KEY_BYTES :], dtype="<u8").astype(np.int64)
    return Index(item_bytes, width, keys, offsets, start)


class Shard:
    """An open shard: keys and offsets in memory, the payload mapped from the disk.

    Its file is opened once: what another process removes or merges can be read here as long as it is wanted.

    Raises:
        Damaged: for a file that is not such a shard; the payload is checked by `verify`.
        OSError: if it cannot be read.
    """

    def __init__(
        self, path: Path, owner: bytes, width: int, dtype: np.dtype[Any], *, verified: bool = False
    ) -> None:
        with path.open("rb") as handle:
            index = read_index(handle, owner)
            if (index.item_bytes, index.width) != (dtype.itemsize, width):
                raise Damaged("holds values of another kind")
            shape = int(index.offsets[-1]), width
            mapped = np.memmap(handle, dtype=dtype, mode="r", offset=index.payload_start, shape=shape)
            handle.seek(-CRC.size, os.SEEK_END)
            self._crc = handle.read()
        self.path = path
        self.keys, self.offsets = index.keys, index.offsets
        self.verified = verified
        # A plain array over the same map: slicing a memmap costs several times as much.
        self.payload: Array = np.asarray(mapped)
        """[positions, width]."""

    def row(self, number: int) -> Array:
        """[length, width], a view of the mapped file."""
        return self.payload[self.offsets[number] : self.offsets[number + 1]]

    def verify(self) -> None:
        """Read the payload through, once for each open shard.

        Raises:
            Damaged: where it does not match its checksum.
        """
        if self.verified:
            return
        step = max(1, CHUNK_BYTES // max(1, self.payload[:1].nbytes))
        crc = 0
        for start in range(0, len(self.payload), step):
            crc = zlib.crc32(self.payload[start : start + step].data, crc)
        if CRC.pack(crc) != self._crc:
            raise Damaged("does not match its checksum")
        self.verified = True
