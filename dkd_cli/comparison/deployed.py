"""Contenders as they would be deployed: the teacher and the best student of each strategy as int8 exports.

Every export passes the gates of `dkd export`. Knows nothing about significance.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dkd_cli.comparison.results import BestSetting
from dkd_cli.comparison.runs import Comparison
from dkd_cli.comparison.tables import TableParts
from dkd_cli.data.encoding import PaddingCollator, encode
from dkd_cli.data.metric_names import merit
from dkd_cli.engine.deploy.load import load_predictor
from dkd_cli.engine.models.exported_model import load_answering
from dkd_cli.engine.models.inference import predict_logits
from dkd_cli.engine.runs.checkpoints import teacher_source
from dkd_cli.errors import ModelError, SystemProblem
from dkd_cli.evaluation.gates import Gates
from dkd_cli.evaluation.known_cuts import cuts_in
from dkd_cli.evaluation.metrics import task_metrics
from dkd_cli.evaluation.text_latency import measure_text_latency
from dkd_cli.pipeline.exporting import WantedExport, export_model, read_source
from dkd_cli.report.tables import Column
from dkd_cli.report.terminal import Terminal

WANTED = WantedExport("onnx", "int8", Gates(tolerance=1e-4, max_loss=1.0))
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Deployed:
    """One model as an int8 export."""

    name: str
    """`teacher`, or the strategy."""
    folder: str
    score: float | None
    """The deciding metric on the reported split."""
    megabytes: float
    milliseconds: float
    """For one text on one thread, tokenisation included."""


def check_packages() -> None:
    """Refuse to begin without what exports need.

    Raises:
        SystemProblem: names the missing package.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise SystemProblem(package, "is not installed", "pip install 'dkd-cli[onnx]'")


def deploy(plan: Comparison, chosen: Sequence[BestSetting], terminal: Terminal) -> list[Deployed]:
    """Export, score and time the teacher and the best student of each strategy, by the validation split.

    A model whose export fails a gate is named and left out.
    """
    metric = plan.chosen_by
    sources = [] if plan.teacher is None else [("teacher", teacher_source(plan.base, plan.teacher))]
    for one in chosen:
        if one.candidate is not None:
            ranked = zip(one.runs, one.candidate.points, strict=True)
            best = max(ranked, key=lambda pair: merit(metric, pair[0].validation[metric]))
            sources.append((one.entry.name, str(best[1].folder)))
    made = []
    for name, source in sources:
        try:
            folder, facts, _ = export_model(read_source(source, plan.base), WANTED, None, terminal)
        except ModelError as error:
            terminal.warn(str(error))
            continue
        made.append((name, folder, facts.bytes / 1e6))
    speeds = measure_text_latency([load_predictor(str(folder)) for _, folder, _ in made], plan.reported)
    return [
        Deployed(name, str(folder), _score(plan, folder), size, speed.median_ms)
        for (name, folder, size), speed in zip(made, speeds, strict=True)
    ]


def _score(plan: Comparison, folder: Path) -> float | None:
    task, labels = plan.data.task, plan.reported.labels
    assert labels is not None, "scores are reported on labelled rows"
    loaded = load_answering(str(folder), plan.data)
    logits = predict_logits(
        loaded.model,
        encode(plan.reported, loaded.tokenizer, plan.base.data.max_length),
        PaddingCollator(loaded.tokenizer),
        batch_size=plan.base.train.eval_batch_size,
        precision="fp32",
    ).numpy()
    cuts = cuts_in(folder, plan.data.label_names or ())
    return task_metrics(task, logits, labels, cuts)[task.metrics[0]]


def deployed_table(plan: Comparison, made: Sequence[Deployed]) -> TableParts:
    """Score, size and speed of each export."""
    return TableParts(
        f"as int8 exports: {len(plan.reported)} examples of {plan.reported.name}",
        ["model", Column(plan.data.task.metrics[0], 4), Column("size", 1, " MB"), Column("a text", 2, " ms")],
        [[one.name, one.score, one.megabytes, one.milliseconds] for one in made],
        ["one text at a time on one thread; of each strategy the best student on the validation split"],
    )


def deployment_verdict(metric: str, made: Sequence[Deployed]) -> str | None:
    """Say what the exports have to say about distillation; None without a teacher or students to compare.

    >>> made = [Deployed("teacher", "", 0.9, 24.0, 2.0), Deployed("static", "", 0.8, 25.0, 3.0)]
    >>> deployment_verdict("accuracy", made)
    'as int8 the teacher is as good, as small and as fast as every student: deploy it'
    """
    scored = [(one, merit(metric, one.score)) for one in made if one.score is not None]
    teacher = next(((one, worth) for one, worth in scored if one.name == "teacher"), None)
    students = [pair for pair in scored if pair[0].name != "teacher"]
    if teacher is None or not students:
        return None
    if all(
        teacher[1] >= worth
        and teacher[0].megabytes <= one.megabytes
        and teacher[0].milliseconds <= one.milliseconds
        for one, worth in students
    ):
        return "as int8 the teacher is as good, as small and as fast as every student: deploy it"
    best = max(students, key=lambda pair: pair[1])[0]
    gain = f"{metric} {best.score:.4f} against {teacher[0].score:.4f}"
    size = f"{best.megabytes:.1f} of {teacher[0].megabytes:.1f} MB"
    time = f"{best.milliseconds:.2f} of {teacher[0].milliseconds:.2f} ms a text"
    return f"as int8 the best student ({best.name}) has {gain} of the teacher, {size} and {time}"
