"""A pool: scored without gradient, one full batch of it trained on, and what that costs."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TinyRecipe
from hypothesis import given
from hypothesis import strategies as st
from small import CPU, LABELS, encoded, save_classifier, seen, split, task_data, weights
from torch import Tensor
from training import STATIC, Jobs, Killed, Random, different, kill_at, losses

from dkd_cli.cli import run
from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.machine.processes import WHOLE
from dkd_cli.engine.method.distillation import StepLoss, StudentOutput, distillation_step
from dkd_cli.engine.method.selection import EVERYTHING, kept, select
from dkd_cli.engine.method.strategies import Plan
from dkd_cli.engine.models.inference import model_inputs, predict_logits
from dkd_cli.engine.models.models import Model
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.engine.runs.snapshots import newest
from dkd_cli.engine.training import fit as fitting
from dkd_cli.engine.training import resumable, trainer
from dkd_cli.engine.training.counts import Work, examples_seen
from dkd_cli.engine.training.fit import fit
from dkd_cli.engine.training.job import Job
from dkd_cli.engine.training.pool import Pool, pick, pool_size, pooled, rows_of, score
from dkd_cli.recipe.strategy_section import DataSelection, Objective

HALF = DataSelection(score="entropy", ratio=0.5, backward="selected")
DRAWN = replace(HALF, keep="weighted")


class Noise(Random):
    """Notes who was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def logits(self, name: str, rows: Tensor) -> Tensor:
        self.asked += rows.tolist()
        return super().logits(name, rows)


def plan_of(selection: DataSelection) -> Plan:
    return Plan(
        selection=selection,
        adoption=STATIC,
        objective=Objective(mode="fixed", hidden_weight=0.0),
        teachers=("large",),
    )


