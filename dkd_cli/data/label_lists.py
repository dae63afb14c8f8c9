"""Several labels per text: from a column of lists or joined names, or a column each, to 1 and 0 per label.

Knows nothing about texts, nor about how splits are cut.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Mapping, Sequence

from dkd_cli.data.labels import (
    FEW_ROWS,
    HIDDEN,
    INTEGER,
    TRAINING,
    LabelLists,
    Labels,
    absent_labels,
    in_known_order,
    label_cells,
    label_text,
    shortened,
)
from dkd_cli.errors import DataError, RecipeError, raise_all
from dkd_cli.reading.tables import MOST_PROBLEMS, Table

YES, NO = ("1", "1.0", "true"), ("0", "0.0", "false")
RAREST = 5
"""Labels that the note on counts names."""


def columns_of(label: str) -> list[str]:
    """The columns that `data.label` names.

    >>> columns_of("toxic, insult"), columns_of("labels")
    (['toxic', 'insult'], ['labels'])
    """
    return [name.strip() for name in label.split(",") if name.strip()]


def label_lists(table: Table, label: str, separator: str, may_hide: bool) -> LabelLists:
    """Read the labels of each row as text.

    One column holds lists, or texts joined by `separator` (an empty one: no label); several columns hold 1 or
    0, true or false, and their names are the labels.

    Raises:
        DataError: a column is missing, or a cell is neither; up to five at once.
    """
    columns = columns_of(label)
    read = _from_one_column if len(columns) == 1 else _from_columns
    return read(table, columns, separator, may_hide)


def hidden_lists(table: Table, label: str) -> LabelLists:
    """Labels that nobody may look at; their names are still the data set's."""
    columns = columns_of(label)
    names = tuple(columns) if len(columns) > 1 else table.class_names.get(columns[0])
    return LabelLists(table, [None] * len(table), names, may_hide=True)


def _from_one_column(table: Table, columns: list[str], separator: str, may_hide: bool) -> LabelLists:
    cells = label_cells(table, columns[0], may_hide)
    if may_hide and all(cell is None or str(cell).strip() in ("", HIDDEN) for cell in cells):
        cells = [None] * len(cells)
    problems: list[DataError] = []
    values: list[tuple[str, ...] | None] = []
    for row, cell in enumerate(cells):
        found = _names(cell, separator)
        values.append(found if not isinstance(found, str) else None)
        if isinstance(found, str) and len(problems) < MOST_PROBLEMS:
            remedy = f'write a list of labels, or labels joined by "{separator}"'
            problems.append(DataError(table.where(row), found, remedy))
    raise_all(problems)
    return LabelLists(table, values, table.class_names.get(columns[0]), may_hide)


def _names(cell: object, separator: str) -> tuple[str, ...] | str | None:
    """The labels in a cell, None where they are missing, or what is wrong with it."""
    if cell is None:
        return None
    if isinstance(cell, str) and cell.strip().startswith("["):
        try:
            cell = json.loads(cell)
        except ValueError:
            return f"{shortened(cell)} is no list of labels"
    if isinstance(cell, str):
        return tuple(name.strip() for name in cell.split(separator) if name.strip())
    if type(cell) is int:
        return (str(cell),)
    if not isinstance(cell, list | tuple):
        return f"{shortened(cell)} is no list of labels"
    wrong = [one for one in cell if isinstance(one, bool) or not isinstance(one, str | int)]
    if wrong:
        return f"{shortened(wrong[0])} in a list is no label"
    return tuple(name for one in cell if (name := label_text(one)) is not None)


def _from_columns(table: Table, columns: list[str], separator: str, may_hide: bool) -> LabelLists:
    cells = {name: label_cells(table, name, may_hide) for name in columns}
    problems: list[DataError] = []
    values: list[tuple[str, ...] | None] = []
    for row in range(len(table)):
        read = {name: label_text(column[row]) for name, column in cells.items()}
        read = {name: None if text is None else text.lower() for name, text in read.items()}
        if all(text in (None, HIDDEN) for text in read.values()):
            values.append(None)
            continue
        values.append(tuple(name for name, text in read.items() if text in YES))
        wrong = next((name for name, text in read.items() if text not in (*YES, *NO)), None)
        if wrong is not None and len(problems) < MOST_PROBLEMS:
            problem = f"{wrong!r} is {shortened(cells[wrong][row])}, which says neither yes nor no"
            problems.append(DataError(table.where(row), problem, "write 1 or 0, or true or false"))
    raise_all(problems)
    return LabelLists(table, values, tuple(columns), may_hide)


