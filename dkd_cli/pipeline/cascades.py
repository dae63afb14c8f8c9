"""Cascades of trained models: what each says of a split, and the threshold that keeps what is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.kinds import KINDS, refuse_command
from dkd_cli.data.output_math import centred
from dkd_cli.data.sources import load_task_data
from dkd_cli.engine.deploy.load import load_predictor
from dkd_cli.engine.deploy.predictor import Predictor
from dkd_cli.engine.runs.checkpoints import read_run
from dkd_cli.errors import DataError, ModelError, RecipeError
from dkd_cli.evaluation.calibration import fit_temperature
from dkd_cli.evaluation.cascade import uncertainty
from dkd_cli.evaluation.cascade_choice import (
    CascadeTarget,
    ChosenThreshold,
    Classes,
    Floats,
    answering,
    choose_threshold,
)
from dkd_cli.evaluation.cascade_file import DIGITS, Cascade, CascadeStep, MeasuredCascade, weights_of
from dkd_cli.evaluation.outputs import SCORED
from dkd_cli.evaluation.temperature_file import NAME, read_temperature, read_thresholds
from dkd_cli.evaluation.thresholds import as_cuts, as_thresholds, fit_cuts
from dkd_cli.reading.locate import local_path
from dkd_cli.recipe.schema import Recipe, labelled_data
from dkd_cli.report.terminal import Advance, Terminal

MOST_ROWS = 5000
BATCH = 32

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class ModelRule:
    """Temperature and thresholds by which the logits of one model are read."""

    temperature: float
    thresholds: Mapping[str, float]
    cuts: NDArray[np.float64] | None
    """[C], of several labels."""


@dataclass(frozen=True)
class CascadeOutputs:
    """Predictions of a cascade's models on a split."""

    split: Split
    logits: tuple[Logits, ...]
    """Of each model, [N, C], in the order of the task's labels."""
    kind: str
    """Of output."""

    def classes(self, rules: Sequence[ModelRule]) -> tuple[list[Classes], Classes | None]:
        """[N] what each model predicts, and the labels; equal numbers are equal predictions."""
        said = [
            KINDS[self.kind].predicted(centred(logits, rule.cuts))
            for logits, rule in zip(self.logits, rules, strict=True)
        ]
        labels = self.split.labels
        coded = numbered([*said, *([] if labels is None else [np.asarray(labels)])])
        return coded[: len(said)], None if labels is None else coded[-1]

    def uncertainties(self, rules: Sequence[ModelRule]) -> list[Floats]:
        """[N] of each model but the last."""
        pairs = zip(self.logits[:-1], rules[:-1], strict=True)
        return [
            np.round(uncertainty(said, rule.temperature, self.kind, rule.cuts), DIGITS)
            for said, rule in pairs
        ]


def numbered(predictions: Sequence[NDArray[Any]]) -> list[Classes]:
    """Numbers [N] that are equal where predictions are: class ids as they are, several labels by their set.

    >>> [one.tolist() for one in numbered([np.array([[1, 0], [0, 0]]), np.array([[1, 0], [0, 1]])])]
    [[2, 0], [2, 1]]
    """
    if predictions[0].ndim == 1:
        return [one.astype(np.int64) for one in predictions]
    _, found = np.unique(np.concatenate(predictions), axis=0, return_inverse=True)
    sizes = np.cumsum([len(one) for one in predictions])[:-1]
    return [one.astype(np.int64) for one in np.split(found.reshape(-1), sizes)]


