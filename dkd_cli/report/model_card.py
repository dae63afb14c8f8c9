"""README.md of a model folder: a model card for the Hugging Face hub, with the metrics in its metadata.

Written once, when the model is finished, with its validation metrics. The licence is left to the person who
shares the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dkd_cli.data.examples import TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.metric_names import OF_ONE_CLASS
from dkd_cli.engine.runs.checkpoints import Run
from dkd_cli.recipe.student_kinds import STUDENT_KINDS
from dkd_cli.report.printable import printable
from dkd_cli.version import __version__

HUB_METRICS = {
    "accuracy": ("accuracy", "Accuracy"),
    "macro_f1": ("f1", "Macro F1"),
    "f1": ("f1", "F1"),
    "precision": ("precision", "Precision"),
    "recall": ("recall", "Recall"),
    "average_precision": ("average_precision", "Average precision"),
    "roc_auc": ("roc_auc", "Area under the ROC curve"),
    "micro_f1": ("f1", "Micro F1"),
    "mean_average_precision": ("mean_average_precision", "Mean average precision"),
    "subset_accuracy": ("accuracy", "Subset accuracy"),
    "label_ranking": ("label_ranking_average_precision", "Label ranking average precision"),
    "entity_f1": ("f1", "Entity F1"),
    "entity_precision": ("precision", "Entity precision"),
    "entity_recall": ("recall", "Entity recall"),
    "word_accuracy": ("accuracy", "Word accuracy"),
    "matthews": ("matthews_correlation", "Matthews correlation"),
    "pearson": ("pearsonr", "Pearson correlation"),
    "spearman": ("spearmanr", "Spearman correlation"),
    "mse": ("mse", "Mean squared error"),
}
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
FILES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
MOST_CLASSES = 30

PIPELINE = """\
from transformers import pipeline

classify = pipeline("PIPELINE", model="path/to/this/folder"OPTIONS)
classify("some text")"""
PREDICTOR = """\
from dkd_cli.engine.deploy.load import load_predictor

