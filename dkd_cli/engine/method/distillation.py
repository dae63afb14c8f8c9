"""One training step: select, route, weight. From the outputs of student and teachers to a scalar loss and its
terms.

Several processes share a batch: each makes the decisions over the whole of it and trains on its own rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor

from dkd_cli.engine.machine.processes import WHOLE, Share
from dkd_cli.engine.method.objectives import kd, pt
from dkd_cli.engine.method.outputs import OUTPUTS, Output
from dkd_cli.engine.method.schedules import at, moving
from dkd_cli.engine.method.selection import Scored, asks_teacher, choose
from dkd_cli.engine.method.strategies import OBJECTIVES, ROUTES, Plan, uncertainty_of

NO_PROJECTIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType({})


class Teachers(Protocol):
    """Interface of the teachers that a step queries; `bank.TeacherBank` implements it."""

    def logits(self, name: str, rows: Tensor) -> Tensor:
        """Return the logits of rows [n] of the training split, [n, C]."""
        ...

    def hidden_states(self, name: str, rows: Tensor) -> list[Tensor]:
        """Return the aligned layers of rows [n], each [n, L', H], padded to the longest of these rows; L'
        is 1 if only the first position is compared."""
        ...

    def common(self, name: str, rows: Tensor) -> Tensor | None:
        """[n] rows -> [n, L'], true where the teacher has the student's token; None: everywhere."""
        ...


@dataclass(frozen=True, kw_only=True)
class StrategyStep:
    """`distillation_step` of one run: a callable from a batch to its loss."""

    plan: Plan
    teachers: Teachers
    layers: Mapping[str, Sequence[int]] = field(default_factory=dict)
    projections: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    class_weights: Tensor | None = None
    """[C], of each class in CE; None: 1 each."""

    def __call__(self, student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
        """Compute the loss of a batch from the student's output, labels [B] and rows [B] of the training
        split."""
        return distillation_step(
            self.plan,
            student,
            labels,
            rows,
            self.teachers,
            self.layers,
            self.projections,
            self.class_weights,
        )


@dataclass(frozen=True)
class StudentOutput:
    """Student output for a batch, or for this process's share of it."""

    logits: Tensor
    """[B, C]; of words [B, W, C]."""
    mask: Tensor
    """[B, L], nonzero at real positions."""
    hidden_states: Sequence[Tensor] = ()
    """All layers, embeddings first, each [B, L, H]; empty if the plan aligns none."""
    weights: Tensor | None = None
    """[B], weight of each example in every term, if it was chosen from a pool; None: 1 each."""
    pool: int | None = None
    """The number of examples that were scored to choose this batch; None: it was not chosen."""
    share: Share = WHOLE
    """The part of the batch that these B rows are, if several processes share it."""
    progress: float = 0.0
    """The share of the run before this batch, which schedules follow."""
    labelled: Tensor | None = None
    """[B] bool, the rows that have a label; None: all of them, if there are labels at all."""


@dataclass(frozen=True)
class StepLoss:
    """The loss of one batch and its terms; for a shared batch, the mean over processes is that of the
    whole."""

    total: Tensor
    """Scalar, with gradient."""
    terms: Mapping[str, Tensor]
    """Detached scalars for the log: `ce`, `kd`, `pt`, `uncertainty`, `kl-weight`, `pt-weight`,
    `share-<teacher>`, `share-selected`, and scheduled values by their recipe keys."""


def distillation_step(
    plan: Plan,
    student: StudentOutput,
    labels: Tensor | None,
    rows: Tensor,
    teachers: Teachers,
    layers: Mapping[str, Sequence[int]],
    projections: Mapping[str, Callable[[Tensor], Tensor]] = NO_PROJECTIONS,
    class_weights: Tensor | None = None,
) -> StepLoss:
    """Compute the loss of one batch.

    ce_weight · mean v CE + Σ_teachers mean over its rows of v w (a · kd_weight · KD + b · hidden_weight · PT)
    with the teacher's weight w, the objective's weights a, b and the selection's weight v of each example. v
    is 1 but for a weighted draw: from a pool it weighs every term, within the batch all but CE. The mean of
    CE is over the labelled rows of the batch, 0 where there are none; the other terms take all rows.

    Args:
        plan: the resolved strategy.
        student: logits, mask and (if aligned) hidden states of the batch.
        labels: [B], or None without labels: then only the teachers teach, or with `plan.hard` the teacher's
            predictions are the labels; those of rows that `student.labelled` leaves out are not read.
        rows: [B], positions in the training split, by which teachers identify the examples.
        teachers: queried only for the rows they teach.
        layers: for each teacher, the student layers that match `teachers.hidden_states`, in its order.
        projections: from the student's width to a teacher's, [..., H] -> [..., H'], if they differ.
        class_weights: [C], by which CE counts a row of each class; None: 1 each.
    """
    changing = moving(plan.objective, student.progress)
    plan = at(plan, student.progress)
    output, share = OUTPUTS[plan.output], student.share
    logits = share.gather(student.logits)  # of the whole batch, as all that is decided about it
    scored = student.pool or logits.size(0)
    counts = (
        student.weights if student.weights is not None else torch.ones_like(student.logits.flatten(1)[:, 0])
    )
    # Every process takes part in the backward pass, even one that learns nothing from this batch.
    total = student.logits.sum() * 0.0
    terms: dict[str, Tensor] = {name: total.new_tensor(value) for name, value in changing.items()}
    if plan.hard:
        with share.peers.together():
            labels = output.hard_labels(teachers.logits(plan.teachers[-1], rows))
    if labels is not None and plan.objective.ce_weight > 0:
        ce = _on_labels(output, student, labels, counts, logits.size(0), class_weights)
        total, terms["ce"] = total + plan.objective.ce_weight * ce, ce.detach()
    if plan.hard or not plan.teachers:
        return StepLoss(total, terms)

    asked = None
    if asks_teacher(plan.selection):
        with share.peers.together():
            asked = teachers.logits(plan.teachers[-1], rows)
    here = labels, asked, student.labelled
    gold, answers, labelled = (None if values is None else share.gather(values) for values in here)
    seen = Scored(output=output, logits=logits, labels=gold, teacher_logits=answers, labelled=labelled)
    chosen = choose(plan.selection, seen).agreed(share)
    selected = chosen.positions
    uncertainty = uncertainty_of(plan, logits)
    kd_weights, hidden_weights = OBJECTIVES[plan.objective.mode](uncertainty[selected])
    kd_total = torch.zeros_like(total)
    hidden_total = torch.zeros_like(total)
    for route in ROUTES[plan.adoption.mode](plan, uncertainty[selected]):
        size = route.positions.numel()
        terms[f"share-{route.teacher}"] = total.new_tensor(size / scored)
        which, taught = share.mine(selected[route.positions])
        if not taught.numel():
            continue
        places = route.positions[which]
        weights = route.weights[which] * chosen.weights[places] * counts[taught]
        if plan.objective.kd_weight > 0:
            answers = teachers.logits(route.teacher, rows[taught])
            own_labels = None if labels is None else labels[taught]
            term = kd(output.kd_losses, plan.objective, student.logits[taught], answers, own_labels)
            kd_total = kd_total + share.mean(weights * kd_weights[places] * term, size)
        if plan.hidden_weight > 0:
            aligned = teachers.hidden_states(route.teacher, rows[taught])
            length = aligned[0].size(1)
            # Not by indexing: its backward pass adds single numbers, this one whole rows.
            own = [
                student.hidden_states[layer][:, :length].index_select(0, taught)
                for layer in layers[route.teacher]
            ]
            if route.teacher in projections:
                own = [projections[route.teacher](states) for states in own]
            mask, common = student.mask[taught, :length], teachers.common(route.teacher, rows[taught])
            term = pt(plan.objective, own, aligned, mask if common is None else mask * common)
            hidden_total = hidden_total + share.mean(weights * hidden_weights[places] * term, size)
    total = total + plan.objective.kd_weight * kd_total + plan.hidden_weight * hidden_total
    terms |= {"kd": kd_total.detach(), "share-selected": total.new_tensor(selected.numel() / scored)}
    if plan.hidden_weight > 0:
        terms["pt"] = hidden_total.detach()
    if plan.uses_uncertainty:
        terms |= {
            "uncertainty": uncertainty.mean(),
            "kl-weight": kd_weights.mean(),
            "pt-weight": hidden_weights.mean(),
        }
    return StepLoss(total, terms)


def _on_labels(
    output: Output,
    student: StudentOutput,
    labels: Tensor,
    counts: Tensor,
    size: int,
    class_weights: Tensor | None,
) -> Tensor:
    """Mean of `counts` · CE over the labelled rows of a batch of `size`: this process's part of it."""
    share = student.share

    def supervised(logits: Tensor, labels: Tensor) -> Tensor:
        if class_weights is None or output.weighted is None:
            return output.supervised(logits, labels)
        return output.weighted(logits, labels, class_weights.to(logits.device, torch.float32))

    if student.labelled is None:
        return share.mean(counts * supervised(student.logits, labels), size)
    size = int(share.gather(student.labelled).sum())
    own = student.labelled.nonzero().flatten()
    if not size or not own.numel():
        return student.logits.sum() * 0.0
    return share.mean(counts[own] * supervised(student.logits[own], labels[own]), size)