class Cascading:
    """The models of a cascade and their task.

    Args:
        models: folders, exports, hub ids or `pkg://`, the cheapest first.
        recipe: which data they are for; None: as the first one's own recipe says.
        terminal: for progress and notes.

    Raises:
        RecipeError: where nothing says which data.
        ModelError: where a model is not there, or its classes are others.
    """

    def __init__(self, models: Sequence[str], recipe: Recipe | None, terminal: Terminal) -> None:
        self._models, self._terminal = tuple(models), terminal
        self.recipe = recipe or _own_recipe(models[0])
        self.data: TaskData = load_task_data(labelled_data(self.recipe.data))
        refuse_command("cascade", self.data.task.kind)
        if KINDS[self.data.task.kind].uncertainty is None or self.data.label_names is None:
            problem = "predicts a number, which has no uncertainty"
            raise ModelError(models[0], problem, "name classifiers")
        self.labels = self.data.label_names
        self._predictors = [load_predictor(model) for model in models]
        self._orders = [
            label_places(predictor, self.labels, model, self.data.task.kind)
            for predictor, model in zip(self._predictors, models, strict=True)
        ]
        for model in models[1:]:
            folder = local_path(model, ModelError)
            run = read_run(folder) if folder.is_dir() else None
            if run is not None and labelled_data(run.recipe.data) != labelled_data(self.recipe.data):
                terminal.warn(
                    f"{model} was trained with other data settings: it may have seen validation texts"
                )

    def ask(self, name: str) -> CascadeOutputs:
        """Query all models for a split, or for `MOST_ROWS` of it, evenly spread.

        Raises:
            DataError: where there is no such split.
        """
        split = self.data.splits.get(name)
        if split is None or not len(split):
            known = ", ".join(self.data.splits)
            raise DataError(str(self.recipe.data.source), f"has no split {name!r}", f"choose {known}")
        if len(split) > MOST_ROWS:
            rows = np.linspace(0, len(split) - 1, MOST_ROWS).round().astype(int).tolist()
            split = split.take(rows, split.name)
        with self._terminal.progress(f"predicting {name}", len(split) * len(self._models)) as advance:
            said = [
                split_logits(predictor, split, advance)[:, order]
                for predictor, order in zip(self._predictors, self._orders, strict=True)
            ]
        for predictor in self._predictors:
            while predictor.notes:
                self._terminal.say(predictor.notes.pop(0))
        return CascadeOutputs(split, tuple(said), self.data.task.kind)

    def fit(self, wanted: CascadeTarget) -> Cascade:
        """Choose the threshold on the validation split.

        Raises:
            DataError: where that has too few rows, or no labels to count a loss by.
        """
        asked = self.ask("validation")
        if wanted.measure == "loss" and asked.split.labels is None:
            problem = "has no labels to count a loss by"
            raise DataError("the validation split", problem, "ask for --agreement instead")
        rules = [
            _rule(model, said, asked, self.labels)
            for model, said in zip(self._models, asked.logits, strict=True)
        ]
        try:
            chosen = choose_threshold(asked.uncertainties(rules), *asked.classes(rules), wanted)
        except ValueError as error:
            raise DataError(
                "the validation split",
                f"is too small: {error}",
                "ask for less (--agreement, --loss, --confidence), or raise data.max_validation",
            ) from error
        steps = [
            CascadeStep(model, rule.temperature, weights_of(model), rule.thresholds)
            for model, rule in zip(self._models, rules, strict=True)
        ]
        return self._cascade(steps, chosen, wanted, _measured(asked, rules, chosen.threshold))

    def measure(self, cascade: Cascade, name: str) -> MeasuredCascade:
        """Compute a cascade's scores on a split."""
        rules = [_read_rule(step.temperature, step.thresholds, self.labels) for step in cascade.steps]
        return _measured(self.ask(name), rules, cascade.max_uncertainty)

    def _cascade(
        self,
        steps: Sequence[CascadeStep],
        chosen: ChosenThreshold,
        wanted: CascadeTarget,
        validation: MeasuredCascade,
    ) -> Cascade:
        return Cascade(
            steps=tuple(steps),
            max_uncertainty=chosen.threshold,
            labels=self.labels,
            measure=wanted.measure,
            wanted=wanted.value,
            confidence=wanted.confidence,
            bound=1 - chosen.bound if wanted.measure == "agreement" else chosen.bound,
            validation=validation,
        )


