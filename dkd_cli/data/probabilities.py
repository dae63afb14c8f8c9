"""Class probabilities from a file, for a teacher that is no model: an LLM's answers, say.

Knows nothing about logits, nor about how a file is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.examples import Split
from dkd_cli.data.label_lists import label_lists, label_sets
from dkd_cli.data.labels import class_labels, label_column
from dkd_cli.errors import DataError, RecipeError, raise_all
from dkd_cli.reading.locate import file_path
from dkd_cli.reading.readers import file_suffix, missing_columns, read_table
from dkd_cli.reading.tables import MOST_PROBLEMS, Table

TEXT_SUFFIXES = (".csv", ".tsv")
SUFFIXES = (".jsonl", ".parquet", *TEXT_SUFFIXES)
PROBABILITIES, ANSWER = "probabilities", "label"
SUM_TOLERANCE = 1e-3 + 1e-9
"""Three classes at 0.333 each still pass: they sum to 1 within 1e-3, but for the last bit of a double."""
QUOTED_TEXT = 60

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]


def read_probabilities(
    reference: str,
    split: Split,
    label_names: Sequence[str],
    own_labels: Sequence[str] | None,
    key: str,
    *,
    sum_to_one: bool = True,
) -> NDArray[np.float32]:
    """Read what a file says of every example of a split: [N, C], each row summing to 1 if `sum_to_one`.

    A row of the file belongs to the examples with its `example_id` or, where it has no such column, its
    `text` (and `text_pair`, where the split has pairs). It holds `probabilities` (a list, or a mapping from
    class names; a class left out has 0), or a column for each class, or a `label` alone, which has 1; of
    several labels per text a list of them.

    Args:
        reference: a jsonl, parquet, csv or tsv file, or `pkg://package/path`; in csv and tsv a column for a
            class may also be called `p(CLASS)`, as `--all-probabilities` of `dkd predict` writes it.
        split: gives the N rows and their order; the file may have rows for other examples too.
        label_names: the task's C classes, the order of the columns returned.
        own_labels: the same classes in the order of the file's lists; None: as in `label_names`.
        key: the teacher's place in the recipe.
        sum_to_one: of one class per text; else each label has a probability of its own.

    Raises:
        RecipeError: `own_labels` are other classes than the task's.
        DataError: the file is broken; a row is no distribution, or contradicts another; examples lack a row.
    """
    order = tuple(own_labels or label_names)
    if sorted(order) != sorted(label_names):
        raise RecipeError(
            f"{key}.labels",
            f"names {', '.join(order)}, the task has {', '.join(label_names)}",
            "name the task's classes in the order of the file's lists",
        )
    table = _typed(_read(reference, key), order)
    distributions = _distributions(table, order, sum_to_one)
    names, wanted = _wanted_keys(table, split)
    first = _first_rows(table, names, distributions)
    _check_complete(table.place, split, [row_key in first for row_key in wanted], names)
    rows = [first[row_key] for row_key in wanted]
    columns = [order.index(name) for name in label_names]
    return distributions[rows][:, columns].astype(np.float32)


def covered(reference: str, split: Split, key: str) -> list[bool]:
    """Return for each example of a split whether a file of probabilities has a row for it, [N].

    Raises:
        DataError: the file is broken, or does not say which examples its rows are for.
    """
    table = _read(reference, key)
    names, wanted = _wanted_keys(table, split)
    columns = [table.columns[name] for name in names]
    known = set(columns[0] if len(columns) == 1 else zip(*columns, strict=True))
    return [one in known for one in wanted]


def of_labels(labels: Sequence[object], classes: int) -> NDArray[np.float32]:
    """Labels as certain probabilities, [N, C]: a class id has 1; several labels are rows of 0 and 1 already.

    >>> of_labels([1, 0], 2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    own = np.asarray(labels)
    if own.ndim == 2:
        return own.astype(np.float32)
    return np.eye(classes, dtype=np.float32)[np.maximum(own.astype(np.int64), 0)]


def _read(reference: str, key: str) -> Table:
    if file_suffix(reference) not in SUFFIXES:
        raise DataError(
            reference, "not a jsonl, parquet, csv or tsv file", f"name one in {key}.probabilities"
        )
    return read_table(file_path(reference), reference, ANSWER)


def _typed(table: Table, order: Sequence[str]) -> Table:
    """The table with numbers and JSON where csv has texts, and classes under their own names."""
    if file_suffix(table.place) not in TEXT_SUFFIXES:
        return table
    columns = dict(table.columns)
    for name in order:
        if name not in columns and f"p({name})" in columns:
            columns[name] = columns[f"p({name})"]
        if name in columns:
            columns[name] = [_parsed(cell, float) for cell in columns[name]]
    if PROBABILITIES in columns:
        columns[PROBABILITIES] = [_parsed(cell, json.loads) for cell in columns[PROBABILITIES]]
    return replace(table, columns=columns)


def _parsed(cell: object, parse: Callable[[str], object]) -> object:
    """The value that a cell spells; the cell itself where it spells none, which is refused with its line."""
    try:
        return parse(str(cell))
    except ValueError:
        return cell


def _distributions(table: Table, order: Sequence[str], sum_to_one: bool) -> Matrix:
    """[rows, C] in `order`, however the file writes them."""
    present = [name for name in order if name in table.columns]
    if PROBABILITIES in table.columns:
        values = _matrix(table, table.columns[PROBABILITIES], order)
    elif present:
        raise_all(missing_columns(table, order))
        values = _matrix(table, list(zip(*(table.columns[name] for name in order), strict=True)), order)
    elif ANSWER in table.columns:
        if not sum_to_one:
            lists = label_lists(table, ANSWER, "|", False)
            sets = label_sets({ANSWER: lists}, ANSWER, tuple(order), infer=False)[1][ANSWER]
            return np.asarray(sets, dtype=np.float64)
        column = label_column(table, ANSWER, may_hide=False)
        ids = class_labels({ANSWER: column}, ANSWER, tuple(order))[1][ANSWER]
        one_hot: Matrix = np.eye(len(order))[np.asarray(ids, dtype=np.int64)]
        return one_hot
    else:
        raise DataError(
            table.place,
            f"has no answers: its columns are {', '.join(table.columns)}",
            f"add {PROBABILITIES!r}, a column for each class, or {ANSWER!r}",
        )
    return _normalised(table, values) if sum_to_one else _each_in_range(table, values)


def _each_in_range(table: Table, values: Matrix) -> Matrix:
    """Refuse what is no probability."""
    wrong: Mask = ~np.all((values >= 0) & (values <= 1), axis=1)  # NaN is neither
    where = [(row, values[row][~((values[row] >= 0) & (values[row] <= 1))][0]) for row in _first(wrong)]
    remedy = "write numbers from 0 to 1, one for each label"
    raise_all([DataError(table.where(row), f"a probability is {value:g}", remedy) for row, value in where])
    return values


def _normalised(table: Table, values: Matrix) -> Matrix:
    """Refuse what is no distribution; take away the rounding of the others."""
    finite: Mask = np.all(np.isfinite(values), axis=1)
    positive: Mask = np.all(values >= 0, axis=1)
    totals: Matrix = values.sum(axis=1, where=finite[:, None])
    uneven: Mask = finite & positive & (np.abs(totals - 1) > SUM_TOLERANCE)
    wrong = [
        *((row, "a probability is not finite") for row in _first(~finite)),
        *((row, f"a probability is {values[row].min():g}") for row in _first(finite & ~positive)),
        *((row, f"the probabilities sum to {totals[row]:g}") for row in _first(uneven)),
    ]
    remedy = "write numbers from 0 to 1 that sum to 1"
    raise_all([DataError(table.where(row), problem, remedy) for row, problem in wrong])
    shares: Matrix = values / totals[:, None]
    return shares


def _first(wrong: Mask) -> list[int]:
    return [int(row) for row in np.flatnonzero(wrong)[:MOST_PROBLEMS]]


def _matrix(table: Table, column: Sequence[object], order: Sequence[str]) -> Matrix:
    """Lists and mappings as numbers in `order`; they need not be distributions yet."""
    rows: list[Sequence[float]] = []
    problems: list[DataError] = []
    for row, value in enumerate(column):
        numbers = _by_name(value, order) if isinstance(value, Mapping) else _in_order(value, order)
        if isinstance(numbers, str):
            remedy = f"write one number for each of {', '.join(order)}"
            problems.append(DataError(table.where(row), numbers, remedy))
            if len(problems) == MOST_PROBLEMS:
                break
        else:
            rows.append(numbers)
    raise_all(problems)
    return np.array(rows, dtype=np.float64)


def _in_order(value: object, order: Sequence[str]) -> Sequence[float] | str:
    """The numbers of a list, or what is wrong with it."""
    if not isinstance(value, list | tuple):
        return f"{_short(value)} is neither a list nor a mapping of probabilities"
    if len(value) != len(order):
        return f"{len(value)} probabilities where there are {len(order)} classes"
    wrong = [number for number in value if type(number) not in (float, int)]  # a bool is an int's subclass
    return f"{_short(wrong[0])} is no number" if wrong else value


def _by_name(value: Mapping[str, object], order: Sequence[str]) -> Sequence[float] | str:
    """The numbers of a mapping, or what is wrong with it; parquet writes a class left out as null."""
    unknown = [name for name in value if name not in order]
    if unknown:
        return f"{_short(unknown[0])} is not one of the classes"
    return _in_order([0.0 if value.get(name) is None else value[name] for name in order], order)


def _wanted_keys(table: Table, split: Split) -> tuple[list[str], list[object]]:
    """The columns that a row is found by, and what the split's examples have there."""
    if "example_id" in table.columns:
        return ["example_id"], list(split.example_ids)
    if split.text_pairs is None:
        names, wanted = ["text"], list[object](split.texts)
    else:
        names, wanted = ["text", "text_pair"], list[object](zip(split.texts, split.text_pairs, strict=True))
    if "text" not in table.columns:
        present = ", ".join(table.columns)
        raise DataError(
            table.place,
            f"says not which examples its rows are for: its columns are {present}",
            f"add {' and '.join(map(repr, names))}, or 'example_id'",
        )
    raise_all(missing_columns(table, names))
    return names, wanted


def _first_rows(table: Table, names: Sequence[str], distributions: Matrix) -> dict[object, int]:
    """Key -> the first row that has it; another row with it must say the same."""
    columns = [table.columns[name] for name in names]
    keys: Sequence[object] = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    first: dict[object, int] = {}
    problems: list[DataError] = []
    for row, key in enumerate(keys):
        parts = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(part, str) for part in parts):
            problem = f"{' and '.join(names)} must be text, not {_short(key)}"
            problems.append(DataError(table.where(row), problem, "write it as a string"))
            continue
        earlier = first.setdefault(key, row)
        if earlier != row and not np.array_equal(distributions[earlier], distributions[row]):
            problem = f"another answer for {_short(key)} than {table.where(earlier)} gives"
            problems.append(DataError(table.where(row), problem, "keep one of the two"))
    raise_all(problems[:MOST_PROBLEMS])
    return first


def _check_complete(place: str, split: Split, answered: Sequence[bool], names: Sequence[str]) -> None:
    """Refuse a file that leaves out examples of the split."""
    missing = len(split) - sum(answered)
    if missing:
        row = answered.index(False)
        what = "training examples" if split.name == "train" else f"examples of {split.name}"
        raise DataError(
            place,
            f"{missing:,} of {len(split):,} {what} have no answer, first: {_short(split.texts[row])}"
            f" (example_id {split.example_ids[row]})",
            f"add a row for each; they are looked up by {' and '.join(names)}",
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= QUOTED_TEXT else f"{text[: QUOTED_TEXT - 3]}..."
