"""Models that learnt nothing, and teachers worse than the most frequent class: said, not passed on."""

from __future__ import annotations

from pathlib import Path

from command_line import heard
from conftest import TinyRecipe
from small import LABELS, save_classifier

from dkd_cli.engine.runs.checkpoints import read_run


def test_a_student_of_one_class_is_called_that(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        {"train": {"max_steps": 1, "learning_rate": 1e-12}, "strategy": {"name": "none"}, "teachers": {}}
    )
    said = heard("distill", recipe)
    assert said.code == 0
    run = read_run(tmp_path / "checkpoints" / "tiny" / "student-none-seed1")
    assert run is not None
    assert run.predicts in LABELS
    assert "constant" not in run.validation
    line = (
        f"dkd: warning: student-none-seed1 learnt nothing: it predicts {run.predicts!r} for every row; "
        "raise train.learning_rate or train.epochs\n"
    )
    assert said.err == line
    assert heard("distill", recipe).err == line, "a run that is complete is no better than it was"


def test_a_borrowed_teacher_is_looked_at_before_it_teaches(
    tiny_recipe: TinyRecipe, tiny_encoder: Path, tmp_path: Path
) -> None:
    """One of the two has the labels the wrong way round, which shows in its score alone."""
    save_classifier(tmp_path / "right", tiny_encoder, LABELS)
    save_classifier(tmp_path / "turned", tiny_encoder, LABELS[::-1])
    scores = []
    for name in ("right", "turned"):
        recipe = tiny_recipe(
            {
                "name": name,
                "teachers": {"small": {"layers": None, "checkpoint": str(tmp_path / name)}},
                "train": {"max_steps": 1},
            }
        )
        said = heard(
            "distill",
            recipe,
            "--strategy",
            "static",
            "--set",
            "teachers.large.layers=null",
            "--set",
            f"teachers.large.checkpoint={tmp_path / name}",
        )
        assert said.code == 0, said.err
        (line,) = (line for line in said.out.splitlines() if line.startswith("teachers.large: "))
        assert " on validation; always " in line
        own, constant = (float(word.rstrip(";")) for word in (line.split()[2], line.split()[-1]))
        warned = "teachers.large is no better than 'always " in said.err
        assert warned == (own <= constant)
        scores.append(own)
    assert sum(scores) == 1.0
    assert min(scores) < 0.5, "one of them is warned about"