def _measured(asked: CascadeOutputs, rules: Sequence[ModelRule], threshold: float | None) -> MeasuredCascade:
    classes, labels = asked.classes(rules)
    answers = answering(asked.uncertainties(rules), threshold)
    said = np.stack(classes)[answers, np.arange(len(answers))]
    return MeasuredCascade(
        split=asked.split.name,
        rows=len(answers),
        agreement=float((said == classes[-1]).mean()),
        answered=tuple(float((answers == place).mean()) for place in range(len(classes))),
        accuracy=None
        if labels is None
        else (float((said == labels).mean()), float((classes[-1] == labels).mean())),
    )


def _own_recipe(model: str) -> Recipe:
    folder = local_path(model, ModelError)
    run = read_run(folder) if folder.is_dir() else None
    if run is None:
        problem = "does not say which data it is for, and a threshold is chosen on validation texts"
        raise RecipeError(model, problem, "give --recipe NAME or FILE to `dkd cascade`")
    return run.recipe


def label_places(predictor: Predictor, labels: Sequence[str], model: str, kind: str) -> list[int]:
    """For each of the task's labels, the model's output that stands for it.

    Raises:
        ModelError: for a model of another kind of output, or of other classes.
    """
    if predictor.kind != kind:
        problem = f"predicts {KINDS[predictor.kind].of}, the task is one of {KINDS[kind].of}"
        raise ModelError(model, problem, "name models of one task")
    place = {label.casefold(): index for index, label in enumerate(predictor.labels or ())}
    if len(place) != len(labels) or any(label.casefold() not in place for label in labels):
        known = ", ".join(predictor.labels or ("a number",))
        problem = f"knows {known}, the task has {', '.join(labels)}"
        raise ModelError(model, problem, "name models of one task")
    return [place[label.casefold()] for label in labels]


def split_logits(predictor: Predictor, split: Split, advance: Advance) -> Logits:
    """The logits of every row of a split, [N, C], in the model's own order of outputs."""
    by_length = sorted(range(len(split)), key=lambda row: -len(split.texts[row]))
    found: dict[int, NDArray[np.float32]] = {}
    for start in range(0, len(by_length), BATCH):
        rows = by_length[start : start + BATCH]
        pairs = None if split.text_pairs is None else [split.text_pairs[row] for row in rows]
        logits, _ = predictor.logits([split.texts[row] for row in rows], pairs)
        found |= zip(rows, logits, strict=True)
        advance(len(rows))
    return np.stack([found[row] for row in range(len(split))])


def _rule(model: str, logits: Logits, asked: CascadeOutputs, names: Sequence[str]) -> ModelRule:
    """Temperature and thresholds of a model: those of its folder, or else fitted on these rows."""
    folder, labels, known = local_path(model, ModelError), asked.split.labels, SCORED[asked.kind]
    if labels is None or (folder / NAME).is_file():
        return _read_rule(read_temperature(folder), read_thresholds(folder), names)
    assert known is not None, "numbers have no cascade"
    temperature = round(fit_temperature(*known.rows(logits, labels)), DIGITS)
    if not KINDS[asked.kind].thresholds:
        return ModelRule(temperature, {}, None)
    fitted = as_thresholds(fit_cuts(logits, labels, temperature), temperature, names)
    return _read_rule(temperature, fitted, names)


def _read_rule(temperature: float, thresholds: Mapping[str, float], names: Sequence[str]) -> ModelRule:
    return ModelRule(temperature, thresholds, as_cuts(thresholds, temperature, names))


def cascade_place(model: str) -> Path:
    """Path of the cascade that begins with a model.

    Raises:
        ModelError: for a model that is no local folder.
    """
    folder = local_path(model, ModelError)
    if not folder.is_dir():
        raise ModelError(model, "is no folder here to put cascade.json in", "name a file with --output")
    return folder
