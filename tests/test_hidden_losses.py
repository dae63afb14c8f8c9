"""The losses between hidden states: directions alone count, padding does not, gradients are finite."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dkd_cli.engine.method.hidden_losses import attention_relations, hidden_alignment, hidden_directions

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def layers(count: int, rows: int = 3, length: int = 5, width: int = 4) -> list[Tensor]:
    return [torch.randn(rows, length, width) for _ in range(count)]


def test_padding_does_not_count() -> None:
    student, teacher = layers(2), layers(2)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    expected = hidden_alignment(student, teacher, mask)
    spoilt = [layer.masked_fill(mask[:, :, None] == 0, 1e6) for layer in student]
    assert torch.equal(hidden_alignment(spoilt, teacher, mask), expected)
    alone = hidden_alignment(
        [layer[1:2, :3] for layer in student], [layer[1:2, :3] for layer in teacher], mask[1:2, :3]
    )
    torch.testing.assert_close(alone, expected[1:2])


def test_alignment_compares_directions_and_sums_over_layers() -> None:
    student, teacher, mask = layers(2), layers(2), torch.ones(3, 5)
    parts = [hidden_alignment([s], [t], mask) for s, t in zip(student, teacher, strict=True)]
    torch.testing.assert_close(hidden_alignment(student, teacher, mask), parts[0] + parts[1])
    longer = [5 * layer for layer in student]
    torch.testing.assert_close(hidden_alignment(longer, student, mask), torch.zeros(3), rtol=0, atol=1e-10)
    opposite = hidden_alignment(student, [-layer for layer in student], mask)
    torch.testing.assert_close(opposite, torch.full((3,), 2 * 4 / 4.0), msg="two layers of 4 / width")


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_the_gradient_of_alignment_is_that_of_its_formula(size: float) -> None:
    """Under weights that differ by row and position, and with positions that do not count."""
    student, teacher = [size * layer for layer in layers(2, width=7)], layers(2, width=7)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    weights = torch.tensor([0.5, -2.0, 3.0])
    for layer in student:
        layer.requires_grad_()
    found = torch.autograd.grad(hidden_alignment(student, teacher, mask) @ weights, student)
    gaps = F.normalize(torch.stack(student), dim=-1) - F.normalize(torch.stack(teacher), dim=-1)
    formula = ((gaps**2).mean(dim=-1) * mask).sum(dim=-1).sum(dim=0) / mask.sum(dim=-1)
    for one, other in zip(found, torch.autograd.grad(formula @ weights, student), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7 / size)
        assert one[2, 0].ne(0).all()
        assert one[2, 1:].eq(0).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [0.0, 1e-6, 6e4])
def test_alignment_of_any_size_gives_a_number_and_a_gradient(size: float, dtype: torch.dtype) -> None:
    student = torch.full((2, 3, 4), size, dtype=dtype, requires_grad=True)
    loss = hidden_alignment([student], [torch.zeros(2, 3, 4)], torch.tensor([[1, 1, 1], [1, 0, 0]]))
    assert loss.isfinite().all()
    loss.sum().backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_alignment_refuses_unequal_numbers_of_layers() -> None:
    with pytest.raises(ValueError, match="shorter"):
        hidden_alignment(layers(2), layers(1), torch.ones(3, 5))


def test_relations_do_not_see_padding_or_width() -> None:
    student, teacher = layers(3, width=8), layers(3, width=12)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    found = attention_relations(student, teacher, mask, 4)
    spoilt = [layer.masked_fill(mask[:, :, None] == 0, 1e3) for layer in student]
    assert torch.equal(attention_relations(spoilt, teacher, mask, 4), found)
    alone = attention_relations(
        [layer[1:2, :3] for layer in student], [layer[1:2, :3] for layer in teacher], mask[1:2, :3], 4
    )
    torch.testing.assert_close(alone, found[1:2])
    assert found[2] == 0, "one token is related to itself alone"


def test_relations_are_the_mean_over_heads_and_positions_summed_over_what_is_compared() -> None:
    student, teacher, mask = layers(2, rows=1, width=8), layers(2, rows=1, width=8), torch.ones(1, 5)
    by_hand = torch.tensor(0.0)
    for own, other in zip(student, teacher, strict=True):
        for head in range(4):
            part = slice(2 * head, 2 * head + 2)
            r_s, r_t = (F.softmax(x[0, :, part] @ x[0, :, part].T / 2**0.5, dim=-1) for x in (own, other))
            by_hand = by_hand + (r_t * (r_t.log() - r_s.log())).sum() / (4 * 5)
    torch.testing.assert_close(attention_relations(student, teacher, mask, 4)[0], by_hand)


@pytest.mark.parametrize("size", [0.0, 1.0, 1e4])
def test_relations_of_any_size_give_a_number_and_a_gradient(size: float) -> None:
    student = [(size * layer).requires_grad_() for layer in layers(1, width=8)]
    loss = attention_relations(
        student, layers(1, width=8), torch.tensor([[1] * 5, [1, 1, 0, 0, 0], [1] * 5]), 2
    )
    assert loss.isfinite().all()
    loss.sum().backward()
    assert student[0].grad is not None
    assert student[0].grad.isfinite().all()


@pytest.mark.parametrize("width", [4, 64])
def test_directions_have_the_same_scale_at_any_width(width: int) -> None:
    student, mask = layers(2, width=width), torch.ones(3, 5)
    opposite = [-layer for layer in student]
    torch.testing.assert_close(hidden_directions(student, opposite, mask), torch.full((3,), 8.0))
    other = layers(2, width=width)
    cosines = sum(
        1 - F.cosine_similarity(a, b, dim=-1).mean(dim=-1) for a, b in zip(student, other, strict=True)
    )
    torch.testing.assert_close(hidden_directions(student, other, mask), 2 * cosines)
