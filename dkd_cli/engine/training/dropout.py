"""Dropout whose random numbers cost little on a CPU: 16 bits an activation from a fast generator.

torch draws them one by one from a slow generator, which takes a tenth to a third of a training step on a CPU.
On a GPU they are next to free, and torch's own are used. Knows nothing of models.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""By the bytes of a float, the integer of as many bits."""

LEVELS = 2**16
"""The share that is dropped is the nearest multiple of 1/LEVELS, and the scale fits that share exactly."""


def dropout(values: Tensor, p: float) -> Tensor:
    """Each value is 0 with probability p, else divided by 1 - p (Srivastava et al., 2014).

    The bits come from SFC64, seeded by one draw of torch's own generator: `torch.manual_seed`, or the random
    state of a checkpoint, decides them.

    Args:
        values: any shape.
        p: in [0, 1); rounded to a multiple of 1/65536.

    >>> _ = torch.manual_seed(0)
    >>> dropout(torch.ones(6), 0.5)
    tensor([2., 0., 0., 2., 0., 0.])
    """
    dropped = round(p * LEVELS)
    count = values.numel()
    seed = int(torch.randint(2**63 - 1, ()))
    bits = np.random.SFC64(seed).random_raw((count + 3) // 4).view(np.uint16)[:count]
    kept = torch.from_numpy(bits >= dropped).view(values.shape)
    # The scale is multiplied into the mask as the integer that its bits are: much quicker than a conversion.
    scale = torch.tensor(LEVELS / (LEVELS - dropped), dtype=values.dtype)
    return values * (kept * scale.view(BITS[scale.itemsize])).view(values.dtype)


class CheapDropout(TorchFunctionMode):
    """Inside it, `torch.nn.functional.dropout`, and every module made of it, is `dropout`."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Replace the one function; pass on all others."""
        if func is F.dropout:
            return _replaced(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _replaced(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or p == 0.0:
        return input
    assert not inplace, "no encoder drops out in place"
    return dropout(input, p)


def cheap_dropout(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """For a forward pass in training: cheap on a CPU, torch's own elsewhere."""
    return CheapDropout() if device.type == "cpu" else contextlib.nullcontext()
