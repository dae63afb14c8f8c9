"""Scoring, timing and comparison of the models of one contest. Prints and writes nothing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator, encode
from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.metric_names import merit
from dkd_cli.data.output_math import centred
from dkd_cli.engine.cache.fingerprint import architecture
from dkd_cli.engine.deploy.load import load_predictor
from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.models.exported_model import ExportedClassifier, load_answering
from dkd_cli.engine.models.inference import compute_for, predict_logits
from dkd_cli.engine.models.models import Model, check_fit
from dkd_cli.engine.runs.checkpoints import Run
from dkd_cli.evaluation.contests import Contest, Entrant
from dkd_cli.evaluation.cost import Cost, cost_of
from dkd_cli.evaluation.details import (
    Details,
    Said,
    differences,
    fit_said,
    own_details,
    student_before_teacher,
)
from dkd_cli.evaluation.fidelity import agreement, mean_kl, retention
from dkd_cli.evaluation.known_cuts import find_cuts
from dkd_cli.evaluation.latency import Contestant, Speed, contestant, measure_speeds
from dkd_cli.evaluation.metrics import Metrics, task_metrics
from dkd_cli.evaluation.pareto import pareto_front
from dkd_cli.evaluation.speed_grid import SpeedGrid, measure_grid
from dkd_cli.evaluation.text_latency import TextLatency, measure_text_latency
from dkd_cli.recipe.schema import STRATEGIES, strategy_parts
from dkd_cli.recipe.sweeps import variant

Advance = Callable[..., None]
Shape = tuple[object, ...]


@dataclass(frozen=True)
class Predictions:
    """Predictions of one model, with its facts."""

    entrant: Entrant
    split: Split
    said: Said
    """In the order of the rows and of the task's labels."""
    layers: int
    parameters: int
    format: str
    """The runtime and number format: `torch bf16`, `onnx int8`."""
    truncated: int
    """Rows truncated to max_length."""
    shape: Shape
    """Equal for models that cannot differ in speed."""
    compute: Compute


@dataclass(frozen=True)
class Result:
    """A row of the table."""

    answers: Predictions
    metrics: Metrics
    chosen_by: float | None
    """The main metric on the rows that select the best student: validation, or else the scored rows."""
    details: Details
    timing: Timing | None
    """None if nothing was timed."""
    teacher: str | None = None
    """The label of its reference model."""
    retention: float | None = None
    agreement: float | None = None
    kl: float | None = None
    """Nats; None for regression."""
    latency_speedup: float | None = None
    throughput_speedup: float | None = None


@dataclass(frozen=True)
class Timing:
    """Speed and cost of one shape of model."""

    speed: Speed
    grid: SpeedGrid
    cost: Cost | None
    text: TextLatency | None = None
    """From a text to its logits; None if it was not measured."""


@dataclass(frozen=True)
class SeedSummary:
    """Scores of one strategy over its seeds."""

    strategy: str
    recipe: str
    seeds: tuple[int, ...]
    mean: float
    sd: float | None
    """The sample standard deviation; None for a single seed."""


def answer(
    entrant: Entrant, data: TaskData, split: Split, validation: Split | None, advance: Advance
) -> tuple[Predictions, Contestant]:
    """Load one model and let it predict every row of both splits; the model itself goes with the second part.

    Raises:
        ModelError: for a model that does not fit the task.
        NumericError: for predictions that are not finite.
    """
    folder, recipe = entrant.folder, entrant.recipe
    loaded = load_answering(folder.source, data, labels=folder.labels, key=folder.label)
    encoded = encode(split, loaded.tokenizer, recipe.data.max_length)
    check_fit(loaded.model, [encoded], recipe.data.max_length, folder.label)
    collator, compute = PaddingCollator(loaded.tokenizer), compute_for(loaded.model, recipe.train.precision)
    batch_size = recipe.train.eval_batch_size

    def predict(rows: EncodedSplit) -> NDArray[np.float32]:
        logits = predict_logits(
            loaded.model,
            rows,
            collator,
            batch_size=batch_size,
            precision=recipe.train.precision,
            advance=advance,
        )
        return logits.numpy()

    scored, fitting = predict(encoded), None
    if validation is split:
        fitting = scored
    elif validation is not None:
        fitting = predict(encode(validation, loaded.tokenizer, recipe.data.max_length))
    timed = contestant(loaded.model, compute, encoded, collator, batch_size, recipe.data.max_length)
    answers = Predictions(
        entrant=entrant,
        split=split,
        said=Said(scored, fitting),
        layers=int(loaded.model.config.num_hidden_layers),
        parameters=_parameters(loaded.model),
        format=_format(loaded.model, compute),
        truncated=encoded.truncated,
        shape=(_shape(loaded.model), compute.name, batch_size, tuple(encoded.lengths)),
        compute=compute,
    )
    return answers, timed


