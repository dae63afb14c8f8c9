"""From the lines of a log to curves."""

from __future__ import annotations

import json
from pathlib import Path

from dkd_cli.evaluation.training_log import MOST_POINTS, curves, training_log


def test_each_figure_is_a_curve_over_the_steps() -> None:
    found = curves(
        [
            {"step": 2, "epoch": 0.1, "loss": 0.9, "kd": 0.3},
            {"step": 4, "epoch": 0.2, "loss": 0.7, "kd": 0.2},
            {"step": 4, "epoch": 0.2, "eval_accuracy": 0.5, "eval_runtime": 3.0},
            {"step": 4, "epoch": 0.2, "train_runtime": 9.0, "train_loss": 0.8, "total_flos": 1.0},
        ]
    )
    assert found == {"loss": [[2, 0.9], [4, 0.7]], "kd": [[2, 0.3], [4, 0.2]], "eval_accuracy": [[4, 0.5]]}


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    points = curves([{"step": i, "loss": float(i)} for i in range(10_000)])["loss"]
    assert len(points) == MOST_POINTS
    assert (points[0], points[-1]) == ([0, 0.0], [9999, 9999.0])


def test_a_folder_without_a_log_has_none(tmp_path: Path) -> None:
    assert training_log(tmp_path) is None
    (tmp_path / "training.json").write_text(json.dumps({"steps": 3, "history": [{"step": 1, "loss": 1.0}]}))
    assert training_log(tmp_path) == {"steps": 3, "curves": {"loss": [[1, 1.0]]}}
