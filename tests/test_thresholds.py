"""Thresholds of several labels: the best F1 of each on the rows that they are fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from dkd_cli.evaluation.thresholds import as_cuts, as_thresholds, fit_cuts


def best_f1(scores: np.ndarray, truth: np.ndarray) -> float:
    """By trying every cut."""
    cuts = [*scores, scores.min() - 1]
    return max(
        2 * ((scores > cut) & truth).sum() / max(1, (scores > cut).sum() + truth.sum()) for cut in cuts
    )


def test_no_other_cut_has_a_better_f1() -> None:
    generator = np.random.default_rng(0)
    truth = generator.random((80, 5)) < 0.2
    scores = np.round(truth + generator.normal(0, 1, (80, 5)), 1)  # with ties
    cuts = fit_cuts(scores, truth)
    for place in range(5):
        said = scores[:, place] > cuts[place]
        own = 2 * (said & truth[:, place]).sum() / (said.sum() + truth[:, place].sum())
        assert own == pytest.approx(best_f1(scores[:, place], truth[:, place]))


def test_a_label_that_never_occurs_keeps_one_half() -> None:
    assert fit_cuts([[1.0, 2.0], [0.0, -1.0]], [[0, 1], [0, 0]]).tolist()[0] == 0.0


def test_thresholds_are_cuts_again() -> None:
    cuts = np.array([-1.5, 0.0, 2.0])
    thresholds = as_thresholds(cuts, 1.7, ("a", "b", "c"))
    assert thresholds["b"] == pytest.approx(0.5)
    np.testing.assert_allclose(as_cuts(thresholds, 1.7, ("a", "b", "c")), cuts)
    assert as_cuts({}, 1.0, ("a",)) is None
    assert as_cuts(thresholds, 1.0, ("a", "b")) is None
