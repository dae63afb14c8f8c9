"""What ours is measured against: plain fine-tuning, and the naive way to distil, straight from the method.

Everything in float32, every text padded to the full length, every teacher in training mode (it is a part of
the student there, so its dropout is on) and asked about every row at every step. Uses nothing of dkd_cli.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

Batch = dict[str, Tensor]
Loss = Callable[[Any, Sequence[Any], Batch], Tensor]
"""Of a student, its teachers from small to large, and a batch."""


@dataclass
class Naive:
    """A student, its teachers from small to large, and one loss for all three."""

    student: Any
    teachers: Sequence[Any]
    loss: Loss
    optimizer: torch.optim.Optimizer

    def step(self, batch: Batch) -> None:
        """One update."""
        loss = self.loss(self.student, self.teachers, batch)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()


def make(
    student: str,
    layers: int,
    classes: int,
    teachers: Sequence[str],
    loss: Loss,
    device: torch.device,
) -> Naive:
    """The first `layers` layers of `student` under a new head, and the teachers beside it."""
    settings = {"num_hidden_layers": layers, "num_labels": classes, "ignore_mismatched_sizes": True}
    model = AutoModelForSequenceClassification.from_pretrained(student, **settings).to(device).train()
    asked = [
        AutoModelForSequenceClassification.from_pretrained(one).to(device).train().requires_grad_(False)
        for one in teachers
    ]
    return Naive(model, asked, loss, torch.optim.AdamW(model.parameters(), lr=2e-5))


def padded(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    labels: Sequence[int],
    max_length: int,
    device: torch.device,
) -> Batch:
    """One batch, every row as long as the longest that is allowed."""
    batch = tokenizer(
        list(texts),
        None if pairs is None else list(pairs),
        truncation=True,
        max_length=max_length,
        padding="max_length",
        return_tensors="pt",
    )
    return {name: value.to(device) for name, value in batch.items()} | {
        "labels": torch.tensor(labels, device=device)
    }


def fine_tuning(student: Any, teachers: Sequence[Any], batch: Batch) -> Tensor:
    """Cross-entropy on the labels."""
    return F.cross_entropy(_ask(student, batch).logits, batch["labels"])


def data(student: Any, teachers: Sequence[Any], batch: Batch) -> Tensor:
    """CE on all rows, KD on the half with the smallest margin between the two likeliest classes."""
    output = _ask(student, batch)
    with torch.no_grad():
        answer = _ask(teachers[-1], batch)
    top = output.logits.detach().softmax(-1).topk(2).values
    selected = (top[:, 0] - top[:, 1]).argsort()[: len(top) // 2]
    kd = F.mse_loss(output.logits[selected], answer.logits[selected])
    return F.cross_entropy(output.logits, batch["labels"]) + kd


def objective(student: Any, teachers: Sequence[Any], batch: Batch) -> Tensor:
    """CE, and (1 - u) KD + u PT per row, u the row's normalised entropy; padding counts."""
    output = _ask(student, batch, hidden=True)
    with torch.no_grad():
        answer = _ask(teachers[-1], batch, hidden=True)
    uncertainty = _uncertainty(output.logits)
    kd = F.mse_loss(output.logits, answer.logits, reduction="none").mean(-1)
    every = (len(answer.hidden_states) - 1) // (len(output.hidden_states) - 1)
    pt = torch.zeros_like(kd)
    for own, other in zip(output.hidden_states, answer.hidden_states[::every], strict=False):
        pt = pt + (F.normalize(own, dim=-1) - F.normalize(other, dim=-1)).square().sum(-1).mean(1)
    mixed = ((1 - uncertainty) * kd + uncertainty * pt).mean()
    return F.cross_entropy(output.logits, batch["labels"]) + mixed


def two_teachers(student: Any, teachers: Sequence[Any], batch: Batch) -> Tensor:
    """CE, and KD from a small and a large teacher, weighted u and 1 - u, u the batch's mean uncertainty."""
    output = _ask(student, batch)
    with torch.no_grad():
        small, large = (_ask(teacher, batch).logits for teacher in teachers)
    u = _uncertainty(output.logits).mean()
    kd = u * F.mse_loss(output.logits, small) + (1 - u) * F.mse_loss(output.logits, large)
    return F.cross_entropy(output.logits, batch["labels"]) + kd


def _ask(model: Any, batch: Batch, hidden: bool = False) -> Any:
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    return model(**inputs, output_hidden_states=hidden)


def _uncertainty(logits: Tensor) -> Tensor:
    """[B, C] -> [B] in [0, 1]."""
    logs = logits.detach().log_softmax(-1)
    return -(logs.exp() * logs).sum(-1) / torch.log(torch.tensor(float(logits.size(-1))))
