"""TensorBoard, Weights & Biases and MLflow: asked for in `train.report_to`, fed by Trainer's own callbacks.

Adds what those callbacks leave open: a run's name and place, and an end, so that the next run of a sweep is
another one. Knows nothing of what is logged.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback

from dkd_cli.errors import SystemProblem


def check_trackers(report_to: Sequence[str]) -> None:
    """Refuse a tracker whose package is missing.

    Raises:
        SystemProblem: names the first one.
    """
    for name in report_to:
        if importlib.util.find_spec(name) is None:
            raise SystemProblem(
                "train.report_to",
                f"the package `{name}` is not installed",
                f"pip install {name}, or remove it from the list",
            )


def tensorboard_folder(working: Path) -> Path:
    """Folder of a run's events: `tensorboard/RUN` next to the runs, since it outlives the working folder."""
    return working.parent / "tensorboard" / working.name.removeprefix(".")


def by_trainer(report_to: Sequence[str]) -> list[str] | str:
    """The trackers that Trainer finds by itself, in the form it wants."""
    return [name for name in report_to if name != "tensorboard"] or "none"


@contextmanager
def tracking(report_to: Sequence[str], working: Path, resumed: bool) -> Iterator[list[TrainerCallback]]:
    """The callbacks to add for one run; at its end every tracker has closed the run.

    Args:
        report_to: as in the recipe.
        working: the run's own folder; its name without the leading dot names the run.
        resumed: whether earlier events belong to this run; else they are removed.
    """
    callbacks: list[TrainerCallback] = []
    with ExitStack() as at_the_end:
        if "tensorboard" in report_to:
            from torch.utils.tensorboard import SummaryWriter

            folder = tensorboard_folder(working)
            if folder.exists() and not resumed:
                shutil.rmtree(folder)
            writer = SummaryWriter(str(folder))
            at_the_end.callback(writer.close)
            callbacks.append(TensorBoardCallback(writer))
        if "wandb" in report_to:
            import wandb

            at_the_end.callback(wandb.finish)
        # Trainer's callbacks read these; a user's own settings win.
        os.environ.setdefault("WANDB_PROJECT", working.parent.name)
        os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", working.parent.name)
        yield callbacks
