"""The terms of the loss: finite at any logits, zero where nothing is left to learn, blind to padding."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from dkd_cli.engine.method.losses import (
    cross_entropy,
    dynamic_kd_loss,
    kd_correlation,
    kd_decoupled,
    kd_interpolated,
    kd_jensen_shannon,
    kd_kl,
    kd_mse,
    squared_error,
    standardised,
)
from dkd_cli.engine.method.uncertainty import entropy

GAPS = (1e2, 104.0, 1e3, 1e4)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def decoupled(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """With the teacher's last choice as the label, so that any rows will do."""
    return kd_decoupled(student, teacher, teacher.argmin(dim=-1), temperature, 1.0, 8.0)


KD_LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "mse": lambda student, teacher, temperature: kd_mse(student, teacher),
    "kl": kd_kl,
    "jsd": partial(kd_jensen_shannon, beta=0.3),
    "taid": partial(kd_interpolated, teacher_share=0.7),
    "decoupled": decoupled,
    "dist": partial(kd_correlation, inter_weight=1.0, intra_weight=2.0),
    "standardised": lambda student, teacher, temperature: kd_kl(
        standardised(student), standardised(teacher), temperature
    ),
}

logit_rows = st.integers(2, 6).flatmap(
    lambda classes: st.lists(
        st.lists(st.floats(-80, 80, width=32), min_size=classes, max_size=classes), min_size=1, max_size=4
    )
).map(torch.tensor)  # fmt: skip