def answer_all(contest: Contest, advance: Advance) -> tuple[list[Predictions], dict[Shape, Contestant]]:
    """Let every model of a contest answer; keep one model of each shape, to be timed."""
    said: list[Predictions] = []
    timed: dict[Shape, Contestant] = {}
    for entrant in contest.entrants:
        answers, candidate = answer(entrant, contest.data, contest.split, contest.validation, advance)
        # a model of a known shape is let go: a sweep of many students must fit into memory
        timed.setdefault(answers.shape, candidate)
        said.append(answers)
    return said, timed


def measure(timed: dict[Shape, Contestant], said: Sequence[Predictions], split: Split) -> dict[Shape, Timing]:
    """Measure speed and cost of every shape; from texts, on the first model of each."""
    contestants = list(timed.values())
    speeds, grids = measure_speeds(contestants), measure_grid(contestants)
    costs = [cost_of(one) for one in contestants]
    sources = {one.shape: one.entrant.folder.source for one in reversed(said)}
    # Loaded a second time, as `dkd predict` loads it: a static student computes with NumPy there.
    texts = measure_text_latency([load_predictor(sources[shape], threads=1) for shape in timed], split)
    return {
        shape: Timing(speed, grid, cost, text)
        for shape, speed, grid, cost, text in zip(timed, speeds, grids, costs, texts, strict=True)
    }


def compare(contest: Contest, said: Sequence[Predictions], timings: dict[Shape, Timing]) -> list[Result]:
    """Score what answered, each beside its teacher, in the order of the table.

    A student's reference is its own teacher; for a teacher, and for a model that names none, it is the
    largest teacher here.

    Args:
        contest: the rows and who teaches whom.
        said: the predictions of all models.
        timings: by shape; empty if nothing was timed.
    """
    said = [replace(one, said=_at_thresholds(contest, one)) for one in said]
    largest = _largest_teacher(said, contest)
    alone = {answers.entrant.folder.source: _scored(contest, answers, timings) for answers in said}
    results = []
    for source, result in alone.items():
        run = result.answers.entrant.folder.run
        teacher: Result | None = None
        if source in contest.teachers:
            teacher = alone[contest.teachers[source]]
        elif (run is None or run.teacher is None) and largest is not result.answers and largest is not None:
            teacher = alone[largest.entrant.folder.source]
        results.append(result if teacher is None else _beside(contest, result, teacher))
    return sorted(results, key=_order)


def best_student(results: Sequence[Result], contest: Contest) -> Result | None:
    """The student with the best main metric on the rows that select; the smaller one of equals.

    Exports are copies of their students and are excluded.
    """
    main = contest.data.task.metrics[0]
    students = [
        one
        for one in results
        if contest.role(one.answers.entrant) == "student" and one.answers.entrant.folder.export is None
    ]
    scored = [
        (merit(main, one.chosen_by), -one.answers.parameters, one)
        for one in students
        if one.chosen_by is not None
    ]
    return max(scored, key=lambda entry: entry[:2])[2] if scored else None


def on_the_front(results: Sequence[Result], metric: str) -> list[bool]:
    """For each model, whether no other is at least as good, as small and as fast at once.

    Size is that of the weights on disk; speed counts if it was measured. A model without a score, or of
    unknown size, beats no other by it.
    """
    costs = []
    for one in results:
        size = one.answers.entrant.folder.weights_mb
        latency = one.timing.speed.median_ms if one.timing else 0.0
        score = one.metrics[metric]
        costs.append(
            (
                math.inf if score is None else -merit(metric, score),
                math.inf if size is None else size,
                latency,
            ),
        )
    return pareto_front(costs)


