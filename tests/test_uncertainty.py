"""The uncertainty scores: bounds, order, and numbers at any logit gap and in any float type."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dkd_cli.engine.method.uncertainty import SCORES, entropy, least_confidence, margin

GAPS = (1e2, 104.0, 1e3, 1e4)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)

logit_rows = st.integers(2, 6).flatmap(
    lambda classes: st.lists(
        st.lists(st.floats(-50, 50, width=32), min_size=classes, max_size=classes), min_size=1, max_size=4
    )
).map(torch.tensor)  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("name", SCORES)
def test_any_gap_gives_a_number(name: str, gap: float, dtype: torch.dtype) -> None:
    logits = torch.tensor([[gap, 0.0, 0.0], [0.0, -gap, gap], [gap, gap, -gap], [0.0, 0.0, 0.0]], dtype=dtype)
    values = SCORES[name](logits)
    assert values.shape == (4,)
    assert values.dtype == torch.float32
    assert values.isfinite().all()
    assert (values[:2] < 1e-30).all(), "a gap this wide leaves no doubt"
    assert 0 < values[2] < values[3] or name == "margin"


@settings(deadline=None, max_examples=60)
@given(logits=logit_rows)
def test_entropy_is_a_share_of_its_upper_bound(logits: Tensor) -> None:
    values = entropy(logits)
    assert ((values >= 0) & (values <= 1)).all()
    classes = logits.size(1)
    torch.testing.assert_close(entropy(torch.full((1, classes), 3.0)), torch.ones(1))


@settings(deadline=None, max_examples=60)
@given(logits=logit_rows, shift=st.floats(-100, 100, width=32))
def test_a_constant_added_to_all_logits_changes_nothing(logits: Tensor, shift: float) -> None:
    for score in SCORES.values():
        torch.testing.assert_close(score(logits + shift), score(logits), rtol=1e-3, atol=1e-3)


@settings(deadline=None, max_examples=60)
@given(logits=logit_rows, sharpen=st.floats(1.5, 20))
def test_higher_is_more_uncertain(logits: Tensor, sharpen: float) -> None:
    for name, score in SCORES.items():
        assert (score(logits * sharpen) <= score(logits) + 1e-5).all(), name
        assert (score(logits) <= score(torch.zeros_like(logits)) + 1e-5).all(), name


@pytest.mark.parametrize("name", SCORES)
def test_more_confidence_is_strictly_less_uncertainty(name: str) -> None:
    values = SCORES[name](torch.tensor([[0.0, 0.0], [0.5, 0.0], [1.0, 0.0], [4.0, 0.0]]))
    assert (values.diff() < 0).all()


def test_the_scores_measure_what_they_are_named_for() -> None:
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    torch.testing.assert_close(margin(logits), torch.tensor([0.7]))
    torch.testing.assert_close(least_confidence(logits), torch.tensor([0.4]))
    nats = -(0.6 * torch.tensor(0.6).log() + 0.3 * torch.tensor(0.3).log() + 0.1 * torch.tensor(0.1).log())
    torch.testing.assert_close(entropy(logits), (nats / torch.tensor(3.0).log())[None])


@pytest.mark.parametrize("name", SCORES)
def test_scores_cannot_train_the_student(name: str) -> None:
    values = SCORES[name](torch.randn(3, 4, requires_grad=True))
    assert not values.requires_grad


def test_one_number_has_no_entropy() -> None:
    with pytest.raises(ValueError, match="undefined"):
        entropy(torch.zeros(3, 1))
