"""The trials on several processes: some that share one cache, and a run repeated in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from soak.attacks import same
from soak.bench import Broken, Place, dice
from soak.orders import Fault
from soak.setting import SUBJECTS
from soak.trials import ALONE, SECONDS, Child

ASKING = tuple(subject for subject in SUBJECTS if subject not in ("train-teacher", "none"))


def shared_cache(place: Place, number: int) -> None:
    """Two to eight processes fill one cache together; one of them is killed as it writes there."""
    roll = dice("shared", number)
    subjects = [roll.choice(ASKING) for _ in range(2 + number % 7)]
    writes = place.bench.reference(subjects[0]).ended.counts["cache"]
    fault = Fault(kind=roll.choice(["kill", "torn"]), at="cache", number=roll.randint(1, writes))
    children: list[tuple[str, Child]] = []
    for rank, subject in enumerate(subjects):
        words = place.bench.setting.words(subject, place.folder / f"out-{rank}")
        children.append((subject, place.run(words, fault=None if rank else fault, save_always=True)))
    ends = [child.wait() for _, child in children]
    for rank, (ended, subject) in enumerate(zip(ends, subjects, strict=True)):
        struck = rank == 0 and ended.status in (-signal.SIGKILL, -signal.SIGXFSZ)
        if struck:
            words = place.bench.setting.words(subject, place.folder / "out-0")
            ended = place.run(words, save_always=True).wait()
        if ended.status != 0 or "Traceback" in ended.output:
            raise Broken(f"{fault}: {rank} of {subjects} ended with {ended.status}: {ended.last_lines}")
        same(place.bench, place.folder / f"out-{rank}", subject)


def repeated(place: Place, number: int) -> None:
    """A fresh process, with another order of sets and dictionaries, gives the same weights to the bit."""
    subject = tuple(SUBJECTS)[-1 - number % len(SUBJECTS)]
    done = subprocess.run(
        [sys.executable, "-m", "dkd_cli", *place.bench.setting.words(subject, place.output)],
        env={**os.environ, **ALONE, "DKD_CACHE": str(place.cache), "PYTHONHASHSEED": str(number + 1)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise Broken(f"{subject}: ended with {done.returncode}: {done.stderr[-300:]}")
    same(place.bench, place.output, subject)
