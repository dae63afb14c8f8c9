"""Making the trials of a promise, some at once, until the time is over. Knows nothing of what they try."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from soak.bench import Place
from soak.progress import Progress
from soak.promises import Promise


def attempt(make: Callable[[str], Place], promise: Promise, number: int, kept: Path) -> str | None:
    """Make one trial, in the place that `make` gives for its name.

    Returns:
        What was broken, or None; a place where something was is moved to `kept`.
    """
    place = make(f"{promise.name}-{number}")
    try:
        promise.trial(place, number)
    # Whatever comes: one trial that cannot be made must not end the soak, and has not held.
    except Exception as error:
        left = kept / place.folder.name
        shutil.rmtree(left, ignore_errors=True)
        shutil.move(place.folder, left)
        return str(error) or type(error).__name__
    shutil.rmtree(place.folder)
    return None


def run_trials(
    make: Callable[[str], Place],
    promise: Promise,
    numbers: Sequence[int],
    progress: Progress,
    *,
    jobs: int,
    deadline: float,
    kept: Path,
) -> None:
    """Make these trials, so many at once; none is begun after the deadline (of `time.monotonic`)."""
    left = iter(numbers)
    taking = threading.Lock()

    def work() -> None:
        while time.monotonic() < deadline:
            with taking:
                number = next(left, None)
            if number is None:
                return
            progress.add(promise.name, number, attempt(make, promise, number, kept))

    workers = [threading.Thread(target=work, daemon=True) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