def extreme(gap: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Student (with gradient) and teacher that are sure, of the same class and of different ones."""
    student = torch.tensor([[gap, 0.0, -gap], [-gap, gap, 0.0], [0.0, 0.0, gap]], dtype=dtype)
    teacher = torch.tensor([[-gap, 0.0, gap], [-gap, gap, 0.0], [0.0, 0.0, 0.0]], dtype=dtype)
    return student.requires_grad_(), teacher


@pytest.mark.parametrize("temperature", [1.0, 5.0])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("name", [*KD_LOSSES, "plug-in", "cross_entropy"])
def test_any_gap_gives_a_number_and_a_gradient(
    name: str, gap: float, dtype: torch.dtype, temperature: float
) -> None:
    student, teacher = extreme(gap, dtype)
    if name == "cross_entropy":
        loss = cross_entropy(student, torch.tensor([2, 1, 0]))
    elif name == "plug-in":
        loss = dynamic_kd_loss(student, teacher, temperature)
    else:
        loss = KD_LOSSES[name](student, teacher, temperature)
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    loss.sum().backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


@settings(deadline=None, max_examples=60)
@given(logits=logit_rows, temperature=st.floats(0.5, 10))
def test_a_student_like_its_teacher_has_nothing_to_learn(logits: Tensor, temperature: float) -> None:
    for loss in KD_LOSSES.values():
        nothing = loss(logits, logits.clone(), temperature)
        torch.testing.assert_close(nothing, torch.zeros(len(logits)), rtol=0, atol=1e-4)


@settings(deadline=None, max_examples=60)
@given(logits=logit_rows, temperature=st.floats(0.5, 10))
def test_kd_is_never_negative_and_kl_ignores_a_constant(logits: Tensor, temperature: float) -> None:
    teacher = logits.flip(-1)
    for loss in KD_LOSSES.values():
        assert (loss(logits, teacher, temperature) >= -1e-4).all()
    shifted = kd_kl(logits + 7, teacher, temperature)
    torch.testing.assert_close(shifted, kd_kl(logits, teacher, temperature), rtol=1e-3, atol=1e-2)


def test_temperature_leaves_the_size_of_the_gradient_alone() -> None:
    teacher = torch.tensor([[0.2, -0.1, 0.05]])
    norms = []
    for temperature in (10.0, 100.0):
        student = torch.tensor([[-0.3, 0.1, 0.2]], requires_grad=True)
        kd_kl(student, teacher, temperature).sum().backward()
        assert student.grad is not None
        norms.append(student.grad.norm().item())
    assert norms[0] == pytest.approx(norms[1], rel=0.05)


@pytest.mark.parametrize("name", KD_LOSSES)
def test_every_kd_loss_can_be_learned(name: str) -> None:
    made = torch.Generator().manual_seed(4)
    teacher = 2 * torch.randn(6, 4, generator=made)
    student = torch.randn(6, 4, generator=made, requires_grad=True)
    optimizer = torch.optim.Adam([student], lr=0.05)
    before = KD_LOSSES[name](student, teacher, 2.0).mean().item()
    for _ in range(200):
        optimizer.zero_grad()
        KD_LOSSES[name](student, teacher, 2.0).mean().backward()
        optimizer.step()
    assert KD_LOSSES[name](student, teacher, 2.0).mean().item() < 0.05 * before


def test_standardised_logits_have_no_scale_and_no_offset() -> None:
    logits = torch.randn(5, 4)
    found = standardised(logits)
    torch.testing.assert_close(found.mean(dim=-1), torch.zeros(5), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.square().mean(dim=-1), torch.ones(5))
    torch.testing.assert_close(standardised(3 * logits + 7), found, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_decoupled_with_the_weights_of_plain_kd_is_plain_kd(temperature: float) -> None:
    student, teacher, labels = torch.randn(5, 4), torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    others = 1 - F.softmax(teacher / temperature, dim=-1)[torch.arange(5), labels]
    found = torch.stack(
        [
            kd_decoupled(s[None], t[None], label[None], temperature, 1.0, weight.item())[0]
            for s, t, label, weight in zip(student, teacher, labels, others, strict=True)
        ]
    )
    torch.testing.assert_close(found, kd_kl(student, teacher, temperature))


def test_of_two_classes_no_other_is_left_to_decouple() -> None:
    student, teacher, labels = torch.randn(5, 2), torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 0])
    assert kd_decoupled(student, teacher, labels, 2.0, 0.0, 8.0).eq(0).all()
    torch.testing.assert_close(
        kd_decoupled(student, teacher, labels, 2.0, 1.0, 8.0), kd_kl(student, teacher, 2.0)
    )


def test_dist_is_one_minus_pearson_within_examples_and_within_classes() -> None:
    student, teacher = torch.randn(6, 4), torch.randn(6, 4)
    p, q = F.softmax(student / 2, dim=-1), F.softmax(teacher / 2, dim=-1)
    over_classes = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(p, q, strict=True)])
    over_rows = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(p.T, q.T, strict=True)])
    inter = kd_correlation(student, teacher, 2.0, inter_weight=1.0, intra_weight=0.0)
    torch.testing.assert_close(inter, 4 * (1 - over_classes), rtol=1e-4, atol=1e-5)
    intra = kd_correlation(student, teacher, 2.0, inter_weight=0.0, intra_weight=1.0)
    torch.testing.assert_close(intra.mean(), 4 * (1 - over_rows.mean()), rtol=1e-4, atol=1e-5)
    assert (intra >= 0).all()


def test_dist_within_classes_needs_company() -> None:
    student, teacher = torch.randn(1, 4), torch.randn(1, 4)
    assert kd_correlation(student, teacher, 2.0, inter_weight=0.0, intra_weight=1.0).eq(0).all()


def test_dist_leaves_two_classes_nothing_to_learn_within_an_example() -> None:
    # Two logits that are nearly equal have a direction without precision: the same rows on every run.
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 2, requires_grad=True), torch.randn(5, 2)
    kd_correlation(student, teacher, 1.0, inter_weight=1.0, intra_weight=0.0).sum().backward()
    assert student.grad is not None
    torch.testing.assert_close(student.grad, torch.zeros(5, 2), rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(logits=logit_rows, beta=st.floats(0.01, 0.99))
def test_jsd_is_bounded_and_turns_round_with_beta(logits: Tensor, beta: float) -> None:
    teacher = logits.flip(-1)
    found = kd_jensen_shannon(logits, teacher, 1.0, beta)
    assert (found <= math.log(2) + 1e-5).all()
    torch.testing.assert_close(found, kd_jensen_shannon(teacher, logits, 1.0, 1 - beta), rtol=1e-3, atol=1e-4)


def test_jsd_over_beta_tends_to_kl() -> None:
    student, teacher = torch.randn(5, 4).double(), torch.randn(5, 4).double()
    found = kd_jensen_shannon(student, teacher, 2.0, 1e-3) / 1e-3
    torch.testing.assert_close(found, kd_kl(student, teacher, 2.0), rtol=0.01, atol=1e-3)


def test_taid_goes_from_nothing_to_kl_and_its_target_stands_still() -> None:
    teacher = torch.randn(5, 4)
    student = torch.randn(5, 4, requires_grad=True)
    assert kd_interpolated(student, teacher, 2.0, 0.0).eq(0).all()
    torch.testing.assert_close(kd_interpolated(student, teacher, 2.0, 1.0), kd_kl(student, teacher, 2.0))
    target = (0.75 * student + 0.25 * teacher).detach()
    (expected,) = torch.autograd.grad(kd_kl(student, target, 2.0).sum(), student)
    (found,) = torch.autograd.grad(kd_interpolated(student, teacher, 2.0, 0.25).sum(), student)
    torch.testing.assert_close(found, expected)


def test_supervised_is_cross_entropy_or_the_square_of_the_error() -> None:
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    torch.testing.assert_close(cross_entropy(logits, labels).mean(), F.cross_entropy(logits, labels))
    numbers = torch.randn(5)
    torch.testing.assert_close(squared_error(logits[:, :1], numbers), (logits[:, 0] - numbers) ** 2)


def test_the_plug_in_weighs_by_uncertainty_without_training_through_it() -> None:
    student, teacher = torch.randn(6, 3, requires_grad=True), torch.randn(6, 3)
    weights = entropy(student)
    by_hand = (weights * kd_kl(student, teacher, 2.0)).mean()
    (expected,) = torch.autograd.grad(by_hand, student)
    loss = dynamic_kd_loss(student, teacher, 2.0)
    (found,) = torch.autograd.grad(loss, student)
    assert loss == by_hand
    torch.testing.assert_close(found, expected)


def test_the_plug_in_trains_a_linear_model() -> None:
    torch.manual_seed(0)
    inputs, teacher = torch.randn(64, 5), torch.nn.Linear(5, 3)
    student = torch.nn.Linear(5, 3)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.05)
    with torch.no_grad():
        answers = teacher(inputs)
    before = dynamic_kd_loss(student(inputs), answers).item()
    for _ in range(100):
        optimizer.zero_grad()
        dynamic_kd_loss(student(inputs), answers).backward()
        optimizer.step()
    assert dynamic_kd_loss(student(inputs), answers).item() < 0.05 * before
