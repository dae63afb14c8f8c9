"""The figures of an evaluation as plain values for `evaluation.json`, and the machine that they come from."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers

from dkd_cli import __version__
from dkd_cli.evaluation.compare import Result, SeedSummary
from dkd_cli.evaluation.contests import Contest
from dkd_cli.evaluation.metrics import Metrics, baseline, constant_prediction


def contest_figures(
    contest: Contest, results: Sequence[Result], summaries: Sequence[SeedSummary]
) -> dict[str, Any]:
    """All figures of one contest."""
    task, names = contest.data.task, contest.data.label_names
    known = trivial(contest)
    return {
        "task": task.name,
        "kind": task.kind,
        "labels": list(names) if names else None,
        "split": contest.split.name,
        "rows": len(contest.split),
        "main_metric": task.metrics[0],
        "baseline": None if known is None else {"prediction": known[0], "metrics": known[1]},
        "models": [result_figures(result, contest) for result in results],
        "seeds": [asdict(summary) | {"seeds": list(summary.seeds)} for summary in summaries],
    }


def result_figures(result: Result, contest: Contest) -> dict[str, Any]:
    """All figures of one model; a figure that does not exist is None."""
    answers, entrant = result.answers, result.answers.entrant
    folder, run = entrant.folder, entrant.folder.run
    return {
        "model": folder.label,
        "path": folder.source,
        "role": contest.role(entrant),
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
        "speed": asdict(result.speed) | {"compute": str(answers.compute)},
        "latency_speedup": result.latency_speedup,
        "throughput_speedup": result.throughput_speedup,
    }


def trivial(contest: Contest) -> tuple[str | float, Metrics] | None:
    """What knows the training labels alone says of every row, and its score; None where there are none."""
    task, names = contest.data.task, contest.data.label_names
    learnt, labels = contest.data.splits["train"].labels, contest.split.labels
    assert labels is not None, "a contest is about labelled rows"
    if learnt is None:
        return None
    constant = constant_prediction(task, learnt)
    return (names[int(constant)] if names else float(constant)), baseline(task, learnt, labels)


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
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
