"""Training checkpoints that are complete or absent: saved, found again, rotated.

A snapshot holds everything that decides the rest of a run, including the best weights so far, so that it
needs no other. The newest is determined from verified content, not from names or times. Knows nothing about
Trainer except the names of two of its files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dkd_cli.errors import ModelError
from dkd_cli.files import link, remove, remove_folder, write_json
from dkd_cli.manifests import STAGED, damage, read_manifest, sha256

WEIGHTS = "model.safetensors"
BEST = "best.safetensors"
TRAINER_STATE = "trainer_state.json"
PROGRESS = "progress.json"
"""State that Trainer does not save: its running sums, and a digest of the training data."""


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint whose content was verified or written by this process."""

    folder: Path

    @property
    def step(self) -> int:
        """The number of updates."""
        return int(self.trainer_state["global_step"])

    @property
    def trainer_state(self) -> dict[str, Any]:
        """The state that Trainer saved."""
        return _read(self.folder / TRAINER_STATE)

    @property
    def progress(self) -> dict[str, Any]:
        """The progress given to `save_progress`."""
        return _read(self.folder / PROGRESS)

    def best_weights(self) -> Path:
        """The file with the best weights so far, verified again.

        Raises:
            ModelError: if it is missing or damaged.
        """
        path = self.folder / BEST
        if not path.is_file() or sha256(path) != read_manifest(self.folder)[BEST].sha256:
            raise ModelError(
                str(path), "is missing or damaged", "rerun the command: it resumes from an intact checkpoint"
            )
        return path


def begun(working: Path) -> bool:
    """Return whether a run has left checkpoints, complete or not."""
    return any(working.glob("checkpoint-*"))


def newest(working: Path, warn: Callable[[str], None]) -> Snapshot | None:
    """The newest complete checkpoint of a run; warns about damaged ones."""
    whole, broken = [], []
    for folder in sorted(working.glob("checkpoint-*")):
        why = damage(folder)
        if why is None:
            whole.append(Snapshot(folder))
        else:
            broken.append(f"{folder} {why}")
    found = max(whole, key=_age, default=None)
    for line in broken:
        onwards = f"resuming from step {found.step}" if found else "starting over"
        warn(f"the checkpoint {line}; {onwards}")
    return found


def _age(snapshot: Snapshot) -> tuple[int, int]:
    """Sort key: of two checkpoints at one step, the one with the evaluation is newer."""
    state = snapshot.trainer_state
    return int(state["global_step"]), len(state["log_history"])


def free_name(working: Path, step: int) -> Path:
    """A readable name that no other checkpoint has."""
    taken = {path.name for path in working.glob("checkpoint-*")}
    names = [f"checkpoint-{step}", *(f"checkpoint-{step}-{n}" for n in range(2, len(taken) + 3))]
    return working / next(name for name in names if name not in taken)


def keep(working: Path, *kept: Snapshot | None) -> None:
    """Remove all checkpoints except the newest and the one before it, in case the newest is damaged later."""
    stay = {snapshot.folder.name for snapshot in kept if snapshot is not None}
    for folder in sorted(working.glob("checkpoint-*")):
        if folder.name not in stay:
            remove_folder(folder)


def clean(working: Path) -> None:
    """Remove files that a killed process was writing or removing; no other process may be using the
    folder."""
    for pattern in (f"{STAGED}*", ".gone-*", ".*.tmp"):
        for path in working.glob(pattern):
            remove(path)


def save_best(folder: Path, before: Snapshot | None, *, is_best: bool) -> None:
    """Add the best weights so far to a checkpoint: its own, or those of the checkpoint before.

    Args:
        folder: staged, with its own weights in it.
        before: the checkpoint that this run saved last or resumed from.
        is_best: whether its own weights are the best; otherwise there may be none yet.
    """
    if is_best:
        link(folder / WEIGHTS, folder / BEST)
    elif before is not None and BEST in read_manifest(before.folder):
        # Verified before it is hashed again: a file damaged since must not be accepted.
        link(before.best_weights(), folder / BEST)


def save_progress(folder: Path, values: dict[str, Any]) -> None:
    """Write the state that Trainer does not save."""
    write_json(folder / PROGRESS, values)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
