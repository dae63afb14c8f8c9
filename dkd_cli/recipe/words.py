"""The words of a recipe that other writings call otherwise, and what each selection score reads."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator


def renamed(new_words: Mapping[str, str], *, noted: bool = False) -> BeforeValidator:
    """Read a word of other writings under its present name; with `noted` say that it is old."""

    def read(word: object) -> object:
        if isinstance(word, str) and word in new_words:
            if noted:
                warnings.warn(f"{word!r} is now called {new_words[word]!r}", FutureWarning, stacklevel=2)
            return new_words[word]
        return word

    return BeforeValidator(read)


Score = Annotated[
    Literal[
        "none",
        "random",
        "entropy",
        "entropy-r",
        "margin",
        "margin-r",
        "confidence",
        "confidence-r",
        "lc",
        "lc-r",
        "label-loss",
        "label-loss-r",
        "label-loss-b",
        "llkd",
        "llkd-r",
    ],
    renamed({"kl": "label-loss", "kl-r": "label-loss-r", "kl-b": "label-loss-b"}),
]
SCORE_READS: dict[str, frozenset[str]] = {
    "none": frozenset(),
    "random": frozenset(),
    "entropy": frozenset({"probabilities"}),
    "margin": frozenset({"probabilities"}),
    "confidence": frozenset({"probabilities"}),
    "lc": frozenset({"probabilities"}),
    "label-loss": frozenset({"labels"}),
    "label-loss-b": frozenset({"labels"}),
    "llkd": frozenset({"probabilities", "teacher"}),
}
"""Inputs of a selection score: the student's `probabilities`, the `labels`, the `teacher`'s logits."""


def score_reads(score: str) -> frozenset[str]:
    """Look up the inputs of a selection score; a trailing `-r`, which reverses it, changes nothing."""
    return SCORE_READS[score.removesuffix("-r")]