def label_sets(
    columns: Mapping[str, LabelLists],
    names_from: str,
    declared: tuple[str, ...] | None,
    *,
    infer: bool,
    orders: Sequence[tuple[str, ...]] = (),
) -> tuple[tuple[str, ...], dict[str, Labels]]:
    """Give every label an id, and every row 1 or 0 for each of them.

    Args:
        columns: by split.
        names_from: the split whose labels are all there are, where nothing names them.
        declared: the recipe's names in the order of their ids.
        infer: whether labels that occur may name them.
        orders: those of a known task, as in `tasks.Task`.

    Raises:
        DataError: labels are missing or unknown, up to five per split; or there is only one.
        RecipeError: nothing names the labels, and they may not be inferred.
    """
    known = columns[names_from].class_names or next(
        (column.class_names for column in columns.values() if column.class_names), None
    )
    if not (declared or known or infer):
        raise RecipeError(
            "data.labels",
            "names no labels, nor does the data set, and unlabelled texts cannot tell them",
            "name them in the order of their ids, such as [toxic, insult]",
        )
    readable = {
        name: column
        for name, column in columns.items()
        if not (column.may_hide and all(value is None for value in column.values))
    }
    raise_all(
        [
            problem
            for split, column in readable.items()
            for problem in absent_labels(column, hidden_is_name=True, droppable=split in TRAINING)
        ]
    )
    names = declared or known or in_known_order(_occurring(columns[names_from]), orders)
    if len(names) < 2:
        problem = f"has one label, {names[0]!r}" if names else "has no labels"
        place = columns[names_from].table.place
        raise DataError(place, problem, "name another column in data.label, or set data.kind: classification")
    labels: dict[str, Labels] = dict.fromkeys(columns)
    problems: list[DataError] = []
    inferred = not (declared or known)
    for split, column in readable.items():
        labels[split], wrong = _ones(column, names, inferred=inferred)
        problems += wrong
    raise_all(problems)
    return names, labels


def _occurring(column: LabelLists) -> list[str]:
    """Sort the labels that occur: whole numbers by value, words by their letters."""
    found = {name for value in column.values for name in value or ()}
    if len(column.values) >= FEW_ROWS and len(found) > len(column.values) / 2:
        raise DataError(
            column.table.place,
            f"{len(column.values):,} rows, {len(found):,} labels: is this the right column?",
            "name the column of the labels in data.label, or these labels in data.labels",
        )
    if all(INTEGER.fullmatch(name) for name in found):
        return sorted(found, key=int)
    return sorted(found)


def _ones(
    column: LabelLists, names: tuple[str, ...], *, inferred: bool
) -> tuple[list[tuple[int, ...]], list[DataError]]:
    place = {name: index for index, name in enumerate(names)}
    occurring = {name for value in column.values for name in value or ()}
    own = column.class_names
    if own is not None and not occurring <= set(own):  # ids of names that the data set gives
        place = {str(i): place[name] for i, name in enumerate(own)} if set(own) == set(names) else {}
        place = place or {str(index): index for index in range(len(names))}
    elif not occurring <= place.keys() and all(INTEGER.fullmatch(name) for name in occurring):
        place = {str(index): index for index in range(len(names))}
    first: dict[str, int] = {}
    rows: list[tuple[int, ...]] = []
    for row, value in enumerate(column.values):
        ones = [0] * len(names)
        for name in value or ():
            if name in place:
                ones[place[name]] = 1
            else:
                first.setdefault(name, row)
        rows.append(tuple(ones))
    wrong = list(first.items())[:MOST_PROBLEMS]
    return rows, [_unknown(column, name, row, list(place), inferred) for name, row in wrong]


def _unknown(column: LabelLists, name: str, row: int, known: list[str], inferred: bool) -> DataError:
    where = column.table.where(row)
    if inferred:
        return DataError(
            where, f"the training data have no label {name!r}", "add examples of it or remove it"
        )
    nearest = difflib.get_close_matches(name, known, n=1)
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return DataError(
        where,
        f"{name!r} is not one of the labels",
        f"did you mean {nearest[0]!r}?" if nearest else f"known are {shown}",
    )


def counts_note(names: Sequence[str], labels: Sequence[tuple[int, ...]]) -> str:
    """Summarise the number of labels, how many a text has, and how often the rarest occur.

    >>> counts_note(("joy", "grief"), [(1, 0), (1, 1), (0, 0)])
    '2 labels, 1.00 per text; 1 of 3 texts have none; rarest: grief 1, joy 2'
    """
    counts = Counter({name: sum(row[place] for row in labels) for place, name in enumerate(names)})
    none = sum(not any(row) for row in labels)
    rarest = ", ".join(f"{name} {count:,}" for name, count in counts.most_common()[: -RAREST - 1 : -1])
    share = f"{counts.total() / max(1, len(labels)):.2f} per text"
    empty = f"; {none:,} of {len(labels):,} texts have none" if none else ""
    return f"{len(names)} labels, {share}{empty}; rarest: {rarest}"


def joined_labels(names: Sequence[str], separator: str) -> str | None:
    """The first class name that looks like several joined: all its parts are class names; None without one.

    >>> joined_labels(("joy", "joy|love", "love"), "|")
    'joy|love'
    """
    known = set(names)
    return next(
        (name for name in names if separator in name and known.issuperset(name.split(separator))), None
    )
