"""Batches that do not fit into memory or exceed `train.max_tokens`: the same step, computed in parts.

A training step makes decisions over its whole batch (which examples, which teacher, which weights), so its
parts cannot be small steps. Instead they share one loss: the outputs of all parts, computed without gradient,
are its leaves; the gradient for each part is then backpropagated through that part alone, which is computed
again (gradient caching: Gao et al., 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited
Setup"). Loss and gradient are those of the whole batch. Knows neither the model nor the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor

from dkd_cli.errors import SystemProblem

Part = TypeVar("Part")
RandomState = tuple[Tensor, Tensor | None]


def out_of_memory(error: Exception) -> bool:
    """Return whether an error means out of memory."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or bool(should_reduce_batch_size(error))


def in_halves(work: Callable[[list[int]], None], rows: list[int], place: str) -> None:
    """Do `work` on all rows at once or, if memory does not suffice, on each half separately.

    Args:
        work: has no side effects if it fails.
        rows: one or more.
        place: for the error.

    Raises:
        SystemProblem: if memory does not suffice for one row.
    """
    try:
        return work(rows)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        if len(rows) == 1:
            raise too_little(place) from error
    # Outside of the handler, whose traceback holds references to the failed attempt's tensors.
    clear_device_cache()
    in_halves(work, rows[: len(rows) // 2], place)
    in_halves(work, rows[len(rows) // 2 :], place)
    return None


def too_little(place: str) -> SystemProblem:
    """The error if not even one example fits."""
    return SystemProblem(
        place, "one example alone does not fit into memory", "lower data.max_length, or use a smaller model"
    )


def random_state(device: torch.device) -> RandomState:
    """The state of torch's random generators."""
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def set_random_state(state: RandomState, device: torch.device) -> None:
    """Context that repeats the random numbers after `random_state`."""
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)


def backward_in_parts(
    forward: Callable[[Part], Sequence[Tensor]],
    parts: Sequence[Part],
    loss: Callable[[Sequence[Tensor]], Tensor],
    backward: Callable[[Tensor], None],
    device: torch.device,
) -> Tensor:
    """Compute the loss of a whole batch and its gradient, with the activations of one part in memory at a
    time.

    Args:
        forward: a part's outputs, each with the part's rows first; called twice for each part
            of several, with the same random numbers.
        parts: of the batch, in order.
        loss: a scalar from the outputs of the whole batch.
        backward: backpropagates the loss, scaled as the caller likes.
        device: where random numbers are drawn.

    Returns:
        The loss, detached.
    """
    if len(parts) == 1:
        total = loss(forward(parts[0]))
        backward(total)
        return total.detach()
    states, made = [], []
    with torch.no_grad():
        for part in parts:
            states.append(random_state(device))
            made.append(forward(part))
    leaves = [torch.cat(outputs).requires_grad_() for outputs in zip(*made, strict=True)]
    sizes = [len(outputs[0]) for outputs in made]
    total = loss(leaves)
    backward(total)
    after = random_state(device)
    # The lowest hidden states, for example, may not be part of the loss.
    sent = {
        place: torch.split(leaf.grad, sizes) for place, leaf in enumerate(leaves) if leaf.grad is not None
    }
    for number, (part, state) in enumerate(zip(parts, states, strict=True)):
        set_random_state(state, device)
        outputs = forward(part)
        torch.autograd.backward(
            [outputs[place] for place in sent], [gradients[number] for gradients in sent.values()]
        )
    set_random_state(after, device)
    return total.detach()
