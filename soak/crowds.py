"""The trials on several processes: some that share one cache, and a run repeated in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil

from soak.bench import Broken, Place, dice
from soak.orders import Fault
from soak.results import difference, result
from soak.setting import SUBJECTS
from soak.trials import ALONE, SECONDS, Child

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1")
LONG = ("--set", "train.epochs=20")
"""For two processes: long enough to be killed in, with a checkpoint after every epoch."""
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
        place.bench.same(place.folder / f"out-{rank}", subject)


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
    place.bench.same(place.output, subject)


def rank_killed(place: Place, number: int) -> None:
    """One of two processes is killed under torchrun, which starts both again: as if nothing had happened."""
    roll = dice("rank", number)
    with place.bench.making("two-processes") as (unharmed, new):
        if new:
            _finished(_two_processes(unharmed))
    launcher = _two_processes(place)
    wanted = roll.randint(1, 60)
    deadline = time.monotonic() + SECONDS
    while _steps_saved(place) < wanted:
        if launcher.poll() is not None or time.monotonic() > deadline:
            launcher.kill()
            raise Broken(f"it could not be killed after step {wanted}: {launcher.communicate()[0][-300:]}")
        time.sleep(0.005)
    victim = roll.choice(psutil.Process(launcher.pid).children())
    victim.send_signal(signal.SIGKILL)
    _finished(launcher)
    differs = difference(result(unharmed.output), result(place.output))
    if differs is not None:
        raise Broken(f"after step {wanted}: {differs}")


def _two_processes(place: Place) -> subprocess.Popen[str]:
    words = place.bench.setting.words("data-weighted", place.output)
    return subprocess.Popen(
        [sys.executable, *TORCHRUN, "-m", "dkd_cli", *words, *LONG],
        env={**os.environ, **ALONE, "DKD_CACHE": str(place.cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finished(launcher: subprocess.Popen[str]) -> None:
    said, _ = launcher.communicate(timeout=SECONDS)
    if launcher.returncode != 0:
        raise Broken(f"torchrun ended with {launcher.returncode}: {said[-300:]}")


def _steps_saved(place: Place) -> int:
    names = [path.name for path in place.output.glob("*/.student-*/checkpoint-*")]
    return max((int(name.split("-")[1]) for name in names), default=0)
