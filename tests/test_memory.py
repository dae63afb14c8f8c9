"""Too little memory: the same batches, selection, loss and gradient, made in parts; or an error in a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small import CPU, LABELS, encoded, save_classifier, split, weights
from torch import Tensor
from training import Jobs, Random, Weights, losses, on_labels

from dkd_cli.engine.machine.memory import backward_in_parts, in_halves, out_of_memory
from dkd_cli.engine.machine.processes import Processes
from dkd_cli.engine.method.distillation import StepLoss, StudentOutput, distillation_step
from dkd_cli.engine.method.strategies import Plan
from dkd_cli.engine.models.models import load_pretrained
from dkd_cli.engine.teachers.bank import FrozenTeacher, TeacherBank
from dkd_cli.engine.training import fit as fitting
from dkd_cli.engine.training import trainer
from dkd_cli.engine.training.fit import fit, refuse_parts_among_several
from dkd_cli.engine.training.job import Fitted, Job
from dkd_cli.engine.training.pool import Pool
from dkd_cli.errors import RecipeError, SystemProblem
from dkd_cli.recipe.strategy_section import DataSelection, Objective, TeacherAdoption

EXACT = {"dropout": 0.0, "log_every": 1, "learning_rate": 0.01}
DEVICE = torch.device("cpu")
TOO_MUCH = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.fixture
def job(tiny_encoder: Path, tmp_path: Path) -> Jobs:
    return Jobs(tiny_encoder, tmp_path)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """SGD: Adam makes as large a step of a gradient that is 0 but for rounding as of any other."""
    adam = trainer.training_arguments
    monkeypatch.setattr(fitting, "training_arguments", lambda job: replace(adam(job), optim="sgd"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TOO_MUCH, True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory."), False),
    ],
)
def test_what_says_that_memory_is_too_little(error: Exception, expected: bool) -> None:
    assert out_of_memory(error) == expected


@pytest.mark.parametrize("fits", [1, 2, 3, 10])
def test_rows_are_done_in_halves(fits: int) -> None:
    done: list[list[int]] = []

    def work(rows: list[int]) -> None:
        if len(rows) > fits:
            raise TOO_MUCH
        done.append(rows)

    in_halves(work, list(range(10)), "a test")
    assert [row for rows in done for row in rows] == list(range(10))
    assert max(map(len, done)) <= fits


def test_one_row_that_does_not_fit_is_a_line() -> None:
    def work(rows: list[int]) -> None:
        raise TOO_MUCH

    with pytest.raises(SystemProblem, match=r"teachers\.large: one example alone .*; lower data.max_length"):
        in_halves(work, [1, 2, 3], "teachers.large")


def test_other_errors_are_none_of_its_business() -> None:
    def work(rows: list[int]) -> None:
        raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        in_halves(work, [1, 2], "a test")


@pytest.mark.parametrize("size", [1, 3, 4, 8])
def test_the_gradient_of_parts_is_that_of_the_whole(size: int) -> None:
    """With dropout and with a loss that no sum over rows could give."""
    torch.manual_seed(0)
    layer, drop, rows = torch.nn.Linear(5, 3).double(), torch.nn.Dropout(0.5), torch.randn(8, 5).double()
    masks: list[Tensor] = []

    def forward(part: Tensor) -> list[Tensor]:
        unused = layer(part) * 2
        kept = drop(torch.ones_like(part))
        masks.append(kept)
        return [layer(part * kept), unused]

    def loss(outputs: Any) -> Tensor:
        return torch.logsumexp(outputs[0], dim=0).prod()

    found = backward_in_parts(forward, rows.split(size), loss, Tensor.backward, DEVICE)
    drawn = masks[: len(rows.split(size))]
    again = [] if size == 8 else drawn
    assert len(masks) == len(drawn + again), "a batch in one part is computed once"
    assert all(map(torch.equal, masks, drawn + again)), "each part is computed twice with one mask"
    gradient, layer.weight.grad = layer.weight.grad, None
    expected = torch.logsumexp(layer(rows * torch.cat(drawn)), dim=0).prod()
    expected.backward()
    torch.testing.assert_close(found, expected.detach())
    torch.testing.assert_close(gradient, layer.weight.grad)


# In a run ------------------------------------------------------------------------------------------------


def little_memory(one: Job, fits: int, *, backward: bool = False) -> list[int]:
    """Let forward (or backward) passes fail on more rows than fit; tells the rows of each."""
    sizes: list[int] = []

    def before(model: Any, args: Any, inputs: dict[str, Tensor]) -> None:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > fits and not backward:
            raise TOO_MUCH

    def fails(gradient: Tensor) -> None:
        if len(gradient) > fits:
            raise TOO_MUCH

    def after(model: Any, args: Any, output: Any) -> None:
        # In the middle of the backward pass: what is above has its gradient already.
        if backward and output.requires_grad:
            output.register_hook(fails)

    one.model.register_forward_pre_hook(before, with_kwargs=True)
    one.model.bert.embeddings.register_forward_hook(after)
    return sizes


class Teachers(Random):
    """Two teachers whose answers and hidden states are noise; remembers who was asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[int]]] = []

    def logits(self, name: str, rows: Tensor) -> Tensor:
        # Sorted: of two about as unsure either may come first, by the rounding of a sum.
        self.asked.append((name, sorted(rows.tolist())))
        return super().logits(name, rows) * (2 if name == "large" else 1)

    def common(self, name: str, rows: Tensor) -> None:
        return None

    def hidden_states(self, name: str, rows: Tensor) -> list[Tensor]:
        made = torch.Generator().manual_seed(7)
        return [torch.randn(200, 16, 32, generator=made)[rows, :3] for _ in range(2)]


