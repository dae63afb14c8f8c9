"""Ranges of numbers and texts, and words with former spellings, that the sections of a recipe share."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt, MinLen
from pydantic import BeforeValidator, Discriminator, Tag

Name = Annotated[str, MinLen(1)]
Count = Annotated[int, Ge(1)]
Weight = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Lt(1)]


def renamed(new_words: Mapping[str, str], *, noted: bool = False) -> BeforeValidator:
    """Read a word of other writings under its present name; with `noted` say that it is old."""

    def read(word: object) -> object:
        if isinstance(word, str) and word in new_words:
            if noted:
                warnings.warn(f"{word!r} is now called {new_words[word]!r}", FutureWarning, stacklevel=2)
            return new_words[word]
        return word

    return BeforeValidator(read)


def joined_by_comma() -> BeforeValidator:
    """Read a list of names as one text, the names separated by commas."""

    def read(value: object) -> object:
        if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
            return ", ".join(value)
        return value

    return BeforeValidator(read)


def _form(value: Any) -> str:
    return "word" if isinstance(value, str) else "named"


ClassWeights = Annotated[
    Annotated[Literal["balanced"], Tag("word")] | Annotated[Mapping[str, Weight], Tag("named")],
    Discriminator(_form),
]

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
