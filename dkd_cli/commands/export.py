"""`dkd export`: a classifier in the format that serves it."""

from __future__ import annotations

import os
from pathlib import Path

from dkd_cli.engine.models.exports import Quantization
from dkd_cli.evaluation.gates import Gates
from dkd_cli.pipeline.exporting import WantedExport, export_model, read_source, summary
from dkd_cli.recipe.schema import Recipe
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.terminal import Terminal


def export(
    checkpoint: str,
    *,
    format: str = "onnx",
    quantization: Quantization | None,
    recipe: Recipe | None,
    output: Path | None,
    gates: Gates,
    terminal: Terminal,
) -> Path:
    """Write a folder that can be served, tokenizer and figures included; returns the folder.

    Args:
        checkpoint: a folder, a hub id or `pkg://`.
        format: a name in `export_formats.FORMATS`.
        quantization: what to make of the weights; None: as they are, in float32.
        recipe: which data a model made elsewhere is for.
        output: the folder; None: beside the checkpoint, under its name and the format's.
        gates: what the export has to pass.
        terminal: for progress and the result.

    Raises:
        RecipeError: where the data is unknown.
        ModelError, SystemProblem: as `exporting.export_model`.
    """
    quiet_libraries()
    source = read_source(checkpoint, recipe)
    if recipe is not None and source.recipe is not recipe:
        terminal.warn("--recipe is not read: the model keeps the recipe that it was made by")
    final, made, now = export_model(source, WantedExport(format, quantization, gates), output, terminal)
    if not now:
        terminal.say(f"{final} is there already, of the same weights")
        return final
    terminal.say(summary(final, made))
    terminal.say(f"next: dkd evaluate {os.path.relpath(final.parent)}")
    return final
