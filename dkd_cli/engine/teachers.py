"""The teachers: frozen, asked by rows, each row computed once.

Not a module and never an attribute of the student: teachers stay in eval mode and out of every checkpoint.
A teacher's answers on a fixed training split are constants, so they are kept: logits always, hidden states up
to a stated memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator
from dkd_cli.engine.inference import model_inputs
from dkd_cli.engine.models import Model
from dkd_cli.engine.precision import Compute
from dkd_cli.errors import NumericError

HIDDEN_BYTES = 2**30
"""The hidden states that one bank keeps; rows beyond it are computed again when asked for."""

PROBABILITY_FLOOR = 1e-4
"""The least probability that a teacher's file gives a class: the logarithm of 0 is no logit. A bare label
then stands 9.2 above the other logits, about as sure as trained classifiers are."""


@dataclass
class Teacher:
    """One frozen classifier and the training split in its own tokens."""

    model: Model
    encoded: EncodedSplit
    collator: PaddingCollator
    layers: Sequence[int] = ()
    """The layers that `hidden_states` gives, 0 the embeddings."""
    positions: Literal["all", "first"] = "all"
    """What it gives of them: every token's vector, or the first token's alone."""
    answers: Tensor = field(init=False)
    """[N, C]; rows not asked for yet are not numbers."""
    hidden: dict[int, Tensor] = field(init=False, default_factory=dict)
    """Row -> [layers, length, H]; the length is 1 where `positions` is `first`."""

    def __post_init__(self) -> None:
        self.model.requires_grad_(False).eval()
        self.answers = torch.full((len(self.encoded), self.model.config.num_labels), float("nan"))


@dataclass
class Recorded:
    """A teacher that is a file: it has answered everything beforehand, and has no hidden states."""

    answers: Tensor
    """[N, C]."""


class TeacherBank:
    """All teachers of a run; `queries` counts the rows each of them really computed."""

    def __init__(
        self,
        teachers: Mapping[str, Teacher | Recorded],
        compute: Compute,
        hidden_bytes: int = HIDDEN_BYTES,
    ) -> None:
        self._teachers = teachers
        self._compute = compute
        self._models = {name: one for name, one in teachers.items() if isinstance(one, Teacher)}
        # Teachers outlive a bank; what they keep from earlier runs counts.
        held = (state.nbytes for teacher in self._models.values() for state in teacher.hidden.values())
        self._hidden_bytes_left = hidden_bytes - sum(held)
        self.queries = dict.fromkeys(teachers, 0)
        for teacher in self._models.values():
            teacher.model.to(compute.device)
        for answering in teachers.values():
            answering.answers = answering.answers.to(compute.device)

    def logits(self, name: str, rows: Tensor) -> Tensor:
        """The teacher's logits for rows of the training split, [n] -> [n, C] float32.

        Raises:
            NumericError: for an answer that is not finite, naming the example.
        """
        teacher = self._teachers[name]
        rows = rows.to(self._compute.device)
        if name in self._models:
            unknown = rows[teacher.answers[rows, 0].isnan()]
            if unknown.numel():
                self._compute_rows(name, unknown.tolist())
        return teacher.answers[rows]

    def hidden_states(self, name: str, rows: Tensor) -> list[Tensor]:
        """The teacher's aligned layers for rows of the training split; it must be a model.

        Returns:
            One tensor a layer, [n, L', H], L' the longest of these rows, padded with zeros; L' is 1 where the
            teacher's `positions` is `first`.
        """
        teacher = self._models[name]
        wanted = rows.tolist()
        fresh = self._compute_rows(name, [row for row in wanted if row not in teacher.hidden])
        states = [teacher.hidden[row] if row in teacher.hidden else fresh[row] for row in wanted]
        padded = pad_sequence([state.transpose(0, 1) for state in states], batch_first=True)
        return list(padded.to(self._compute.device).unbind(dim=2))

    @torch.no_grad()
    def _compute_rows(self, name: str, rows: list[int]) -> dict[int, Tensor]:
        """Run the teacher once on these rows; keep its logits and, while there is room, its hidden states."""
        if not rows:
            return {}
        teacher = self._models[name]
        batch = teacher.collator([teacher.encoded[row] for row in rows])
        with self._compute.autocast():
            output = teacher.model(
                **model_inputs(teacher.model, batch, self._compute.device),
                output_hidden_states=bool(teacher.layers),
            )
        self.queries[name] += len(rows)
        answers = output.logits.float()
        bad = (~answers.isfinite()).any(dim=-1).nonzero().flatten()
        if bad.numel():
            example = teacher.encoded.split.example_ids[rows[int(bad[0])]]
            raise NumericError(
                f"teachers.{name}", f"its logits on example {example} are not finite", "train it again"
            )
        teacher.answers[rows] = answers
        if not teacher.layers:
            return {}
        reach = 1 if teacher.positions == "first" else None
        aligned = [output.hidden_states[layer][:, :reach] for layer in teacher.layers]
        stacked = torch.stack(aligned, dim=1).float().cpu()
        fresh = {row: stacked[i, :, : teacher.encoded.lengths[row]].clone() for i, row in enumerate(rows)}
        for row, state in fresh.items():
            if row not in teacher.hidden and state.nbytes <= self._hidden_bytes_left:
                teacher.hidden[row] = state
                self._hidden_bytes_left -= state.nbytes
        return fresh


def probability_logits(probabilities: Tensor) -> Tensor:
    """Logits whose softmax gives these class probabilities (no smaller than the floor): log p, less its mean.

    Logits are known up to a constant. KD-MSE depends on it, so it is settled: the mean over classes is 0.

    Args:
        probabilities: [N, C], each row summing to 1.

    Returns:
        [N, C] float32.

    >>> probability_logits(torch.tensor([[0.8, 0.2]]))
    tensor([[ 0.6931, -0.6931]])
    """
    floored = probabilities.double().clamp(min=PROBABILITY_FLOOR)
    logs = (floored / floored.sum(dim=-1, keepdim=True)).log()
    return (logs - logs.mean(dim=-1, keepdim=True)).float()


NO_TEACHERS = TeacherBank({}, Compute(torch.device("cpu"), torch.float32, "never asked"))
"""For fine-tuning on the labels alone."""
