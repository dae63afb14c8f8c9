"""Speed by text length, number of threads and batch size.

Every model predicts the same synthetic rows: real tokens, repeated to an exact length. Knows nothing about
scores.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from dkd_cli.evaluation.latency import Batch, Contestant, seconds_of

SHORTEST = 16
MIN_RUNS, MAX_RUNS = 5, 40
BATCH_SIZES = (1, 4, 16)
"""In addition to the batch size of the evaluation."""


@dataclass(frozen=True)
class LengthSpeed:
    """One example of this many tokens, on this many threads."""

    tokens: int
    threads: int
    median_ms: float
    p95_ms: float
    runs: int


@dataclass(frozen=True)
class BatchSpeed:
    """A batch of this many examples, all padded to `tokens`."""

    batch_size: int
    tokens: int
    examples_per_second: float
    runs: int


@dataclass(frozen=True)
class SpeedGrid:
    """All cells of one model."""

    lengths: tuple[LengthSpeed, ...]
    batches: tuple[BatchSpeed, ...]


@torch.inference_mode()
def measure_grid(contestants: Sequence[Contestant], seconds_a_cell: float = 0.15) -> list[SpeedGrid]:
    """Time each cell for all models before the next cell, so that a busy moment affects them equally.

    A cell takes about `seconds_a_cell`, with 5 to 40 runs; the number of threads is restored.

    Returns:
        One grid per contestant, in order.
    """
    lengths: list[list[LengthSpeed]] = [[] for _ in contestants]
    batches: list[list[BatchSpeed]] = [[] for _ in contestants]
    for threads in thread_counts(contestants):
        with using_threads(threads):
            for place in range(max(len(lengths_up_to(one.max_tokens)) for one in contestants)):
                for one, own in zip(contestants, lengths, strict=True):
                    if place < len(lengths_up_to(one.max_tokens)):
                        tokens = lengths_up_to(one.max_tokens)[place]
                        own.append(_at_length(one, tokens, threads, seconds_a_cell))
    whole = [len(one.batches[0]["input_ids"]) for one in contestants]
    for size in sorted({*(size for size in BATCH_SIZES if size < max(whole)), *whole}):
        for one, most, found in zip(contestants, whole, batches, strict=True):
            if size <= most:
                found.append(_in_batches(one, size, seconds_a_cell))
    return [SpeedGrid(tuple(own), tuple(found)) for own, found in zip(lengths, batches, strict=True)]


def lengths_up_to(most: int) -> list[int]:
    """16, 32, 64, ... below `most`, and `most` itself.

    >>> lengths_up_to(100)
    [16, 32, 64, 100]
    """
    powers = (SHORTEST << i for i in range(most.bit_length()))
    return [tokens for tokens in powers if tokens < most] + [most]


def thread_counts(contestants: Sequence[Contestant]) -> list[int]:
    """One thread and all of them; on a GPU the host's threads do not matter."""
    own = torch.get_num_threads()
    on_cpu = all(one.compute.device.type == "cpu" for one in contestants)
    return sorted({1, own}) if on_cpu else [own]


@contextmanager
def using_threads(threads: int) -> Iterator[None]:
    """Let torch use this many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def stretched(single: Batch, tokens: int) -> Batch:
    """One row [1, L], repeated or truncated to exactly `tokens`."""
    own = single["input_ids"].shape[1]
    return {
        name: value.repeat(1, -(-tokens // own))[:, :tokens] if value.dim() == 2 else value
        for name, value in single.items()
    }


def _at_length(one: Contestant, tokens: int, threads: int, seconds: float) -> LengthSpeed:
    took = _repeated(one, stretched(one.singles[0], tokens), seconds)
    return LengthSpeed(
        tokens, threads, 1000 * float(np.median(took)), 1000 * float(np.percentile(took, 95)), len(took)
    )


def _in_batches(one: Contestant, size: int, seconds: float) -> BatchSpeed:
    batch = {name: value[:size] for name, value in one.batches[0].items()}
    took = _repeated(one, batch, seconds)
    return BatchSpeed(size, int(batch["input_ids"].shape[1]), size / float(np.median(took)), len(took))


def _repeated(one: Contestant, batch: Batch, seconds: float) -> list[float]:
    seconds_of(one, batch)  # the first pass of a shape prepares kernels
    took: list[float] = []
    started = time.perf_counter()
    while len(took) < MIN_RUNS or (len(took) < MAX_RUNS and time.perf_counter() - started < seconds):
        took.append(seconds_of(one, batch))
    return took
