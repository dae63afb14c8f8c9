"""Results of a comparison from predictions: scores, differences, costs and verdict, also as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkd_cli.comparison.runs import Candidate, ComparedStrategy, Comparison
from dkd_cli.data.metric_names import LOWER_IS_BETTER, merit
from dkd_cli.data.output_math import Floats, centred
from dkd_cli.engine.cache.fingerprint import weight_files
from dkd_cli.engine.runs.checkpoints import Run, teacher_source
from dkd_cli.evaluation.figures import machine
from dkd_cli.evaluation.metrics import Metrics, baseline, compared, predicted, score, task_metrics
from dkd_cli.evaluation.outputs import SCORED
from dkd_cli.evaluation.resampling import resampled_scores
from dkd_cli.evaluation.significance import LEVEL, RESAMPLES, Difference, holm, paired_difference
from dkd_cli.evaluation.verdict import Context, Standing, best_on_validation, preferred, tells, verdict
from dkd_cli.pipeline.predictions import Logits, digest
from dkd_cli.recipe.contenders import CONTROLS, LABELLED, REFERENCES
from dkd_cli.recipe.schema import Value
from dkd_cli.recipe.student_kinds import student_train

NO_CUTS: Mapping[str, Floats] = MappingProxyType({})
Settings = Mapping[str, Value]


@dataclass(frozen=True)
class BestSetting:
    """A strategy with the setting that was best on the validation split."""

    entry: ComparedStrategy
    candidate: Candidate | None
    """None if every setting has a failed run."""
    runs: tuple[Run, ...]
    """Runs by seed."""
    validation: float | None
    """The mean over seeds."""
    tried: Sequence[tuple[Settings, float]]
    """Every setting and its mean."""


@dataclass(frozen=True)
class RunCost:
    """Cost of one run of a strategy, the mean over seeds; None where a run failed."""

    teacher_rows: float | None = None
    """Texts queried from teachers, whether for this run or for an earlier one that cached them."""
    backward_rows: float | None = None
    """Rows trained on, repeats counted."""
    seconds: float | None = None


@dataclass(frozen=True)
class Row:
    """One strategy of the result."""

    standing: Standing
    settings: Settings
    cost: RunCost
    tried: Sequence[tuple[Settings, float]]
    seeds: tuple[int, ...]
    metrics: tuple[Metrics, ...]
    """All metrics on the reported split, by seed."""
    folders: tuple[str, ...]
    digests: tuple[str, ...]
    """Of the predictions on the reported split."""
    validations: tuple[Mapping[str, float], ...]


@dataclass(frozen=True)
class ComparisonResult:
    """Results of a comparison."""

    rows: tuple[Row, ...]
    teacher: float | None
    """The largest teacher's score on the reported split."""
    verdict: tuple[str, ...]
    notes: tuple[str, ...]


def settle(
    plan: Comparison,
    chosen: Sequence[BestSetting],
    said: Mapping[Path, Logits],
    teacher_said: Logits | None,
    cuts: Mapping[str, Floats] = NO_CUTS,
) -> ComparisonResult:
    """Score the answers, compare the strategies and say what it means.

    Args:
        plan: the comparison.
        chosen: the strategies.
        said: the logits of each student, by its folder.
        teacher_said: those of the reference teacher.
        cuts: of models that have thresholds, by folder: the logits above which labels are predicted.
    """
    task, labels = plan.data.task, plan.reported.labels
    assert labels is not None, "scores are reported on labelled rows"
    main = task.metrics[0]
    rows = [_row(plan, one, said, cuts) for one in chosen]
    scored = [row for row in rows if row.standing.scores]
    read = [
        compared(main, task, said[Path(folder)], labels, cuts.get(folder))
        for row in scored
        for folder in row.folders
    ]
    sign = merit(main, 1.0)
    again = sign * _resampled(main, read)
    by_name: dict[str, NDArray[np.float64]] = {}
    for row in scored:
        by_name[row.standing.name], again = again[:, : len(row.seeds)], again[:, len(row.seeds) :]
    merits = {row.standing.name: [sign * score for score in row.standing.scores] for row in scored}
    against = _differences(merits, by_name)
    rows = [
        replace(row, standing=replace(row.standing, against=against.get(row.standing.name, {})))
        for row in rows
    ]
    own = None if plan.teacher is None else cuts.get(teacher_source(plan.base, plan.teacher))
    teacher = None if teacher_said is None else score(main, task, teacher_said, labels, own)
    decided = {folder: centred(logits, cuts.get(str(folder))) for folder, logits in said.items()}
    told = None if teacher_said is None else centred(teacher_said, own)
    context = _context(plan, rows, decided, teacher, told)
    sentences = verdict([row.standing for row in rows], main, context)
    return ComparisonResult(tuple(rows), teacher, tuple(sentences), tuple(_notes(plan, chosen)))


