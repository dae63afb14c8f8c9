"""Runs resolved once: what a student needs and where it comes from, for each kind of teacher."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dkd_cli.pipeline.planned import plan_student, plan_teacher
from dkd_cli.recipe.loader import load_recipe
from dkd_cli.recipe.schema import Recipe, Teacher
from dkd_cli.recipe.strategy_section import Strategy
from dkd_cli.recipe.student_section import Student
from dkd_cli.recipe.teacher_kinds import TEACHER_KINDS, kind_of, made_elsewhere

FILE, ELSEWHERE, TRAINED = Teacher(probabilities="llm.jsonl"), Teacher(checkpoint="hub/model"), Teacher()


def recipe(strategy: str, student: Student | None = None, **teachers: Teacher) -> Recipe:
    base = load_recipe("quickstart")
    return replace(base, teachers=teachers, strategy=Strategy(name=strategy), student=student or base.student)


@pytest.mark.parametrize(
    ("teacher", "name", "elsewhere"),
    [
        (FILE, "probabilities", "llm.jsonl"),
        (ELSEWHERE, "checkpoint", "hub/model"),
        (TRAINED, "trained", None),
    ],
)
def test_a_teacher_has_the_kind_that_its_keys_choose(
    teacher: Teacher, name: str, elsewhere: str | None
) -> None:
    assert kind_of(teacher) is TEACHER_KINDS[name]
    assert made_elsewhere(teacher) == elsewhere


def test_a_student_needs_the_models_that_teach_it() -> None:
    run = plan_student(recipe("static", small=TRAINED, large=ELSEWHERE))
    assert dict(run.teachers) == {"large": "hub/model"}
    assert (run.reference, run.reference_source) == ("large", "hub/model")
    assert run.source == run.recipe.model


def test_a_file_is_needed_by_no_path_and_is_no_reference() -> None:
    run = plan_student(recipe("static", small=ELSEWHERE, llm=FILE))
    assert run.plan.teachers == ("llm",)
    assert dict(run.teachers) == {}
    assert run.reference == "small"
    assert plan_student(recipe("static", llm=FILE)).reference is None


def test_a_student_without_a_teacher_needs_the_one_that_it_is_cut_from() -> None:
    cut = plan_student(recipe("none", Student(model="teacher"), small=TRAINED, large=ELSEWHERE))
    assert cut.source == "hub/model"
    assert dict(cut.teachers) == {"large": "hub/model"}
    assert dict(plan_student(recipe("none", small=TRAINED, large=ELSEWHERE)).teachers) == {}


def test_without_labels_none_needs_the_largest_teacher() -> None:
    labelled = recipe("none", small=TRAINED, large=ELSEWHERE)
    run = plan_student(replace(labelled, data=replace(labelled.data, unlabelled=True)))
    assert (run.plan.teachers, run.plan.hard) == (("large",), True)
    assert dict(run.teachers) == {"large": "hub/model"}
    assert run.takes_transfer


def test_a_teacher_learns_by_its_own_schedule() -> None:
    base = recipe("static", large=Teacher(epochs=7.0, model="another"))
    run = plan_teacher(base, "large")
    assert (run.settings.epochs, run.source) == (7.0, "another")
    assert run.settings.learning_rate == base.train.learning_rate
    assert run.folder.name == "teacher-large"
