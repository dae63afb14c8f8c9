"""The metrics on resamples are the metrics of the resampled rows."""

from __future__ import annotations

import numpy as np
import pytest

from dkd_cli.data.metric_names import METRIC_NAMES
from dkd_cli.evaluation import resampling
from dkd_cli.evaluation.metrics import SCORES
from dkd_cli.evaluation.resampling import SCORERS, drawn, resampled_scores

CLASSES = ("accuracy", "macro_f1", "matthews")
ONE_CLASS = ("f1", "precision", "recall")
RANKED = ("average_precision", "roc_auc")
DECIDED = ("micro_f1", "macro_f1", "subset_accuracy")
SCORED = ("mean_average_precision", "label_ranking")
WORDS = ("entity_f1", "entity_precision", "entity_recall", "word_accuracy")
NUMBERS = ("pearson", "spearman", "mse", "loss")


def test_every_metric_can_be_resampled_and_has_a_name() -> None:
    assert (
        {*CLASSES, *ONE_CLASS, *RANKED, *DECIDED, *SCORED, *WORDS, *NUMBERS}
        == set(SCORERS)
        == set(SCORES)
        == set(METRIC_NAMES)
    )


@pytest.mark.parametrize("metric", CLASSES)
@pytest.mark.parametrize("classes", [2, 5])
def test_classes(metric: str, classes: int) -> None:
    generator = np.random.default_rng(classes)
    labels = generator.integers(classes, size=23)
    guesses = np.where(generator.random((3, 23)) < 0.6, labels, generator.integers(classes, size=(3, 23)))
    guesses[2] = 1  # a constant
    check_against_repeated_rows(metric, guesses, labels)


@pytest.mark.parametrize("metric", ONE_CLASS)
def test_one_of_two_classes(metric: str) -> None:
    generator = np.random.default_rng(1)
    labels = generator.random(23) < 0.2
    guesses = np.stack([labels ^ (generator.random(23) < 0.3), np.zeros(23, dtype=bool)])
    check_against_repeated_rows(metric, guesses, labels)


@pytest.mark.parametrize("metric", RANKED)
def test_rankings_with_ties(metric: str) -> None:
    generator = np.random.default_rng(2)
    labels = generator.random(23) < 0.2
    scores = np.stack([np.round(labels + generator.normal(0, 1, 23), 1), np.full(23, 0.5)])
    check_against_repeated_rows(metric, scores, labels)


@pytest.mark.parametrize("metric", [*DECIDED, *SCORED])
def test_several_labels(metric: str) -> None:
    generator = np.random.default_rng(3)
    labels = (generator.random((23, 4)) < 0.3).astype(int)
    scores = np.stack([np.round(labels + generator.normal(0, 1, (23, 4)), 1), np.full((23, 4), 0.5)])
    check_against_repeated_rows(metric, scores if metric in SCORED else (scores > 0.4).astype(int), labels)


@pytest.mark.parametrize("metric", WORDS)
def test_tagged_words(metric: str) -> None:
    hits = np.random.default_rng(4).integers(3, size=(2, 23, 1))
    counts = hits + np.random.default_rng(5).integers(3, size=(2, 23, 3)) * [0, 1, 1]
    check_against_repeated_rows(metric, counts, np.zeros((23, 4)))


@pytest.mark.parametrize("metric", NUMBERS)
def test_numbers(metric: str) -> None:
    generator = np.random.default_rng(0)
    labels = np.round(generator.uniform(0, 5, 31))  # with ties
    guesses = 1e6 * (metric not in ("mse", "loss")) + labels + generator.normal(0, 1, (2, 31))
    check_against_repeated_rows(metric, guesses, labels)


def check_against_repeated_rows(metric: str, values: np.ndarray, truth: np.ndarray) -> None:
    found = resampled_scores(metric, values, truth, 40, seed=5)
    for row, counts in enumerate(np.concatenate(list(drawn(len(truth), 40, 5))).astype(int)):
        for model, own in enumerate(values):
            again = SCORES[metric](np.repeat(own, counts, axis=0), np.repeat(truth, counts, axis=0))
            assert found[row, model] == pytest.approx(np.nan if again is None else again, nan_ok=True)


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
