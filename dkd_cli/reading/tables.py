"""Rows as they were read, each of which still knows the line it came from.

Knows nothing about tasks, labels or splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

MOST_PROBLEMS = 5
"""Problems of one kind with a file that are shown at once."""
NAMED = 100
"""Columns that an error lists, and keys inside each: objects may have keys of their own in each row."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file or one split of a data set, column by column.

    A column of objects is also the columns inside it: `ticket.body` is the key `body` of the objects in
    `ticket`. A column that is called `ticket.body` itself wins.
    """

    place: str
    """The file as the user named it, or the data set and its split."""
    columns: Mapping[str, Sequence[object]]
    lines: Sequence[int] | None = None
    """The first line of each row, counted from 1; None where the format has no lines."""
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The names that the data set itself gives to the ids in a column."""
    notes: tuple[str, ...] = ()
    """Notes for the user about how the file was read, a line each."""
    numbers: Sequence[int] | None = None
    """The place of each row in the whole table, counted from 0; None: this is the whole table."""

    def __len__(self) -> int:
        first = next(iter(self.columns), None)
        return 0 if first is None else len(self.columns[first])

    def where(self, row: int) -> str:
        """Place of a row in an error."""
        if self.lines is not None:
            return f"{self.place}:{self.lines[row]}"
        return f"{self.place} row {(row if self.numbers is None else self.numbers[row]) + 1}"

    def take(self, rows: Sequence[int], names: Sequence[str]) -> Table:
        """Some of the rows in some of the columns; each row still knows its place."""
        columns = {}
        for name in names:
            values = self.column(name)
            if values is not None:
                columns[name] = [values[row] for row in rows]
        numbers = rows if self.numbers is None else [self.numbers[row] for row in rows]
        lines = None if self.lines is None else [self.lines[row] for row in rows]
        known = {name: self.class_names[name] for name in columns if name in self.class_names}
        return Table(self.place, columns, lines, known, self.notes, numbers)

    def column(self, name: str) -> Sequence[object] | None:
        """Values of a column, or of a key inside one; None where no row has it."""
        if name in self.columns:
            return self.columns[name]
        outer, dot, inner = name.partition(".")
        while dot:
            if outer in self.columns:
                found = [reached(value, inner) for value in self.columns[outer]]
                if any(found):
                    return [value[0] if value else None for value in found]
            deeper, dot, inner = inner.partition(".")
            outer = f"{outer}.{deeper}"
        return None

    def names(self) -> list[str]:
        """Names of the columns, with those inside objects in place of the objects."""
        found: list[str] = []
        for name in islice(self.columns, NAMED):
            first = next((value for value in self.columns[name] if value is not None), None)
            found += islice(_paths(first, name), NAMED)
        return found


def reached(value: object, path: str) -> tuple[object] | tuple[()]:
    """The value at a dotted path inside an object, if it is there; keys may hold dots themselves."""
    if not isinstance(value, Mapping):
        return ()
    if path in value:
        return (value[path],)
    key, dot, rest = path.partition(".")
    while dot:
        if key in value and (found := reached(value[key], rest)):
            return found
        more, dot, rest = rest.partition(".")
        key = f"{key}.{more}"
    return ()


def _paths(value: object, name: str) -> Iterator[str]:
    if not isinstance(value, Mapping) or not value:
        yield name
        return
    for key, child in value.items():
        yield from _paths(child, f"{name}.{key}")


class ObjectColumns(Mapping[str, Sequence[object]]):
    """Columns of objects that need not have the same keys; a value that is not there is None.

    A column is made when it is asked for: objects may each have keys of their own, and all columns of them
    would take the product of rows and keys.
    """

    def __init__(self, objects: Sequence[Mapping[str, object]]) -> None:
        self._objects = objects
        self._names = dict.fromkeys(name for row in objects for name in row)

    def __getitem__(self, name: str) -> Sequence[object]:
        if name not in self._names:
            raise KeyError(name)
        return [row.get(name) for row in self._objects]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
