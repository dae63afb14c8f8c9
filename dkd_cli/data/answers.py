"""Answers of `dkd predict` to one text from its logits, for each kind of output."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from dkd_cli.data.output_math import Floats, centred, class_uncertainty, label_uncertainty, sigmoid, softmax
from dkd_cli.data.spans import found_entities

Names = tuple[str, ...] | None
DIGITS = 6
"""Of probabilities and uncertainties that are written, and of uncertainties that are compared."""


def _probability_by_name(probabilities: Floats, names: tuple[str, ...]) -> dict[str, float]:
    return {name: round(float(p), DIGITS) for name, p in zip(names, probabilities, strict=True)}


def answer_class(
    logits: Floats, temperature: float, cuts: Floats | None, names: Names, text: str
) -> dict[str, Any]:
    """The most probable class."""
    assert names is not None, "classes have names"
    probabilities = softmax(logits / temperature)
    best = int(probabilities.argmax())
    return {
        "label": names[best],
        "probability": round(float(probabilities[best]), DIGITS),
        "uncertainty": round(float(class_uncertainty(logits / temperature)), DIGITS),
        "probabilities": _probability_by_name(probabilities, names),
    }


def answer_labels(
    logits: Floats, temperature: float, cuts: Floats | None, names: Names, text: str
) -> dict[str, Any]:
    """Labels above their thresholds, the most probable first."""
    assert names is not None, "labels have names"
    probabilities, above = sigmoid(logits / temperature), centred(logits, cuts)
    order = np.argsort(-probabilities, kind="stable")
    predicted = [int(place) for place in order if above[place] > 0]
    return {
        "labels": [names[place] for place in predicted],
        "probability": [round(float(probabilities[place]), DIGITS) for place in predicted],
        "uncertainty": round(float(label_uncertainty(above / temperature)), DIGITS),
        "probabilities": _probability_by_name(probabilities, names),
    }


def answer_number(
    logits: Floats, temperature: float, cuts: Floats | None, names: Names, text: str
) -> dict[str, Any]:
    """The number."""
    return {"prediction": round(float(logits[0]), DIGITS)}


def answer_tags(
    logits: Floats, temperature: float, cuts: Floats | None, names: Names, text: str
) -> dict[str, Any]:
    """The entities of the text, and the mean uncertainty of its words; logits are [W, C]."""
    assert names is not None, "tags have names"
    found, uncertainty = found_entities(logits, temperature, names, text)
    return {
        "entities": [asdict(one) | {"score": round(one.score, DIGITS)} for one in found],
        "uncertainty": round(uncertainty, DIGITS),
    }
