"""Scores of tagged words against nervaluate's, and their resamples against the scores themselves."""

from __future__ import annotations

import numpy as np
import pytest
from nervaluate import Evaluator
from numpy.typing import NDArray

from dkd_cli.data.output_math import tag_array
from dkd_cli.data.tasks import Task
from dkd_cli.evaluation.fidelity import agreement
from dkd_cli.evaluation.metrics import compared, task_metrics
from dkd_cli.evaluation.resampling import drawn, resampled_scores
from dkd_cli.recipe.words import NO_TAG, NO_WORD

TAGS = ("O", "B-A", "I-A", "B-B", "I-B")
TASK = Task("unit", kind="tokens", tags=TAGS, metrics=("entity_f1",))


def random_rows(seed: int) -> tuple[NDArray[np.float64], list[tuple[int, ...]], list[list[int]]]:
    """Logits [40, 9, 5], labels that are IOB2, and predictions that need not be."""
    draw = np.random.default_rng(seed)
    logits = np.full((40, 9, 5), NO_WORD)
    labels, guesses = [], []
    for row in range(40):
        truth: list[int] = []
        for _ in range(int(draw.integers(1, 10))):
            inside = [truth[-1] + truth[-1] % 2] * 2 if truth and truth[-1] else []
            allowed = [0, 0, 1, 3, *inside]
            truth.append(int(draw.choice(allowed)))
        said = [tag if draw.random() < 0.7 else int(draw.integers(5)) for tag in truth]
        logits[row, : len(truth)] = draw.normal(size=(len(truth), 5))
        logits[row, range(len(truth)), said] += 9
        labels.append(tuple(truth))
        guesses.append(said)
    return logits, labels, guesses


def check_scores(
    logits: NDArray[np.float64], labels: list[tuple[int, ...]], guesses: list[list[int]]
) -> None:
    """Compare with an independent library, and with the share of right tags."""
    found = task_metrics(TASK, logits, labels)
    said, truth = ([[TAGS[one] for one in row] for row in rows] for rows in (guesses, labels))
    theirs = Evaluator(truth, said, tags=["A", "B"], loader="list").evaluate()["overall"]["strict"]
    assert found["entity_f1"] == pytest.approx(theirs.f1)
    assert found["entity_precision"] == pytest.approx(theirs.precision)
    assert found["entity_recall"] == pytest.approx(theirs.recall)
    right = [a == b for one, other in zip(said, truth, strict=True) for a, b in zip(one, other, strict=True)]
    assert found["word_accuracy"] == pytest.approx(sum(right) / len(right))


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_an_independent_library(seed: int) -> None:
    check_scores(*random_rows(seed))


def test_words_that_were_not_read_are_outside() -> None:
    logits, labels, guesses = random_rows(4)
    logits[:, 3:] = NO_WORD
    check_scores(logits, labels, [[*row[:3], *[0] * len(row[3:])] for row in guesses])


@pytest.mark.parametrize("metric", ["entity_f1", "entity_precision", "entity_recall", "word_accuracy"])
def test_a_resample_scores_as_its_texts_do(metric: str) -> None:
    logits, labels, _ = random_rows(5)
    read, truth = compared(metric, TASK, logits, labels)
    again = resampled_scores(metric, read[None], truth, 6)[:, 0]
    for counts, value in zip(np.concatenate(list(drawn(40, 6, 0))), again, strict=True):
        rows = np.repeat(np.arange(40), counts.astype(int))
        wanted = task_metrics(TASK, logits[rows], [labels[row] for row in rows])[metric]
        assert value == pytest.approx(wanted)


def test_agreement_is_over_words_that_both_read() -> None:
    one, _, _ = random_rows(6)
    other = one.copy()
    other[0, 0] = NO_WORD
    assert agreement(one, other, "tokens") == 1.0
    assert tag_array([(1, 2), (0,)]).tolist() == [[1, 2], [0, NO_TAG]]
