"""Paid teachers beside students: what `dkd label` has left, as rows of a table and in a report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TinyRecipe

from dkd_cli.engine.runs.checkpoints import Run
from dkd_cli.labelling.paid import paid_teachers, price_figures, teachers_paid_for
from dkd_cli.recipe.loader import load_recipe
from dkd_cli.recipe.schema import Recipe, Teacher
from dkd_cli.report.prices import COLUMNS, price_rows, price_sentence, scored_students


@pytest.fixture
def recipe(tiny_recipe: TinyRecipe, tmp_path: Path) -> Recipe:
    """Two endpoints, the first of which was queried, and a model."""
    plain = replace(load_recipe(str(tiny_recipe({}))), output_dir=str(tmp_path / "runs"))
    asked = Teacher(endpoint="http://127.0.0.1:9/v1", model="big")
    folder = tmp_path / "runs" / plain.name / "labels-llm"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({"teacher": "big", "per_1000": 0.4, "requests": 1600}))
    return replace(plain, teachers={"llm": asked, "other": asked, "small": Teacher()})


def audit(recipe: Recipe) -> None:
    path = Path(recipe.output_dir) / recipe.name / "labels-llm" / "audit.json"
    path.write_text(json.dumps({"accuracy": 0.9, "low": 0.85, "high": 0.94, "rows": 100}))


def test_a_paid_teacher_is_a_row_with_price_and_audit(recipe: Recipe) -> None:
    (one,) = paid_teachers(recipe)
    assert (one.name, one.model, one.per_1000, one.accuracy) == ("llm", "big", 0.4, None)
    students = [("student", "0.880")]
    assert price_rows(price_figures([one]), students)[0] == ["llm (big)", "not audited", "0.40", "1,600"]
    audit(recipe)
    (figures,) = price_figures(paid_teachers(recipe))
    assert figures["audited"] == 100
    rows = price_rows([figures], students)
    assert rows == [
        ["llm (big)", "0.900 (0.850 to 0.940) on 100", "0.40", "1,600"],
        ["student", "0.880", "0", None],
    ]
    assert all(len(row) == len(COLUMNS) for row in rows)
    assert price_sentence(figures, "student") == (
        "Its teacher llm (big), accuracy 0.900 (0.850 to 0.940) on 100 audited texts, costs 0.40 per 1,000 "
        "texts; student costs nothing to query."
    )


def test_only_what_taught_a_student_was_paid_for(recipe: Recipe, tmp_path: Path) -> None:
    """Found next to the student, also where the folder was moved to."""

    def student(*teachers: str) -> Run:
        digests = dict.fromkeys(teachers, "digest")
        return Run(
            role="student",
            name="one",
            strategy="static",
            seed=1,
            teacher=None,
            recipe=recipe,
            validation={},
            seconds=0.0,
            teachers=digests,
        )

    moved = (tmp_path / "runs").rename(tmp_path / "moved") / recipe.name
    runs = [(moved / name, student("llm", "other")) for name in ("a", "b")]
    assert [one.name for one in teachers_paid_for(runs)] == ["llm"]
    assert teachers_paid_for([(moved / "a", student("small"))]) == []


def test_the_student_that_validation_chose_comes_first() -> None:
    models = [
        {"model": name, "role": role, "metrics": {"accuracy": score}}
        for name, role, score in (
            ("big", "teacher", 0.9),
            ("a", "student", 0.8),
            ("b", "student", 0.7),
            ("c", "student", None),
        )
    ]
    contest = {"main_metric": "accuracy", "rows": 1000, "models": models, "best_student": {"model": "b"}}
    assert scored_students(contest) == [("b", "0.700 accuracy on 1,000"), ("a", "0.800 accuracy on 1,000")]
