"""Weighted draws: each example with its own probability, the weighted mean unbiased."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import seen

from dkd_cli.engine.method.sampling import UNIFORM_SHARE, draw, inclusion
from dkd_cli.engine.method.selection import choose, informativeness, kept, select
from dkd_cli.recipe.strategy_section import DataSelection

VALUES = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=40).map(torch.tensor)


@settings(deadline=None)
@given(values=VALUES, ratio=st.floats(0.01, 1))
def test_probabilities_sum_to_the_count_and_none_is_0(values: torch.Tensor, ratio: float) -> None:
    size, count = len(values), kept(ratio, len(values))
    found = inclusion(values, count)
    assert found.sum().item() == pytest.approx(count)
    assert (found >= UNIFORM_SHARE * count / size * (1 - 1e-9)).all(), "so no weight exceeds 1/UNIFORM_SHARE"
    assert (found <= 1).all()
    ordered = values.argsort()
    assert (found[ordered].diff() >= -1e-12).all(), "a higher score is no less probable"
    drawn = draw(found, count).tolist()
    assert len(set(drawn)) == count
    assert set(torch.nonzero(found >= 1 - 1e-12).flatten().tolist()) <= set(drawn), "the certain ones"


def test_certain_examples_leave_the_rest_of_the_count_to_the_others_in_proportion() -> None:
    found = inclusion(torch.tensor([0.0, 10.0, 0.0, 0.5, 0.0]), 3)
    even = 0.5 / 5
    shares = torch.tensor([even, even + 0.5 * 0.5 / 10.5, even, even], dtype=torch.float64)
    assert found[1] == 1
    torch.testing.assert_close(found[[0, 3, 2, 4]], 2 * shares / shares.sum())


def test_equal_scores_are_drawn_evenly() -> None:
    torch.testing.assert_close(inclusion(torch.full((7,), 3.0), 2), torch.full((7,), 2 / 7).double())


@pytest.mark.parametrize(
    ("score", "ratio"), [("entropy", 0.2), ("entropy", 0.85), ("margin-r", 0.5), ("label-loss", 0.35)]
)
def test_the_weighted_mean_of_a_draw_is_an_unbiased_estimate(score: Any, ratio: float) -> None:
    """Over 1500 draws, within 4 standard errors of the mean over everything; that of `top` is farther off.

    Each example is drawn as often as its probability says, within 4 standard errors of a coin's.
    """
    torch.manual_seed(4)
    number, size, count = 1500, 20, kept(ratio, 20)
    logits, labels = 2 * torch.randn(size, 2), torch.arange(size) % 2
    scores = informativeness(score, seen(logits, labels))
    losses = scores + 0.1 * torch.randn(size)
    selection = DataSelection(score=score, ratio=ratio, keep="weighted")
    draws = [choose(selection, seen(logits, labels)) for _ in range(number)]
    assert {one.positions.numel() for one in draws} == {count}
    estimates = torch.stack([(one.weights * losses[one.positions]).mean() for one in draws]).double()
    tolerance = 4 * estimates.std().item() / number**0.5
    assert estimates.mean().item() == pytest.approx(losses.mean().item(), abs=tolerance)
    assert abs(losses[select(selection, seen(logits, labels))].mean() - losses.mean()) > tolerance
    drawn = torch.cat([one.positions for one in draws]).bincount(minlength=size) / number
    expected = inclusion(scores, count).float()
    torch.testing.assert_close(drawn, expected, rtol=0, atol=4 * 0.5 / number**0.5)


def test_a_certain_example_counts_what_it_is() -> None:
    """π = 1 for the first two, so their weight is K/B exactly, whatever is drawn beside them."""
    logits = torch.zeros(12, 2)
    logits[2:, 0] = 50.0
    selection = DataSelection(score="entropy", ratio=0.5, keep="weighted")
    for _ in range(20):
        chosen = choose(selection, seen(logits))
        assert chosen.positions[:2].tolist() == [0, 1]
        assert chosen.weights[:2].tolist() == [0.5, 0.5]
        assert chosen.weights.mean().item() == pytest.approx(1), (
            "the others are alike, so nothing is left to chance"
        )


def test_a_draw_repeats_with_the_seed_and_does_not_train() -> None:
    selection = DataSelection(score="entropy", ratio=0.5, keep="weighted")
    logits = torch.randn(64, 2).requires_grad_()
    torch.manual_seed(3)
    draws = [choose(selection, seen(logits)) for _ in range(4)]
    assert len({tuple(one.positions.tolist()) for one in draws}) == 4
    torch.manual_seed(3)
    assert [choose(selection, seen(logits)).positions.tolist() for _ in range(4)] == [
        one.positions.tolist() for one in draws
    ]
    assert not draws[0].weights.requires_grad
