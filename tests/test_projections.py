"""Training with a projection to a wider teacher: it learns, survives a kill, and is in no saved student."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from small import CPU, encoded, random_classifier, schedule, split, task_data, weights
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from dkd_cli.engine import resumable
from dkd_cli.engine.alignment import PLACE, Projection, make_projections
from dkd_cli.engine.distillation import StepLoss, StudentOutput, distillation_step
from dkd_cli.engine.fit import fit
from dkd_cli.engine.job import Fitted, Job
from dkd_cli.engine.losses import supervised
from dkd_cli.engine.models import Model, load_classifier
from dkd_cli.engine.snapshots import newest
from dkd_cli.engine.strategies import Plan
from dkd_cli.engine.students import build_classifier
from dkd_cli.engine.teachers import Teacher, TeacherBank
from dkd_cli.recipe.schema import Objective, TeacherAdoption

PLAN = Plan(
    adoption=TeacherAdoption(mode="static", weights={"wide": 1.0}),
    objective=Objective(mode="fixed", hidden_weight=100.0),
    teachers=("wide",),
)
LAYERS = {"wide": [0, 1, 2]}
PROJECTED = f"{PLACE}.0.weight"


def on_labels(student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
    assert labels is not None
    loss = supervised(student.logits, labels).mean()
    return StepLoss(loss, {"ce": loss.detach()})


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Teacher:
    """48 hidden dimensions; its answers are all kept, so that they are the same bits in every run."""
    folder = random_classifier(tmp_path_factory.mktemp("wide"), tiny_encoder, 48)
    model = load_classifier(str(folder), task_data()).model
    made = Teacher(model, *encoded(folder, split("train", 0, 40)), (0, 2, 4))
    TeacherBank({"wide": made}, CPU).hidden_states("wide", torch.arange(40))
    return made


@pytest.fixture
def job(tiny_encoder: Path, tmp_path: Path, teacher: Teacher) -> Callable[..., Job]:
    """A run on 40 texts: `job("working", projected=True, step=None, **fields of Job and of its schedule)`."""
    tokens, collator = encoded(tiny_encoder, split("train", 0, 40))
    validation, _ = encoded(tiny_encoder, split("validation", 48, 72))

    def make(working: str = "working", *, projected: bool = True, step: Any = None, **changes: Any) -> Job:
        model = build_classifier(str(tiny_encoder), task_data(), layers=2, seed=1, key="student").model
        bank = TeacherBank({"wide": teacher}, CPU)
        projections = make_projections(model, {"wide": teacher}, 1, CPU) if projected else {}

        def distil(student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
            return distillation_step(PLAN, student, labels, rows, bank, LAYERS, projections)

        (tmp_path / working).mkdir(exist_ok=True)
        fields: dict[str, Any] = {
            "metrics": lambda logits, labels: {"accuracy": 0.5},
            "advance": lambda count, **said: None,
        }
        fields |= {name: changes.pop(name) for name in tuple(fields) if name in changes}
        return Job(
            model=model,
            train=tokens,
            validation=validation,
            collator=collator,
            step=step or distil,
            needs_hidden_states=True,
            projections=projections,
            settings=schedule(log_every=1, **changes),
            compute=CPU,
            metric="accuracy",
            working=tmp_path / working,
            **fields,
        )

    return make


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def losses(fitted: Fitted, term: str = "loss") -> list[float]:
    return [line[term] for line in fitted.history if term in line]


def drawn(model: Model, teacher: Teacher) -> Projection:
    return make_projections(model, {"wide": teacher}, 1, CPU)["wide"]


def test_the_projection_learns_with_the_student(job: Callable[..., Job], teacher: Teacher) -> None:
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
    assert same(weights(again), weights(one.model))


def test_the_head_dropout_and_order_are_those_of_a_run_without(job: Callable[..., Job]) -> None:
    seen: dict[bool, list[list[int]]] = {True: [], False: []}

    def noting(projected: bool) -> Callable[..., StepLoss]:
        def step(student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
            seen[projected].append(rows.tolist())
            return on_labels(student, labels, rows)

        return step

    jobs = {
        projected: job(str(projected), projected=projected, step=noting(projected), dropout=0.3, epochs=2.0)
        for projected in (True, False)
    }
    with_one, without = fit(jobs[True]), fit(jobs[False])
    assert jobs[True].projections
    assert not jobs[False].projections
    assert seen[True] == seen[False]
    assert losses(with_one) == losses(without)
    assert same(weights(jobs[True].model), weights(jobs[False].model))


@pytest.mark.parametrize("kill", [3, 6, 8])
def test_a_killed_run_continues_its_projection(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, kill: int
) -> None:
    whole = job("whole", epochs=2.0)
    expected = fit(whole)
    calls: list[int] = []

    def dies(count: int, **said: float) -> None:
        calls.extend([count] * (count > 0))
        if len(calls) == kill:
            raise KeyboardInterrupt

    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_SAVES", 0.0)
    with pytest.raises(KeyboardInterrupt):
        fit(job("killed", epochs=2.0, advance=dies))
    assert newest(whole.working.parent / "killed", pytest.fail) is not None
    again = job("killed", epochs=2.0)
    found = fit(again)
    assert losses(found) == losses(expected)
    assert losses(found, "pt") == losses(expected, "pt")
    assert same(weights(again.model), weights(whole.model))
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
    assert same(weights(one.model), kept[1])


def test_frozen_embeddings_do_not_freeze_it(job: Callable[..., Job], teacher: Teacher) -> None:
    one = job(freeze="embeddings")
    fit(one)
    assert not torch.equal(one.projections["wide"].weight, drawn(one.model, teacher).weight)