HARD = TeacherAdoption(mode="hard")
ONE = TeacherAdoption(mode="static", weights={"large": 1.0})
PLAIN = Objective(mode="fixed", hidden_weight=0.0)
PLANS = {
    "static": Plan(adoption=ONE, objective=PLAIN, teachers=("large",)),
    "hard": Plan(adoption=HARD, objective=PLAIN, teachers=("small", "large")),
    "soft": Plan(adoption=TeacherAdoption(mode="soft"), objective=PLAIN, teachers=("small", "large")),
    "objective": Plan(
        adoption=ONE, objective=Objective(mode="uncertainty", hidden_weight=1.0), teachers=("large",)
    ),
    "data": Plan(
        selection=DataSelection(score="margin", ratio=0.5), adoption=ONE, objective=PLAIN, teachers=("large",)
    ),
    "random": Plan(
        selection=DataSelection(score="random", ratio=0.5), adoption=ONE, objective=PLAIN, teachers=("large",)
    ),
    "all": Plan(
        selection=DataSelection(score="entropy", ratio=0.7, keep="weighted"),
        adoption=HARD,
        objective=Objective(mode="uncertainty", hidden_weight=1.0),
        teachers=("small", "large"),
    ),
}


def step_of(plan: Plan, teachers: Teachers) -> Callable[..., StepLoss]:
    def step(student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
        layers = {name: [0, 2] for name in plan.teachers}
        return distillation_step(plan, student, labels, rows, teachers, layers)

    return step


def run(
    job: Jobs, plan: Plan, working: str, fits: int | None, **settings: Any
) -> tuple[Fitted, Weights, Any]:
    teachers = Teachers()
    one = job(
        step=step_of(plan, teachers),
        working=working,
        needs_hidden_states=plan.hidden_weight > 0,
        **EXACT,
        **settings,
    )
    # A new head is unsure of everything alike: rounding would rank its answers.
    torch.nn.init.normal_(one.model.classifier.weight, generator=torch.Generator().manual_seed(3))
    if fits is not None:
        sizes = little_memory(one, fits)
    fitted = fit(one)
    assert fits is None or min(sizes) <= fits
    return fitted, weights(one.model), teachers.asked


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("name", PLANS)
def test_every_strategy_learns_the_same_in_parts(job: Jobs, name: str) -> None:
    """The same rows to the same teachers, the same loss, the same weights; but for the order of sums."""
    expected, whole, asked = run(job, PLANS[name], "whole", None)
    found, parts, asked_again = run(job, PLANS[name], "parts", 3)
    assert asked_again == asked
    # The weights of a draw come out of a search, which magnifies rounding.
    close = 1e-3 if PLANS[name].selection.keep == "weighted" else 1e-5
    assert losses(found) == pytest.approx(losses(expected), rel=close)
    for weight, value in whole.items():
        torch.testing.assert_close(parts[weight], value, rtol=0, atol=close, msg=weight)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("name", ["static", "data"])
@pytest.mark.parametrize("budget", [1, 20, 10_000])
def test_a_budget_of_tokens_changes_nothing_that_is_learnt(
    job: Jobs, monkeypatch: pytest.MonkeyPatch, name: str, budget: int
) -> None:
    """No pass in training is larger, unless of a text alone; one that fits is made once."""
    expected, whole, asked = run(job, PLANS[name], "whole", None)
    shapes: list[torch.Size] = []
    forward = trainer.DistillationTrainer._forward

    def told(self: Any, model: Any, inputs: dict[str, Tensor]) -> list[Tensor]:
        shapes.append(inputs["input_ids"].shape)
        return forward(self, model, inputs)

    monkeypatch.setattr(trainer.DistillationTrainer, "_forward", told)
    found, parts, asked_again = run(job, PLANS[name], "parts", None, max_tokens=budget)
    assert all(shape.numel() <= budget or shape[0] == 1 for shape in shapes)
    assert sum(shape[0] for shape in shapes) == (40 if budget == 10_000 else 80)
    assert asked_again == asked
    assert losses(found) == pytest.approx(losses(expected), rel=1e-5)
    for weight, value in whole.items():
        torch.testing.assert_close(parts[weight], value, rtol=0, atol=1e-5, msg=weight)


def test_among_several_processes_a_budget_is_refused(job: Jobs) -> None:
    one = replace(job(max_tokens=100), peers=Processes(0, 2))
    with pytest.raises(
        RecipeError, match=r"train\.max_tokens: is for one process, and this run has 2; leave it"
    ):
        refuse_parts_among_several(one)
    refuse_parts_among_several(job(max_tokens=100))


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(("fits", "settings"), [(3, {}), (None, {"max_tokens": 20})])
def test_a_pool_is_chosen_from_as_before(job: Jobs, fits: int | None, settings: dict[str, Any]) -> None:
    selection = DataSelection(score="margin", ratio=0.5)
    pool = Pool(selection, 16)
    expected, _, asked = run(job, PLANS["static"], "whole", None, pool=pool)
    found, _, asked_again = run(job, PLANS["static"], "parts", fits, pool=pool, **settings)
    assert asked_again == asked
    assert losses(found) == pytest.approx(losses(expected), rel=1e-5)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_backward_pass_that_breaks_off_leaves_nothing(job: Jobs, accumulation: int) -> None:
    same = EXACT | {"accumulation": accumulation}
    whole, one = job(working="whole", **same), job(**same)
    expected = fit(whole)
    said: list[str] = []
    object.__setattr__(one, "warn", said.append)
    little_memory(one, 5, backward=True)
    found = fit(one)
    assert len(said) == 1
    assert "4 rows of a batch are computed at once" in said[0]
    assert losses(found) == pytest.approx(losses(expected), rel=1e-5)
    for weight, value in weights(whole.model).items():
        torch.testing.assert_close(weights(one.model)[weight], value, rtol=0, atol=1e-5, msg=weight)


def test_a_step_of_one_row_that_does_not_fit_is_a_line(job: Jobs) -> None:
    one = job()
    little_memory(one, 0)
    with pytest.raises(SystemProblem, match="step 1: one example alone does not fit into memory") as caught:
        fit(one)
    assert caught.value.exit_code == 5


def test_each_example_is_counted_once(job: Jobs) -> None:
    counted: list[int] = []
    one = job(step=on_labels, advance=lambda count, **fields: counted.append(count))
    little_memory(one, 3, backward=True)
    fit(one)
    assert sum(counted) == 40


def test_a_teacher_answers_in_halves(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "teacher", tiny_encoder, LABELS)
    tokens, collator = encoded(tiny_encoder, split("train", 0, 40))

    def teacher() -> FrozenTeacher:
        return FrozenTeacher(load_pretrained(str(folder), "teacher")[0], tokens, collator)

    passes: list[int] = []

    def second_fails(module: Any, args: Any, inputs: dict[str, Tensor]) -> None:
        passes.append(len(inputs["input_ids"]))
        if len(passes) == 2:
            raise TOO_MUCH

    rows, one = torch.arange(40), teacher()
    one.model.register_forward_pre_hook(second_fails, with_kwargs=True)
    scarce, ample = TeacherBank({"large": one}, CPU), TeacherBank({"large": teacher()}, CPU)
    assert torch.equal(scarce.logits("large", rows), ample.logits("large", rows))
    assert len(passes) > 2, "one failed, and the halves followed"
    assert scarce.queries["large"] == 40