def undecided(result: ComparisonResult, metric: str) -> bool:
    """Return whether an interval is so wide that the seeds say nothing; `metric` is the main one."""
    found = [one for row in result.rows for one in row.standing.against.values()]
    return not all(tells(difference, metric) for difference in found)


def to_ship(result: ComparisonResult, metric: str) -> Path | None:
    """The folder of the student that the verdict says to use, of its seeds the best on the validation split.

    Without a verdict the strategy is the best one there, and never a control; None: no strategy was finished.

    Args:
        result: of `settle`.
        metric: the one that chooses on the validation split.
    """
    rows = {row.standing.name: row for row in result.rows if row.folders and not row.standing.control}
    if not rows:
        return None
    named = preferred({name: row.standing for name, row in rows.items() if row.standing.scores})
    best = rows[named or best_on_validation([row.standing for row in rows.values()])]
    _, folder = max(
        zip(best.validations, best.folders, strict=True), key=lambda one: merit(metric, one[0][metric])
    )
    return Path(folder)


def _context(
    plan: Comparison,
    rows: Sequence[Row],
    said: Mapping[Path, Logits],
    teacher: float | None,
    teacher_said: Logits | None,
) -> Context:
    """Facts that the verdict names besides the differences."""
    constant, main = baseline(plan.data, plan.reported), plan.data.task.metrics[0]
    floor = None if constant is None else constant.metrics[main]
    names, labels, known = plan.data.label_names, plan.reported.labels or (), SCORED[plan.data.task.kind]
    lost: dict[str, list[str]] = {}
    if names is not None and known is not None and teacher_said is not None:
        theirs = known.classes(teacher_said, labels, names)
        for row in rows:
            ours = [known.classes(said[Path(folder)], labels, names) for folder in row.folders]
            lost[row.standing.name] = [
                one.label
                for place, one in enumerate(theirs)
                if one.f1 > 0 and ours and all(seed[place].f1 == 0 for seed in ours)
            ]
    return Context(
        teacher=teacher,
        baseline=None if constant is None or floor is None else (constant.name, floor),
        lost=lost,
        judge=plan.judge,
        hard=plan.hard,
        relative_size=_relative_size(plan, rows),
    )


def _relative_size(plan: Comparison, rows: Sequence[Row]) -> float | None:
    """The weights of the students, which are all of one shape, over the teacher's; None without a teacher."""
    folder = next((folder for row in rows for folder in row.folders), None)
    if folder is None or plan.teacher is None:
        return None
    sizes = [
        sum(file.stat().st_size for file in weight_files(source))
        for source in (folder, teacher_source(plan.base, plan.teacher))
    ]
    return sizes[0] / sizes[1] if sizes[1] else None


def _row(
    plan: Comparison, chosen: BestSetting, said: Mapping[Path, Logits], cuts: Mapping[str, Floats]
) -> Row:
    task, labels = plan.data.task, plan.reported.labels
    assert labels is not None, "scores are reported on labelled rows"
    points = chosen.candidate.points if chosen.candidate else ()
    folders = [point.folder for point in points]
    metrics = [task_metrics(task, said[folder], labels, cuts.get(str(folder))) for folder in folders]
    scores = [value for one in metrics if (value := one[task.metrics[0]]) is not None]
    # A student without a score (it says the same of every row) leaves its strategy without one.
    whole = tuple(scores) if len(scores) == len(folders) else ()
    return Row(
        standing=Standing(
            name=chosen.entry.name,
            scores=whole,
            chosen_by=chosen.validation,
            against={},
            control=chosen.entry.control,
            chosen_by_error=plan.chosen_by in LOWER_IS_BETTER,
        ),
        settings=chosen.candidate.settings if chosen.candidate else {},
        cost=_cost(folders, chosen.runs),
        tried=chosen.tried,
        seeds=tuple(point.seed for point in points),
        metrics=tuple(metrics),
        folders=tuple(map(str, folders)),
        digests=tuple(digest(predicted(task, said[folder], cuts.get(str(folder)))) for folder in folders),
        validations=tuple(run.validation for run in chosen.runs),
    )


def _cost(folders: Sequence[Path], runs: Sequence[Run]) -> RunCost:
    if not folders:
        return RunCost()
    logs = [json.loads((folder / "training.json").read_text(encoding="utf-8")) for folder in folders]
    asked = [sum(log["teacher_queries"].values()) + sum(log["teacher_hits"].values()) for log in logs]
    return RunCost(
        float(np.mean(asked)),
        float(np.mean([log["backward_rows"] for log in logs])),
        float(np.mean([run.seconds for run in runs])),
    )


