"""From whatever stands in a label column to class ids with names, or to target values.

Knows nothing about texts, nor about how splits are cut.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Container, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from dkd_cli.errors import DataError, RecipeError, raise_all
from dkd_cli.reading.readers import no_column
from dkd_cli.reading.tables import MOST_PROBLEMS, Table

Labels = list[Any] | None
UNSEEN = -1_000_000
"""The class id of a test label that training lacks, further ones below it: no prediction equals them."""
HIDDEN = "-1"
INTEGER = re.compile(r"-?\d+")
WHOLE = re.compile(r"(-?\d+)(\.0+)?")
"""An id, also as pandas writes it where the column has gaps: 5.0."""
DECIMAL_COMMA = re.compile(r"[+-]?\d+,(\d+)")
TRAINING = ("pool", "train")
"""The splits whose rows without a label can be dropped."""
FEW_ROWS = 20
"""A file of fewer rows may have as many classes."""


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """The labels of one split, each as text: a class name, an id, `true`, `false`, or None where missing."""

    table: Table
    values: Sequence[str | None]
    class_names: tuple[str, ...] | None
    """The names that the data set gives to its ids."""
    may_hide: bool
    """True if the labels may be hidden, as those of a test split are, and all of them in unlabelled data."""
    may_be_unseen: bool = False
    """True if classes that nothing else has are allowed; they get ids from `UNSEEN` down."""


@dataclass(frozen=True, slots=True)
class LabelLists:
    """The labels of one split where each text has several, as names or ids; None where they are missing."""

    table: Table
    values: Sequence[tuple[str, ...] | None]
    class_names: tuple[str, ...] | None
    """The names that the data set, or the names of its columns, give."""
    may_hide: bool


def label_column(table: Table, column: str, may_hide: bool) -> LabelColumn:
    """Read a label column as text; every value must be of one type.

    Raises:
        DataError: the column is missing, or its values are of several types.
    """
    raw = label_cells(table, column, may_hide)
    types: dict[str, int] = {}
    for row, value in enumerate(raw):
        if not _missing(value):
            types.setdefault(_type(value), row)
    if len(types) > 1:
        (usual, _), (other, row) = list(types.items())[:2]
        raise DataError(
            table.where(row),
            f"the label is {other} where those before it are {usual}",
            "use one type throughout",
        )
    if "something else" in types:
        row = types["something else"]
        remedy = "use names, ids, booleans or numbers"
        if isinstance(raw[row], list | tuple):
            remedy = "set data.kind: multi-label for several labels per text"
        raise DataError(table.where(row), f"{shortened(raw[row])} is no label", remedy)
    return LabelColumn(table, [label_text(value) for value in raw], table.class_names.get(column), may_hide)


def label_cells(table: Table, column: str, may_hide: bool) -> Sequence[object]:
    """The cells of a label column as they were read; all None where it is missing and may be hidden."""
    cells = table.column(column)
    if cells is None and may_hide:
        return [None] * len(table)
    if cells is None:
        several = [name.strip() for name in column.split(",")]
        if len(several) > 1 and all(table.column(name) is not None for name in several):
            problem = f"data.label names {len(several)} columns"
            raise DataError(table.place, problem, "set data.kind: multi-label, or name one column")
        raise no_column(table, column, "name one of: {} in data.label, or set data.unlabelled: true")
    return cells


def shortened(value: object) -> str:
    """A value in an error."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def without_labels(table: Table, column: str) -> LabelColumn:
    """A label column that nobody may look at; the names of its classes are still the data set's."""
    return LabelColumn(table, [None] * len(table), table.class_names.get(column), may_hide=True)


def class_labels(
    columns: Mapping[str, LabelColumn],
    names_from: str,
    declared: tuple[str, ...] | None,
    *,
    infer: bool = True,
    orders: Sequence[tuple[str, ...]] = (),
) -> tuple[tuple[str, ...], dict[str, Labels]]:
    """Give every class an id.

    Args:
        columns: by split.
        names_from: the split whose labels are the classes where nothing names them.
        declared: the recipe's class names in the order of their ids.
        infer: whether labels that occur may name the classes.
        orders: those of a known task, as in `tasks.Task`, by which names are put where nothing declares them.

    Raises:
        DataError: a label is missing, hidden, mixed in type, out of range or unknown; up to five per split.
        RecipeError: nothing names the classes, and they may not be inferred.
    """
    known = columns[names_from].class_names or next(
        (column.class_names for column in columns.values() if column.class_names), None
    )
    if not (declared or known or infer):
        raise RecipeError(
            "data.labels",
            "names no classes, nor does the data set, and unlabelled texts cannot tell them",
            "name them in the order of their ids, such as [negative, positive]",
        )
    problems: list[DataError] = []
    columns = {name: _with_whole_ids(column, declared or known or ()) for name, column in columns.items()}
    readable = {name: column for name, column in columns.items() if not _hidden(column)}
    for split, column in readable.items():
        hidden_is_name = HIDDEN in (declared or known or ())
        problems += absent_labels(column, hidden_is_name=hidden_is_name, droppable=split in TRAINING)
    raise_all(problems)
    names = declared or known or in_known_order(_inferred(columns[names_from]), orders)
    labels: dict[str, Labels] = dict.fromkeys(columns)
    occurring = {
        value for column in readable.values() if column.class_names is None for value in column.values
    }
    for split, column in readable.items():
        # Decided for all splits at once: of the names 1 to 5 a split may hold only some that are ids too.
        ids, wrong = _ids(
            column, names, inferred=not (declared or known), by_name=not occurring.isdisjoint(names)
        )
        labels[split] = ids
        problems += wrong
    raise_all(problems)
    return names, labels


