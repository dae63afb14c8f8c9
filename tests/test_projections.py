"""Training with a projection to a wider teacher: it learns, survives a kill, and is in no saved student."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from small import CPU, encoded, random_classifier, split, task_data, weights
from torch import Tensor
from training import Jobs, Killed, Recorder, different, kill_at, losses
from transformers import AutoModelForSequenceClassification

from dkd_cli.engine.method.distillation import StepLoss, StudentOutput, distillation_step
from dkd_cli.engine.method.strategies import Plan
from dkd_cli.engine.models.models import Model, load_classifier
from dkd_cli.engine.runs.snapshots import newest
from dkd_cli.engine.teachers.alignment import PLACE, Projection, make_projections
from dkd_cli.engine.teachers.bank import FrozenTeacher, TeacherBank
from dkd_cli.engine.training import resumable
from dkd_cli.engine.training.fit import fit
from dkd_cli.engine.training.job import Job
from dkd_cli.recipe.strategy_section import Objective, TeacherAdoption

PLAN = Plan(
    adoption=TeacherAdoption(mode="static", weights={"wide": 1.0}),
    objective=Objective(mode="fixed", hidden_weight=100.0),
    teachers=("wide",),
)
LAYERS = {"wide": [0, 1, 2]}
PROJECTED = f"{PLACE}.0.weight"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> FrozenTeacher:
    """48 hidden dimensions; its answers are all kept, so that they are the same bits in every run."""
    folder = random_classifier(tmp_path_factory.mktemp("wide"), tiny_encoder, 48)
    model = load_classifier(str(folder), task_data()).model
    made = FrozenTeacher(model, *encoded(folder, split("train", 0, 40)), (0, 2, 4))
    TeacherBank({"wide": made}, CPU).hidden_states("wide", torch.arange(40))
    return made


@pytest.fixture
def job(tiny_encoder: Path, tmp_path: Path, teacher: FrozenTeacher) -> Callable[..., Job]:
    """A run on 40 texts: `job("working", projected=True, step=None, **fields of Job and of its schedule)`."""
    jobs = Jobs(tiny_encoder, tmp_path)

    def make(working: str = "working", *, projected: bool = True, step: Any = None, **changes: Any) -> Job:
        one = jobs(working=working, needs_hidden_states=True, log_every=1, **changes)
        bank = TeacherBank({"wide": teacher}, CPU)
        projections = make_projections(one.model, {"wide": teacher}, 1, CPU) if projected else {}

        def distil(student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
            return distillation_step(PLAN, student, labels, rows, bank, LAYERS, projections)

        return replace(one, step=step or distil, projections=projections)

    return make


def drawn(model: Model, teacher: FrozenTeacher) -> Projection:
    return make_projections(model, {"wide": teacher}, 1, CPU)["wide"]


def test_the_projection_learns_with_the_student(job: Callable[..., Job], teacher: FrozenTeacher) -> None:
    one = job(epochs=6.0)
    terms = losses(fit(one), "pt")
    assert np.mean(terms[-5:]) < 0.9 * np.mean(terms[:5])
    moved = (one.projections["wide"].weight - drawn(one.model, teacher).weight).abs().max()
    assert moved > 1e-3


def test_it_is_in_the_checkpoints_and_in_no_saved_student(job: Callable[..., Job], tmp_path: Path) -> None:
    one = job()
    names = set(one.model.state_dict())
    fit(one)
    checkpoint = newest(one.working, pytest.fail)
    assert checkpoint is not None
    with safe_open(checkpoint.folder / "model.safetensors", "pt") as saved:
        assert set(saved.keys()) - names == {PROJECTED}
        assert torch.equal(saved.get_tensor(PROJECTED), one.projections["wide"].weight)
    one.model.save_pretrained(tmp_path / "student")
    with safe_open(tmp_path / "student" / "model.safetensors", "pt") as saved:
        assert set(saved.keys()) == names
    assert PLACE not in (tmp_path / "student" / "config.json").read_text()
    again, info = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "student", output_loading_info=True
    )
    assert not any(info.values())
    assert different(weights(again), weights(one.model)) == []


def test_the_head_dropout_and_order_are_those_of_a_run_without(job: Callable[..., Job]) -> None:
    seen = {True: Recorder(), False: Recorder()}
    jobs = {
        projected: job(str(projected), projected=projected, step=step, dropout=0.3, epochs=2.0)
        for projected, step in seen.items()
    }
    with_one, without = fit(jobs[True]), fit(jobs[False])
    assert jobs[True].projections
    assert not jobs[False].projections
    assert seen[True].batches == seen[False].batches
    assert losses(with_one) == losses(without)
    assert different(weights(jobs[True].model), weights(jobs[False].model)) == []


@pytest.mark.parametrize("kill", [3, 6, 8])
def test_a_killed_run_continues_its_projection(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, kill: int
) -> None:
    whole = job("whole", epochs=2.0)
    expected = fit(whole)
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_SAVES", 0.0)
    with pytest.raises(Killed):
        fit(job("killed", epochs=2.0, advance=kill_at(kill)))
    assert newest(whole.working.parent / "killed", pytest.fail) is not None
    again = job("killed", epochs=2.0)
    found = fit(again)
    assert losses(found) == losses(expected)
    assert losses(found, "pt") == losses(expected, "pt")
    assert different(weights(again.model), weights(whole.model)) == []
    assert torch.equal(again.projections["wide"].weight, whole.projections["wide"].weight)


def test_the_best_checkpoint_brings_its_own_projection_back(job: Callable[..., Job]) -> None:
    kept: list[dict[str, Tensor]] = []

    def metrics(logits: Any, labels: Any) -> dict[str, float]:
        kept.append(weights(one.model))
        return {"accuracy": (0.2, 0.9, 0.5)[len(kept) - 1]}

    one = job(epochs=3.0, metrics=metrics)
    assert fit(one).best_step == 10
    assert not torch.equal(kept[1][PROJECTED], kept[2][PROJECTED])
    assert torch.equal(one.projections["wide"].weight, kept[1].pop(PROJECTED))
    assert different(weights(one.model), kept[1]) == []


def test_frozen_embeddings_do_not_freeze_it(job: Callable[..., Job], teacher: FrozenTeacher) -> None:
    one = job(freeze="embeddings")
    fit(one)
    assert not torch.equal(one.projections["wide"].weight, drawn(one.model, teacher).weight)
