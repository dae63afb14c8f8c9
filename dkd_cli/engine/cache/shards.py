"""Shards: files of rows found by key, written atomically and once, and verified before use.

A row is a key of 16 bytes and one or more positions of equal width. Knows nothing about teachers or the
folder of a shard. A shard is, from its first byte to its last:

    magic, schema, item size, owner, width, rows, positions 56 bytes
    keys                                                    16 bytes a row
    offsets: where each row's positions begin, and the end  8 bytes each
    BLAKE2b of all that                                     16 bytes
    zeros up to a multiple of 64
    payload                                                 [positions, width]
    CRC-32 of the payload                                   4 bytes

The payload has the faster checksum, because it is long and read completely at every start.
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
"""Keys as [n] of dtype S16. NumPy ignores zeros at the end of such a value; keys of one length stay
distinct."""


class Damaged(Exception):
    """A file that is not a shard, is another kind of shard, or differs from what was written."""


@dataclass(frozen=True)
class Index:
    """The verified header of a shard."""

    item_bytes: int
    width: int
    keys: Keys
    offsets: NDArray[np.int64]
    """[rows + 1], in positions."""
    payload_start: int
    """In bytes."""


def checksum(*parts: Any) -> bytes:
    """BLAKE2b digest of 16 bytes over some buffers."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        state.update(part)
    return state.digest()


def row_keys(columns: Sequence[Sequence[Any]]) -> Keys:
    """Return a key for each row from the columns that a model reads, each a sequence of integers per row.

    The columns of a row have equal lengths, so that no two rows can have the same bytes.

    >>> bool((row_keys([[[1, 2], [3]]]) == row_keys([[[1, 2], [4]]])).tolist() == [True, False])
    True
    """
    digests = (
        checksum(*(np.ascontiguousarray(cells, dtype="<i4") for cells in row))
        for row in zip(*columns, strict=True)
    )
    return np.frombuffer(b"".join(digests), dtype=f"S{KEY_BYTES}")


def shard_bytes(rows: int, positions: int, width: int, dtype: np.dtype[Any]) -> int:
    """Return the file size of this many rows."""
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
    """Write a shard atomically; it survives a power cut once this returns.

    Args:
        path: of the new file.
        owner: 16 bytes that identify the entry.
        keys: [n].
        lengths: the positions of each row, [n].
        rows: in the same order, each [length, width] of `dtype`; consumed one by one.
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
    """Read the header of a shard, without its payload.

    Args:
        handle: at its beginning.
        owner: as given to `write_shard`.

    Raises:
        Damaged: with the reason.
        OSError: if it cannot be read.
    """
    prefix = handle.read(PREFIX.size)
    if len(prefix) < PREFIX.size or not prefix.startswith(MAGIC):
        raise Damaged("is not a file of the cache")
    _, schema, item_bytes, theirs, width, rows, positions = PREFIX.unpack(prefix)
    if schema != SCHEMA:
        raise Damaged(f"has schema {schema}, not {SCHEMA}")
    start = _payload_start(rows)
    if os.fstat(handle.fileno()).st_size != start + positions * width * item_bytes + CRC.size:
        raise Damaged("is not as long as it should be")
    cells = handle.read(rows * KEY_BYTES + (rows + 1) * 8)
    if handle.read(DIGEST_BYTES) != checksum(prefix, cells):
        raise Damaged("has an index that does not match its checksum")
    # The padding, too: it decides nothing, but a file that differs from what was written is not trusted.
    if any(handle.read(start - handle.tell())):
        raise Damaged("has data in its padding")
    if theirs != owner:
        raise Damaged("holds the rows of another entry")
    keys = np.frombuffer(cells[: rows * KEY_BYTES], dtype=f"S{KEY_BYTES}")
    offsets = np.frombuffer(cells[rows * KEY_BYTES :], dtype="<u8").astype(np.int64)
    return Index(item_bytes, width, keys, offsets, start)


class Shard:
    """An open shard: keys and offsets in memory, the payload memory-mapped.

    Its file is opened once: even if another process removes or merges it, it can be read as long as needed.

    Raises:
        Damaged: for an invalid file; the payload is checked by `verify`.
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
        """Return a row, [length, width], as a view of the mapped file."""
        return self.payload[self.offsets[number] : self.offsets[number + 1]]

    def verify(self) -> None:
        """Verify the payload, once for each open shard.

        Raises:
            Damaged: if it does not match its checksum.
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
