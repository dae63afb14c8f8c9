"""Probabilities and the temperature that mends them: what must hold of any logits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from dkd_cli.evaluation.calibration import (
    BINS,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    probabilities,
    reliability,
    reliability_bins,
)


def drawn(seed: int, rows: int = 200, classes: int = 3, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that were drawn from the probabilities of these logits."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * 2
    labels = np.array([generator.choice(classes, p=row) for row in probabilities(logits)])
    return logits * scale, labels


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 6), scale=st.floats(0.05, 30.0))
def test_a_fitted_temperature_never_hurts_and_never_changes_a_prediction(
    seed: int, classes: int, scale: float
) -> None:
    logits, labels = drawn(seed, 50, classes, scale)
    temperature = fit_temperature(logits, labels)
    before, after = (negative_log_likelihood(logits, labels, t) for t in (1.0, temperature))
    assert after <= before
    assert (probabilities(logits, temperature).argmax(axis=1) == logits.argmax(axis=1)).all()


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
def test_the_temperature_undoes_a_known_scale(scale: float) -> None:
    logits, labels = drawn(1, 20_000, scale=scale)
    assert fit_temperature(logits, labels) == pytest.approx(scale, rel=0.05)


def test_rows_that_are_all_right_say_nothing() -> None:
    labels = np.array([0, 1, 2] * 10)
    assert fit_temperature(np.eye(3)[labels], labels) == 1.0


def test_believable_probabilities_have_no_calibration_error() -> None:
    logits, labels = drawn(2, 50_000)
    assert reliability(logits, labels).ece < 0.01
    assert reliability(3 * logits, labels).ece > 0.1


def test_the_error_by_hand() -> None:
    # Two rows at 0.9, one of them right; two at 0.6, both right: (2 · 0.4 + 2 · 0.4) / 4.
    chances = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    bins = reliability_bins(np.log(chances), [0, 1, 1, 1])
    assert expected_calibration_error(bins) == pytest.approx(0.4)
    assert len(bins) == BINS
    assert [(one.rows, one.accuracy) for one in bins if one.rows] == [(2, 1.0), (2, 0.5)]


def test_scores_agree_with_scikit_learn() -> None:
    logits, labels = drawn(3)
    chances = probabilities(logits, 0.7)
    assert negative_log_likelihood(logits, labels, 0.7) == pytest.approx(log_loss(labels, chances))
    assert brier_score(logits, labels, 0.7) == pytest.approx(
        ((chances - np.eye(3)[labels]) ** 2).sum(1).mean()
    )


def test_extreme_logits_stay_numbers() -> None:
    found = reliability([[1e4, -1e4], [-1e4, 1e4]], [0, 0], 0.02)
    assert found.nll == pytest.approx(5e5)
    assert (found.ece, found.brier) == (pytest.approx(0.5), pytest.approx(1.0))
    assert sum(one.rows for one in found.bins) == 2
    with pytest.raises(ValueError, match="above 0"):
        probabilities([[0.0, 1.0]], 0.0)
