"""Columns by name, and by the path to a key inside objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from dkd_cli.reading.tables import ObjectColumns, Table

ROWS: list[dict[str, object]] = [
    {"id": 1, "ticket": {"body": "a", "meta": {"queue": "x"}}, "a.b": 5},
    {"id": 2, "ticket": None, "a": {"b": 7}},
    {"id": 3, "ticket": {"body": "c", "x.y": {"z": 9}}},
]


@pytest.mark.parametrize(
    "columns",
    [ObjectColumns(ROWS), {name: [row.get(name) for row in ROWS] for name in ("id", "ticket", "a.b", "a")}],
    ids=["objects", "columns"],
)
def test_paths(columns: Mapping[str, Sequence[object]]) -> None:
    table = Table("a", columns)
    assert table.column("id") == [1, 2, 3]
    assert table.column("ticket.body") == ["a", None, "c"]
    assert table.column("ticket.meta.queue") == ["x", None, None]
    assert table.column("ticket.x.y.z") == [None, None, 9], "a key with a dot in it"
    assert table.column("a.b") == [5, None, None], "the column that is called so wins"
    assert (table.column("ticket.nothing"), table.column("nothing"), table.column("id.x")) == (
        None,
        None,
        None,
    )
    assert table.names() == ["id", "ticket.body", "ticket.meta.queue", "a.b", "a.b"]
    assert len(table) == 3


def test_objects_with_keys_of_their_own_do_not_fill_the_memory() -> None:
    count = 20_000
    table = Table("a", ObjectColumns([{"text": "a", f"key {row}": row} for row in range(count)]))
    column = table.column("key 7")
    assert column is not None
    assert column[7] == 7
    assert len(table.names()) <= 100
