"""The common face of all classifiers of texts: texts in, logits out. Knows no runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

LONGEST = 512
"""Tokens, where neither recipe nor model says how long a text may be."""

Pairs = Sequence[str] | None
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Predictor:
    """A classifier of texts."""

    labels: tuple[str, ...] | None
    """In the order of its outputs; None where it gives one number."""
    kind: str
    """Of output, by the words of `kinds.KINDS`."""
    text: str
    """The column that it was trained on, and its partner."""
    text_pair: str | None
    max_length: int
    logits: Callable[[Sequence[str], Pairs], tuple[Logits, int]]
    """Texts and their partners -> [B, C], and how many of them were cut to `max_length`.

    Of words [B, W, C], W the most words of a text; single spaces separate them (`Kind.reads`)."""
    notes: list[str] = field(default_factory=list)
    """Lines on how texts were read that the user should know; `logits` may add some."""
