"""Running the points of a sweep: each is tried, what fails is shown and never averaged away.

Knows neither teachers nor students: a point is a name and something that makes a run.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dkd_cli import launch
from dkd_cli.data.examples import TaskData
from dkd_cli.data.metric_names import OF_ONE_CLASS, merit, positive_note
from dkd_cli.engine.runs.checkpoints import Run
from dkd_cli.errors import Busy, DkdError, Problems, raise_all
from dkd_cli.evaluation.metrics import Baseline, baseline
from dkd_cli.files import write_json
from dkd_cli.recipe.schema import Data, Recipe
from dkd_cli.recipe.sweeps import swept_value
from dkd_cli.report.tables import Column
from dkd_cli.report.terminal import Terminal, duration


class Point(Protocol):
    """One run to be made: a teacher's or a student's."""

    @property
    def folder(self) -> Path:
        """Folder of the run."""

    @property
    def recipe(self) -> Recipe:
        """With one value of each swept key."""

    @property
    def seed(self) -> int:
        """The random seed."""


AnyPoint = TypeVar("AnyPoint", bound=Point)


@dataclass(frozen=True)
class Outcome:
    """Outcome of a point: a run or an error."""

    point: Point
    run: Run | None
    error: DkdError | None


@dataclass(frozen=True)
class Mean:
    """The points that differ in nothing but the seed."""

    label: str
    seeds: tuple[int, ...]
    failed: int
    mean: float | None
    """None where a seed failed: the others would flatter it."""
    sd: float | None
    """Of the sample; None for a single seed."""


def run_points(
    points: Sequence[AnyPoint], make: Callable[[AnyPoint], Run], terminal: Terminal
) -> list[Outcome]:
    """Make every run; of several, one that fails is reported at once and the others continue."""
    if len(points) == 1:
        return [Outcome(points[0], make(points[0]), None)]
    outcomes = []
    for number, point in enumerate(points, start=1):
        terminal.say(f"{number} of {len(points)}: {point.folder.name}")
        outcomes.append(attempt(point, make, terminal))
    return outcomes


def attempt(point: AnyPoint, make: Callable[[AnyPoint], Run], terminal: Terminal) -> Outcome:
    """Make one run of several; a failure is reported at once and stops nothing.

    Where several processes make each run, one that fails alone cannot go on: the others wait for it.
    """
    try:
        return Outcome(point, make(point), None)
    except (DkdError, Problems) as problem:
        if launch.processes() > 1 and not problem.everywhere:
            raise
        error = problem.errors[0] if isinstance(problem, Problems) else problem
        if isinstance(error, Busy):
            # Its error comes at the end, once; until then the others are made.
            terminal.say(f"{point.folder.name} is left to the other process that is at work on it")
        else:
            terminal.warn(f"{point.folder.name} failed: {error}")
        return Outcome(point, None, error)


def report(
    title: str,
    outcomes: Sequence[Outcome],
    file: Path,
    data: Callable[[Recipe], TaskData],
    terminal: Terminal,
) -> None:
    """Print a line for each run, the constant answer and the means over seeds; write all of it to `file`.

    Args:
        title: of the table.
        outcomes: one of them at least made a run.
        file: for the JSON.
        data: reads a recipe's texts and labels, or has read them.
        terminal: for the tables.
    """
    raise_failures(outcomes, all_of_them=True)
    if not launch.leads():
        return
    constants = baselines(outcomes, data, terminal)
    metrics = metric_names(outcomes)
    columns: list[Column | str] = [
        "model",
        *(Column(f"validation {name}", 4) for name in metrics),
        "time",
    ]
    rows: list[list[object]] = [
        [
            outcome.point.folder.name,
            *(outcome.run.validation.get(name) if outcome.run else None for name in metrics),
            duration(outcome.run.seconds) if outcome.run else "failed",
        ]
        for outcome in outcomes
    ]
    different: list[Baseline] = []
    for constant in constants.values():
        if constant is not None and constant not in different:
            different.append(constant)
    rows += [[one.name, *(one.metrics.get(name) for name in metrics), None] for one in different]
    notes = [*positive_notes(outcomes, metrics, data), *no_better(outcomes, constants)]
    terminal.table(title, columns, rows, notes)
    for run in (outcome.run for outcome in outcomes if outcome.run is not None):
        if run.predicts is not None:
            terminal.warn(
                f"{run.name} learnt nothing: it predicts {run.predicts!r} for every row; "
                "raise train.learning_rate or train.epochs"
            )
    means = {name: over_seeds(outcomes, name) for name in metrics}
    first = means[metrics[0]]
    if any(len(mean.seeds) > 1 for mean in first):
        headings: list[Column | str] = ["over seeds", "seeds"]
        lines: list[list[object]] = [
            [mean.label, f"{len(mean.seeds)}, {mean.failed} failed" if mean.failed else str(len(mean.seeds))]
            for mean in first
        ]
        for name in metrics:
            headings += [Column(name, 4), Column("± sd", 4)]
            for line, mean in zip(lines, means[name], strict=True):
                line += [mean.mean, mean.sd]
        notes = ["not averaged where a seed failed"] if any(mean.failed for mean in first) else []
        terminal.table("mean ± standard deviation on validation", headings, lines, notes)
    write_json(file, {"points": [as_json(one, constants) for one in outcomes], "means": figures(means)})


def raise_failures(outcomes: Sequence[Outcome], all_of_them: bool = False) -> None:
    """Raise what the failed points said, each thing once; with `all_of_them` only if no point succeeded."""
    if all_of_them and any(outcome.run is not None for outcome in outcomes):
        return
    errors = {str(outcome.error): outcome.error for outcome in outcomes if outcome.error is not None}
    raise_all(list(errors.values()))


def baselines(
    outcomes: Sequence[Outcome], data: Callable[[Recipe], TaskData], terminal: Terminal
) -> dict[Data, Baseline | None]:
    """The constant answer on the validation split of everything that a run was made on."""
    found: dict[Data, Baseline | None] = {}
    for recipe in (outcome.point.recipe for outcome in outcomes if outcome.run is not None):
        if recipe.data not in found:
            try:
                loaded = data(recipe)
                found[recipe.data] = baseline(loaded, loaded.splits["validation"])
            except (DkdError, Problems) as problem:
                # Of runs that were complete before: their texts may be gone since.
                terminal.warn(f"without the baseline: {problem}")
                found[recipe.data] = None
    return found


def metric_names(outcomes: Sequence[Outcome]) -> list[str]:
    """The metrics of all runs, of whatever tasks; the loss is left out where it decides nothing."""
    runs = [outcome.run for outcome in outcomes if outcome.run is not None]
    names = dict.fromkeys(name for run in runs for name in run.validation)
    return [name for name in names if name != "loss" or any(run.recipe.train.metric == name for run in runs)]


def no_better(outcomes: Sequence[Outcome], constants: Mapping[Data, Baseline | None]) -> list[str]:
    """A line on each model that the constant prediction equals or beats by the metric that decides."""
    lines = []
    for run in (outcome.run for outcome in outcomes if outcome.run is not None):
        constant = constants.get(run.recipe.data)
        if constant is None or run.predicts is not None:
            continue
        metric = run.recipe.train.metric or next(iter(constant.metrics))
        own, other = run.validation.get(metric), constant.metrics.get(metric)
        if own is not None and other is not None and merit(metric, own) <= merit(metric, other):
            lines.append(
                f"beware: {run.name} is no better than {constant.name!r} ({metric} {own:.4f} and {other:.4f})"
            )
    return lines


def positive_notes(
    outcomes: Sequence[Outcome], metrics: Sequence[str], data: Callable[[Recipe], TaskData]
) -> list[str]:
    """The class that some of the metrics are of, a line for each task."""
    if not set(metrics) & set(OF_ONE_CLASS):
        return []
    loaded = [data(outcome.point.recipe) for outcome in outcomes if outcome.run is not None]
    return list(dict.fromkeys(note for one in loaded if (note := positive_note(one, metrics)) is not None))


def over_seeds(outcomes: Sequence[Outcome], metric: str) -> list[Mean]:
    """One line for each group of points that differ in the seed alone, in the order of the first of them."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(but_for_seed(outcome.point), []).append(outcome)
    means = []
    for label, group in groups.items():
        runs = [outcome.run for outcome in group if outcome.run is not None]
        values = [run.validation[metric] for run in runs if metric in run.validation]
        whole = len(values) == len(group)
        means.append(
            Mean(
                label=label,
                seeds=tuple(outcome.point.seed for outcome in group),
                failed=len(group) - len(runs),
                mean=statistics.mean(values) if whole else None,
                sd=statistics.stdev(values) if whole and len(values) > 1 else None,
            )
        )
    return means


def but_for_seed(point: Point) -> str:
    """Name of a group of points: the folder's name without its seed."""
    return point.folder.name.removesuffix(f"-seed{point.seed}")


def as_json(outcome: Outcome, constants: Mapping[Data, Baseline | None]) -> dict[str, Any]:
    """One point as plain values, with the constant answer to its data."""
    point, run = outcome.point, outcome.run
    constant = constants.get(point.recipe.data)
    return {
        "folder": str(point.folder),
        "seed": point.seed,
        "sweep": {key: swept_value(point.recipe, key) for key in point.recipe.sweep},
        "failed": None if outcome.error is None else str(outcome.error),
        "validation": None if run is None else dict(run.validation),
        "seconds": None if run is None else run.seconds,
        "baseline": None if constant is None else asdict(constant),
    }


def figures(means: dict[str, list[Mean]]) -> list[dict[str, Any]]:
    """The means of all metrics as plain values."""
    return [
        {
            "label": mean.label,
            "seeds": list(mean.seeds),
            "failed": mean.failed,
            "metric": metric,
            "mean": mean.mean,
            "sd": mean.sd,
        }
        for metric, group in means.items()
        for mean in group
    ]
