"""The metrics on resamples are the metrics of the resampled rows."""

from __future__ import annotations

import numpy as np
import pytest

from dkd_cli.evaluation import resampling
from dkd_cli.evaluation.metrics import CLASSIFICATION, REGRESSION
from dkd_cli.evaluation.resampling import SCORERS, drawn, resampled_scores


def test_every_metric_can_be_resampled() -> None:
    assert set(SCORERS) == {*CLASSIFICATION, *REGRESSION}


@pytest.mark.parametrize(
    ("metric", "classes"),
    # f1 is for two classes.
    [(metric, classes) for metric in CLASSIFICATION for classes in (2, 5) if (metric, classes) != ("f1", 5)],
)
def test_classes(metric: str, classes: int) -> None:
    generator = np.random.default_rng(classes)
    labels = generator.integers(classes, size=23)
    guesses = np.where(generator.random((3, 23)) < 0.6, labels, generator.integers(classes, size=(3, 23)))
    guesses[2] = 1  # a constant
    found = resampled_scores(metric, guesses, labels, 40, seed=5)
    for row, counts in enumerate(np.concatenate(list(drawn(23, 40, 5))).astype(int)):
        for model in range(3):
            again = CLASSIFICATION[metric](np.repeat(guesses[model], counts), np.repeat(labels, counts))
            assert found[row, model] == pytest.approx(again)


@pytest.mark.parametrize("metric", REGRESSION)
def test_numbers(metric: str) -> None:
    generator = np.random.default_rng(0)
    labels = np.round(generator.uniform(0, 5, 31))  # with ties
    guesses = 1e6 * (metric != "mse") + labels + generator.normal(0, 1, (2, 31))
    found = resampled_scores(metric, guesses, labels, 40, seed=5)
    for row, counts in enumerate(np.concatenate(list(drawn(31, 40, 5))).astype(int)):
        for model in range(2):
            again = REGRESSION[metric](np.repeat(guesses[model], counts), np.repeat(labels, counts))
            assert found[row, model] == pytest.approx(again)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_the_correlation_of_a_constant_is_not_a_number(metric: str) -> None:
    found = resampled_scores(metric, np.full((1, 9), 0.1), np.arange(9.0), 5)
    assert np.isnan(found).all()


def test_a_resample_has_as_many_rows_as_the_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "CELLS_AT_ONCE", 70)
    parts = list(drawn(10, 25, 0))
    assert [part.shape for part in parts] == [(7, 10), (7, 10), (7, 10), (4, 10)]
    assert all((part.sum(axis=1) == 10).all() for part in parts)


def test_the_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(50) % 2
    whole = resampled_scores("accuracy", labels[None], labels, 30)
    monkeypatch.setattr(resampling, "CELLS_AT_ONCE", 170)
    assert (resampled_scores("accuracy", labels[None], labels, 30) == whole).all()


def test_models_meet_on_the_same_resamples() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=100)
    guesses = generator.integers(2, size=(2, 100))
    both = resampled_scores("accuracy", guesses, labels, 20)
    alone = resampled_scores("accuracy", guesses[1:], labels, 20)
    assert (both[:, 1:] == alone).all()