def summarise_seeds(results: Sequence[Result], metric: str) -> list[SeedSummary]:
    """Mean and standard deviation of each strategy over its seeds; empty if no strategy has several."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        run = result.answers.entrant.folder.run
        # an export is a copy of its student
        own = result.answers.entrant.folder.export is None
        if run is not None and own and run.role == "student" and result.metrics[metric] is not None:
            # the same settings except for the seed
            unseeded = replace(run.recipe.train, seed=0)
            setting = replace(run.recipe, train=unseeded, output_dir="-", sweep={})
            groups.setdefault(repr(setting), []).append(result)
    if all(len(group) < 2 for group in groups.values()):
        return []
    summaries = []
    for group in groups.values():
        runs = [result.answers.entrant.folder.run for result in group]
        scores = [score for result in group if (score := result.metrics[metric]) is not None]
        summaries.append(
            SeedSummary(
                strategy=next(_strategy_and_values(run) for run in runs if run),
                recipe=next(run.recipe.name for run in runs if run),
                seeds=tuple(run.seed for run in runs if run),
                mean=statistics.mean(scores),
                sd=statistics.stdev(scores) if len(scores) > 1 else None,
            )
        )
    return summaries


def _strategy_and_values(run: Run) -> str:
    """`dynamic-data`, or `dynamic-data, ratio=0.1` if the ratio was swept."""
    swept = variant(run.recipe, lambda key: key not in ("strategy.name", "train.seed"))
    return ", ".join(filter(None, (run.strategy, swept)))


def _at_thresholds(contest: Contest, own: Predictions) -> Said:
    """Temperature and thresholds fitted on validation; without labels there, the thresholds of the folder."""
    said = fit_said(contest.data, contest.validation, own.said)
    if said.fitted is not None:
        return said
    data, folder = contest.data, own.entrant.folder.path
    return replace(said, cuts=find_cuts(folder, data.task.kind, data.label_names or ()).cuts)


def _scored(contest: Contest, own: Predictions, timings: dict[Shape, Timing]) -> Result:
    task, labels, validation = contest.data.task, contest.split.labels, contest.validation
    assert labels is not None, "a contest is about labelled rows"
    metrics = task_metrics(task, own.said.scored, labels, own.said.cuts)
    chosen_by = metrics
    if validation is not None and own.said.validation is not None:
        chosen_by = task_metrics(task, own.said.validation, validation.labels or (), own.said.cuts)
    return Result(
        own,
        metrics,
        chosen_by[task.metrics[0]],
        own_details(contest.data, contest.split, own.said),
        timings.get(own.shape),
    )


def _beside(contest: Contest, own: Result, teacher: Result) -> Result:
    task, split = contest.data.task, contest.split
    main, said, told = task.metrics[0], own.answers.said, teacher.answers.said
    details = replace(own.details, disagreements=differences(split, said, told, task.kind))
    if contest.role(own.answers.entrant) == "student":
        details = replace(
            details,
            cascade=student_before_teacher(contest.data, split, contest.validation, said, told),
        )
    compared = replace(
        own,
        details=details,
        teacher=teacher.answers.entrant.folder.label,
        retention=retention(main, own.metrics[main], teacher.metrics[main]),
        agreement=agreement(centred(said.scored, said.cuts), centred(told.scored, told.cuts), task.kind),
        kl=mean_kl(said.scored, told.scored, task.kind),
    )
    if own.timing is None or teacher.timing is None:
        return compared
    speed, theirs = own.timing.speed, teacher.timing.speed
    return replace(
        compared,
        latency_speedup=theirs.median_ms / speed.median_ms,
        throughput_speedup=speed.examples_per_second / theirs.examples_per_second,
    )


def _largest_teacher(said: Sequence[Predictions], contest: Contest) -> Predictions | None:
    teachers = [
        answers
        for answers in said
        if contest.role(answers.entrant) == "teacher" and answers.entrant.folder.export is None
    ]
    return max(teachers, key=lambda answers: answers.parameters, default=None)


def _order(result: Result) -> tuple[object, ...]:
    folder = result.answers.entrant.folder
    if folder.run is None or folder.run.role != "student":
        return 0, -result.answers.parameters, folder.label
    parts = strategy_parts(folder.run.strategy or "none")
    return 1, len(parts), tuple(STRATEGIES.index(part) for part in parts), folder.run.seed, folder.label


def _parameters(model: Model) -> int:
    if isinstance(model, ExportedClassifier):
        return model.graph.parameters
    return sum(parameter.numel() for parameter in model.parameters())


def _format(model: Model, compute: Compute) -> str:
    if isinstance(model, ExportedClassifier):
        return f"{model.format} {model.graph.width}"
    return f"torch {getattr(model, 'precision', compute.name)}"


def _shape(model: Model) -> Shape:
    if isinstance(model, ExportedClassifier):
        return model.format, model.graph.width, architecture(model.config)
    sizes = tuple((name, tuple(parameter.shape)) for name, parameter in model.named_parameters())
    return type(model).__name__, getattr(model.config, "num_attention_heads", None), sizes
