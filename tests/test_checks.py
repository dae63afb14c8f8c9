"""What a strategy cannot mean for a number or for two classes is refused, with the key; the rest passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from steps import resolved as plan

from dkd_cli.engine.method.checks import check_plan
from dkd_cli.engine.method.strategies import Plan
from dkd_cli.errors import RecipeError
from dkd_cli.recipe.strategy_section import DataSelection, Objective, TeacherAdoption


@pytest.mark.parametrize(
    ("resolved", "key"),
    [
        (plan("dynamic-teacher"), "strategy.name"),
        (plan("dynamic-objective"), "strategy.name"),
        *(
            (plan("static", objective=Objective(kd_loss=loss)), "strategy.objective.kd_loss")
            for loss in ("kl", "jsd", "taid", "decoupled", "dist")
        ),
        (plan("dynamic-data", data=DataSelection(score="llkd")), "strategy.data.score"),
        (plan("dynamic-data"), "strategy.data.score"),
        (plan("dynamic-data", data=DataSelection(score="margin-r")), "strategy.data.score"),
    ],
)
def test_a_single_number_has_no_uncertainty(resolved: Plan, key: str) -> None:
    with pytest.raises(RecipeError) as caught:
        check_plan(replace(resolved, output="regression"), "the name", 1)
    assert caught.value.place == key


@pytest.mark.parametrize(
    "resolved",
    [
        plan("none"),
        plan("none", objective=Objective(kd_loss="kl")),
        plan("static"),
        plan("dynamic-data", data=DataSelection(score="label-loss")),
        plan("dynamic-data", data=DataSelection(score="random")),
        plan("dynamic-teacher", adoption=TeacherAdoption(mode="static")),
        plan("dynamic-objective", objective=Objective(mode="fixed")),
    ],
)
def test_what_is_defined_for_a_single_number_passes(resolved: Plan) -> None:
    check_plan(replace(resolved, output="regression"), "the name", 1)


@pytest.mark.parametrize(
    ("objective", "key"),
    [
        (Objective(kd_loss="decoupled"), "kd_loss"),
        (Objective(kd_loss="dist"), "inter_weight"),
        (Objective(kd_loss="kl", standardise=True), "standardise"),
    ],
)
def test_what_two_classes_leave_empty_is_refused(objective: Objective, key: str) -> None:
    with pytest.raises(RecipeError) as caught:
        check_plan(plan("static", objective=objective), "the name", 2)
    assert caught.value.place == f"strategy.objective.{key}"
    check_plan(plan("static", objective=objective), "the name", 3)
    check_plan(plan("none", objective=objective), "the name", 2)


@pytest.mark.parametrize(
    "objective",
    [Objective(kd_loss="dist", inter_weight=0.0), Objective(kd_loss="jsd"), Objective(kd_loss="taid")],
)
def test_what_two_classes_have_passes(objective: Objective) -> None:
    check_plan(plan("dynamic-data", objective=objective), "the name", 2)
