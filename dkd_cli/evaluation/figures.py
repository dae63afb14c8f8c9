"""Figures of an evaluation as plain values for `evaluation.json`, and the machine they were measured on."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from dkd_cli.data.metric_names import merit, positive_note
from dkd_cli.evaluation.cascade import CascadePoint
from dkd_cli.evaluation.contests import Contest
from dkd_cli.evaluation.metrics import baseline, compared
from dkd_cli.evaluation.resampling import resampled_scores
from dkd_cli.evaluation.scoring import Result, SeedSummary, Timing, best_student, on_the_front
from dkd_cli.evaluation.significance import RESAMPLES
from dkd_cli.evaluation.temperature_file import plain
from dkd_cli.evaluation.training_log import training_log
from dkd_cli.recipe.loader import dump_recipe
from dkd_cli.version import __version__


def contest_figures(
    contest: Contest, results: Sequence[Result], summaries: Sequence[SeedSummary]
) -> dict[str, Any]:
    """All figures of one contest."""
    task, names = contest.data.task, contest.data.label_names
    constant, best = baseline(contest.data, contest.split), best_student(results, contest)
    chosen_on = contest.validation or contest.split
    by_label = {one.answers.entrant.folder.label: one for one in results}
    fronts = on_the_front(results, task.metrics[0])
    return {
        "task": task.name,
        "kind": task.kind,
        "labels": list(names) if names else None,
        "split": contest.split.name,
        "rows": len(contest.split),
        "main_metric": task.metrics[0],
        "positive": positive_note(contest.data, list(results[0].metrics)),
        "baseline": None if constant is None else asdict(constant),
        "best_student": None
        if best is None
        else {
            "model": best.answers.entrant.folder.label,
            "chosen_on": chosen_on.name,
            "difference": _difference(contest, best, by_label.get(best.teacher or "")),
        },
        "models": [
            result_figures(result, contest, by_label.get(result.teacher or "")) | {"pareto": front}
            for result, front in zip(results, fronts, strict=True)
        ],
        "seeds": [asdict(summary) | {"seeds": list(summary.seeds)} for summary in summaries],
    }


def result_figures(result: Result, contest: Contest, teacher: Result | None) -> dict[str, Any]:
    """All figures of one model and its differences from the teacher; a figure that does not exist is None
    or an empty list."""
    answers, entrant = result.answers, result.answers.entrant
    folder, run = entrant.folder, entrant.folder.run
    return {
        "model": folder.label,
        "path": folder.source,
        "role": contest.role(entrant),
        "format": answers.format,
        "recipe": entrant.recipe.name,
        "strategy": run.strategy if run else None,
        "seed": run.seed if run else None,
        "layers": answers.layers,
        "parameters": answers.parameters,
        "weights_mb": folder.weights_mb,
        "truncated_rows": answers.truncated,
        "metrics": result.metrics,
        "validation": dict(run.validation) if run else None,
        "training_seconds": run.seconds if run else None,
        "teacher": result.teacher,
        "retention": result.retention,
        "agreement": result.agreement,
        "kl_nats": result.kl,
        "compute": str(answers.compute),
        **_timing(result.timing),
        "latency_speedup": result.latency_speedup,
        "throughput_speedup": result.throughput_speedup,
        "per_class": _classes(result, teacher),
        "confusion": [list(row) for row in result.details.confusion],
        "calibration": _calibration(result),
        **({"by_label": by_label} if (by_label := [asdict(one) for one in result.details.by_label]) else {}),
        "cascade": _cascade(result, teacher),
        "disagreements": [asdict(one) for one in result.details.disagreements],
        "training": training_log(folder.path) if run and folder.path else None,
        "settings": dump_recipe(entrant.recipe),
    }


def _difference(contest: Contest, best: Result, teacher: Result | None) -> dict[str, float] | None:
    """Difference between student and teacher in the main metric, with a 95 % interval over resampled rows."""
    if teacher is None:
        return None
    task, main, labels = contest.data.task, contest.data.task.metrics[0], contest.split.labels or ()
    said = [one.answers.said for one in (best, teacher)]
    read = [compared(main, task, one.scored, labels, one.cuts) for one in said]
    own, theirs = resampled_scores(main, np.stack([one for one, _ in read]), read[0][1], RESAMPLES).T
    gaps = own - theirs
    gaps = gaps[np.isfinite(gaps)]
    scores = best.metrics[main], teacher.metrics[main]
    if scores[0] is None or scores[1] is None or not len(gaps):
        return None
    sign = merit(main, 1.0)
    low, high = np.percentile(sign * gaps, [2.5, 97.5])
    return {"gain": sign * (scores[0] - scores[1]), "low": float(low), "high": float(high)}


def _calibration(result: Result) -> dict[str, Any] | None:
    found = result.details.calibration
    return None if found is None else asdict(found) | {"fitted": plain(found.fitted)}


def _timing(timing: Timing | None) -> dict[str, Any]:
    if timing is None:
        return {
            "speed": None,
            "text_latency": None,
            "latency_by_length": [],
            "throughput_by_batch_size": [],
            "cost": None,
        }
    return {
        "speed": asdict(timing.speed),
        "text_latency": None if timing.text is None else asdict(timing.text),
        "latency_by_length": [asdict(one) for one in timing.grid.lengths],
        "throughput_by_batch_size": [asdict(one) for one in timing.grid.batches],
        "cost": None if timing.cost is None else asdict(timing.cost),
    }


def _classes(result: Result, teacher: Result | None) -> list[dict[str, Any]]:
    """Scores of each class and their differences from the teacher's."""
    theirs = {one.label: one for one in teacher.details.classes} if teacher else {}
    rows = []
    for one in result.details.classes:
        other = theirs.get(one.label)
        change = None
        if other is not None:
            change = {
                name: getattr(one, name) - getattr(other, name) for name in ("precision", "recall", "f1")
            }
        rows.append(asdict(one) | {"change": change})
    return rows


def _cascade(result: Result, teacher: Result | None) -> dict[str, Any] | None:
    """The cascade's curve with the expected latency: the student always runs, the teacher for its share."""
    cascade = result.details.cascade
    if cascade is None or teacher is None:
        return None
    main = next(iter(result.metrics))
    own = result.timing.speed.median_ms if result.timing else None
    theirs = teacher.timing.speed.median_ms if teacher.timing else None

    def point(one: CascadePoint) -> dict[str, Any]:
        latency = None if own is None or theirs is None else own + one.deferred * theirs
        return asdict(one) | {"latency_ms": latency}

    return {
        "curve": [point(one) for one in cascade.curve],
        "chosen": point(cascade.chosen),
        "chosen_on": cascade.chosen_on,
        "there": point(cascade.validation),
        "student": {"quality": result.metrics[main], "latency_ms": own},
        "teacher": {"quality": teacher.metrics[main], "latency_ms": theirs},
    }


def machine() -> dict[str, Any]:
    """Versions and hardware that the figures were measured on."""
    return {
        "taken": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "dkd": __version__,
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _cpu() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
