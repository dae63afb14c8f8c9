"""The engine reproduces the published method: 33 losses an example, selections, plug-in values, gradients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small import seen
from torch import Tensor

from dkd_cli import dynamic_kd_loss
from dkd_cli.engine.method.distillation import StudentOutput, distillation_step
from dkd_cli.engine.method.selection import select
from dkd_cli.engine.method.strategies import resolve
from dkd_cli.recipe.schema import Data, Recipe, Teacher
from dkd_cli.recipe.strategy_section import DataSelection, Objective, Strategy, TeacherAdoption

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden" / "dynamic_kd.json"
EXAMPLES: list[dict[str, Any]] = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else []
STUDENT_LAYERS, TEACHER_LAYERS = (0, 1, 2), (0, 2, 4)

pytestmark = pytest.mark.skipif(not EXAMPLES, reason="the golden values are not beside this checkout")


class Recorded:
    """Teachers that answer from the golden file."""

    def __init__(self, example: dict[str, Any]) -> None:
        self.example = example

    def logits(self, name: str, rows: Tensor) -> Tensor:
        return torch.tensor(self.example[f"teacher_{name}_logits"])[rows]

    def common(self, name: str, rows: Tensor) -> None:
        return None

    def hidden_states(self, name: str, rows: Tensor) -> list[Tensor]:
        states = self.example[f"teacher_{name}_hidden_states"]
        return [torch.tensor(states[layer])[rows] for layer in TEACHER_LAYERS]


def recipe_for(case: dict[str, Any]) -> Recipe:
    mode = case["mode"]
    teacher = TeacherAdoption(mode=mode) if case["strategy"] == "dynamic-teacher" else TeacherAdoption()
    objective = Objective(
        kd_loss=case["kd_loss"],
        temperature=case["temperature"],
        hidden_weight=float(case["strategy"] == "dynamic-objective"),
        hidden_loss="states",
        mode=mode if case["strategy"] == "dynamic-objective" else "fixed",
    )
    data = DataSelection()
    if case["strategy"] == "dynamic-data":
        data = DataSelection(score=mode, ratio=case["selection_ratio"])
    return Recipe(
        name="golden",
        model="unused",
        data=Data(source="unused"),
        teachers={"small": Teacher(), "large": Teacher()},
        strategy=Strategy(name=case["strategy"], teacher=teacher, data=data, objective=objective),
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"seed{example['seed']}")
def test_every_published_case(example: dict[str, Any]) -> None:
    labels = torch.tensor(example["labels"])
    pooled = torch.tensor(example["student_pooled"])
    hidden_states = [torch.tensor(layer) for layer in example["student_hidden_states"]]
    assert len(example["cases"]) == 33
    for case in example["cases"]:
        logits = torch.tensor(example["student_logits"], requires_grad=True)
        student = StudentOutput(logits, torch.ones(hidden_states[0].shape[:2]), hidden_states)
        step = distillation_step(
            resolve(recipe_for(case)),
            student,
            labels,
            torch.arange(len(labels)),
            Recorded(example),
            {"large": STUDENT_LAYERS},
        )
        name = f"{case['strategy']} {case['mode']} {case['kd_loss']} T={case['temperature']}"
        assert step.total.item() == pytest.approx(case["loss"], rel=1e-5), name
        if "classifier_weight_grad" in case:
            step.total.backward()
            assert logits.grad is not None
            expected = torch.tensor(case["classifier_weight_grad"])
            torch.testing.assert_close(logits.grad.T @ pooled, expected, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"seed{example['seed']}")
def test_selection_keeps_the_published_examples_in_order(example: dict[str, Any]) -> None:
    logits = torch.tensor(example["student_logits"])
    for score, expected in example["selected"].items():
        assert select(DataSelection(score=score, ratio=0.5), seen(logits)).tolist() == expected, score


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"seed{example['seed']}")
def test_plugin(example: dict[str, Any]) -> None:
    student, teacher = (torch.tensor(example[f"{side}_logits"]) for side in ("student", "teacher_large"))
    for case in example["plugin"]:
        loss = dynamic_kd_loss(student, teacher, case["temperature"])
        assert loss.item() == pytest.approx(case["loss"], rel=1e-5)
