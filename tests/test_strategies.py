"""Who teaches, by which objective, and how a recipe resolves to that."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from steps import resolved as plan

from dkd_cli.engine.method.selection import EVERYTHING
from dkd_cli.engine.method.strategies import (
    OBJECTIVES,
    ROUTES,
    teacher_weights,
    uncertainty_of,
)
from dkd_cli.recipe.fields import choices
from dkd_cli.recipe.strategy_section import DataSelection, Final, Objective, TeacherAdoption
from dkd_cli.recipe.value_types import Score

LOGITS = torch.tensor([[0.1, 0.0], [3.0, 0.0], [0.5, 0.0], [9.0, 0.0], [0.0, 1.5], [0.0, 0.2]])


# Which teacher -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("teachers", [2, 3, 4])
@pytest.mark.parametrize("batch", [1, 2, 3, 5, 8])
def test_hard_gives_every_example_to_exactly_one_teacher(teachers: int, batch: int) -> None:
    uncertainty = torch.rand(batch)
    names = ("small", "middle", "upper", "large")[:teachers]
    routes = ROUTES["hard"](plan("dynamic-teacher", teachers=names), uncertainty)
    taught = [row for route in routes for row in route.positions.tolist()]
    assert sorted(taught) == list(range(batch))
    assert all(route.positions.numel() for route in routes), "an empty mean is NaN"
    for route in routes:
        assert route.weights.eq(1).all()
    for before, after in itertools.pairwise(routes):
        assert uncertainty[before.positions].min() >= uncertainty[after.positions].max()


def test_hard_sends_the_unsure_half_to_the_small_teacher() -> None:
    small, large = ROUTES["hard"](plan("dynamic-teacher"), torch.tensor([0.1, 0.9, 0.5, 0.3, 0.8]))
    assert (small.teacher, small.positions.tolist()) == ("small", [1, 4])
    assert (large.teacher, sorted(large.positions.tolist())) == ("large", [0, 2, 3])


@settings(deadline=None)
@given(
    uncertainty=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=8).map(torch.tensor),
    teachers=st.integers(1, 5),
)
def test_soft_weights_are_shares(uncertainty: torch.Tensor, teachers: int) -> None:
    weights = torch.stack(teacher_weights(uncertainty, teachers))
    assert weights.shape == (teachers, len(uncertainty))
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(len(uncertainty)))
    if teachers == 2:
        torch.testing.assert_close(weights, torch.stack([uncertainty, 1 - uncertainty]))


@pytest.mark.parametrize("teachers", [2, 3, 4])
def test_a_confused_student_learns_from_the_smallest_a_sure_one_from_the_largest(teachers: int) -> None:
    for uncertainty, place in ((1.0, 0), (0.0, teachers - 1)):
        weights = teacher_weights(torch.tensor([uncertainty]), teachers)
        assert [weight.item() for weight in weights] == [float(i == place) for i in range(teachers)]


@pytest.mark.parametrize("mode", ["soft", "soft-instance"])
def test_soft_modes_ask_all_teachers_for_all_examples(mode: Any) -> None:
    uncertainty = torch.tensor([0.2, 0.6])
    small, large = ROUTES[mode](plan("dynamic-teacher", adoption=TeacherAdoption(mode=mode)), uncertainty)
    expected = {"soft": [0.4, 0.4], "soft-instance": [0.2, 0.6]}[mode]
    assert small.weights.tolist() == pytest.approx(expected)
    assert large.weights.tolist() == pytest.approx([1 - weight for weight in expected])
    assert small.positions.tolist() == large.positions.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, {"small": 1.0, "large": 1.0}),
        ({"small": 0.25, "large": 2.0}, {"small": 0.25, "large": 2.0}),
        ({"small": 0.0, "large": 1.0}, {"large": 1.0}),
        ({"small": 0.5}, {"small": 0.5}),
    ],
)
def test_static_weights_leave_out_a_teacher_of_weight_0(
    weights: Mapping[str, float] | None, expected: Mapping[str, float]
) -> None:
    resolved = plan("dynamic-teacher", adoption=TeacherAdoption(mode="static", weights=weights))
    assert resolved.teachers == tuple(expected)
    routes = ROUTES["static"](resolved, torch.zeros(3))
    assert {route.teacher: route.weights.tolist() for route in routes} == {
        name: [weight] * 3 for name, weight in expected.items()
    }


# Which objective -----------------------------------------------------------------------------------------


def test_objectives_shift_weight_from_logits_to_hidden_states() -> None:
    uncertainty = torch.tensor([0.0, 0.3, 1.0])
    kd, pt = OBJECTIVES["uncertainty"](uncertainty)
    torch.testing.assert_close(kd + pt, torch.ones(3))
    assert torch.equal(pt, uncertainty)
    assert [x.tolist() for x in OBJECTIVES["uncertainty-r"](uncertainty)] == [pt.tolist(), kd.tolist()]
    assert all(weight.eq(1).all() for weight in OBJECTIVES["fixed"](uncertainty))


# From the recipe to the plan -----------------------------------------------------------------------------


def test_static_is_the_identity_on_every_axis() -> None:
    resolved = plan("static", data=DataSelection(score="margin", ratio=0.1))
    assert resolved.teachers == ("large",)
    assert resolved.selection == EVERYTHING
    assert resolved.adoption == TeacherAdoption(mode="static", weights={"large": 1.0})
    assert resolved.objective.mode == "fixed"
    assert resolved.hidden_weight == 1
    assert not resolved.uses_uncertainty


def test_none_asks_no_teacher_and_keeps_the_labels() -> None:
    resolved = plan("none", objective=Objective(ce_weight=0.7, hidden_weight=3.0))
    assert resolved.teachers == ()
    assert resolved.objective.ce_weight == 1.0
    assert resolved.objective.kd_weight == resolved.hidden_weight == 0.0
    assert not resolved.uses_uncertainty


@pytest.mark.parametrize("mode", ["static", "hard", "soft", "soft-instance"])
def test_every_adoption_mode_is_kept(mode: Any) -> None:
    resolved = plan("dynamic-teacher", adoption=TeacherAdoption(mode=mode))
    assert resolved.adoption.mode == mode
    assert resolved.teachers == ("small", "large")
    assert resolved.uses_uncertainty == (mode != "static")
    assert (resolved.selection, resolved.objective.mode) == (EVERYTHING, "fixed")


@pytest.mark.parametrize("score", choices(Score))
def test_every_score_is_kept(score: Any) -> None:
    chosen = DataSelection(score=score, ratio=0.3)
    resolved = plan("dynamic-data", data=chosen)
    assert resolved.selection == chosen
    assert resolved.teachers == ("large",)
    assert not resolved.uses_uncertainty


@pytest.mark.parametrize("mode", ["uncertainty", "uncertainty-r", "fixed"])
def test_every_objective_is_kept(mode: Any) -> None:
    resolved = plan("dynamic-objective", objective=Objective(mode=mode))
    assert resolved.objective.mode == mode
    assert resolved.hidden_weight == 1
    assert resolved.teachers == ("large",)
    assert resolved.uses_uncertainty == (mode != "fixed")


@pytest.mark.parametrize("name", ["static", "dynamic-teacher", "dynamic-data", "dynamic-objective"])
def test_a_hidden_weight_that_is_given_is_kept(name: str) -> None:
    assert plan(name, objective=Objective(hidden_weight=0.25)).hidden_weight == 0.25


def test_states_are_aligned_if_they_count_at_any_time() -> None:
    assert not plan("static", objective=Objective(hidden_weight=0.0)).aligns
    assert plan("static", objective=Objective(hidden_weight=0.5, final=Final(hidden_weight=0.0))).aligns
    assert plan("static", objective=Objective(hidden_weight=0.0, final=Final(hidden_weight=0.5))).aligns
    assert plan("static").aligns
    assert not plan("none", objective=Objective(final=Final(hidden_weight=0.5))).aligns


def test_joined_names_join_the_axes_in_any_order() -> None:
    one = plan("dynamic-objective, dynamic-data,dynamic-teacher")
    assert one == plan("dynamic-teacher,dynamic-data,dynamic-objective")
    assert one.teachers == ("small", "large")
    assert one.selection == DataSelection()
    assert (one.adoption.mode, one.objective.mode) == ("soft-instance", "uncertainty")
    assert one.hidden_weight == 1


def test_uncertainty_is_zero_where_nothing_looks_at_it() -> None:
    assert uncertainty_of(plan("static"), LOGITS).tolist() == [0.0] * 6
    assert (uncertainty_of(plan("dynamic-teacher"), LOGITS) > 0).all()
