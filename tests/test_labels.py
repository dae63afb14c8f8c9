"""Label columns: names, ids, booleans and numbers become ids or values, or an error on the right row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest

from dkd_cli.data.labels import Labels, check_classes, class_labels, label_column, target_values
from dkd_cli.errors import DataError, Problems
from dkd_cli.reading.tables import Table


def table(values: Sequence[object], names: tuple[str, ...] | None = None, place: str = "a.csv") -> Table:
    """A file with a header, one row per line."""
    named = {} if names is None else {"label": names}
    return Table(place, {"label": values}, range(2, len(values) + 2), named)


def classes(
    train: Sequence[object], declared: tuple[str, ...] | None = None, **others: Any
) -> tuple[tuple[str, ...], dict[str, Labels]]:
    tables = {"train": table(train)} | {
        name: value if isinstance(value, Table) else table(value, place=f"{name}.csv")
        for name, value in others.items()
    }
    columns = {name: label_column(t, "label", name.startswith("test")) for name, t in tables.items()}
    return class_labels(columns, "train", declared)


@pytest.mark.parametrize(
    ("values", "declared", "names", "ids"),
    [
        (["pos", "neg", "pos"], None, ("neg", "pos"), [1, 0, 1]),
        (["pos", "neg"], ("pos", "neg"), ("pos", "neg"), [0, 1]),
        ([" pos", "neg "], None, ("neg", "pos"), [1, 0]),
        ([0, 2, 1], None, ("0", "1", "2"), [0, 2, 1]),
        (["0", "10", "2"], None, ("0", "2", "10"), [0, 2, 1]),
        ([1.0, 0.0], None, ("0", "1"), [1, 0]),
        ([1, 0], ("neg", "pos"), ("neg", "pos"), [1, 0]),
        (["1", "0"], ("neg", "pos"), ("neg", "pos"), [1, 0]),
        (["1", "5"], ("5", "1"), ("5", "1"), [1, 0]),
        ([True, False], None, ("false", "true"), [1, 0]),
        ([True, False], ("no", "yes"), ("no", "yes"), [1, 0]),
        (["yes", "no"], None, ("no", "yes"), [1, 0]),
        (["NA", "None"], None, ("NA", "None"), [0, 1]),
        ([-1, 1], ("-1", "1"), ("-1", "1"), [0, 1]),
        # as pandas writes ids in a column with gaps
        (["5.0", "3.0", "10.0"], None, ("3", "5", "10"), [1, 0, 2]),
        (["5.0", "3"], None, ("3", "5"), [1, 0]),
        (["0.0", "1.0"], ("neg", "pos"), ("neg", "pos"), [0, 1]),
        (["5.0", "3.0"], ("3.0", "5.0"), ("3.0", "5.0"), [1, 0]),
    ],
)
def test_classes(
    values: list[object], declared: tuple[str, ...] | None, names: tuple[str, ...], ids: list[int]
) -> None:
    assert classes(values, declared) == (names, {"train": ids})


def test_names_that_are_numbers_are_names_in_every_split() -> None:
    """A split that happens to hold only those that are ids as well is no column of ids."""
    assert classes(["5", "1", "2"], ("5", "1", "2"), validation=["1", "2"])[1]["validation"] == [1, 2]
    with pytest.raises(DataError, match=re.escape("'0' is not one of the classes")):
        classes(["1", "2", "3"], ("1", "2", "3"), validation=["0", "1"])
    with pytest.raises(DataError, match=re.escape("'0' is not one of the classes")):
        classes(["0", "1", "2"], ("1", "2", "3"), validation=["1", "2"])


def test_the_data_set_names_its_ids() -> None:
    hub = table([1, 0], names=("bad", "good"))
    assert classes(["good", "bad"], validation=hub) == (
        ("bad", "good"),
        {"train": [1, 0], "validation": [1, 0]},
    )


@pytest.mark.parametrize(("declared", "ids"), [(("good", "bad"), [0, 1]), (("negative", "positive"), [1, 0])])
def test_declared_names_reorder_the_same_and_rename_others(declared: tuple[str, ...], ids: list[int]) -> None:
    columns = {"train": label_column(table([1, 0], names=("bad", "good")), "label", False)}
    assert class_labels(columns, "train", declared) == (declared, {"train": ids})


@pytest.mark.parametrize("hidden", [[-1, -1], [None, None], ["-1", "-1"], ["", ""], [-1.0, -1.0]])
def test_a_test_split_may_hide_all_its_labels(hidden: list[object]) -> None:
    assert classes(["a", "b"], test=hidden)[1]["test"] is None


def test_a_test_split_may_lack_the_column() -> None:
    assert classes(["a", "b"], test=Table("test.tsv", {"text": ["x"]}))[1]["test"] is None


ERRORS = [
    # 27: missing on one row
    (["a", None, "b"], None, {}, "a.csv:3: the label is missing"),
    (["a", " ", "b"], None, {}, "a.csv:3: the label is missing"),
    ([0.0, float("nan"), 1.0], None, {}, "a.csv:3: the label is missing"),
    (["a", "b"], None, {"test": ["a", None]}, "test.csv:3: the label is missing"),
    # 28: hidden in an evaluated split
    ([0, 1], None, {"validation": [-1, -1]}, "validation.csv:2: the label is hidden (-1)"),
    ([0, 1], None, {"test": [0, -1]}, "test.csv:3: the label is hidden (-1)"),
    # 29: outside the range
    ([0, 1, 2], ("neg", "pos"), {}, "a.csv:4: the label 2 is outside 0 to 1"),
    ([0, -2], ("neg", "pos"), {}, "a.csv:3: the label -2 is outside 0 to 1"),
    (
        ["neg", "positve"],
        ("neg", "positive"),
        {},
        "a.csv:3: 'positve' is not one of the classes; did you mean",
    ),
    # 30: mixed types
    (["neg", 1], None, {}, "a.csv:3: the label is a number where those before it are text"),
    ([1, True], None, {}, "a.csv:3: the label is a boolean where"),
    (["0", "1", "pos"], None, {}, "a.csv:4: the label 'pos' is of another type"),
    (["neg", "1", "pos"], None, {}, "a.csv:3: the label '1' is of another type"),
    (["neg", "1"], ("neg", "pos"), {}, "a.csv:3: the label '1' is of another type"),
    ([["a"], ["b"]], None, {}, "a.csv:2: ['a'] is no label"),
    (["0.5", "0.7"], None, {}, "a.csv:2: the label '0.5' is a number, not a class; set data.kind"),
    # 32: a class that train lacks
    (["a", "b"], None, {"validation": ["a", "c"]}, "validation.csv:3: the training data have no class 'c'"),
]


@pytest.mark.parametrize(("train", "declared", "others", "line"), ERRORS)
def test_refuses(
    train: list[object], declared: tuple[str, ...] | None, others: dict[str, list[object]], line: str
) -> None:
    with pytest.raises((DataError, Problems), match="^" + re.escape(line)) as caught:
        classes(train, declared, **others)
    assert isinstance(caught.value, DataError | Problems)
    assert caught.value.exit_code == 3


def test_problems_of_all_splits_come_together() -> None:
    with pytest.raises(Problems) as caught:
        classes(["a", None], validation=[None, "b"])
    assert [error.place for error in caught.value.errors] == ["a.csv:3", "validation.csv:2"]


def test_missing_column_lists_those_there_are() -> None:
    with pytest.raises(DataError, match=r"no column 'label'; name one of: text, stars in data\.label"):
        label_column(Table("a.csv", {"text": ["x"], "stars": ["1"]}), "label", False)


def test_a_single_class_is_refused() -> None:
    check_classes([0, 1], "a.csv", ("a", "b").__getitem__)
    with pytest.raises(DataError, match=r"^a\.csv: the training split has only the class 'b'"):
        check_classes([1, 1], "a.csv", ("a", "b").__getitem__)


def regression(**splits: Sequence[object]) -> dict[str, Labels]:
    columns = {
        name: label_column(table(values, place=f"{name}.csv"), "label", name == "test")
        for name, values in splits.items()
    }
    return target_values(columns)


def test_target_values() -> None:
    found = regression(train=["3.5", "-1", "2"], validation=[1, 2.25], test=[-1.0, -1.0])
    assert found == {"train": [3.5, -1.0, 2.0], "validation": [1.0, 2.25], "test": None}
    assert all(isinstance(value, float) for value in found["validation"] or ())


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (["1.5", "high"], "train.csv:3: the label 'high' is not a finite number"),
        (["1.5", "inf"], "train.csv:3: the label 'inf' is not a finite number"),
        ([1.5, float("inf")], "train.csv:3: the label 'inf' is not a finite number"),
        ([1.5, None], "train.csv:3: the label is missing"),
        ([True, False], "train.csv:2: the label 'true' is not a finite number"),
    ],
)
def test_target_values_must_be_finite(values: list[object], line: str) -> None:
    with pytest.raises((DataError, Problems), match="^" + re.escape(line)):
        regression(train=values)


def test_decimal_commas_are_read_where_they_cannot_be_thousands() -> None:
    assert regression(train=["3,5", "-1", "2,125"]) == {"train": [3.5, -1.0, 2.125]}
    assert regression(train=["+0,5", "1"], test=["1,0"])["test"] == [1.0]
    for values in (["1,250", "3,000"], ["1,5", "1,000,000"], ["1,5", "2.5,1"]):
        with pytest.raises((DataError, Problems), match="is not a finite number"):
            regression(train=values)


def test_ids_with_and_without_a_point_are_the_same() -> None:
    assert classes(["5", "3"], test=["3.0", "5.0"]) == (("3", "5"), {"train": [1, 0], "test": [0, 1]})
    assert classes(["5.0", "3.0"], test=["3", "5"]) == (("3", "5"), {"train": [1, 0], "test": [0, 1]})
    hub = table([1, 0], names=("bad", "good"))
    assert classes(["1.0", "0.0"], validation=hub)[1] == {"train": [1, 0], "validation": [1, 0]}


def test_many_values_are_no_classes() -> None:
    identifiers = [f"ticket {row}" for row in range(20)]
    with pytest.raises(
        DataError, match=r"^a\.csv: 20 rows, 20 classes: is this the right column\?; name the column"
    ):
        classes(identifiers)
    with pytest.raises(DataError, match=r"20 classes: .+; set data\.kind to regression"):
        classes([row / 7 for row in range(20)])
    assert classes(identifiers, tuple(identifiers))[0] == tuple(identifiers), "they may be named"
    assert len(classes([f"class {row // 2}" for row in range(40)])[0]) == 20
    assert len(classes(identifiers[:19])[0]) == 19


def test_each_unknown_class_is_one_line() -> None:
    with pytest.raises(Problems) as caught:
        classes(["a", "b"], test=["c", "a", "c", "d", "c"])
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["test.csv:2", "test.csv:5"]
