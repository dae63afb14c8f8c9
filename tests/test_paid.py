"""Paid teachers beside students: what `dkd label` has left, as rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from conftest import TinyRecipe

from dkd_cli.comparison.paid import paid_teachers, price_figures, price_rows
from dkd_cli.recipe.loader import load_recipe
from dkd_cli.recipe.schema import Teacher


def test_a_paid_teacher_is_a_row_with_price_and_audit(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    plain = replace(load_recipe(str(tiny_recipe({}))), output_dir=str(tmp_path / "runs"))
    asked = Teacher(endpoint="http://127.0.0.1:9/v1", model="big")
    recipe = replace(plain, teachers={"llm": asked, "other": asked, "small": Teacher()})
    assert paid_teachers(recipe) == []
    folder = tmp_path / "runs" / recipe.name / "labels-llm"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({"teacher": "big", "per_1000": 0.4, "requests": 1600}))
    (one,) = paid_teachers(recipe)
    assert (one.name, one.model, one.per_1000, one.accuracy) == ("llm", "big", 0.4, None)
    assert price_rows([one])[1][0] == ["llm (big)", "not audited", "0.40", "1,600"]
    (folder / "audit.json").write_text(json.dumps({"accuracy": 0.9, "low": 0.85, "high": 0.94, "rows": 100}))
    columns, rows = price_rows(paid_teachers(recipe))
    assert rows[0] == ["llm (big)", "0.900 (0.850 to 0.940) on 100", "0.40", "1,600"]
    assert rows[1][0] == "students"
    assert rows[1][2] == "0"
    assert all(len(row) == len(columns) for row in rows)
    (figures,) = price_figures(paid_teachers(recipe))
    assert figures["audited"] == 100
