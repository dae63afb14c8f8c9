"""`cascade.json`: which models answer in turn, and how unsure one has to be to pass a text on.

Written by `dkd cascade`, read by `dkd predict` and by any program that follows it. Says nothing about how a
threshold is found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dkd_cli.errors import DataError, ModelError
from dkd_cli.files import write_json
from dkd_cli.manifests import MANIFEST, sha256
from dkd_cli.reading.locate import local_path

NAME = "cascade.json"
SCHEMA = 1
DIGITS = 6
"""Uncertainties are rounded to so many digits and compared then: every program passes on the same texts."""


@dataclass(frozen=True)
class CascadeStep:
    """One model of a cascade."""

    model: str
    """A folder, a hub id or `pkg://`; in the file a folder is relative to it."""
    temperature: float
    """Its logits are divided by it before the softmax."""
    weights: str | None = None
    """The SHA-256 of the model's manifest; None for one that has none."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Of several labels the probability above which each is predicted; empty: one half, or one class."""


@dataclass(frozen=True)
class MeasuredCascade:
    """Scores of a cascade on a split."""

    split: str
    rows: int
    agreement: float
    """The share of rows with the last model's answer."""
    answered: tuple[float, ...]
    """The share of rows that each model answers."""
    accuracy: tuple[float, float] | None
    """Of the cascade and of the last model alone; None without labels."""


@dataclass(frozen=True)
class Cascade:
    """Contents of `cascade.json`."""

    steps: tuple[CascadeStep, ...]
    """In the order in which they are asked."""
    max_uncertainty: float | None
    """A model above it passes a text on (entropy over log C); None: only the last one answers."""
    labels: tuple[str, ...]
    measure: str
    """Requested quantity, `agreement` or `loss`."""
    wanted: float
    confidence: float
    bound: float
    """The exact limit of what was asked for, at that confidence."""
    validation: MeasuredCascade
    """On the rows that the threshold was chosen on."""


def write_cascade(path: Path, cascade: Cascade) -> None:
    """Write the file, whole or not at all; local folders are named as seen from it."""
    steps = [replace(step, model=_seen_from(path, step.model)) for step in cascade.steps]
    content = {"schema": SCHEMA, **asdict(replace(cascade, steps=tuple(steps)))}
    for step in content["steps"]:
        if not step["thresholds"]:
            del step["thresholds"]
    write_json(path, content)


def read_cascade(path: Path) -> Cascade:
    """The cascade of a file, its models named as seen from the working directory.

    Raises:
        DataError: for a file that cannot be read, or is no cascade.
    """
    again = "remove it and run `dkd cascade` again"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("schema") != SCHEMA:
            raise DataError(str(path), "is of another version of dkd", again)
        steps = tuple(
            CascadeStep(**{**one, "model": _resolved(path, one["model"])}) for one in content.pop("steps")
        )
        validation = _measured(content.pop("validation"))
        labels = tuple(str(label) for label in content.pop("labels"))
        cascade = Cascade(steps=steps, labels=labels, validation=validation, **content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(str(path), f"is no cascade ({error})", again) from error
    limit = cascade.max_uncertainty
    numbers = [step.temperature for step in steps] + ([] if limit is None else [limit])
    numbers += [value for step in steps for value in step.thresholds.values()]
    sound = all(type(number) in (int, float) and 0 < number < float("inf") for number in numbers)
    if len(steps) < 2 or len(labels) < 2 or not sound:
        raise DataError(str(path), "is no cascade (a value is out of its range)", again)
    return cascade


def check_unchanged(cascade: Cascade, path: Path) -> None:
    """Refuse a cascade whose models were made again since.

    Raises:
        ModelError: names the model.
    """
    for step in cascade.steps:
        if step.weights is not None and weights_of(step.model) != step.weights:
            problem = f"{step.model} is not what {path} was chosen for"
            raise ModelError(step.model, problem, f"remove {path} and run `dkd cascade` again")


def weights_of(model: str) -> str | None:
    """Digest that changes when a model is rebuilt; None without a manifest."""
    manifest = local_path(model, ModelError) / MANIFEST
    return sha256(manifest) if manifest.is_file() else None


def names_same(cascade: Cascade, models: Sequence[str]) -> bool:
    """Return whether it is of these models, in this order."""
    return [_place(step.model) for step in cascade.steps] == [_place(model) for model in models]


def _place(model: str) -> str:
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def _seen_from(path: Path, model: str) -> str:
    return os.path.relpath(Path(model).resolve(), path.resolve().parent) if Path(model).is_dir() else model


def _resolved(path: Path, model: str) -> str:
    place = path.parent / model
    return os.path.relpath(place) if place.is_dir() else model


def _measured(content: dict[str, Any]) -> MeasuredCascade:
    accuracy = content.pop("accuracy")
    answered = tuple(float(share) for share in content.pop("answered"))
    return MeasuredCascade(
        answered=answered, accuracy=None if accuracy is None else tuple(accuracy), **content
    )
