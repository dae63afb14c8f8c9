"""Chooses the threshold of a cascade that will be deployed, with an exact bound; pure functions of arrays.

In a cascade models answer in turn, the cheapest first: one whose uncertainty is at most the threshold keeps
the text, else the next is asked; the last keeps what is left. Knows nothing about models or files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import beta

Classes = NDArray[np.int64]
Floats = NDArray[np.float64]
Measure = Literal["agreement", "loss"]

THRESHOLDS = np.round(np.append(expit(np.linspace(-13.8, 13.8, 1001)), 1.0), 6)
"""Tried from the lowest on. They do not follow from the data, and lie closest near 0 and 1."""


@dataclass(frozen=True)
class CascadeTarget:
    """Goal of a cascade: what it has to keep of its last model."""

    measure: Measure
    """`agreement`: the share of texts with the last model's answer is at least `value`; `loss`: the share of
    texts that the last model answers right and the cascade wrong is at most `value`."""
    value: float
    confidence: float = 0.95
    """The probability, over draws of the rows, that the bound holds."""

    @property
    def errors_allowed(self) -> float:
        """The share of texts that may count as errors."""
        return 1 - self.value if self.measure == "agreement" else self.value


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold and what it comes to on the rows that it was chosen on."""

    threshold: float | None
    """None: no model but the last answers anything."""
    rows: int
    errors: int
    bound: float
    """The upper limit of the share of errors, at the confidence wanted."""
    answered: tuple[float, ...]
    """The share of rows that each model answers, the last one's at the end."""


def upper_limit(errors: int, rows: int, confidence: float) -> float:
    """The exact one-sided upper limit of a binomial share (Clopper & Pearson, 1934).

    >>> round(upper_limit(0, 100, 0.95), 4)
    0.0295
    """
    return 1.0 if errors == rows else float(beta.ppf(confidence, errors + 1, rows - errors))


def rows_needed(wanted: CascadeTarget) -> int:
    """The fewest rows with which no error at all would show what is wanted.

    >>> rows_needed(CascadeTarget("agreement", 0.98))
    149
    """
    return math.ceil(math.log(1 - wanted.confidence) / math.log(1 - wanted.errors_allowed))


def most_errors(rows: int, wanted: CascadeTarget) -> int:
    """The most errors among so many rows whose upper limit is still within what is wanted; -1: none is.

    >>> most_errors(1000, CascadeTarget("agreement", 0.98))
    12
    """
    counts = np.arange(rows)  # all wrong has the limit 1
    limits = beta.ppf(wanted.confidence, counts + 1, rows - counts)
    return int((limits <= wanted.errors_allowed).sum()) - 1


def choose_threshold(
    uncertainties: Sequence[Floats], classes: Sequence[Classes], labels: Classes | None, wanted: CascadeTarget
) -> ChosenThreshold:
    """The highest threshold up to which every lower one keeps what is wanted, by its exact bound.

    Thresholds are tested in a fixed order, each at the full confidence, up to the first that fails: so the
    confidence holds for the one that is chosen (Angelopoulos et al., 2021, Learn then Test, fixed sequences).

    Args:
        uncertainties: of each model but the last, [N] in [0, 1].
        classes: the answers of each model, the last included, [N].
        labels: [N] the right classes; needed for `loss`.
        wanted: agreement or loss, and the confidence.

    Raises:
        ValueError: where there are too few rows to show what is wanted, whatever the models say.
    """
    rows = len(classes[-1])
    if rows < rows_needed(wanted):
        raise ValueError(f"{rows} rows cannot show it: it takes at least {rows_needed(wanted)}")
    assert labels is not None or wanted.measure == "agreement", "a loss is counted by labels"
    said, last = np.stack(classes), classes[-1]
    wrong = said != last
    if wanted.measure == "loss" and labels is not None:
        wrong = (last == labels) & (said != labels)
    most, every = most_errors(rows, wanted), np.arange(rows)
    best, best_answers = None, answering(uncertainties, None)
    for threshold in THRESHOLDS.tolist():
        answers = answering(uncertainties, threshold)
        if int(wrong[answers, every].sum()) > most:
            break
        if not np.array_equal(answers, best_answers):  # of thresholds that do the same, the lowest
            best, best_answers = threshold, answers
    errors = int(wrong[best_answers, every].sum())
    shares = tuple(float((best_answers == place).mean()) for place in range(len(classes)))
    return ChosenThreshold(best, rows, errors, upper_limit(errors, rows, wanted.confidence), shares)


def answering(uncertainties: Sequence[Floats], threshold: float | None) -> Classes:
    """[N] the place of the model that answers each row: the first that is sure enough, else the last."""
    answers = np.full(len(uncertainties[0]), len(uncertainties), dtype=np.int64)
    if threshold is not None:
        for place in reversed(range(len(uncertainties))):
            answers[uncertainties[place] <= threshold] = place
    return answers