predictor = load_predictor("path/to/this/folder")  # with NumPy: torch is not imported
logits, truncated = predictor.logits(["some text"], None)"""
USE = {"transformers": PIPELINE, None: PREDICTOR}
"""By the library that loads the folder."""

THRESHOLDS = (
    "Each label has a probability of its own; `thresholds` in `calibration.json`, fitted on validation, say"
    " from which calibrated probability on it is predicted, as `dkd predict` does.",
    "",
)

STRATEGIES = {
    "none": "fine-tuned on the labels alone",
    "static": "distilled from one teacher, all examples, fixed weights",
}


def model_card(run: Run, data: TaskData, *, base: str, layers: int, parameters: int) -> str:
    """Return the whole file.

    Args:
        run: with its validation metrics.
        data: the task, its classes and splits.
        base: the encoder that it was built from.
        layers: their number.
        parameters: their number.
    """
    scores = {name: value for name, value in run.validation.items() if name in HUB_METRICS}
    head = _metadata(run, data, scores, base)
    parts = f"{layers} layers" if layers else "token vectors, pooled,"
    size = f"{parts} and {parameters / 1e6:.1f} M parameters"
    return f"---\n{head}\n---\n\n{_body(run, data, scores, base, size)}"


def _metadata(run: Run, data: TaskData, scores: dict[str, float], base: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    source = run.recipe.data.source or ""
    results = [
        EvalResult(
            task_type=KINDS[data.task.kind].pipeline,
            dataset_type=source if _on_the_hub(source) else "local",
            dataset_name=data.task.name,
            dataset_split="validation",
            metric_type=HUB_METRICS[name][0],
            metric_name=_metric(name, data),
            metric_value=round(value, 6),
        )
        for name, value in scores.items()
    ]
    tags = ["dkd", KINDS[data.task.kind].pipeline]
    tags += ["knowledge-distillation", "dynamic-knowledge-distillation"] if run.role == "student" else []
    card = ModelCardData(
        base_model=base if _on_the_hub(base) else None,
        datasets=[source] if _on_the_hub(source) else None,
        library_name=_library(run),
        pipeline_tag=KINDS[data.task.kind].pipeline,
        tags=tags,
        model_name=run.name if results else None,
        eval_results=results or None,
    )
    text: str = card.to_yaml()
    return text


def _body(run: Run, data: TaskData, scores: dict[str, float], base: str, size: str) -> str:
    recipe, kind = run.recipe, KINDS[data.task.kind]
    what = kind.purpose(data.outputs)
    lines = [
        f"# {run.name}",
        "",
        f"A text classifier of {size} that {what}, {_how(run)}. Made with dkd {__version__}.",
        "",
    ]
    if data.label_names is not None:
        named = ", ".join(map(code, data.label_names[:MOST_CLASSES]))
        more = len(data.label_names) - MOST_CLASSES
        lines += [f"Classes: {named}{f' and {more} more' if more > 0 else ''}.", ""]
    sizes = ", ".join(f"{len(split):,} {split.name}" for split in data.all_splits())
    made = [
        ("task", code(data.task.name)),
        ("data", f"{_named(recipe.data.source or recipe.data.train or '')}: {sizes} examples"),
        ("base encoder", _named(base)),
        ("teacher", _named(run.teacher or "")),
        ("strategy", code(run.strategy or "")),
        ("seed", str(run.seed)),
        ("longest text", f"{recipe.data.max_length} tokens"),
        ("training", f"{run.seconds:.0f} s"),
    ]
    lines += ["## How it was made", "", *_table(("what", "which"), made), ""]
    lines += ["`recipe.yaml` holds every setting, `training.json` the log of the run.", ""]
    if scores:
        rows = [(_metric(name, data), f"{value:.4f}") for name, value in scores.items()]
        lines += ["## Validation", "", *_table(("metric", "value"), rows), ""]
        lines += [
            "The best checkpoint was selected on these rows, so the scores are optimistic. `dkd evaluate`"
            " measures the test split, calibration, speed and the differences from the teacher.",
            "",
        ]
    lines += [
        "## Use",
        "",
        "```python",
        USE[_library(run)].replace("PIPELINE", kind.pipeline).replace("OPTIONS", kind.pipeline_options),
        "```",
        "",
        "The logits divided by the temperature in `calibration.json`, where `dkd evaluate` has written one,"
        " give probabilities that can be believed more.",
        "",
        *(THRESHOLDS if kind.thresholds else ()),
        "## Limits",
        "",
        f"- It has seen texts like those of its training data only, up to {recipe.data.max_length} tokens;"
        " what is longer is cut.",
        "- It reproduces the errors and biases of its labels and, if it has one, of its teacher.",
        "- Its metrics are those of one seed.",
        "",
    ]
    return "\n".join(lines)


def _metric(name: str, data: TaskData) -> str:
    """The metric in words, with the class that it is of."""
    if name not in OF_ONE_CLASS or data.label_names is None or data.task.positive is None:
        return HUB_METRICS[name][1]
    return f"{HUB_METRICS[name][1]} of {code(data.label_names[data.task.positive])}"


def _library(run: Run) -> str | None:
    student = run.recipe.student
    return STUDENT_KINDS[student.family].loaded_by if run.role == "student" else "transformers"


def code(text: str) -> str:
    """Any text as inline code in a line or a table cell of Markdown."""
    plain = printable(" ".join(text.split()), "utf-8").replace("`", "'").replace("|", "¦")
    return f"`{plain}`" if plain else "–"


def _how(run: Run) -> str:
    if run.role == "teacher":
        return "fine-tuned to be a teacher"
    strategy = run.strategy or "none"
    dynamic = f"distilled by {code(strategy)}, after Li et al. (EMNLP 2021, arXiv 2109.11295)"
    return STRATEGIES.get(strategy, dynamic)


def _on_the_hub(name: str) -> bool:
    looks_so = HUB_ID.fullmatch(name) is not None and not name.endswith(FILES)
    return looks_so and not Path(name).exists()


def _named(source: str) -> str:
    """The name of a model or data set; for a local path only its last part, since the rest is private."""
    return code(source if source.startswith("pkg://") or _on_the_hub(source) else Path(source).name)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    return [line(head), line(["---"] * len(head)), *map(line, rows)]
