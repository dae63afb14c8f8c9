"""Thresholds of cascades: exact bounds, a promise that is kept on fresh rows, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from dkd_cli.evaluation.cascade_choice import (
    CascadeTarget,
    ChosenThreshold,
    answering,
    choose_threshold,
    rows_needed,
    upper_limit,
)


@pytest.mark.parametrize(("errors", "rows"), [(0, 50), (3, 200), (17, 40), (39, 40)])
def test_the_limit_is_where_so_few_errors_have_the_probability_left(errors: int, rows: int) -> None:
    limit = upper_limit(errors, rows, 0.95)
    assert binom.cdf(errors, rows, limit) == pytest.approx(0.05)
    assert limit > errors / rows


def test_all_wrong_has_the_limit_one() -> None:
    assert upper_limit(7, 7, 0.95) == 1


def draw(rows: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Two small models, each wrong with a probability that is its uncertainty's half; a teacher; labels."""
    random = np.random.default_rng(seed)
    teacher = random.integers(0, 3, rows)
    uncertainties, classes = [], []
    for skill in (1.0, 2.0):
        doubt = random.uniform(0, 1, rows) ** skill
        wrong = random.uniform(0, 1, rows) < doubt / 2
        uncertainties.append(np.round(doubt, 6))
        classes.append((teacher + wrong) % 3)
    labels = np.where(random.uniform(0, 1, rows) < 0.8, teacher, (teacher + 1) % 3)
    return uncertainties, [*classes, teacher], labels


@pytest.mark.parametrize("measure", ["agreement", "loss"])
@pytest.mark.parametrize("models", [1, 2])
def test_the_promise_is_kept_as_often_as_it_says(measure: str, models: int) -> None:
    """On fresh rows without number, in at least 95 of 100 draws, but for chance."""
    value = {"agreement": 0.95, "loss": 0.05}[measure]
    wanted = CascadeTarget(measure, value)  # type: ignore[arg-type]
    doubts, classes, labels = draw(50_000, 0)
    doubts, classes = doubts[:models], [*classes[:models], classes[-1]]
    broken, answered = 0, []
    for seed in range(1, 101):
        some_doubts, some_classes, some_labels = draw(400, seed)
        chosen = choose_threshold(
            some_doubts[:models], [*some_classes[:models], some_classes[-1]], some_labels, wanted
        )
        answers = answering(doubts, chosen.threshold)
        said = np.stack(classes)[answers, np.arange(len(answers))]
        wrong = said != classes[-1]
        if measure == "loss":
            wrong = (said != labels) & (classes[-1] == labels)
        broken += wrong.mean() > 0.05
        answered.append((answers < models).mean())
    assert broken <= 10
    assert np.mean(answered) > 0.2


def test_the_figures_are_those_of_the_threshold() -> None:
    doubts, classes, _ = draw(1000, 5)
    chosen = choose_threshold(doubts, classes, None, CascadeTarget("agreement", 0.95))
    assert chosen.threshold is not None
    first = doubts[0] <= chosen.threshold
    second = ~first & (doubts[1] <= chosen.threshold)
    assert chosen.answered == pytest.approx((first.mean(), second.mean(), (~first & ~second).mean()))
    wrong = (first & (classes[0] != classes[2])) | (second & (classes[1] != classes[2]))
    assert chosen.errors == wrong.sum()
    assert chosen.bound == upper_limit(chosen.errors, 1000, 0.95) <= 0.05


def test_a_student_that_always_agrees_answers_everything() -> None:
    doubts, classes, _ = draw(200, 1)
    chosen = choose_threshold(doubts[:1], [classes[-1], classes[-1]], None, CascadeTarget("agreement", 0.98))
    assert chosen.answered == (1.0, 0.0)
    assert chosen.errors == 0


def test_a_student_that_is_wrong_where_it_is_surest_answers_nothing() -> None:
    rows = 200
    doubts, teacher = np.full(rows, 1e-7), np.zeros(rows, dtype=int)
    chosen = choose_threshold([doubts], [teacher + 1, teacher], None, CascadeTarget("agreement", 0.98))
    assert chosen == ChosenThreshold(None, rows, 0, upper_limit(0, rows, 0.95), (0.0, 1.0))


@pytest.mark.parametrize(
    "wanted",
    [CascadeTarget("agreement", 0.98), CascadeTarget("loss", 0.005), CascadeTarget("loss", 0.05, 0.9)],
)
def test_too_few_rows_are_refused_with_the_number_that_it_takes(wanted: CascadeTarget) -> None:
    least = rows_needed(wanted)
    assert upper_limit(0, least, wanted.confidence) <= wanted.errors_allowed
    assert upper_limit(0, least - 1, wanted.confidence) > wanted.errors_allowed
    teacher = np.zeros(least - 1, dtype=int)
    with pytest.raises(ValueError, match=f"{least - 1} rows cannot show it: it takes at least {least}"):
        choose_threshold([np.zeros(least - 1)], [teacher, teacher], teacher, wanted)
