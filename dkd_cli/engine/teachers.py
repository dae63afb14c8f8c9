"""The teachers: frozen, asked by rows, each row computed once.

Not a module and never an attribute of the student: teachers stay in eval mode and out of every checkpoint.
A teacher's answers on a fixed training split are constants, so they are kept: logits always, hidden states up
to a stated memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator
from dkd_cli.engine.inference import model_inputs
from dkd_cli.engine.models import Model
from dkd_cli.engine.precision import Compute
from dkd_cli.errors import ModelError, NumericError

HIDDEN_BYTES = 2**30
"""The hidden states that one bank keeps; rows beyond it are computed again when asked for."""


@dataclass
class Teacher:
    """One frozen classifier and the training split in its own tokens."""

    model: Model
    encoded: EncodedSplit
    collator: PaddingCollator
    layers: Sequence[int] = ()
    """The layers that `hidden_states` gives, 0 the embeddings."""
    answers: Tensor = field(init=False)
    """[N, C]; rows not asked for yet are not numbers."""
    hidden: dict[int, Tensor] = field(init=False, default_factory=dict)
    """Row -> [layers, length, H]."""

    def __post_init__(self) -> None:
        self.model.requires_grad_(False).eval()
        self.answers = torch.full((len(self.encoded), self.model.config.num_labels), float("nan"))


class TeacherBank:
    """All teachers of a run; `queries` counts the rows each of them really computed."""

    def __init__(
        self, teachers: dict[str, Teacher], compute: Compute, hidden_bytes: int = HIDDEN_BYTES
    ) -> None:
        self._teachers = teachers
        self._compute = compute
        # Teachers outlive a bank; what they keep from earlier runs counts.
        held = (state.nbytes for teacher in teachers.values() for state in teacher.hidden.values())
        self._hidden_bytes_left = hidden_bytes - sum(held)
        self.queries = dict.fromkeys(teachers, 0)
        for teacher in teachers.values():
            teacher.model.to(compute.device)
            teacher.answers = teacher.answers.to(compute.device)

    def logits(self, name: str, rows: Tensor) -> Tensor:
        """The teacher's logits for rows of the training split, [n] -> [n, C] float32.

        Raises:
            NumericError: for an answer that is not finite, naming the example.
        """
        teacher = self._teachers[name]
        rows = rows.to(self._compute.device)
        unknown = rows[teacher.answers[rows, 0].isnan()]
        if unknown.numel():
            self._compute_rows(name, unknown.tolist())
        return teacher.answers[rows]

    def hidden_states(self, name: str, rows: Tensor) -> list[Tensor]:
        """The teacher's aligned layers for rows of the training split.

        Returns:
            One tensor a layer, [n, L', H], L' the longest of these rows, padded with zeros.
        """
        teacher = self._teachers[name]
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
        teacher = self._teachers[name]
        batch = teacher.collator([teacher.encoded[row] for row in rows])
        with self._compute.autocast():
            output = teacher.model(
                **model_inputs(batch, self._compute.device), output_hidden_states=bool(teacher.layers)
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
        stacked = torch.stack([output.hidden_states[layer] for layer in teacher.layers], dim=1).float().cpu()
        fresh = {row: stacked[i, :, : teacher.encoded.lengths[row]].clone() for i, row in enumerate(rows)}
        for row, state in fresh.items():
            if row not in teacher.hidden and state.nbytes <= self._hidden_bytes_left:
                teacher.hidden[row] = state
                self._hidden_bytes_left -= state.nbytes
        return fresh


def check_alignable(student: Model, tokens: EncodedSplit, teacher: Teacher, name: str) -> None:
    """Refuse hidden-state alignment between networks that do not see the same positions or width.

    Raises:
        ModelError: names what differs.
    """
    key = f"teachers.{name}"
    if tokens.columns["input_ids"] != teacher.encoded.columns["input_ids"]:
        raise ModelError(
            key,
            "its tokens differ from the student's, so that hidden states have no common positions",
            "set strategy.objective.hidden_weight to 0, or choose a student with the teacher's tokenizer",
        )
    if teacher.collator.side != "right":
        raise ModelError(
            key,
            f"its tokenizer pads on the {teacher.collator.side}, where hidden states are not aligned",
            "set strategy.objective.hidden_weight to 0, or choose a tokenizer that pads on the right",
        )
    widths = student.config.hidden_size, teacher.model.config.hidden_size
    if widths[0] != widths[1]:
        raise ModelError(
            key,
            f"its hidden states have {widths[1]} dimensions, the student's {widths[0]}",
            "set strategy.objective.hidden_weight to 0, or choose a student of the teacher's width",
        )


NO_TEACHERS = TeacherBank({}, Compute(torch.device("cpu"), torch.float32, "never asked"))
"""For fine-tuning on the labels alone."""
