"""Guessing columns: by names, by values, and when it does not know."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest

from dkd_cli.data.guess import Guess, column_facts, guess_columns
from dkd_cli.reading.tables import Table

ROWS = 60
Columns = Mapping[str, Sequence[object]]


def sentences(seed: int = 0, words: int = 6) -> list[str]:
    chance = random.Random(seed)
    known = [
        "parcel",
        "refund",
        "late",
        "card",
        "blue",
        "courier",
        "total",
        "price",
        "screen",
        "code",
        "thanks",
        "again",
    ]
    return [" ".join(chance.choices(known, k=words)) + f" {row}" for row in range(ROWS)]


def guessed(columns: Columns, text: str | None = None, label: str | None = None) -> Guess:
    return guess_columns(Table("a.csv", columns), text, label)


TEXTS, OTHERS = sentences(), sentences(1)
CLASSES = [("red", "green", "blue")[row % 3] for row in range(ROWS)]
GRADES = [str(row % 5 + 1) for row in range(ROWS)]
FRACTIONS = [f"{row / 7:.3f}" for row in range(ROWS)]
GAPS = [None if row % 4 else "xy"[row % 8 // 4] for row in range(ROWS)]
FOUND: list[tuple[Columns, str, str | None, str]] = [
    ({"a": TEXTS, "b": CLASSES}, "a", None, "b"),
    ({"b": CLASSES, "a": TEXTS}, "a", None, "b"),
    ({"text": TEXTS, "n": range(ROWS), "stars": GRADES}, "text", None, "stars"),
    ({"q1": TEXTS, "q2": OTHERS, "is_dup": [0, 1] * 30}, "q1", "q2", "is_dup"),
    ({"question": TEXTS, "passage": OTHERS, "answer": CLASSES}, "question", "passage", "answer"),
    ({"text": TEXTS, "label": CLASSES, "label_text": CLASSES}, "text", None, "label"),
    ({"when": ["2024-01-02"] * ROWS, "msg": TEXTS, "spam": [True, False] * 30}, "msg", None, "spam"),
    ({"text": TEXTS, "label": GAPS}, "text", None, "label"),
]


@pytest.mark.parametrize(("columns", "text", "pair", "label"), FOUND)
def test_columns_are_found(columns: Columns, text: str, pair: str | None, label: str) -> None:
    assert guessed(columns) == Guess(text, pair, label, "classification")


def test_numbers_with_fractions_are_a_regression() -> None:
    assert guessed({"text": TEXTS, "score": FRACTIONS}) == Guess("text", None, "score", "regression")


def test_doubts_name_every_column_that_fits() -> None:
    columns = {"a": TEXTS, "b": OTHERS, "team": CLASSES, "region": GRADES}
    found = guessed(columns)
    assert sorted(found.doubts["text"]) == ["a", "b"]
    assert sorted(found.doubts["label"]) == ["region", "team"]
    assert not guessed(columns, "a", "team").doubts
    long = guessed({"a": sentences(words=40), "b": OTHERS, "label": CLASSES})
    assert long == Guess("a", None, "label", "classification"), "a column that is much longer is the text"


def test_nothing_fits() -> None:
    found = guessed({"id": range(ROWS), "code": [f"{row:08x}" for row in range(ROWS)]})
    assert (found.text, found.label) == (None, None)


def test_facts() -> None:
    facts = column_facts("n", ["1,5", "2", None, "nan", " "])
    assert (facts.present, facts.distinct, facts.numeric, facts.whole) == (2, 2, True, False)
    assert column_facts("a", ["a@b.org", "c@d.org", "x"]).stamped
