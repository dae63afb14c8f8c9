"""`backward: selected`: the student scores a pool of candidates cheaply and trains on the best of them.

A pool is what the loader gives at once. Of a full one exactly one training batch is chosen, so that updates
are fewer and not emptier. Knows neither the loss nor the loop around it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from dkd_cli.engine.machine.processes import Share
from dkd_cli.engine.method.outputs import OUTPUTS
from dkd_cli.engine.method.schedules import selection_at
from dkd_cli.engine.method.selection import EVERYTHING, Scored, Selected, asks_teacher, choose, kept
from dkd_cli.engine.method.strategies import Plan
from dkd_cli.engine.models.inference import model_inputs
from dkd_cli.engine.models.models import Model
from dkd_cli.engine.models.word_logits import answered
from dkd_cli.recipe.strategy_section import DataSelection

OF_TOKENS = ("input_ids", "attention_mask", "token_type_ids")
"""Columns of a batch with a value for each token."""


@dataclass(frozen=True)
class Pool:
    """Candidates scored for each training batch, over all processes, and the selection among them."""

    selection: DataSelection
    size: int
    teacher: Callable[[Tensor], Tensor] | None = None
    """The teacher's logits for rows of the training split, [P] -> [P, C]; None where no score reads them."""
    output: str = "classification"
    """The kind of output (`outputs.OUTPUTS`)."""

    def kept(self, candidates: int) -> int:
        """Number of examples trained on, of a number of candidates."""
        return kept(self.selection.ratio, candidates)


def pooled(plan: Plan, batch_size: int, logits: Callable[[str, Tensor], Tensor]) -> tuple[Plan, Pool | None]:
    """Split a plan that skips the backward pass: what is left to do in a batch, and how the batch is chosen.

    Any other plan comes back as it is, without a pool.

    Args:
        plan: the resolved strategy.
        batch_size: of the batches that are chosen, by all processes together.
        logits: of a teacher by its name, for rows of the training split.
    """
    if plan.selection.backward == "all":
        return plan, None
    size = pool_size(plan.selection.ratio, batch_size)
    teacher = partial(logits, plan.teachers[-1]) if asks_teacher(plan.selection) else None
    return replace(plan, selection=EVERYTHING), Pool(plan.selection, size, teacher, plan.output)


def pool_size(ratio: float, batch_size: int) -> int:
    """The smallest pool of which `ratio` is a full batch: ⌈batch_size / ratio⌉.

    >>> pool_size(0.1, 32)
    320
    """
    # As in `kept`, binary rounding must not count: 7 / 0.07 is 100.00000000000001.
    return math.ceil(batch_size / ratio - 1e-9)


@torch.no_grad()
def score(model: Model, inputs: dict[str, Tensor], chunk: int, side: str) -> Tensor:
    """The student's logits on all candidates, [P, L] -> [P, C]; `model` is in training mode before and after.

    In eval mode: with dropout the ranking would be that of the masks as much as of the examples, and random
    numbers cost more than these passes have to spare. In chunks of like length, so that padding is not paid.

    Args:
        model: not wrapped for several processes, which may score different numbers of chunks.
        inputs: the collated pool.
        chunk: rows in each forward pass.
        side: where the padding is, `left` or `right`.
    """
    model.eval()
    order = torch.argsort(inputs["attention_mask"].sum(dim=1), descending=True, stable=True)
    parts = []
    for start in range(0, order.numel(), chunk):
        part = rows_of(inputs, order[start : start + chunk], side)
        parts.append(answered(model(**model_inputs(model, part, order.device)).logits, part))
    model.train()
    found = torch.cat(parts)
    logits = torch.empty_like(found)
    logits[order] = found
    return logits


def pick(
    pool: Pool,
    model: Model,
    inputs: dict[str, Tensor],
    chunk: int,
    side: str,
    share: Share,
    progress: float,
) -> Selected:
    """Score a pool and choose the batch to train on: positions in the pool, and the weights of its rows.

    The arguments are those of `score`, which part of the pool `inputs` is, and the share of the run that is
    done.
    """
    rows, ask = share.own(inputs["row"]), pool.teacher
    with share.peers.together():
        answers = None if ask is None else ask(rows)
    logits = share.gather(score(model, inputs, chunk, side))
    known = inputs.get("labels"), answers, inputs.get("labelled")
    gold, answers, labelled = (None if values is None else share.gather(values) for values in known)
    output = OUTPUTS[pool.output]
    seen = Scored(output=output, logits=logits, labels=gold, teacher_logits=answers, labelled=labelled)
    return choose(selection_at(pool.selection, progress), seen).agreed(share)


def rows_of(inputs: dict[str, Tensor], positions: Tensor, side: str) -> dict[str, Tensor]:
    """Some rows of a collated batch, as if collated alone: no longer than the longest of them."""
    part = {name: value[positions] for name, value in inputs.items()}
    longest = int(part["attention_mask"].sum(dim=1).max())
    reach = slice(longest) if side == "right" else slice(-longest, None)
    dropped = part["attention_mask"].size(1) - longest if side == "left" else 0
    found = {name: value[:, reach] if name in OF_TOKENS else value for name, value in part.items()}
    if dropped and "words" in found:
        found["words"] = found["words"] - dropped * (found["words"] >= 0)
    return found
