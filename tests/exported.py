"""A small classifier and its exports, for tests of what is made of them."""

from __future__ import annotations

from pathlib import Path

from small import LABELS, save_classifier

from dkd_cli.commands.export import export
from dkd_cli.evaluation.gates import Gates
from dkd_cli.recipe.loader import load_recipe
from dkd_cli.report.terminal import Terminal


def export_both(folder: Path, encoder: Path, texts: Path) -> Path:
    """`student`, whose outputs are not in the order of the task, `student-onnx` and `student-onnx-int8`."""
    student = save_classifier(folder / "student", encoder, LABELS[::-1])
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"name: tiny\nmodel: {student}\nteachers: {{}}\nstrategy: {{name: none}}\n"
        f"data: {{source: {texts}, validation_share: 0.2, test_share: 0.2, max_length: 16}}\n"
    )
    for quantization in (None, "int8"):
        export(
            str(student),
            quantization=quantization,
            recipe=load_recipe(str(recipe)),
            output=None,
            gates=Gates(tolerance=1e-4, max_loss=100),
            terminal=Terminal(quiet=True),
        )
    recipe.unlink()
    return student
