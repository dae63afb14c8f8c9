"""What decay does to a file, for tests of what notices it."""

from __future__ import annotations

from pathlib import Path


def flip(path: Path, place: int | None = None) -> None:
    """Turn one bit of the byte at `place`, or of the one in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    path.write_bytes(content)
