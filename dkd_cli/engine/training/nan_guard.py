"""Stops a run whose loss or gradient is no number, before the update that it would spoil.

On a CPU each number is looked at as it comes. A GPU would have to be waited for at every step, so there the
look is put off to the next line of the log, evaluation or checkpoint, and the update itself is guarded on the
device: from the first bad number on, the optimizer leaves weights and moments as they are (by `found_inf`, as
when loss scaling skips an update). In fp16 the loss scaler does that, and waits at every step anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.method.distillation import StepLoss
from dkd_cli.errors import NumericError

SHOWN = 3


@dataclass(frozen=True)
class _Batch:
    step: int
    rows: Tensor
    logits: Tensor
    terms: Mapping[str, Tensor]


class NanGuard:
    """Keeps an eye on one run's numbers.

    Args:
        compute: decides whether one looks at once.
        example_ids: of the training split, by row.
    """

    def __init__(self, compute: Compute, example_ids: Sequence[str]) -> None:
        self.at_once = compute.device.type == "cpu" or compute.dtype == torch.float16
        """True if each number is to be checked as it comes."""
        # Scaled gradients overflow now and then by design: the scaler skips the update and halves the scale.
        self._gradients_count = compute.dtype != torch.float16
        self._example_ids = example_ids
        self._batch: _Batch | None = None
        self._unseen: list[tuple[str, Tensor, _Batch]] = []
        self._bad: Tensor | None = None

    def loss(self, step: int, result: StepLoss, logits: Tensor, rows: Tensor) -> None:
        """Note the loss of a batch: its terms, the student's logits [B, C] and rows [B]."""
        self._batch = _Batch(step, rows, logits.detach(), result.terms)
        self._note("loss", result.total.detach(), self._batch)

    def gradient(self, norm: Tensor) -> None:
        """Note the norm of the gradient that the next update takes."""
        assert self._batch is not None, "a gradient comes from a batch"
        if self._gradients_count:
            self._note("gradient", norm.detach(), self._batch)

    def _note(self, what: str, value: Tensor, batch: _Batch) -> None:
        self._unseen.append((what, value, batch))
        bad = ~value.isfinite()
        self._bad = bad if self._bad is None else self._bad | bad

    def guard(self, optimizer: torch.optim.Optimizer, everywhere: Callable[[Tensor], Tensor]) -> None:
        """Let the next `step` of a fused optimizer do nothing where a number was bad, without a look at it.

        Args:
            optimizer: fused AdamW.
            everywhere: sums a number over all processes, so that none updates alone.
        """
        assert self._bad is not None
        optimizer.found_inf = everywhere(self._bad.float())  # type: ignore[attr-defined]

    def check(self) -> None:
        """Look at all that was noted since the last time.

        Raises:
            NumericError: names the first bad number's step, term and examples.
        """
        unseen, self._unseen = self._unseen, []
        if not unseen:
            return
        finite = torch.stack([value.float() for _, value, _ in unseen]).isfinite().tolist()
        for good, (what, _, batch) in zip(finite, unseen, strict=True):
            if not good:
                raise self._error(what, batch)

    def _error(self, what: str, batch: _Batch) -> NumericError:
        bad = ~batch.logits.isfinite().flatten(1).all(dim=-1)
        rows = batch.rows[bad] if bool(bad.any()) else batch.rows
        ids = [self._example_ids[row] for row in rows.tolist()]
        parts = [name for name, value in batch.terms.items() if not bool(value.isfinite().all())]
        where = f"{', '.join(parts)}; " if parts else ""
        named = f"example{'s' if len(ids) > 1 else ''} {', '.join(ids[:SHOWN])}"
        more = ", ..." if len(ids) > SHOWN else ""
        return NumericError(
            f"step {batch.step}",
            f"the {what} is not finite ({where}{named}{more})",
            "lower train.learning_rate, or train in fp32",
        )
