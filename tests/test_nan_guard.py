"""Numbers that are none stop a run before the update: looked at as they come, or guarded till then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small import weights
from torch import Tensor
from training import STATIC, Jobs, Random, Weights, different, on_labels

from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.method.distillation import StepLoss, StudentOutput, distillation_step
from dkd_cli.engine.method.strategies import Plan
from dkd_cli.engine.runs.snapshots import newest
from dkd_cli.engine.training import trainer
from dkd_cli.engine.training.fit import fit
from dkd_cli.engine.training.job import Job
from dkd_cli.engine.training.nan_guard import NanGuard
from dkd_cli.errors import NumericError
from dkd_cli.recipe.strategy_section import Objective

NAN = float("nan")


@pytest.fixture
def job(tiny_encoder: Path, tmp_path: Path) -> Jobs:
    return Jobs(tiny_encoder, tmp_path)


GPU = Compute(torch.device("cuda"), torch.bfloat16, "pretended: the numbers are on the CPU")
IDS = [f"row-{i}" for i in range(10)]


def note(watch: NanGuard, step: int, total: float, logits: Tensor | None = None, **terms: float) -> None:
    watch.loss(
        step,
        StepLoss(torch.tensor(total), {name: torch.tensor(value) for name, value in terms.items()}),
        torch.zeros(4, 2) if logits is None else logits,
        torch.tensor([3, 1, 4, 5]),
    )


def alone(value: Tensor) -> Tensor:
    return value


@pytest.mark.parametrize(
    ("device", "dtype", "at_once"),
    [
        ("cpu", torch.float32, True),
        ("cpu", torch.bfloat16, True),
        ("cuda", torch.bfloat16, False),
        ("cuda", torch.float32, False),
        ("cuda", torch.float16, True),
    ],
)
def test_only_a_gpu_is_not_waited_for(device: str, dtype: torch.dtype, at_once: bool) -> None:
    assert NanGuard(Compute(torch.device(device), dtype, "a test"), IDS).at_once == at_once


@pytest.mark.parametrize("bad", [NAN, float("inf"), -float("inf")])
def test_the_first_bad_number_is_named(bad: float) -> None:
    watch = NanGuard(GPU, IDS)
    note(watch, 1, 0.5, ce=0.5)
    watch.gradient(torch.tensor(1.0))
    watch.check()
    note(watch, 2, bad, ce=0.5, kd=bad)
    note(watch, 3, bad, ce=bad)
    with pytest.raises(NumericError) as caught:
        watch.check()
    assert caught.value.place == "step 2"
    assert caught.value.problem == "the loss is not finite (kd; examples row-3, row-1, row-4, ...)"
    watch.check()


def test_the_examples_whose_logits_are_bad_are_named() -> None:
    watch = NanGuard(GPU, IDS)
    note(watch, 7, NAN, torch.tensor([[0.0, 0.0], [NAN, 0.0], [0.0, 0.0], [0.0, 0.0]]), ce=NAN)
    with pytest.raises(NumericError, match=r"\(ce; example row-1\)"):
        watch.check()


def test_a_bad_gradient_is_named_with_its_batch() -> None:
    watch = NanGuard(GPU, IDS)
    note(watch, 7, 0.5, ce=0.5)
    watch.gradient(torch.tensor(NAN))
    with pytest.raises(
        NumericError, match=r"the gradient is not finite \(examples row-3, row-1, row-4, ...\)"
    ):
        watch.check()


def test_scaled_gradients_may_overflow() -> None:
    watch = NanGuard(Compute(torch.device("cuda"), torch.float16, "a test"), IDS)
    note(watch, 7, 0.5, ce=0.5)
    watch.gradient(torch.tensor(float("inf")))
    watch.check()


def test_from_the_first_bad_number_on_nothing_is_updated() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    watch = NanGuard(GPU, IDS)
    seen = []
    for step, total in enumerate([0.5, 0.5, NAN, 0.5], start=1):
        note(watch, step, total, ce=total)
        weight.grad = torch.tensor([1.0, total])
        watch.gradient(weight.grad.norm())
        watch.guard(optimizer, alone)
        optimizer.step()
        seen.append([weight.detach().clone(), *(v.clone() for v in optimizer.state[weight].values())])
    assert not torch.equal(seen[0][0], seen[1][0])
    for after in seen[2:]:
        assert all(map(torch.equal, after, seen[1])), "weights, both moments and the count of steps"
    with pytest.raises(NumericError, match="the loss is not finite") as caught:
        watch.check()
    assert caught.value.place == "step 3"


def test_no_process_updates_alone() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    watch = NanGuard(GPU, IDS)
    note(watch, 1, 0.5, ce=0.5)
    weight.grad = torch.tensor([1.0])
    watch.guard(optimizer, lambda here: here + 1.0)
    optimizer.step()
    assert weight.item() == 1.0


# In a run ---------------------------------------------------------------------------------------------


class Patient(NanGuard):
    """Looks later, as on a GPU."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.at_once = False


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_loss_that_is_no_number_stops_before_the_update(job: Callable[..., Job], accumulation: int) -> None:
    found: dict[str, Any] = {"calls": 0}

    def breaks(student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
        found["calls"] += 1
        result = on_labels(student, labels, rows)
        if found["calls"] < 4:
            return result
        found.update({"weights": weights(one.model), "rows": rows.tolist()})
        return StepLoss(result.total * torch.nan, {"ce": result.terms["ce"], "kd": torch.tensor(torch.nan)})

    one = job(step=breaks, accumulation=accumulation)
    with pytest.raises(NumericError) as caught:
        fit(one)
    assert caught.value.place == f"step {4 if accumulation == 1 else 2}"
    assert "(kd; examples " in caught.value.problem
    assert all(f"row-{row}" in caught.value.problem for row in found["rows"][:3])
    assert different(weights(one.model), found["weights"]) == []


@pytest.mark.parametrize("max_grad_norm", [1.0, 0.0])
def test_a_gradient_that_is_no_number_stops_before_the_update(
    job: Callable[..., Job], max_grad_norm: float
) -> None:
    def breaks(student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
        result = on_labels(student, labels, rows)
        return StepLoss(result.total + (student.logits * 0).sum().sqrt(), result.terms)

    one = job(step=breaks, max_grad_norm=max_grad_norm)
    before = weights(one.model)
    with pytest.raises(NumericError, match="the gradient is not finite") as caught:
        fit(one)
    assert caught.value.place == "step 1"
    assert different(weights(one.model), before) == []


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_number_that_is_looked_at_later_updates_nothing_either(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """As on a GPU, which is not waited for at every step; the line of the log at the epoch's end looks."""
    found: list[Weights] = []

    def breaks(student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
        found.append(weights(one.model))
        result = on_labels(student, labels, rows)
        if len(found) != 3:
            return result
        bad = torch.nan if where == "loss" else (student.logits * 0).sum().sqrt()
        return StepLoss(result.total + bad, {"ce": result.terms["ce"]})

    monkeypatch.setattr(trainer, "NanGuard", Patient)
    one = job(step=breaks, log_every=1000)
    with pytest.raises(NumericError, match=f"the {where} is not finite") as caught:
        fit(one)
    assert caught.value.place == "step 3"
    assert len(found) == 5, "it went on to the end of the epoch"
    assert different(found[1], found[2])
    assert different(weights(one.model), found[2]) == []
    assert newest(one.working, pytest.fail) is None, "nothing of it was saved"


@pytest.mark.parametrize("size", [1, 41])
def test_teachers_that_answer_no_numbers_stop_it(job: Callable[..., Job], size: int) -> None:
    """Also where the last batch is of one example."""

    class Broken(Random):
        def logits(self, name: str, rows: Tensor) -> Tensor:
            return super().logits(name, rows) * torch.nan

    plan = Plan(adoption=STATIC, objective=Objective(mode="fixed", hidden_weight=0.0), teachers=("large",))
    one = job(step=lambda *seen: distillation_step(plan, *seen, Broken(), {}), batch_size=size)
    before = weights(one.model)
    with pytest.raises(NumericError, match=r"\(kd; example") as caught:
        fit(one)
    assert caught.value.place == "step 1"
    assert different(weights(one.model), before) == []
