"""Cost of one prediction, counted and not timed: operations and memory.

Counts are those of a torch model's forward pass; knows nothing about clocks.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

from dkd_cli.engine.models.models import Model
from dkd_cli.evaluation.latency import Batch, Contestant
from dkd_cli.evaluation.speed_grid import stretched


@dataclass(frozen=True)
class Cost:
    """Cost of one forward pass."""

    flops: int
    """Floating-point operations for one example of `tokens` tokens: two for each multiply-add of a matrix
    product; additions, norms and activations are not counted, as is usual."""
    tokens: int
    weights_bytes: int
    """Parameters and buffers in memory."""
    peak_bytes: int
    """Weights, and the peak of intermediate results alive at once, for one batch of the evaluation."""
    batch: tuple[int, int]
    """Rows and tokens of that batch."""


class LiveResults(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context in which `peak` is the most bytes that results of operations held at once, not counting `known`
    tensors.

    Memory that an operation allocates and frees internally is not counted.
    """

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        # By storage: a view takes no room of its own.
        self._seen = WeakIdKeyDictionary({tensor.untyped_storage(): None for tensor in known})

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operation and record its results."""
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor) and tensor.untyped_storage() not in self._seen:
                self._note(tensor.untyped_storage())
        self.peak = max(self.peak, self.live)
        return output

    def _note(self, storage: torch.UntypedStorage) -> None:
        self._seen[storage] = None
        self.live += storage.nbytes()
        weakref.finalize(storage, self._forget, storage.nbytes())

    def _forget(self, size: int) -> None:
        self.live -= size


def cost_of(one: Contestant) -> Cost | None:
    """Count a pass over one example of the mean length, and a pass over the largest batch.

    None for a model that is not run by torch, whose operations are not visible.
    """
    if next(one.model.parameters(), None) is None:
        return None
    lengths = [single["input_ids"].shape[1] for single in one.singles]
    example = stretched(one.singles[0], round(sum(lengths) / len(lengths)))
    largest = max(one.batches, key=lambda batch: batch["input_ids"].numel())
    return count_cost(one.model, example, largest)


def count_cost(model: Model, example: Batch, batch: Batch) -> Cost:
    """Count one pass over one example [1, L] and one over a batch [B, L'], both on the model's device."""
    # The fused attention is one operation that the counter does not know; the plain one is matrix products.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(**example)
    weights = [*model.parameters(), *model.buffers()]
    with torch.no_grad(), LiveResults([*weights, *batch.values()]) as results:
        model(**batch)
    rows, tokens = batch["input_ids"].shape
    weights_bytes = sum(weight.numel() * weight.element_size() for weight in weights)
    return Cost(
        flops=int(counter.get_total_flops()),
        tokens=int(example["input_ids"].shape[1]),
        weights_bytes=weights_bytes,
        peak_bytes=weights_bytes + results.peak,
        batch=(int(rows), int(tokens)),
    )
