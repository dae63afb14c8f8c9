"""Thresholds of several labels: the best micro F1 on the rows that they are fitted on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dkd_cli.evaluation.thresholds import as_cuts, as_thresholds, fit_cuts


def micro_f1(said: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (said & truth).sum() / (said.sum() + truth.sum()))


@pytest.mark.parametrize("seed", range(5))
def test_no_other_cuts_have_a_better_micro_f1(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.random((9, 3)) < 0.4
    scores = np.round(truth + generator.normal(0, 1, (9, 3)), 1)  # with ties
    every = [[*scores[:, place], scores[:, place].min() - 1] for place in range(3)]
    best = max(micro_f1(scores > np.array(cuts), truth) for cuts in itertools.product(*every))
    assert micro_f1(scores > fit_cuts(scores, truth), truth) == pytest.approx(best)


def test_a_label_that_is_not_told_apart_is_not_given_to_every_row() -> None:
    generator = np.random.default_rng(0)
    truth = generator.random((500, 2)) < [0.4, 0.02]
    scores = np.stack([4.0 * truth[:, 0] - 2, generator.normal(-4, 0.1, 500)], axis=1)
    said = scores > fit_cuts(scores, truth)
    assert said[:, 1].mean() < 0.02
    assert (said[:, 0] == truth[:, 0]).all()


def test_a_label_that_never_occurs_keeps_one_half() -> None:
    assert fit_cuts([[1.0, 2.0], [0.0, -1.0]], [[0, 1], [0, 0]]).tolist()[0] == 0.0


def test_thresholds_are_cuts_again() -> None:
    cuts = np.array([-1.5, 0.0, 2.0])
    thresholds = as_thresholds(cuts, 1.7, ("a", "b", "c"))
    assert thresholds["b"] == pytest.approx(0.5)
    np.testing.assert_allclose(as_cuts(thresholds, 1.7, ("a", "b", "c")), cuts)
    assert as_cuts({}, 1.0, ("a",)) is None
    assert as_cuts(thresholds, 1.0, ("a", "b")) is None