def _resampled(metric: str, read: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> NDArray[np.float64]:
    if not read:
        return np.empty((RESAMPLES, 0))
    return resampled_scores(metric, np.stack([values for values, _ in read]), read[0][1], RESAMPLES)


def _differences(
    merits: Mapping[str, Sequence[float]], again: Mapping[str, NDArray[np.float64]]
) -> dict[str, dict[str, Difference]]:
    """Set each strategy against those it is compared with; p is corrected within what meets the same one."""
    found: dict[str, dict[str, Difference]] = {name: {} for name in merits}
    for other in (*REFERENCES, *CONTROLS):
        if other not in merits:
            continue
        ours = [name for name in merits if _meet(name, other)]
        family = [
            paired_difference(np.array(merits[name]), np.array(merits[other]), again[name], again[other])
            for name in ours
        ]
        corrected = holm([difference.p for difference in family])
        for name, difference, p in zip(ours, family, corrected, strict=True):
            found[name][other] = replace(difference, holm=p)
    return found


def _meet(name: str, other: str) -> bool:
    """References: all are compared with `none`, all but `none` with `static`, and the control with the
    strategy it controls."""
    if other in CONTROLS:
        return name == CONTROLS[other]
    if name == LABELLED and other == CONTROLS[LABELLED]:
        return False
    return name not in REFERENCES[: REFERENCES.index(other) + 1]


def _notes(plan: Comparison, chosen: Sequence[BestSetting]) -> list[str]:
    train = student_train(plan.base)
    length = f"{train.max_steps} updates" if train.max_steps else f"{train.epochs:g} epochs"
    lines = [
        f"equal budgets: each student sees {_rows(plan)} for {length}; texts queried, rows trained on "
        "and time are means over seeds; the first run that queries a teacher pays for its outputs"
    ]
    most = max(len(one.entry.candidates) for one in chosen)
    if most > 1:
        lines.append(
            f"settings: of up to {most} for each strategy the best by its mean over seeds on the validation "
            "split, on which nothing is reported"
        )
    return lines


def _rows(plan: Comparison) -> str:
    labelled = len(plan.data.splits["train"])
    if plan.data.transfer is None:
        return f"{labelled} examples"
    texts = len(plan.data.transfer)
    if plan.hard is not None:
        return f"{labelled + texts} texts"
    limits = {
        point.recipe.strategy.max_passes
        for entry in plan.entries
        for point in entry.points
        if not point.takes_transfer
    }
    last = max((one for one in limits if one is not None), default=None)
    length = "for as many updates" if last is None else f"at most {last} times"
    length += ", or for as many updates" if last is not None and None in limits else ""
    if not plan.base.strategy.transfer:
        return f"{labelled} labelled rows, {length} as if with {texts} transfer texts,"
    return (
        f"{labelled} labelled rows and {texts} transfer texts (without a teacher, or as {LABELLED}, the "
        f"labelled rows {length})"
    )


def comparison_figures(plan: Comparison, result: ComparisonResult, metric: str) -> dict[str, Any]:
    """All figures of a comparison as plain values."""
    return {
        "machine": machine(),
        "task": plan.data.task.name,
        "recipe": plan.base.name,
        "reported": {
            "split": plan.reported.name,
            "rows": len(plan.reported),
            "metric": plan.data.task.metrics[0],
            "labels": "the data" if plan.judge is None else f"predictions of teachers.{plan.judge}",
        },
        "chosen_by": {
            "split": "validation",
            "rows": len(plan.data.splits["validation"]),
            "metric": metric,
        },
        "training_rows": len(plan.data.splits["train"]),
        "transfer_rows": 0 if plan.data.transfer is None else len(plan.data.transfer),
        "epochs": student_train(plan.base).epochs,
        "max_steps": plan.base.train.max_steps,
        "test": {
            "resamples": RESAMPLES,
            "level": LEVEL,
            "variance": "examples by paired bootstrap, seeds by analysis of variance, Student's t",
            "correction": "Holm, over the strategies compared with the same one",
        },
        "notes": [*plan.notes, *result.notes],
        "teacher": result.teacher,
        "strategies": [_row_figures(row) for row in result.rows],
        "verdict": list(result.verdict),
    }


def _row_figures(row: Row) -> dict[str, Any]:
    standing = row.standing
    runs = zip(row.folders, row.seeds, row.validations, row.metrics, row.digests, strict=True)
    return {
        "strategy": standing.name,
        "control": standing.control,
        "settings": dict(row.settings),
        "tried": [{"settings": dict(settings), "validation": mean} for settings, mean in row.tried],
        "validation": standing.chosen_by,
        "mean": standing.mean,
        "sd": standing.sd,
        "runs": [
            {
                "folder": folder,
                "seed": seed,
                "validation": dict(validation),
                "reported": metrics,
                "predictions_blake2b": known,
            }
            for folder, seed, validation, metrics, known in runs
        ],
        "against": {other: asdict(difference) for other, difference in standing.against.items()},
        "cost": asdict(row.cost),
    }