def in_known_order(names: Sequence[str], orders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Put names in the first order that is of the same classes; without one, leave them as they come.

    >>> in_known_order(["equivalent", "not_equivalent"], [("not equivalent", "equivalent")])
    ('not_equivalent', 'equivalent')
    """
    plain = {plain_name(name): name for name in names}
    for order in orders:
        if len(plain) == len(names) and plain.keys() == set(order):
            return tuple(plain[name] for name in order)
    return tuple(names)


def plain_name(label: str) -> str:
    """A class name without case, spaces and punctuation, by which spellings of it meet."""
    return re.sub(r"[\W_]+", " ", label.casefold()).strip()


def target_values(columns: Mapping[str, LabelColumn]) -> dict[str, Labels]:
    """Read the labels of a regression task, which must be finite numbers, also with decimal commas."""
    problems: list[DataError] = []
    labels: dict[str, Labels] = dict.fromkeys(columns)
    for split, column in columns.items():
        if _hidden(column):
            continue
        wrong = absent_labels(column, hidden_is_name=True, droppable=split in TRAINING)
        comma = _has_decimal_commas(column.values)
        values = [
            _number((value or "").replace(",", ".") if comma else value or "") for value in column.values
        ]
        for row, value in enumerate(values):
            if not math.isfinite(value) and column.values[row] is not None:
                problem = f"the label {column.values[row]!r} is not a finite number"
                remedy = "correct it, or set data.kind to classification"
                wrong.append(DataError(column.table.where(row), problem, remedy))
        problems += wrong[:MOST_PROBLEMS]
        labels[split] = values
    raise_all(problems)
    return labels


def _has_decimal_commas(values: Sequence[str | None]) -> bool:
    """Return whether commas are decimal points; before three digits they may be those of thousands."""
    commas = [found for value in values if value is not None and (found := DECIMAL_COMMA.fullmatch(value))]
    plain = all(value is None or "," not in value or DECIMAL_COMMA.fullmatch(value) for value in values)
    return plain and any(len(found[1]) != 3 for found in commas)


def check_classes(train: Sequence[Any], place: str, shown: Callable[[Any], object]) -> None:
    """Refuse training labels that are all the same; `shown` puts one in words.

    Raises:
        DataError: there is a single class.
    """
    if len(set(train)) < 2:
        only = f"only the class {shown(train[0])!r}" if train else "no examples"
        raise DataError(place, f"the training split has {only}", "train on at least two classes")


def _missing(value: object) -> bool:
    return (
        value is None
        or (isinstance(value, str) and not value.strip())
        or (isinstance(value, float) and math.isnan(value))
    )


def _type(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    return "text" if isinstance(value, str) else "something else"


def label_text(value: object) -> str | None:
    if _missing(value):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _hidden(column: LabelColumn) -> bool:
    return column.may_hide and all(value in (None, HIDDEN) for value in column.values)


def _with_whole_ids(column: LabelColumn, names: Sequence[str]) -> LabelColumn:
    """Write ids that became 5.0 as 5, unless a class is called so."""
    values = {value for value in column.values if value is not None}
    if values <= set(names) or not all(WHOLE.fullmatch(value) for value in values):
        return column
    whole = {value: value.partition(".")[0] for value in values}
    return replace(column, values=[None if value is None else whole[value] for value in column.values])


def absent_labels(
    column: LabelColumn | LabelLists, *, hidden_is_name: bool, droppable: bool
) -> list[DataError]:
    """Errors for the first rows without a label, the last counting the others; one if training has none."""
    if droppable and len(column.values) > 1 and all(value is None for value in column.values):
        remedy = "correct data.label, or set data.unlabelled: true"
        return [DataError(column.table.place, "no row has a label", remedy)]
    rows = [
        row
        for row, value in enumerate(column.values)
        if value is None or (value == HIDDEN and not hidden_is_name)
    ]
    problems: list[DataError] = []
    for row in rows[:MOST_PROBLEMS]:
        hidden = column.values[row] is not None
        problem = "the label is hidden (-1)" if hidden else "the label is missing"
        if len(problems) == MOST_PROBLEMS - 1 and len(rows) > MOST_PROBLEMS:
            problem += f", and so in {len(rows) - MOST_PROBLEMS:,} more rows"
        remedy = "add it or remove the row"
        if hidden and not column.may_hide:
            remedy = "use a split with labels; if -1 is a class, name it in data.labels"
        elif droppable:
            remedy = "add it, remove the row, or set data.missing_labels: transfer or drop"
        problems.append(DataError(column.table.where(row), problem, remedy))
    return problems


def _inferred(column: LabelColumn) -> tuple[str, ...]:
    """Sort the labels that occur: whole numbers by value, words by their letters."""
    first: dict[str, int] = {}
    for row, value in enumerate(column.values):
        if value is not None:
            first.setdefault(value, row)
    _refuse_identifiers(column, len(first))
    whole = [value for value in first if INTEGER.fullmatch(value)]
    if len(whole) == len(first):
        return tuple(sorted(first, key=lambda value: (int(value), value)))
    if whole:
        word = next(value for value in first if value not in whole)
        raise _mixed(column, max(first[word], first[whole[0]]))
    decimal = [value for value in first if not math.isnan(_number(value))]
    if len(decimal) == len(first):
        raise DataError(
            column.table.where(first[decimal[0]]),
            f"the label {decimal[0]!r} is a number, not a class",
            "set data.kind to regression",
        )
    return tuple(sorted(first))


def _refuse_identifiers(column: LabelColumn, classes: int) -> None:
    """Refuse a column in which hardly any value repeats: identifiers, measurements or texts."""
    rows = len(column.values)
    if rows < FEW_ROWS or classes <= rows / 2:
        return
    numbers = all(not math.isnan(_number(value or "")) for value in column.values)
    raise DataError(
        column.table.place,
        f"{rows:,} rows, {classes:,} classes: is this the right column?",
        "set data.kind to regression if the labels are numbers, or name another column in data.label"
        if numbers
        else "name the column of the classes in data.label, or these classes in data.labels",
    )


def _mixed(column: LabelColumn, row: int) -> DataError:
    return DataError(
        column.table.where(row),
        f"the label {column.values[row]!r} is of another type than those before it: names and ids are mixed",
        "use one of them throughout, or name all classes in data.labels",
    )


def _ids(
    column: LabelColumn, names: tuple[str, ...], *, inferred: bool, by_name: bool
) -> tuple[list[int], list[DataError]]:
    """Map a column by name if labels of any split are names, else by id."""
    values = [value for value in column.values if value is not None]
    position = {name: index for index, name in enumerate(names)}
    if column.class_names is not None:
        mapping = _own_ids(column.class_names, names)
    elif all(value in position for value in set(values)) or inferred:
        mapping = position
    elif not by_name and set(values) <= {"false", "true"} and len(names) == 2:
        mapping = {"false": 0, "true": 1}
    elif not by_name and all(INTEGER.fullmatch(value) for value in set(values)):
        mapping = {str(index): index for index in range(len(names))}
    elif _two_kinds(set(values), position):
        whole = bool(INTEGER.fullmatch(values[0]))
        row = next(r for r, v in enumerate(column.values) if bool(INTEGER.fullmatch(v or "")) != whole)
        return [], [_mixed(column, row)]
    else:
        mapping = position
    unknown: dict[str | None, int] = {}
    for row, value in enumerate(column.values):
        if value not in mapping:
            unknown.setdefault(value, row)
    if column.may_be_unseen:
        unseen = {str(value): UNSEEN - place for place, value in enumerate(sorted(map(str, unknown)))}
        mapping, unknown = {**mapping, **unseen}, {}
    rows = islice(unknown.values(), MOST_PROBLEMS)
    problems = [_unknown(column, row, mapping, inferred) for row in rows]
    return [mapping[value] for value in column.values if value in mapping], problems


def _two_kinds(values: Set[str], names: Container[str]) -> bool:
    """Return whether there are ids among class names."""
    whole = [value for value in values if INTEGER.fullmatch(value)]
    return len(whole) < len(values) and any(value not in names for value in whole)


def _own_ids(own: tuple[str, ...], names: tuple[str, ...]) -> dict[str, int]:
    """The ids of a data set that names its classes: by name where both have the same ones."""
    if set(own) == set(names):
        return {str(index): names.index(name) for index, name in enumerate(own)}
    return {str(index): index for index in range(min(len(own), len(names)))}


def _unknown(column: LabelColumn, row: int, mapping: Mapping[str, int], inferred: bool) -> DataError:
    value = column.values[row] or ""
    place = column.table.where(row)
    if inferred:
        remedy = "add examples of it or remove it"
        if column.may_hide:
            remedy += "; in a test split, data.unseen_labels: count-as-wrong keeps it"
        return DataError(place, f"the training data have no class {value!r}", remedy)
    if INTEGER.fullmatch(value) and all(name == str(index) for name, index in mapping.items()):
        problem = f"the label {value} is outside 0 to {len(mapping) - 1}"
        return DataError(place, problem, "correct it or add its name to data.labels")
    nearest = difflib.get_close_matches(value, mapping, n=1)
    remedy = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(mapping)}"
    return DataError(place, f"{value!r} is not one of the classes", remedy)
