"""Alignment of a student's hidden states with a teacher's: common positions, and a projection between widths.

Knows nothing about losses or strategies. A projection is part of the student while it trains, so that the
optimizer, the checkpoints and distributed runs treat it like any other layer, and of no saved model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator
from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.models.models import Model, Tokenizer
from dkd_cli.engine.teachers.bank import FrozenTeacher
from dkd_cli.engine.teachers.matching import Common, match
from dkd_cli.errors import ModelError

PLACE = "dkd_projections"
"""The student's attribute that holds the projections in training; no architecture has one of this name."""


class Projection(torch.nn.Module):
    """W: from the student's width to a teacher's, one for all aligned layers (Jiao et al., 2020, TinyBERT).

    Without a bias: only directions are compared, and a direction has no offset.
    """

    def __init__(self, weight: Tensor, compute: Compute) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight)
        self._compute = compute

    def forward(self, states: Tensor) -> Tensor:
        """[..., H of the student] -> [..., H of the teacher]."""
        # The loss is taken outside the autocast of the student's own forward pass.
        with self._compute.autocast():
            return F.linear(states, self.weight)


def make_projections(
    student: Model, teachers: Mapping[str, FrozenTeacher], seed: int, compute: Compute
) -> dict[str, Projection]:
    """One projection for each teacher of another width than the student's, of those given.

    Drawn uniformly within ±1/√H, as torch.nn.Linear is, but from a generator of its own: the head, dropout
    and the order of the data are the same with and without it.
    """
    width = student.config.hidden_size
    projections = {}
    for index, (name, teacher) in enumerate(teachers.items()):
        wanted = teacher.model.config.hidden_size
        if wanted != width:
            drawn = np.random.default_rng([seed, index]).uniform(-1, 1, (wanted, width)) / width**0.5
            projections[name] = Projection(torch.from_numpy(drawn).float(), compute)
    return projections


@contextmanager
def attached(student: Model, projections: Mapping[str, Projection]) -> Iterator[None]:
    """Make the projections part of the student for the time of its training."""
    if not projections:
        yield
        return
    assert not hasattr(student, PLACE), f"the student has a {PLACE} already"
    modules = torch.nn.ModuleList(projections.values())  # a list: a teacher's name may be no attribute's

    def reach(module: torch.nn.Module, args: Any, output: Any) -> Any:
        # The projections are used after the forward pass, and some batches leave one out. Data-parallel
        # training wants every weight to be reached from the forward pass and to get a gradient.
        if module.training:
            nothing = 0.0 * torch.stack([weight.sum() for weight in modules.parameters()]).sum()
            output.logits = output.logits + nothing
        return output

    student.add_module(PLACE, modules)
    hook = student.register_forward_hook(reach)
    try:
        yield
    finally:
        hook.remove()
        delattr(student, PLACE)


def check_alignable(
    tokens: EncodedSplit,
    collator: PaddingCollator,
    teacher: FrozenTeacher,
    name: str,
    tokenizers: tuple[Tokenizer, Tokenizer] | None = None,
) -> Common | None:
    """Find the positions where hidden states can be compared; None where those are all.

    Args:
        tokens: the training split in the student's tokens.
        collator: of the student's tokenizer.
        teacher: says which positions are compared.
        name: the teacher's, for errors.
        tokenizers: the student's and the teacher's; None: their tokens have to be the same.

    Raises:
        ModelError: where there are none in common; names what differs.
    """
    without = "set strategy.objective.hidden_weight to 0"
    for key, side in (("student", collator.side), (f"teachers.{name}", teacher.collator.side)):
        if side != "right":
            raise ModelError(
                key,
                f"its tokenizer pads on the {side}, where hidden states are not aligned",
                f"{without}, or choose a tokenizer that pads on the right",
            )
    if teacher.positions == "first" or tokens.columns["input_ids"] == teacher.encoded.columns["input_ids"]:
        return None
    with suppress(ValueError):
        if tokenizers is not None:
            return match(tokens, teacher.encoded, *tokenizers)
    raise ModelError(
        f"teachers.{name}",
        "its tokens differ from the student's, so that hidden states have no common positions",
        f"compare the first token alone (strategy.objective.positions=first), or {without}",
    )
