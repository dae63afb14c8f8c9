"""Which student a comparison names for what comes next: the one that its verdict says to use."""

from __future__ import annotations

from pathlib import Path

import pytest

from dkd_cli.comparison.results import ComparisonResult, Row, RunCost, to_ship, undecided
from dkd_cli.evaluation.significance import Difference
from dkd_cli.evaluation.verdict import Standing

CLEAR, CHANCE = (
    Difference(0.03, 0.02, 0.04, 0.001, 0.005, 0.5, 0.001),
    Difference(0.01, -0.01, 0.03, 0.3, 0.01, 0.5, 0.3),
)


def row(name: str, *validations: float, gain: Difference | None = None, control: bool = False) -> Row:
    """A strategy with a student for each score on validation; `gain`: over `none`, on the reported split."""
    scores = tuple(0.7 for _ in validations)
    against = {} if gain is None else {"none": gain}
    mean = sum(validations) / len(validations) if validations else None
    seeds = tuple(range(1, len(validations) + 1))
    return Row(
        standing=Standing(name, scores, mean, against, control),
        settings={},
        cost=RunCost(),
        tried=(),
        seeds=seeds,
        metrics=({},) * len(seeds),
        folders=tuple(f"{name}-seed{seed}" for seed in seeds),
        digests=("",) * len(seeds),
        validations=tuple({"accuracy": score} for score in validations),
    )


@pytest.mark.parametrize(
    ("rows", "folder"),
    [
        ([row("none", 0.6, 0.7), row("static", 0.9, 0.8, gain=CHANCE)], "none-seed2"),
        ([row("none", 0.6, 0.7), row("static", 0.5, 0.4, gain=CLEAR)], "static-seed1"),
        ([row("none", 0.6), row("random", 0.9, gain=CLEAR, control=True)], "none-seed1"),
        ([row("none"), row("static", 0.5), row("dynamic-data", 0.6), row("random", 0.9, control=True)],
         "dynamic-data-seed1"),
    ],
    ids=["no clear gain", "a clear gain, worse on validation", "never a control", "no reference"],
)  # fmt: skip
def test_the_student_that_the_verdict_says_to_use(rows: list[Row], folder: str) -> None:
    assert to_ship(ComparisonResult(tuple(rows), None, (), ()), "accuracy") == Path(folder)


def test_none_where_nothing_was_finished() -> None:
    assert to_ship(ComparisonResult((row("none"), row("static")), None, (), ()), "accuracy") is None


WIDE = Difference(0.1, -0.9, 1.1, 0.4, 0.1, 1.0, 0.4)


@pytest.mark.parametrize(
    ("gain", "metric", "expected"),
    [
        (WIDE, "accuracy", True),
        (CHANCE, "accuracy", False),
        (CLEAR, "accuracy", False),
        (WIDE, "loss", False),
    ],
)
def test_seeds_that_say_nothing_call_for_more(gain: Difference, metric: str, expected: bool) -> None:
    rows = (row("none", 0.6, 0.7), row("static", 0.9, 0.8, gain=gain))
    assert undecided(ComparisonResult(rows, None, (), ()), metric) == expected
