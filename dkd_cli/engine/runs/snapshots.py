"""Training checkpoints that are whole or absent: saved, found again, rotated.

A snapshot holds all that decides the rest of a run, the best weights so far included, so that it needs no
other. Which is the newest is read from its verified content: names and times decide nothing. Knows nothing of
Trainer but the names of two of its files.
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
"""What Trainer forgets: its running sums, and what the run learns from."""


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint whose content was verified, or written by this process."""

    folder: Path

    @property
    def step(self) -> int:
        """How many updates it has behind it."""
        return int(self.trainer_state["global_step"])

    @property
    def trainer_state(self) -> dict[str, Any]:
        """What Trainer wrote of itself."""
        return _read(self.folder / TRAINER_STATE)

    @property
    def progress(self) -> dict[str, Any]:
        """What `save_progress` was given."""
        return _read(self.folder / PROGRESS)

    def best_weights(self) -> Path:
        """The file with the best weights so far, verified once more.

        Raises:
            ModelError: if it is gone or damaged.
        """
        path = self.folder / BEST
        if not path.is_file() or sha256(path) != read_manifest(self.folder)[BEST].sha256:
            raise ModelError(
                str(path), "is gone or damaged", "run the same command again: it goes on from what is whole"
            )
        return path


def begun(working: Path) -> bool:
    """Whether a run has left checkpoints, whole or not."""
    return any(working.glob("checkpoint-*"))


def newest(working: Path, warn: Callable[[str], None]) -> Snapshot | None:
    """The newest whole checkpoint of a run; says so where others cannot be believed."""
    whole, broken = [], []
    for folder in sorted(working.glob("checkpoint-*")):
        why = damage(folder)
        if why is None:
            whole.append(Snapshot(folder))
        else:
            broken.append(f"{folder} {why}")
    found = max(whole, key=_age, default=None)
    for line in broken:
        onwards = f"going on from step {found.step}" if found else "starting over"
        warn(f"the checkpoint {line}; {onwards}")
    return found


def _age(snapshot: Snapshot) -> tuple[int, int]:
    """Of two at one step the one with the evaluation is newer."""
    state = snapshot.trainer_state
    return int(state["global_step"]), len(state["log_history"])


def free_name(working: Path, step: int) -> Path:
    """A name for people that no other checkpoint has."""
    taken = {path.name for path in working.glob("checkpoint-*")}
    names = [f"checkpoint-{step}", *(f"checkpoint-{step}-{n}" for n in range(2, len(taken) + 3))]
    return working / next(name for name in names if name not in taken)


def keep(working: Path, *kept: Snapshot | None) -> None:
    """Remove all checkpoints but these: the newest, and the one before it in case that is damaged later."""
    stay = {snapshot.folder.name for snapshot in kept if snapshot is not None}
    for folder in sorted(working.glob("checkpoint-*")):
        if folder.name not in stay:
            remove_folder(folder)


def clean(working: Path) -> None:
    """Remove what a killed process was writing or removing; nobody may be at work there."""
    for pattern in (f"{STAGED}*", ".gone-*", ".*.tmp"):
        for path in working.glob(pattern):
            remove(path)


def save_best(folder: Path, before: Snapshot | None, *, is_best: bool) -> None:
    """Put the best weights so far beside a checkpoint's own: these, or those of the checkpoint before.

    Args:
        folder: staged, with its own weights in it.
        before: the checkpoint that this run saved last, or went on from.
        is_best: whether its own weights are the best; else there may be none yet.
    """
    if is_best:
        link(folder / WEIGHTS, folder / BEST)
    elif before is not None and BEST in read_manifest(before.folder):
        # Verified before it is hashed anew: what decayed meanwhile must not pass for whole.
        link(before.best_weights(), folder / BEST)


def save_progress(folder: Path, values: dict[str, Any]) -> None:
    """Write what Trainer does not."""
    write_json(folder / PROGRESS, values)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
