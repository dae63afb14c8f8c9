"""What moves during a run: from its start to its end, by the share of the run that is done alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from steps import resolved, step

from dkd_cli.engine.method.schedules import SCHEDULED, SHAPES, at, moving, selection_at
from dkd_cli.engine.method.strategies import Plan
from dkd_cli.recipe.strategy_section import DataSelection, Final, Objective, TeacherAdoption

STARTS = {
    "temperature": 5.0,
    "kd_weight": 1.0,
    "ce_weight": 0.5,
    "hidden_weight": 2.0,
    "teacher_share": 0.4,
}


def plan(objective: Objective, selection: DataSelection | None = None) -> Plan:
    adoption = TeacherAdoption(mode="static", weights={"large": 1.0})
    return Plan(
        selection=selection or DataSelection(),
        adoption=adoption,
        objective=objective,
        teachers=("large",),
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_goes_from_0_to_1_and_never_back(shape: Any) -> None:
    way = [SHAPES[shape](step / 20) for step in range(21)]
    assert way[0] == 0
    assert way[10] == pytest.approx(0.5)
    assert way[20] == pytest.approx(1)
    assert way == sorted(way)


def test_a_cosine_is_slow_at_both_ends() -> None:
    assert SHAPES["cosine"](0.1) < 0.1
    assert SHAPES["cosine"](0.9) > 0.9


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SCHEDULED)
@given(end=st.floats(0.125, 1.0))
def test_each_number_starts_as_written_and_ends_as_written(name: str, shape: Any, end: float) -> None:
    final = Final(shape=shape, **{"teacher_share": STARTS["teacher_share"]} | {name: end})  # type: ignore[arg-type]
    objective = Objective(kd_loss="taid", final=final, **STARTS)  # type: ignore[arg-type]
    for progress, expected in ((0.0, STARTS[name]), (1.0, end), (0.5, (STARTS[name] + end) / 2)):
        found = at(plan(objective), progress).objective
        assert getattr(found, name) == pytest.approx(expected)
        assert all(getattr(found, other) == STARTS[other] for other in SCHEDULED if other != name)


def test_what_has_no_end_stays_and_is_not_reported() -> None:
    objective = Objective(hidden_weight=0.0)
    assert moving(objective, 0.5) == {}
    assert at(plan(objective), 0.5) == plan(objective)
    assert moving(Objective(hidden_weight=0.0, kd_weight=1.0, final=Final(kd_weight=1.0)), 0.5) == {}


def test_the_target_of_taid_moves_unasked_and_no_other_loss_has_one() -> None:
    assert moving(Objective(kd_loss="taid"), 0.5) == {"teacher_share": pytest.approx(0.7)}
    assert moving(Objective(kd_loss="kl"), 0.5) == {}


@pytest.mark.parametrize(
    ("progress", "score"), [(0.0, "none"), (0.29, "none"), (0.3, "margin"), (1, "margin")]
)
def test_before_warm_up_is_over_everything_is_distilled(progress: float, score: str) -> None:
    selection = DataSelection(score="margin", warmup=0.3)
    assert selection_at(selection, progress).score == score
    assert at(plan(Objective(hidden_weight=0.0), selection), progress).selection.score == score


def test_a_pool_is_drawn_from_by_lot_until_then() -> None:
    selection = DataSelection(score="margin", warmup=0.3, backward="selected")
    assert selection_at(selection, 0.2).score == "random"
    assert selection_at(selection, 0.3) == selection


def test_no_warm_up_is_none_at_all() -> None:
    assert selection_at(DataSelection(), 0.0) == DataSelection()


# In a step ---------------------------------------------------------------------------------------------


def test_a_schedule_is_the_run_with_the_numbers_of_the_moment() -> None:
    """And they are in the log, as long as they move."""
    final = Final(temperature=1.0, kd_weight=0.0, ce_weight=0.2, hidden_weight=4.0)
    moving = Objective(kd_loss="kl", temperature=5.0, hidden_weight=0.0, final=final)
    still = Objective(kd_loss="kl", temperature=3.0, kd_weight=0.5, ce_weight=0.6, hidden_weight=2.0)
    found = step(resolved("static", objective=moving), progress=0.5)[0]
    expected = step(resolved("static", objective=still), progress=0.5)[0]
    torch.testing.assert_close(found.total, expected.total)
    logged = {name: value.item() for name, value in found.terms.items() if name not in expected.terms}
    assert logged == pytest.approx({"temperature": 3, "kd_weight": 0.5, "ce_weight": 0.6, "hidden_weight": 2})


def test_a_weight_that_has_come_down_to_0_asks_nobody() -> None:
    objective = Objective(hidden_weight=1.0, final=Final(kd_weight=0.0, hidden_weight=0.0))
    loss, _, oracle = step(resolved("static", objective=objective), progress=1.0)
    assert oracle.asked == {"small": [], "large": []}
    assert loss.total == loss.terms["ce"]


@pytest.mark.parametrize("warmup", [0.0, 0.5])
def test_warm_up_is_static_and_what_follows_is_selection(warmup: float) -> None:
    plan = resolved("dynamic-data", data=DataSelection(ratio=0.25, warmup=warmup))
    static = step(resolved("static"))[0].total
    selecting = step(resolved("dynamic-data", data=DataSelection(ratio=0.25)))[0].total
    assert static != selecting
    assert step(plan, progress=0.25)[0].total == (static if warmup else selecting)
    assert step(plan, progress=0.5)[0].total == selecting
