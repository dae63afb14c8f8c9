"""Options of `dkd export` and `dkd predict`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dkd_cli.cli.completion import models
from dkd_cli.cli.options import Quiet


class Format(StrEnum):
    """Export formats, as in `export_formats.FORMATS`."""

    onnx = "onnx"
    numpy = "numpy"
    model2vec = "model2vec"


class TextFormat(StrEnum):
    """Formats of text files."""

    lines = "lines"
    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    json = "json"
    parquet = "parquet"
    xlsx = "xlsx"


class Quantize(StrEnum):
    """Types for weights."""

    int8 = "int8"
    fp16 = "fp16"


def export(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A trained classifier: a folder, or a hub id.",
            autocompletion=models,
        ),
    ],
    format: Annotated[
        Format,
        typer.Option(
            help="onnx: for onnxruntime; of static students also numpy: arrays for NumPy; model2vec: a "
            "student without convolutions as Model2Vec loads it."
        ),
    ] = Format.onnx,
    quantize: Annotated[
        Quantize | None,
        typer.Option(
            help="int8: the weights as 8-bit integers, smaller, and faster on CPUs; fp16: the vectors of a "
            "static student in half precision."
        ),
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
        typer.Option(metavar="FOLDER", help="Default: CHECKPOINT-FORMAT, as CHECKPOINT-onnx-int8."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Export a trained classifier to be served without torch.

    Writes a folder with weights, tokenizer and figures next to the checkpoint, which `dkd evaluate` and `dkd
    predict` accept like any model. An export is refused if its logits differ from torch's or if it loses
    quality on the validation texts.

    \b
        dkd export checkpoints/quickstart/student-static-seed1
        dkd export checkpoints/quickstart/student-static-seed1 --quantize int8
        dkd export checkpoints/quickstart/student-static-seed1 --format numpy --quantize fp16
    """
    from dkd_cli.recipe.loader import load_recipe
    from dkd_cli.report.terminal import Terminal

    loaded = None if recipe is None else load_recipe(recipe)
    from dkd_cli.commands.export import export as run
    from dkd_cli.evaluation.gates import Gates

    run(
        checkpoint,
        format=format.value,
        quantization=None if quantize is None else quantize.value,
        recipe=loaded,
        output=output,
        gates=Gates(tolerance, max_loss),
        terminal=Terminal(quiet),
    )


def cascade(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL MODEL...", help="Two or more classifiers of one task, the cheapest first."
        ),
    ],
    agreement: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0.5,
            max=0.9999,
            help="The least share of texts with the last model's answer; 0.98 if nothing is asked for.",
        ),
    ] = None,
    loss: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0.0001,
            max=0.5,
            help="Instead: the most texts that the last model answers right and the cascade wrong.",
        ),
    ] = None,
    confidence: Annotated[
        float,
        typer.Option(metavar="SHARE", min=0.5, max=0.9999, help="How sure it is to hold on new texts."),
    ] = 0.95,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Also measure the cascade on this split, such as test.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="The models' data; that of the first one's recipe if left out."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="cascade.json in the first model's folder."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Choose when a small classifier passes a text on to a larger one.

    Finds on the validation texts the highest uncertainty up to which the small one's answers can be kept,
    with an exact binomial bound, and writes it to cascade.json, which `dkd predict --else` follows.

    \b
        dkd cascade checkpoints/quickstart/student-static-seed1 checkpoints/quickstart/teacher-large
        dkd cascade SMALLEST STUDENT TEACHER --agreement 0.97 --split test
    """
    from dkd_cli.errors import RecipeError
    from dkd_cli.recipe.loader import load_recipe
    from dkd_cli.report.terminal import Terminal

    if len(models) < 2:
        raise RecipeError("dkd cascade", "one model is no cascade", "name two or more, the cheapest first")
    if agreement is not None and loss is not None:
        raise RecipeError("--loss", "contradicts --agreement", "give one of them")
    loaded = None if recipe is None else load_recipe(recipe)
    from dkd_cli.commands.cascade import cascade as run
    from dkd_cli.evaluation.cascade_choice import CascadeTarget

    run(
        models,
        wanted=CascadeTarget("agreement", agreement or 0.98, confidence)
        if loss is None
        else CascadeTarget("loss", loss, confidence),
        recipe=loaded,
        split=split,
        output=output,
        terminal=Terminal(quiet),
    )


def predict(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A checkpoint, an export, another classifier's folder or hub id, or a cascade.json.",
            autocompletion=models,
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE | TEXT...",
            help="One file (csv, tsv, xlsx, json, jsonl, parquet, txt; also gzipped), or texts; stdin if "
            "left out or -.",
        ),
    ] = None,
    format: Annotated[
        TextFormat | None,
        typer.Option(
            help="The format of the texts. If left out: by the file's suffix; of stdin and txt by the first "
            "line, one text on each line unless it is a header."
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The text column. Default: that of the model's recipe."),
    ] = None,
    text_pair: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of the second text, for models of pairs.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Write this column of the input beside the answers; repeatable."),
    ] = None,
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Write the texts beside the answers.")
    ] = False,
    encoding: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Encoding of a text file that is neither UTF-8 nor recognised."),
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
    others: Annotated[
        list[str] | None,
        typer.Option(
            "--else",
            metavar="MODEL",
            help="Who answers what MODEL is unsure of (see `dkd cascade`); repeatable, the next one first.",
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Classify texts.

    Writes label, probability (with the temperature from `dkd evaluate`) and uncertainty from 0 to 1, in the
    order of the texts and as they arrive; a number if the model predicts one.

    With --else, a text that the model is unsure of goes to the next one. When it is unsure is chosen by `dkd
    cascade`; where that has not been run, it is chosen now, for an agreement of 98 % with the last model.

    \b
        dkd predict checkpoints/quickstart/student-static-seed1 "my flight was cancelled again"
        dkd predict checkpoints/quickstart/student-static-seed1-onnx-int8 tickets.csv --output answers.csv
        dkd predict MODEL tickets.csv.gz --text body --keep ticket_id --with-text
        dkd predict STUDENT --else TEACHER tickets.csv
    """
    from dkd_cli.commands.predict import CascadeRequest
    from dkd_cli.commands.predict import predict as run
    from dkd_cli.pipeline.text_sources import Source
    from dkd_cli.report.terminal import Terminal

    run(
        model,
        Source(
            inputs=tuple(inputs or ()),
            format=None if format is None else format.value,
            text=text,
            text_pair=text_pair,
            kept=tuple(dict.fromkeys(keep or ())),
            encoding=encoding,
        ),
        others=CascadeRequest(tuple(others or ())),
        output=output,
        as_json=as_json,
        with_text=with_text,
        all_probabilities=all_probabilities,
        batch_size=batch_size,
        terminal=Terminal(quiet),
    )