class Recorder:
    """The step of a pooled plan, which notes what it was given."""

    def __init__(self, selection: DataSelection, batch_size: int = 8) -> None:
        self.teacher = Noise()
        self.plan, self.pool = pooled(plan_of(selection), batch_size, self.teacher.logits)
        self.batches: list[list[int]] = []
        self.given: list[StudentOutput] = []

    def __call__(self, student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
        self.batches.append(rows.tolist())
        self.given.append(student)
        return distillation_step(self.plan, student, labels, rows, self.teacher, {})


@pytest.fixture
def student(tiny_encoder: Path) -> Callable[[], Model]:
    """Makes the same untrained student each time."""
    return lambda: build_classifier(str(tiny_encoder), task_data(), layers=2, seed=1, key="student").model


@pytest.fixture
def job(tiny_encoder: Path, tmp_path: Path) -> Callable[..., Job]:
    """`job(recorder, working="a", size=40, **settings)`: a run on the first `size` texts."""
    jobs = Jobs(tiny_encoder, tmp_path)

    def make(recorder: Recorder, size: int = 40, **settings: Any) -> Job:
        train, _ = encoded(tiny_encoder, split("train", 0, size))
        return replace(jobs(step=recorder, pool=recorder.pool, **settings), train=train)

    return make


# How large a pool is -------------------------------------------------------------------------------------


@given(batch_size=st.integers(1, 512), percent=st.integers(1, 100))
def test_a_pool_is_the_smallest_that_fills_a_batch(batch_size: int, percent: int) -> None:
    ratio = percent / 100
    size = pool_size(ratio, batch_size)
    assert size == -(-batch_size * 100 // percent)
    assert kept(ratio, size) == batch_size
    assert batch_size == 1 or kept(ratio, size - 1) < batch_size


@given(batch_size=st.integers(1, 512), ratio=st.floats(1e-3, 1))
def test_a_full_pool_fills_a_batch_at_any_ratio(batch_size: int, ratio: float) -> None:
    assert kept(ratio, pool_size(ratio, batch_size)) == batch_size


def test_a_plan_is_split_in_two() -> None:
    plan = plan_of(DRAWN)
    assert pooled(plan, 8, Noise().logits) == (replace(plan, selection=EVERYTHING), Pool(DRAWN, 16))
    for selection in (EVERYTHING, replace(HALF, backward="all")):
        assert pooled(plan_of(selection), 8, Noise().logits) == (plan_of(selection), None)


# Scoring and choosing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["right", "left"])
def test_rows_of_a_batch_are_as_if_collated_alone(tiny_encoder: Path, side: str) -> None:
    tokens, collator = encoded(tiny_encoder, split("train", 0, 12))
    collator.side = side
    rows = sorted(range(12), key=lambda row: tokens.lengths[row])[:4]
    alone = collator([tokens[row] for row in rows])
    found = rows_of(collator([tokens[row] for row in range(12)]), torch.tensor(rows), side)
    assert found.keys() == alone.keys() >= {"input_ids", "attention_mask", "labels", "row"}
    assert alone["input_ids"].size(1) < max(tokens.lengths)
    for name, value in alone.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_scores_are_those_of_inference(tiny_encoder: Path, student: Callable[[], Model], chunk: int) -> None:
    """Without dropout, whatever the chunks, in the order of the pool; without gradient or random numbers."""
    tokens, collator = encoded(tiny_encoder, split("train", 0, 16))
    model = student().train()
    before = torch.get_rng_state()
    found = score(model, collator([tokens[row] for row in range(16)]), chunk, "right")
    assert model.training
    assert not found.requires_grad
    assert torch.equal(torch.get_rng_state(), before)
    expected = predict_logits(model.eval(), tokens, collator, batch_size=16, precision="fp32")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_chunks_hold_texts_of_like_length(tiny_encoder: Path, student: Callable[[], Model]) -> None:
    tokens, collator = encoded(tiny_encoder, split("train", 0, 16))
    model, shapes = student().train(), []
    model.register_forward_pre_hook(
        lambda module, args, inputs: shapes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    score(model, collator([tokens[row] for row in range(16)]), 6, "right")
    longest = sorted(tokens.lengths, reverse=True)
    assert shapes == [(6, longest[0]), (6, longest[6]), (4, longest[12])]
    assert longest[12] < longest[0]


def test_the_most_informative_are_picked(tiny_encoder: Path, student: Callable[[], Model]) -> None:
    tokens, collator = encoded(tiny_encoder, split("train", 0, 16))
    model = student().train()
    inputs = collator([tokens[row] for row in range(16)])
    chosen = pick(Pool(HALF, 16), model, inputs, 64, "right", WHOLE, 0.0)
    logits = predict_logits(model.eval(), tokens, collator, batch_size=16, precision="fp32")
    assert chosen.positions.tolist() == select(HALF, seen(logits)).tolist()
    assert chosen.weights.tolist() == [1.0] * 8


# Training ------------------------------------------------------------------------------------------------


def test_an_update_is_an_ordinary_one_on_the_chosen_rows(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step of plain SGD: Adam would blow up the rounding of small gradients."""
    arguments = trainer.training_arguments
    monkeypatch.setattr(fitting, "training_arguments", lambda job: replace(arguments(job), optim="sgd"))
    recorder, ordinary = Recorder(HALF), Recorder(EVERYTHING)
    one = job(recorder, size=16, dropout=0.0, max_grad_norm=0.0, learning_rate=0.5)
    start, model = weights(one.model), copy.deepcopy(one.model).train()
    assert fit(one).steps == 1
    (rows,) = recorder.batches
    assert recorder.teacher.asked == rows
    batch = one.collator([one.train[row] for row in rows])
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    output = model(**model_inputs(model, batch, CPU.device))
    loss = ordinary(StudentOutput(output.logits, batch["attention_mask"]), batch["labels"], batch["row"])
    loss.total.backward()
    assert max((weights(one.model)[name] - start[name]).abs().max() for name in start) > 1e-3
    for name, weight in model.named_parameters():
        assert weight.grad is not None
        found = weights(one.model)[name]
        torch.testing.assert_close(found, weight - 0.5 * weight.grad, rtol=0, atol=1e-6, msg=name)


def test_updates_are_fewer_and_not_emptier(job: Callable[..., Job]) -> None:
    """40 rows are pools of 16, 16 and 8: three updates an epoch, of 8, 8 and 4 rows."""
    recorder, advanced = Recorder(HALF), list[int]()
    one = job(
        recorder,
        epochs=2.0,
        log_every=1,
        warmup=0.5,
        advance=lambda count, **fields: advanced.append(count),
    )
    fitted = fit(one)
    assert fitted.steps == 6
    assert [student.pool for student in recorder.given] == [16, 16, 8] * 2
    assert [count for count in advanced if count] == [16, 16, 8] * 2
    assert fitted.work == Work(examples=80, backward=40)
    assert examples_seen(one.settings, 40, one.pool) == 80
    assert len(recorder.teacher.asked) == 40
    assert all(len(set(batch)) == len(batch) for batch in recorder.batches)
    assert [len(student.logits) for student in recorder.given] == [8, 8, 4] * 2, "CE is on these alone"
    assert losses(fitted, "share-selected") == losses(fitted, "share-large") == [0.5] * 6
    assert [student.progress for student in recorder.given] == [update / 6 for update in range(6)]
    rates = [rate / 1e-3 for rate in losses(fitted, "learning_rate")]
    assert rates == pytest.approx([0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]), "warm-up and decay follow the updates"


@pytest.mark.parametrize(
    "selection", [HALF, DRAWN, replace(HALF, score="random"), replace(HALF, score="label-loss-b")]
)
def test_a_seed_decides_what_is_chosen(job: Callable[..., Job], selection: DataSelection) -> None:
    def trained(working: str, seed: int) -> tuple[Mapping[str, Tensor], list[list[int]]]:
        torch.manual_seed(len(working))
        recorder = Recorder(selection)
        one = job(recorder, working=working, seed=seed)
        fit(one)
        return weights(one.model), recorder.batches

    first, again, other = trained("a", 1), trained("bb", 1), trained("ccc", 2)
    assert different(first[0], again[0]) == []
    assert first[1] == again[1] != other[1]


def test_every_weight_learns_under_autocast(job: Callable[..., Job]) -> None:
    """In bf16 too: what scoring casts without gradient must not be taken up again in training."""
    one = replace(job(Recorder(HALF), dropout=0.0), compute=Compute(CPU.device, torch.bfloat16, "the tests"))
    before = weights(one.model)
    fit(one)
    trained = {name for name, weight in one.model.named_parameters() if weight.requires_grad}
    # The softmax of attention does not see a constant added to all keys.
    still = {name for name in trained - set(different(before, weights(one.model))) if "key.bias" not in name}
    assert still == set()


# What it cost, and what a kill costs ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "kill", "settings", "before"),
    [
        (HALF, 3, {"epochs": 2.0}, 32),
        (DRAWN, 4, {"epochs": 2.0}, 40),
        (DRAWN, 5, {"epochs": 2.0}, 56),
        (DRAWN, 5, {"epochs": 2.0, "accumulation": 2}, 40),
        (HALF, 6, {"max_steps": 7}, 72),
        (replace(HALF, warmup=0.6), 4, {"epochs": 2.0}, 40),
    ],
)
def test_a_killed_run_ends_as_if_it_were_not(
    job: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
    selection: DataSelection,
    kill: int,
    settings: dict[str, Any],
    before: int,
) -> None:
    """Dropout and draws included: random numbers go on where they stopped."""
    whole = job(Recorder(selection), working="whole", log_every=1, **settings)
    expected = fit(whole)
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_SAVES", 0.0)
    cut = job(Recorder(selection), working="cut", log_every=1, advance=kill_at(kill), **settings)
    with pytest.raises(Killed):
        fit(cut)
    assert newest(cut.working, pytest.fail) is not None
    torch.manual_seed(99)
    told: list[int] = []
    again = job(
        Recorder(selection),
        working="cut",
        log_every=1,
        advance=lambda count, **fields: told.append(count),
        **settings,
    )
    found = fit(again)
    assert told[0] == before
    assert sum(told) == examples_seen(again.settings, 40, again.pool) == found.work.examples
    assert different(weights(again.model), weights(whole.model)) == []
    assert losses(found) == losses(expected)
    assert (found.work, found.validation) == (expected.work, expected.validation)


@pytest.mark.parametrize(("ratio", "warned"), [(0.25, False), (0.1, True)])
def test_the_log_of_a_run_says_what_it_cost(
    tiny_recipe: TinyRecipe,
    tiny_encoder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ratio: float,
    warned: bool,
) -> None:
    """77 rows; the teacher is asked for the chosen ones alone, without labels too."""
    teacher = save_classifier(tmp_path / "teacher", tiny_encoder, LABELS)
    selection = {"backward": "selected", "ratio": ratio}
    recipe = tiny_recipe(
        {
            "data": {"unlabelled": True, "labels": list(LABELS)},
            "teachers": {"large": {"layers": None, "checkpoint": str(teacher)}},
            "strategy": {"name": "dynamic-data", "data": selection},
        }
    )
    with pytest.raises(SystemExit) as ended:
        run(["distill", str(recipe)])
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert ("each update learns from 7; lower train.batch_size" in said.err) == warned
    folder = tmp_path / "checkpoints" / "tiny" / "student-dynamic-data-seed1"
    log = json.loads((folder / "training.json").read_text())
    assert log["examples"] == 77
    assert log["steps"] == (1 if warned else 3)
    assert log["teacher_queries"]["large"] == log["backward_rows"] == (7 if warned else 8 + 8 + 3)
