"""Options of `dkd export` and `dkd predict`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dkd_cli.cli.options import Quiet


class Format(StrEnum):
    """Export formats."""

    onnx = "onnx"


class TextFormat(StrEnum):
    """Formats of text files."""

    lines = "lines"
    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"


class Quantize(StrEnum):
    """Integer types for weights."""

    int8 = "int8"


def export(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A trained classifier: a folder, or a hub id.")
    ],
    format: Annotated[Format, typer.Option(help="The graph's format.")] = Format.onnx,
    quantize: Annotated[
        Quantize | None,
        typer.Option(help="Quantise the weights to 8-bit integers: smaller, and faster on CPUs."),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            metavar="X", min=0, help="The largest allowed difference of a float32 logit from torch's."
        ),
    ] = 1e-4,
    max_loss: Annotated[
        float,
        typer.Option(
            metavar="POINTS", min=0, help="The largest allowed loss of validation quality, in points of 100."
        ),
    ] = 1.0,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="The recipe with the data of a model made elsewhere."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Default: CHECKPOINT-onnx or CHECKPOINT-onnx-int8."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Export a trained classifier for onnxruntime.

    Writes a folder with graph, tokenizer and figures next to the checkpoint, which `dkd evaluate` and `dkd
    predict` accept like any model. An export is refused if its logits differ from torch's or if it loses
    quality on the validation texts.

    \b
        dkd export checkpoints/quickstart/student-static-seed1
        dkd export checkpoints/quickstart/student-static-seed1 --quantize int8
    """
    from dkd_cli.recipe.loader import load_recipe
    from dkd_cli.report.terminal import Terminal

    loaded = None if recipe is None else load_recipe(recipe)
    from dkd_cli.commands.export import export as run
    from dkd_cli.evaluation.gates import Gates

    run(
        checkpoint,
        quantization=None if quantize is None else "int8",
        recipe=loaded,
        output=output,
        gates=Gates(tolerance, max_loss),
        terminal=Terminal(quiet),
    )


def predict(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A checkpoint, an export, or another classifier's folder or hub id."
        ),
    ],
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="csv, tsv, jsonl or txt; - is stdin, a text on each line.")
    ] = "-",
    format: Annotated[
        TextFormat | None, typer.Option(help="The format of the texts. Default: by the file's suffix.")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The text column. Default: that of the model's recipe."),
    ] = None,
    text_pair: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of the second text, for models of pairs.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file for the predictions. Default: stdout.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON lines instead of csv; implied by --output NAME.jsonl.")
    ] = False,
    all_probabilities: Annotated[
        bool, typer.Option("--all-probabilities", help="Include the probability of every class.")
    ] = False,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Texts in each forward pass.")] = 32,
    quiet: Quiet = False,
) -> None:
    """Classify texts.

    Writes label, probability (with the temperature from `dkd evaluate`) and uncertainty from 0 to 1, in the
    order of the texts and as they arrive; a number if the model predicts one.

    \b
        echo "my flight was cancelled again" | dkd predict checkpoints/quickstart/student-static-seed1
        dkd predict checkpoints/quickstart/student-static-seed1-onnx-int8 tickets.csv --output answers.csv
    """
    from dkd_cli.commands.predict import Source
    from dkd_cli.commands.predict import predict as run
    from dkd_cli.report.terminal import Terminal

    run(
        model,
        Source(
            None if file == "-" else Path(file), None if format is None else format.value, text, text_pair
        ),
        output=output,
        as_json=as_json,
        all_probabilities=all_probabilities,
        batch_size=batch_size,
        terminal=Terminal(quiet),
    )
