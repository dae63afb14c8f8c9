"""Which examples are kept: as many as the ratio says, the informative ones, and how much each counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import seen

from dkd_cli.engine.method.selection import (
    EVERYTHING,
    asks_teacher,
    choose,
    informativeness,
    kept,
    rank,
    select,
)
from dkd_cli.errors import RecipeError
from dkd_cli.recipe.fields import choices
from dkd_cli.recipe.strategy_section import DataSelection
from dkd_cli.recipe.value_types import Score

SCORES = [score for score in choices(Score) if score != "none"]
LOGITS = torch.tensor([[0.1, 0.0], [3.0, 0.0], [0.5, 0.0], [9.0, 0.0], [0.0, 1.5], [0.0, 0.2]])
LABELS = torch.tensor([0, 1, 0, 0, 1, 1])


@given(ratio=st.floats(0, 1, exclude_min=True), size=st.integers(1, 10_000))
def test_at_least_one_example_and_never_more_than_there_are(ratio: float, size: int) -> None:
    assert 1 <= kept(ratio, size) <= size
    assert kept(1.0, size) == size


@given(percent=st.integers(1, 100), size=st.integers(1, 10_000))
def test_a_ratio_is_rounded_down_in_decimals(percent: int, size: int) -> None:
    assert kept(percent / 100, size) == max(1, size * percent // 100)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("batch", [1, 2, 3, 6])
def test_a_selection_is_a_part_of_the_batch_without_repeats(score: str, batch: int) -> None:
    selection = DataSelection(score=score, ratio=0.5)  # type: ignore[arg-type]
    found = select(selection, seen(LOGITS[:batch], LABELS[:batch], LOGITS[:batch]))
    assert len(found) == max(1, batch // 2)
    assert len(set(found.tolist())) == len(found)
    assert set(found.tolist()) <= set(range(batch))


@pytest.mark.parametrize(
    "selection",
    [DataSelection(score="margin", ratio=1.0), DataSelection(score="none", ratio=0.1), EVERYTHING],
)
def test_everything_is_selected_in_order(selection: DataSelection) -> None:
    assert select(selection, seen(LOGITS)).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("score", ["entropy", "margin", "confidence", "lc", "label-loss"])
def test_a_trailing_r_reverses(score: str) -> None:
    values = informativeness(score, seen(LOGITS, LABELS))
    reverse = informativeness(f"{score}-r", seen(LOGITS, LABELS))
    assert rank(score, values).tolist() == rank(score, reverse).tolist()[::-1]
    assert values.unique().numel() == len(LOGITS), "no ties, or their order would decide"


@pytest.mark.parametrize("score", ["entropy", "margin", "confidence", "lc"])
def test_the_unsure_ones_are_selected(score: str) -> None:
    found = select(DataSelection(score=score, ratio=0.5), seen(LOGITS))  # type: ignore[arg-type]
    assert found.tolist() == [0, 5, 2]


def test_kl_selects_what_the_student_gets_wrong() -> None:
    logits = torch.tensor([[5.0, 0.0], [0.0, 5.0], [1.0, 0.0], [0.0, 1.0]])
    labels = torch.zeros(4, dtype=torch.long)
    assert select(DataSelection(score="label-loss", ratio=0.5), seen(logits, labels)).tolist() == [1, 3]
    assert select(DataSelection(score="label-loss-r", ratio=0.5), seen(logits, labels)).tolist() == [0, 2]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
def test_kl_b_takes_hard_and_easy_ones_in_turn(size: int) -> None:
    values = torch.arange(float(size))
    found = rank("label-loss-b", values).tolist()
    hardest, easiest = list(range(size))[::-1], list(range(size))
    in_turn = [one for pair in zip(hardest, easiest, strict=True) for one in pair][:size]
    assert found == in_turn


def test_random_differs_between_draws_and_repeats_with_the_seed() -> None:
    selection, logits = DataSelection(score="random", ratio=0.25), torch.zeros(64, 2)
    torch.manual_seed(3)
    draws = [select(selection, seen(logits)).tolist() for _ in range(4)]
    assert len({tuple(draw) for draw in draws}) == 4
    torch.manual_seed(3)
    assert [select(selection, seen(logits)).tolist() for _ in range(4)] == draws


@pytest.mark.parametrize("score", ["label-loss", "label-loss-r", "label-loss-b"])
def test_a_score_on_labels_needs_them(score: str) -> None:
    with pytest.raises(RecipeError, match=r"strategy\.data\.score.*needs labels"):
        informativeness(score, seen(LOGITS))


@pytest.mark.parametrize("score", SCORES)
def test_scores_cannot_train_the_student(score: str) -> None:
    assert not informativeness(score, seen(LOGITS.clone().requires_grad_(), LABELS, LOGITS)).requires_grad


def test_llkd_takes_what_the_teacher_knows_and_the_student_does_not() -> None:
    unsure, sure = [0.0, 0.0], [9.0, 0.0]
    student = torch.tensor([unsure, unsure, sure, sure])
    teacher = torch.tensor([sure, unsure, sure, unsure])
    assert select(DataSelection(score="llkd", ratio=0.5), seen(student, None, teacher)).tolist() == [0, 1]
    assert select(DataSelection(score="llkd-r", ratio=0.25), seen(student, None, teacher)).tolist() == [3]


@pytest.mark.parametrize(
    ("selection", "asks"),
    [
        (DataSelection(score="llkd"), True),
        (DataSelection(score="llkd-r", keep="weighted"), True),
        (DataSelection(score="llkd", ratio=1.0), False),
        (DataSelection(score="entropy"), False),
        (EVERYTHING, False),
    ],
)
def test_only_llkd_asks_the_teacher_about_what_it_leaves_out(selection: DataSelection, asks: bool) -> None:
    assert asks_teacher(selection) == asks


@pytest.mark.parametrize("keep", ["top", "weighted"])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0])
def test_scaled_by_the_ratio_the_selected_weigh_their_share(ratio: float, keep: Any) -> None:
    mean, scaled = (DataSelection(ratio=ratio, keep=keep, scale=scale) for scale in ("mean", "ratio"))
    torch.manual_seed(5)
    expected = choose(mean, seen(LOGITS))
    torch.manual_seed(5)
    found = choose(scaled, seen(LOGITS))
    assert torch.equal(found.positions, expected.positions)
    share = len(found.positions) / len(LOGITS)
    torch.testing.assert_close(found.weights, expected.weights * share)


@pytest.mark.parametrize(
    "selection",
    [
        DataSelection(score="entropy", ratio=0.5),
        DataSelection(score="random", ratio=0.5, keep="weighted"),
        DataSelection(score="entropy", ratio=1.0, keep="weighted"),
        DataSelection(score="none", ratio=0.1, keep="weighted"),
    ],
)
def test_what_is_not_drawn_by_its_score_counts_alike(selection: DataSelection) -> None:
    torch.manual_seed(7)
    chosen = choose(selection, seen(LOGITS))
    torch.manual_seed(7)
    assert torch.equal(chosen.positions, select(selection, seen(LOGITS)))
    assert chosen.weights.tolist() == [1.0] * len(chosen.positions)
