"""Answers to texts, window after window: by one classifier, or by a cascade of several.

Imports no torch: an export answers without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.kinds import KINDS
from dkd_cli.engine.deploy.load import load_answering, load_predictor
from dkd_cli.engine.deploy.predictor import Predictor
from dkd_cli.errors import ModelError
from dkd_cli.evaluation.cascade_file import Cascade
from dkd_cli.evaluation.temperature_file import read_temperature, read_thresholds
from dkd_cli.evaluation.thresholds import as_cuts
from dkd_cli.reading.locate import local_path
from dkd_cli.reading.streams import TextRow

Row = dict[str, Any]


@dataclass(frozen=True)
class AnsweringStep:
    """A classifier that answers, and what it leaves to the next one."""

    name: str
    load: Callable[[], Predictor]
    """Called where it is needed, any number of times."""
    temperature: float
    thresholds: Mapping[str, float]
    """Of several labels, by name; empty: one half for each."""
    max_uncertainty: float | None
    """Above it the next one is asked; None for the last, which answers everything."""


def one_step(model: str) -> list[AnsweringStep]:
    """A classifier by itself; loading it raises ModelError where its tags are not IOB2."""
    folder = local_path(model, ModelError)
    temperature, thresholds = read_temperature(folder), read_thresholds(folder)
    return [AnsweringStep(model, cache(partial(load_answering, model)), temperature, thresholds, None)]


def cascade_steps(cascade: Cascade) -> list[AnsweringStep]:
    """The models of a cascade that answer anything; each is loaded when a text first reaches it."""
    last = cascade.steps[-1]
    asked = cascade.steps if cascade.max_uncertainty is not None else (last,)
    return [
        AnsweringStep(
            one.model,
            cache(partial(load_predictor, one.model)),
            one.temperature,
            one.thresholds,
            None if one is last else cascade.max_uncertainty,
        )
        for one in asked
    ]


@dataclass
class Tally:
    """Lines reported about the texts at the end."""

    rows: int = 0
    empty: int = 0
    cut: int = 0
    """By the first classifier."""
    answered: Counter[str] = field(default_factory=Counter)
    """Number of texts that each classifier predicted, by name."""

    def warnings(self, max_length: int) -> list[str]:
        """A line each."""
        told = []
        if self.empty:
            told.append(f"{self.empty} of {self.rows} texts are empty, and were answered all the same")
        if self.cut:
            told.append(f"{self.cut} of {self.rows} texts were cut to {max_length} tokens")
        return told

    def shares(self, steps: Sequence[AnsweringStep]) -> str:
        """Share of texts that each classifier predicted, as one line."""
        counts = [(step.name, self.answered[step.name]) for step in steps]
        rows = max(1, self.rows)
        return "answered by " + ", ".join(f"{name}: {count} ({count / rows:.0%})" for name, count in counts)


def answers(
    steps: Sequence[AnsweringStep],
    groups: Iterator[list[TextRow]],
    *,
    batch_size: int,
    beside: Callable[[TextRow], Row],
    tally: Tally,
) -> Iterator[list[Row]]:
    """Answer group after group; batches hold texts of like length, answers come in the order of the texts.

    `beside` gives what is written of an example before its answer.

    Raises:
        ModelError: for classifiers of a cascade whose classes differ.
    """
    for group in groups:
        rows: list[Row] = [{}] * len(group)
        waiting = sorted(range(len(group)), key=lambda row: -len(group[row]))
        for step in steps:
            if not waiting:
                break
            first = steps[0].load()
            order, names = _order(first, step), first.labels
            cuts = as_cuts(step.thresholds, step.temperature, names or ())
            passed = []
            for start in range(0, len(waiting), batch_size):
                chosen = waiting[start : start + batch_size]
                logits, cut = _logits(step.load(), [group[row] for row in chosen])
                tally.cut += cut if step is steps[0] else 0
                for row, values in zip(chosen, logits, strict=True):
                    said = values[..., order].astype(np.float64)
                    text = group[row].text
                    rows[row] = KINDS[first.kind].answer(said, step.temperature, cuts, names, text)
                    if len(steps) > 1:
                        rows[row]["answered_by"] = step.name
                    if step.max_uncertainty is not None and rows[row]["uncertainty"] > step.max_uncertainty:
                        passed.append(row)
            tally.answered[step.name] += len(waiting) - len(passed)
            waiting = passed
        rows = [beside(example) | row for example, row in zip(group, rows, strict=True)]
        tally.rows += len(group)
        tally.empty += sum(not example.text.strip() for example in group)
        yield rows


def _logits(predictor: Predictor, examples: Sequence[TextRow]) -> tuple[NDArray[np.float32], int]:
    texts = [KINDS[predictor.kind].reads(example.text) for example in examples]
    paired = examples[0].text_pair is not None
    return predictor.logits(texts, [example.text_pair or "" for example in examples] if paired else None)


def _order(first: Predictor, step: AnsweringStep) -> list[int]:
    """For each of the first model's classes, the output of a step that stands for it."""
    own, wanted = step.load().labels or (), first.labels or ()
    if step.load().kind != first.kind:
        problem = f"predicts {KINDS[step.load().kind].of}, the first model {KINDS[first.kind].of}"
        raise ModelError(step.name, problem, "name models of one task")
    place = {label.casefold(): index for index, label in enumerate(own)}
    if place.keys() != {label.casefold() for label in wanted}:
        problem = f"knows {', '.join(own)}, the first model {', '.join(wanted)}"
        raise ModelError(step.name, problem, "name models of one task")
    return [place[label.casefold()] for label in wanted] or [0]
