"""Rows as they were read, each of which still knows the line it came from.

Knows nothing about tasks, labels or splits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Table:
    """A file or one split of a data set, column by column."""

    place: str
    """The file as the user named it, or the data set and its split."""
    columns: Mapping[str, Sequence[object]]
    lines: Sequence[int] | None = None
    """The first line of each row, counted from 1; None where the format has no lines."""
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The names that the data set itself gives to the ids in a column."""

    def __len__(self) -> int:
        return max((len(column) for column in self.columns.values()), default=0)

    def where(self, row: int) -> str:
        """Say where a row stands, as the place of an error."""
        return f"{self.place} row {row + 1}" if self.lines is None else f"{self.place}:{self.lines[row]}"
