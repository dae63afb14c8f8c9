"""Latency and throughput of models: forward passes alone, without tokenisation.

A busy machine must affect all models equally: they take turns in short blocks over the same real rows. Models
of the same shape need one measurement, whatever their weights. Knows nothing about scores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
import torch
from torch import Tensor

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator
from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.models.inference import model_inputs
from dkd_cli.engine.models.models import Model, limits

SINGLES_PER_BLOCK = 8
MIN_SINGLE_BLOCKS, MAX_SINGLE_BLOCKS = 3, 25
MAX_BATCHES = 12

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Contestant:
    """A model in eval mode and the rows it is timed on."""

    model: Model
    compute: Compute
    singles: Sequence[Batch]
    """Collated rows, one in each; the same rows for all models."""
    batches: Sequence[Batch]
    """Collated batches of the evaluation's size; the same rows for all models."""
    max_tokens: int
    """The longest text that the model is used with."""


@dataclass(frozen=True)
class Speed:
    """Measured times; examples per second are those of the median batch."""

    median_ms: float
    p95_ms: float
    runs: int
    examples_per_second: float
    batch_size: int
    batches: int


def contestant(
    model: Model,
    compute: Compute,
    encoded: EncodedSplit,
    collator: PaddingCollator,
    batch_size: int,
    max_tokens: int,
) -> Contestant:
    """Choose rows evenly spread over the split: few enough to be fast, and the same for every model."""
    singles = _spread(len(encoded), SINGLES_PER_BLOCK * MAX_SINGLE_BLOCKS)
    batched = _spread(len(encoded), batch_size * MAX_BATCHES)
    chunks = [batched[i : i + batch_size] for i in range(0, len(batched), batch_size)]
    # a short last batch would be timed like a full one
    whole = [chunk for chunk in chunks if len(chunk) == len(chunks[0])]

    def collate(rows: Sequence[int]) -> Batch:
        return model_inputs(model, collator([encoded[row] for row in rows]), compute.device)

    return Contestant(
        model,
        compute,
        singles=[collate([row]) for row in singles],
        batches=[collate(rows) for rows in whole],
        max_tokens=min(max_tokens, limits(model).positions or max_tokens),
    )


@torch.inference_mode()
def measure_speeds(contestants: Sequence[Contestant], seconds_each: float = 2.5) -> list[Speed]:
    """Time all models in turns, about `seconds_each` for each model, at least one batch and 24 single rows.

    Returns:
        One Speed per contestant, in order.
    """
    for one in contestants:
        one.model.to(one.compute.device)
    budget = seconds_each * len(contestants)
    singles = _take_turns(
        contestants,
        [_blocks(one.singles, SINGLES_PER_BLOCK, MAX_SINGLE_BLOCKS) for one in contestants],
        at_least=MIN_SINGLE_BLOCKS,
        budget=0.4 * budget,
    )
    batches = _take_turns(
        contestants,
        [_blocks(one.batches, 1, MAX_BATCHES) for one in contestants],
        at_least=1,
        budget=0.6 * budget,
    )
    speeds = []
    for one, alone, together in zip(contestants, singles, batches, strict=True):
        size = len(one.batches[0]["input_ids"])
        speeds.append(
            Speed(
                median_ms=1000 * float(np.median(alone)),
                p95_ms=1000 * float(np.percentile(alone, 95)),
                runs=len(alone),
                examples_per_second=size / float(np.median(together)),
                batch_size=size,
                batches=len(together),
            )
        )
    return speeds


def _take_turns(
    contestants: Sequence[Contestant],
    blocks: Sequence[Sequence[Sequence[Batch]]],
    at_least: int,
    budget: float,
) -> list[list[float]]:
    """Time blocks one after the other, every model on each before the next; stop after a whole round."""
    seconds: list[list[float]] = [[] for _ in contestants]
    started = time.perf_counter()
    for turn in range(len(blocks[0])):
        if turn >= at_least and time.perf_counter() - started > budget:
            break
        for one, own_blocks, own_seconds in zip(contestants, blocks, seconds, strict=True):
            # the model before has filled the processor's caches with its own weights
            for batch in one.singles[:2]:
                seconds_of(one, batch)
            own_seconds += [seconds_of(one, batch) for batch in own_blocks[turn]]
    return seconds


def seconds_of(one: Contestant, batch: Batch) -> float:
    """The time of one forward pass, until its output is available."""
    wait: Callable[[], None] = torch.cuda.synchronize if one.compute.device.type == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    with one.compute.autocast():
        one.model(**batch)
    wait()
    return time.perf_counter() - started


def _blocks(batches: Sequence[Batch], size: int, wanted: int) -> list[list[Batch]]:
    """Return `wanted` blocks of `size`, starting again from the first if there are too few rows."""
    supply = cycle(batches)
    return [list(islice(supply, size)) for _ in range(wanted)]


def _spread(total: int, wanted: int) -> list[int]:
    """Up to `wanted` rows, evenly spaced, in an order of which every prefix is spread out too."""
    rows = np.unique(np.linspace(0, total - 1, min(total, wanted)).round().astype(int))
    return [int(row) for row in np.random.default_rng(0).permutation(rows)]
