"""Entities of a text that comes without a list of words: its words, and where in it each entity is.

Words are runs without white space, less the punctuation at both ends, of which each character is a word of
its own, as in data sets of tagged words; abbreviations such as `U.S.` keep their last full stop, letters
their combining characters.
Knows no model.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dkd_cli.data.output_math import Floats, class_uncertainty, likeliest_tags, read_words, softmax
from dkd_cli.data.tags import OUTSIDE, entities

RUN = re.compile(r"\S+")
EDGES = re.compile(r"^([^\w\s]*)(.*?)([^\w\s]*)$", re.DOTALL)

ABBREVIATION = re.compile(r"(\w\.){2,}")
"""A word that ends in a full stop of its own, such as `U.S.`"""

ZERO_WIDTH_JOINER = "\u200d"
SKIN_TONES = range(0x1F3FB, 0x1F400)
FLAG_LETTERS = range(0x1F1E6, 0x1F200)
"""Two of them are a flag."""


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
        first, last = run.start() + len(edges[1]), run.end() - len(edges[3])
        last += edges[3].startswith(".") and ABBREVIATION.fullmatch(f"{edges[2]}.") is not None
        before = _symbols(text, run.start(), first)
        if first < last:
            while last < run.end() and _continues(text[last]):
                last += 1
            if before and all(map(_continues, text[run.start() : first])):
                first, before = run.start(), []
        spans += before
        if first < last:
            spans.append((first, last))
        spans += _symbols(text, last, run.end())
    return spans


def _symbols(text: str, first: int, last: int) -> list[tuple[int, int]]:
    """Places of the symbols of a text without letters and digits; each may be several characters."""
    spans: list[tuple[int, int]] = []
    for place in range(first, last):
        if spans and _same_symbol(text[spans[-1][0] : place], text[place]):
            spans[-1] = (spans[-1][0], place + 1)
        else:
            spans.append((place, place + 1))
    return spans


def _same_symbol(begun: str, character: str) -> bool:
    """Return whether a character belongs to the symbol before it, or that is invisible on its own."""
    if _continues(character) or begun.endswith(ZERO_WIDTH_JOINER) or all(map(_continues, begun)):
        return True
    return len(begun) == 1 and ord(begun) in FLAG_LETTERS and ord(character) in FLAG_LETTERS


def _continues(character: str) -> bool:
    """Return whether a character is part of the one before it: accents, vowel signs, joiners, skin tones.

    >>> _continues("\\u0301"), _continues(".")
    (True, False)
    """
    category = unicodedata.category(character)
    return category[0] == "M" or category == "Cf" or ord(character) in SKIN_TONES


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
