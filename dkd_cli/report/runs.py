"""The summary at the end of `train-teacher` and `distill`: one line a run."""

from __future__ import annotations

from collections.abc import Sequence

from dkd_cli.engine.checkpoints import Run
from dkd_cli.report.terminal import duration


def runs_table(title: str, runs: Sequence[Run]) -> tuple[str, list[str], list[list[object]]]:
    """Title, columns and rows for `Terminal.table`; metrics of the best checkpoint on validation."""
    metrics = [name for name in runs[0].validation if name != "loss"]
    columns = ["model", *(f"validation {name.replace('_', ' ')}" for name in metrics), "time"]
    rows: list[list[object]] = [
        [run.name, *(run.validation[name] for name in metrics), duration(run.seconds)] for run in runs
    ]
    return title, columns, rows
