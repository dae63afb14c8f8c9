"""The ladder of students, and the recipe of each rung."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dkd_cli.engine.models.export_formats import FORMATS
from dkd_cli.engine.runs.checkpoints import student_folder
from dkd_cli.recipe.loader import load_recipe
from dkd_cli.recipe.student_kinds import STUDENT_KINDS
from dkd_cli.shrinking.ladder import LADDER, SERVED, Rung, Widths, climbable, problems_of, rung_recipe

TEACHERS = {"small": "checkpoints/quickstart/teacher-small", "large": "checkpoints/quickstart/teacher-large"}

WIDTHS = Widths(hidden=384, ffn=1536)


def test_every_family_can_be_served() -> None:
    assert set(SERVED) == set(STUDENT_KINDS)
    assert {format for exports in SERVED.values() for format, _ in exports} <= set(FORMATS)
    assert {rung.family for rung in LADDER} <= set(STUDENT_KINDS)


def test_students_are_shallower_than_their_teacher() -> None:
    assert max(rung.layers for rung in climbable(6)) < 6
    assert len(climbable(12)) == len(LADDER)
    assert [rung.family for rung in climbable(1)] == ["static"] * len(climbable(1))


@pytest.mark.parametrize("rung", LADDER, ids=lambda rung: rung.name)
def test_every_rung_is_a_valid_run_in_a_folder_of_its_own(rung: Rung) -> None:
    base = load_recipe("quickstart")
    recipe = rung_recipe(base, rung, Path("checkpoints/quickstart/shrink"), TEACHERS, WIDTHS)
    assert not problems_of(recipe)
    assert student_folder(recipe).parent == Path("checkpoints/quickstart/shrink") / rung.name
    assert recipe.student.vocabulary == rung.vocabulary
    assert recipe.student.dimensions == rung.student.get("dimensions")
    assert recipe.student.ffn == (512 if rung.ffn_share else None)
    assert recipe.teachers["large"].checkpoint == TEACHERS["large"]
    assert recipe.data == base.data
    assert recipe.strategy == base.strategy


def test_a_schedule_of_another_kind_of_student_is_left_aside() -> None:
    base = load_recipe("quickstart", ["student.epochs=7", "student.take=1,3,5", "student.layers=3"])
    folder = Path("shrink")
    rungs = {rung.name: rung_recipe(base, rung, folder, TEACHERS, WIDTHS).student for rung in LADDER}
    assert (rungs["1-layer"].epochs, rungs["1-layer"].take) == (7, "first")
    assert rungs["static"].epochs is None
    vocabulary = replace(base, student=replace(base.student, vocabulary="2000"))
    assert rung_recipe(vocabulary, LADDER[0], folder, TEACHERS, WIDTHS).student.vocabulary == "2000"


def test_a_narrow_encoder_keeps_all_dimensions() -> None:
    base, folder = load_recipe("quickstart"), Path("shrink")
    rungs = {
        rung.name: rung_recipe(base, rung, folder, TEACHERS, Widths(32, None)).student for rung in LADDER
    }
    assert rungs["static"].dimensions is None
    assert rungs["2-layers-narrow"].ffn is None
