"""Several labels per text in training: golden values by an independent computation, label by label."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from steps import resolved as plan

from dkd_cli.engine.method.checks import check_plan
from dkd_cli.engine.method.given import label_logits
from dkd_cli.engine.method.losses import dynamic_kd_loss
from dkd_cli.engine.method.outputs import OUTPUTS
from dkd_cli.errors import RecipeError
from dkd_cli.recipe.strategy_section import Objective

OUTPUT = OUTPUTS["multi-label"]
STUDENT = [[0.3, -1.2, 2.0], [0.0, 4.0, -0.5]]
TEACHER = [[1.0, -2.0, 1.5], [-3.0, 2.0, 0.2]]
LABELS = [[1, 0, 1], [0, 1, 0]]


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def bits(p: float) -> float:
    return -(p * math.log(p) + (1 - p) * math.log(1 - p)) / math.log(2)


def kl(q: float, p: float) -> float:
    return q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def tensors() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.tensor(STUDENT), torch.tensor(TEACHER), torch.tensor(LABELS)


def test_the_loss_on_the_labels() -> None:
    student, _, labels = tensors()
    wanted = [
        mean([-math.log(sigmoid(z) if y else 1 - sigmoid(z)) for z, y in zip(row, truth, strict=True)])
        for row, truth in zip(STUDENT, LABELS, strict=True)
    ]
    assert OUTPUT.supervised(student, labels).tolist() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 5.0])
def test_kd_by_label(temperature: float) -> None:
    student, teacher, _ = tensors()
    objective = Objective(temperature=temperature)
    rows = list(zip(STUDENT, TEACHER, strict=True))
    wanted = {
        "mse": [mean([(a - b) ** 2 for a, b in zip(*row, strict=True)]) for row in rows],
        "kl": [
            temperature**2
            * mean(
                [kl(sigmoid(b / temperature), sigmoid(a / temperature)) for a, b in zip(*row, strict=True)]
            )
            for row in rows
        ],
    }
    for name, values in wanted.items():
        found = OUTPUT.kd_losses[name](objective, student, teacher, None)
        assert found.tolist() == pytest.approx(values, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", ["mse", "kl", "jsd", "taid"])
def test_a_student_that_says_what_its_teacher_says_has_nothing_to_learn(name: str) -> None:
    logits = torch.tensor(STUDENT, requires_grad=True)
    loss = OUTPUT.kd_losses[name](Objective(), logits, logits.detach(), None)
    assert loss.detach().abs().max() < 1e-6
    loss.sum().backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def test_uncertainties_are_means_over_labels() -> None:
    student, teacher, _ = tensors()
    p = [[sigmoid(z) for z in row] for row in STUDENT]
    q = [[sigmoid(z) for z in row] for row in TEACHER]
    wanted = {
        "entropy": [mean([bits(one) for one in row]) for row in p],
        "margin": [mean([1 - abs(2 * one - 1) for one in row]) for row in p],
        "confidence": [mean([1 - max(one, 1 - one) for one in row]) for row in p],
    }
    for name, values in wanted.items():
        assert OUTPUT.uncertainties[name](student).tolist() == pytest.approx(values, rel=1e-5)
    assert OUTPUT.sure_and_unsure is not None
    both = [
        mean([max(b, 1 - b) * bits(a) for a, b in zip(*row, strict=True)]) for row in zip(p, q, strict=True)
    ]
    assert OUTPUT.sure_and_unsure(student, teacher).tolist() == pytest.approx(both, rel=1e-5)


@pytest.mark.parametrize("score", ["entropy", "margin", "confidence"])
def test_extreme_logits_have_finite_uncertainty(score: str) -> None:
    found = OUTPUT.uncertainties[score](torch.tensor([[1e4, -1e4], [0.0, 0.0]]))
    assert found.tolist() == [0.0, {"confidence": 0.5}.get(score, 1.0)]


def test_the_plug_in() -> None:
    student, teacher, _ = tensors()
    found = dynamic_kd_loss(student, teacher, 2.0, multi_label=True)
    wanted = mean(
        [
            mean([bits(sigmoid(a)) for a in own])
            * mean([4 * kl(sigmoid(b / 2), sigmoid(a / 2)) for a, b in zip(own, theirs, strict=True)])
            for own, theirs in zip(STUDENT, TEACHER, strict=True)
        ]
    )
    assert found.item() == pytest.approx(wanted, rel=1e-4)


def test_probabilities_of_a_file_are_those_of_its_logits() -> None:
    given = torch.tensor([[0.2, 0.9, 0.5]])
    torch.testing.assert_close(label_logits(given).sigmoid(), given)
    assert label_logits(torch.tensor([[0.0, 1.0]])).isfinite().all()


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (Objective(kd_loss="decoupled"), "sets one target class against the others"),
        (Objective(kd_loss="dist"), "correlates the classes of one softmax"),
        (Objective(kd_loss="kl", standardise=True), "takes away the level of the logits"),
    ],
)
def test_what_means_nothing_for_several_labels_is_refused(objective: Objective, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_plan(replace(plan("static", objective=objective), output="multi-label"), "static", 3)
    check_plan(replace(plan("dynamic-objective"), output="multi-label"), "dynamic-objective", 3)
