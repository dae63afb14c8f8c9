"""Entities of a text that comes without a list of words: its words, and where in it each entity is.

Words are runs without white space, less the punctuation at both ends, of which each character is a word of
its own, as in data sets of tagged words; abbreviations such as `U.S.` keep their last full stop.
Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dkd_cli.data.output_math import Floats, class_uncertainty, likeliest_tags, read_words, softmax
from dkd_cli.data.tags import OUTSIDE, entities

RUN = re.compile(r"\S+")
EDGES = re.compile(r"^([^\w\s]*)(.*?)([^\w\s]*)$", re.DOTALL)

ABBREVIATION = re.compile(r"(\w\.){2,}")
"""A word that ends in a full stop of its own, such as `U.S.`"""


@dataclass(frozen=True)
class Entity:
    """An entity that a model found in a text."""

    label: str
    """Its type."""
    start: int
    """Its first character."""
    end: int
    """The character after its last one."""
    score: float
    """The mean over its words of the probability of the predicted tag."""
    text: str


def word_spans(text: str) -> list[tuple[int, int]]:
    """Places of the words of a text: (first character, the one after the last).

    >>> text = 'Ada (1815) of the U.K. met "Babbage".'
    >>> [text[start:end] for start, end in word_spans(text)]
    ['Ada', '(', '1815', ')', 'of', 'the', 'U.K.', 'met', '"', 'Babbage', '"', '.']
    """
    spans = []
    for run in RUN.finditer(text):
        edges = EDGES.match(run[0])
        assert edges is not None, "it matches any run"
        first = run.start()
        before, inside = len(edges[1]), len(edges[2])
        inside += edges[3].startswith(".") and ABBREVIATION.fullmatch(f"{edges[2]}.") is not None
        spans += [(first + place, first + place + 1) for place in range(before)]
        if inside:
            spans.append((first + before, first + before + inside))
        spans += [(place, place + 1) for place in range(first + before + inside, run.end())]
    return spans


def spaced(text: str) -> str:
    """The words of a text, separated by single spaces, as models of tags read them.

    >>> spaced("Ada,  he said")
    'Ada , he said'
    """
    return " ".join(text[start:end] for start, end in word_spans(text))


def found_entities(
    logits: Floats, temperature: float, names: Sequence[str], text: str
) -> tuple[list[Entity], float]:
    """The entities that a model finds in a text, and its uncertainty: the mean over the words read.

    Args:
        logits: [W, C], one row for each of the text's words, in their order; further rows are not read.
        temperature: by which they are divided.
        names: of the tags.
        text: as it came.
    """
    spans = word_spans(text)
    logits = logits[: len(spans)]
    tags = [names[one] if one >= 0 else OUTSIDE for one in likeliest_tags(logits).tolist()]
    sure = softmax(logits / temperature).max(axis=-1) if len(logits) else np.zeros(0)
    found = []
    for first, last, label in entities(tags):
        start, end = spans[first][0], spans[last - 1][1]
        found.append(Entity(label, start, end, float(sure[first:last].mean()), text[start:end]))
    seen = logits[read_words(logits)] / temperature
    return found, float(class_uncertainty(seen).mean()) if len(seen) else 0.0
