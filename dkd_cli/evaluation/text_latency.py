"""Latency from a text to its logits, tokenisation included, as `dkd predict` computes them.

Models take turns in short blocks over the same texts, so that a busy machine affects all of them equally.
Knows nothing about scores.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from dkd_cli.data.examples import Split
from dkd_cli.engine.deploy.predictor import Predictor

TEXTS = 48
"""Texts, evenly spread over the split."""
BLOCK = 8
ROUNDS = 3
"""Rounds through all texts, at most."""
SECONDS = 2.0
"""For each model; a round that is begun is completed."""


@dataclass(frozen=True)
class TextLatency:
    """Of one text at a time, tokenisation included, on one thread."""

    median_ms: float
    p95_ms: float
    runs: int


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def measure_text_latency(predictors: Sequence[Predictor], split: Split) -> list[TextLatency]:
    """Time single texts of a split through each model, in turns; the models were loaded for one thread.

    Returns:
        One for each predictor, in order.
    """
    rows = np.unique(np.linspace(0, len(split) - 1, min(len(split), TEXTS)).round().astype(int))
    rows = np.random.default_rng(0).permutation(rows)
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    seconds: list[list[float]] = [[] for _ in predictors]
    started = time.perf_counter()
    with one_thread():
        for turn in range(ROUNDS * len(blocks)):
            if turn >= 2 and time.perf_counter() - started > SECONDS * len(predictors):
                break
            for predictor, own in zip(predictors, seconds, strict=True):
                block = blocks[turn % len(blocks)]
                # The model before has filled the processor's caches.
                for row in block[:2]:
                    _seconds(predictor, split, int(row))
                own += [_seconds(predictor, split, int(row)) for row in block]
    return [
        TextLatency(1000 * float(np.median(own)), 1000 * float(np.percentile(own, 95)), len(own))
        for own in seconds
    ]


def _seconds(predictor: Predictor, split: Split, row: int) -> float:
    texts = [split.texts[row]]
    pairs = None if split.text_pairs is None else [split.text_pairs[row]]
    started = time.perf_counter()
    predictor.logits(texts, pairs)
    return time.perf_counter() - started
