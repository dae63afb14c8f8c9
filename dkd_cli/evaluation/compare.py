"""Scores, times and compares the models of one contest. Prints nothing and writes nothing."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.encoding import PaddingCollator, encode
from dkd_cli.data.examples import Split, TaskData
from dkd_cli.engine.checkpoints import Run
from dkd_cli.engine.inference import predict_logits
from dkd_cli.engine.models import Model, check_fit, load_classifier
from dkd_cli.engine.precision import Compute, decide
from dkd_cli.evaluation.contests import Contest, Entrant
from dkd_cli.evaluation.fidelity import agreement, mean_kl, retention
from dkd_cli.evaluation.latency import Contestant, Speed, contestant, measure_speeds
from dkd_cli.evaluation.metrics import Metrics, task_metrics
from dkd_cli.recipe.schema import STRATEGIES, strategy_parts
from dkd_cli.recipe.sweeps import variant

Advance = Callable[..., None]
Shape = tuple[object, ...]


@dataclass(frozen=True)
class Answers:
    """What one model said, and what it is."""

    entrant: Entrant
    split: Split
    logits: NDArray[np.float32]
    """[N, C], in the order of the split and of the task's labels."""
    layers: int
    parameters: int
    truncated: int
    """Rows that lost tokens to max_length."""
    shape: Shape
    """Equal for models that cannot differ in speed."""
    compute: Compute


@dataclass(frozen=True)
class Result:
    """One row of the table."""

    answers: Answers
    metrics: Metrics
    speed: Speed
    teacher: str | None
    """The label of the model that it is measured against."""
    retention: float | None = None
    agreement: float | None = None
    kl: float | None = None
    """Nats; None for regression."""
    latency_speedup: float | None = None
    throughput_speedup: float | None = None


@dataclass(frozen=True)
class SeedSummary:
    """One strategy's score over its seeds."""

    strategy: str
    recipe: str
    seeds: tuple[int, ...]
    mean: float
    sd: float | None
    """Of the sample; None for a single seed."""


def answer(entrant: Entrant, data: TaskData, split: Split, advance: Advance) -> tuple[Answers, Contestant]:
    """Load one model and let it predict every row of a split; the model itself goes with the second part.

    Raises:
        ModelError: for a model that does not fit the task.
        NumericError: for predictions that are not finite.
    """
    folder, recipe = entrant.folder, entrant.recipe
    loaded = load_classifier(folder.source, data, labels=folder.labels, key=folder.label)
    encoded = encode(split, loaded.tokenizer, recipe.data.max_length)
    check_fit(loaded.model, [encoded], recipe.data.max_length, folder.label)
    collator, compute = PaddingCollator(loaded.tokenizer), decide(recipe.train.precision)
    batch_size = recipe.train.eval_batch_size
    logits = predict_logits(
        loaded.model,
        encoded,
        collator,
        batch_size=batch_size,
        precision=recipe.train.precision,
        advance=advance,
    )
    timed = contestant(loaded.model, compute, encoded, collator, batch_size)
    answers = Answers(
        entrant=entrant,
        split=split,
        logits=logits.numpy(),
        layers=int(loaded.model.config.num_hidden_layers),
        parameters=sum(parameter.numel() for parameter in loaded.model.parameters()),
        truncated=encoded.truncated,
        shape=(_shape(loaded.model), compute.name, batch_size, tuple(encoded.lengths)),
        compute=compute,
    )
    return answers, timed


def answer_all(contest: Contest, advance: Advance) -> tuple[list[Answers], dict[Shape, Contestant]]:
    """Let every model of a contest answer; keep one model of each shape, to be timed."""
    said: list[Answers] = []
    timed: dict[Shape, Contestant] = {}
    for entrant in contest.entrants:
        answers, candidate = answer(entrant, contest.data, contest.split, advance)
        # a model of a known shape is let go: a sweep of many students must fit into memory
        timed.setdefault(answers.shape, candidate)
        said.append(answers)
    return said, timed


def compare(contest: Contest, said: Sequence[Answers], timed: dict[Shape, Contestant]) -> list[Result]:
    """Time and score what answered, each beside its teacher, in the order of the table.

    A student is measured against its own teacher; a teacher, and a model that names none, against the
    largest teacher here.
    """
    speeds = dict(zip(timed, measure_speeds(list(timed.values())), strict=True))
    by_source = {answers.entrant.folder.source: answers for answers in said}
    largest = _largest_teacher(said, contest)
    results = []
    for answers in said:
        source, run = answers.entrant.folder.source, answers.entrant.folder.run
        teacher: Answers | None = None
        if source in contest.teachers:
            teacher = by_source[contest.teachers[source]]
        elif (run is None or run.teacher is None) and largest is not answers:
            teacher = largest
        results.append(_result(contest, answers, teacher, speeds))
    return sorted(results, key=_order)


def summarise_seeds(results: Sequence[Result], metric: str) -> list[SeedSummary]:
    """Each strategy's mean and standard deviation over its seeds; nothing where no strategy has several."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        run = result.answers.entrant.folder.run
        if run is not None and run.role == "student" and result.metrics[metric] is not None:
            # the same settings but for the seed
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
    """`dynamic-data`, or `dynamic-data, ratio=0.1` where the ratio was swept."""
    swept = variant(run.recipe, lambda key: key not in ("strategy.name", "train.seed"))
    return ", ".join(filter(None, (run.strategy, swept)))


def _result(contest: Contest, own: Answers, teacher: Answers | None, speeds: dict[Shape, Speed]) -> Result:
    task, labels = contest.data.task, contest.split.labels
    assert labels is not None, "a contest is about labelled rows"
    metrics, speed = task_metrics(task, own.logits, labels), speeds[own.shape]
    if teacher is None:
        return Result(own, metrics, speed, None)
    first, theirs = task.metrics[0], speeds[teacher.shape]
    return Result(
        own,
        metrics,
        speed,
        teacher.entrant.folder.label,
        retention=retention(metrics[first], task_metrics(task, teacher.logits, labels)[first]),
        agreement=agreement(own.logits, teacher.logits, task.kind),
        kl=mean_kl(own.logits, teacher.logits) if task.kind == "classification" else None,
        latency_speedup=theirs.median_ms / speed.median_ms,
        throughput_speedup=speed.examples_per_second / theirs.examples_per_second,
    )


def _largest_teacher(said: Sequence[Answers], contest: Contest) -> Answers | None:
    teachers = [answers for answers in said if contest.role(answers.entrant) == "teacher"]
    return max(teachers, key=lambda answers: answers.parameters, default=None)


def _order(result: Result) -> tuple[object, ...]:
    folder = result.answers.entrant.folder
    if folder.run is None or folder.run.role != "student":
        return 0, -result.answers.parameters, folder.label
    parts = strategy_parts(folder.run.strategy or "none")
    return 1, len(parts), tuple(STRATEGIES.index(part) for part in parts), folder.run.seed, folder.label


def _shape(model: Model) -> Shape:
    sizes = tuple((name, tuple(parameter.shape)) for name, parameter in model.named_parameters())
    return type(model).__name__, getattr(model.config, "num_attention_heads", None), sizes
