"""Batches of a teacher's queries: in fp32 on a CPU such that logits never depend on the other rows.

It then has the same bits, whichever run, process or batch asks for it, and however often. Elsewhere an answer
is the same up to rounding (docs/performance.md has the figures). Knows no teacher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dkd_cli.engine.machine.precision import Compute

LENGTH_STEP = 8
"""Texts are padded to multiples of it: few lengths, so that few passes are needed, and little padding."""
FEWEST = 12
"""Rows of a pass. Products with fewer are summed in another order: below 4 in one thread, below 10 in two."""


@dataclass(frozen=True)
class Pass:
    """Rows that are read together."""

    rows: list[int]
    length: int | None = None
    """Length that they are padded to; None: the longest of them."""


def passes(
    rows: list[int],
    lengths: Sequence[int] | NDArray[np.int64],
    most_tokens: int | None,
    compute: Compute,
) -> list[Pass]:
    """The rows as they are read: in fp32 on a CPU those of like length together.

    There a text is always padded to the same length, by one position or more: where nothing is padded,
    transformers takes another path. Few rows are made `FEWEST` by repeating the last. On accelerators and in
    bf16 the kernels follow the size of the batch, so that this would buy nothing, and one pass is faster.

    Args:
        rows: one or more.
        lengths: of all rows, in tokens.
        most_tokens: that the model has positions for; None: as many as one likes.
        compute: where it reads, and how wide.

    >>> fp32 = Compute(torch.device("cpu"), torch.float32, "as asked for")
    >>> passes([0, 1, 2], [9, 3, 14], None, fp32)[0].rows[:3]
    [0, 2, 2]
    """
    if compute.device.type != "cpu" or compute.dtype != torch.float32:
        return [Pass(rows)]
    alike: dict[tuple[int, bool], list[int]] = {}
    for row in rows:
        own = int(lengths[row])
        length = (own // LENGTH_STEP + 1) * LENGTH_STEP
        # Those near the end of the model's positions are read unpadded, and never beside padded ones.
        fits = most_tokens is None or length <= most_tokens
        alike.setdefault((length if fits else own, fits), []).append(row)
    return [
        Pass(together + together[-1:] * (FEWEST - len(together)), length)
        for (length, _), together in alike.items()
    ]
