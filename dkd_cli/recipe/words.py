"""Words of a recipe that other packages read too: kinds of output, and the inputs of selection scores.

Imports no pydantic, so that a prediction, which reads no recipe, does not wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

OutputKind = Literal["classification", "multi-label", "tokens", "regression"]

NO_WORD = -32768.0
"""Logit of all tags where a text has no word, or none that the model read; exact in bf16 and fp16."""
NO_TAG = -100
"""Stands in for the tag of a word that a text does not have."""


@dataclass(frozen=True, kw_only=True)
class KindWords:
    """Keys that a recipe may set for one kind of output."""

    names_labels: bool
    """`data.labels`"""
    names_positive: bool
    """`data.positive`"""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Other keys that must keep their defaults, each with the reason; `*` stands for any teacher."""


KIND_WORDS: dict[str, KindWords] = {
    "classification": KindWords(names_labels=True, names_positive=True),
    "multi-label": KindWords(names_labels=True, names_positive=False),
    "tokens": KindWords(
        names_labels=True,
        names_positive=False,
        refused={
            "data.text_pair": "is a second text, but words are those of one",
            "data.unlabelled": "leaves out the tags, by which the words of a text are counted",
            "data.missing_labels": "sets texts without tags aside, but each text is a list of tagged words",
            "data.unseen_labels": "counts classes of texts, but tags are those of words",
            "data.transfer": "names texts, but each text is a list of tagged words",
            "data.augment.copies": "replaces words, and with them the entities that they name",
            "student.family": "averages the tokens of a text, but each word needs an output of its own",
            "teachers.*.probabilities": "holds one distribution for a text, but each word needs its own",
            "teachers.*.endpoint": "names one class of a text, but each word needs a tag",
        },
    ),
    "regression": KindWords(names_labels=False, names_positive=False),
}
"""By `data.kind`."""

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
