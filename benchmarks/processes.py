"""What whole commands take, each in a process of its own: memory, start-up, `select-data`, a sweep."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clock import Spread
from benchmarks.setting import Setting

LOOK_EVERY = 0.02
IMPORTS = (
    "import torch, transformers, time; "
    "from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer; "
    "print(time.monotonic())"
)
STRATEGIES = ("static", "dynamic-teacher", "dynamic-data", "dynamic-objective")


@dataclass(frozen=True)
class Watched:
    """A process that ended well."""

    seconds: float
    peak_mb: float
    """The most memory it held, libraries and mapped files included."""
    anonymous_mb: float | None
    """The most of its own, seen every 20 ms; None where there is no /proc."""
    output: str


def watch(words: Sequence[str], environment: Mapping[str, str]) -> Watched:
    """Run a command and look at its memory until it ends; its failure ends the benchmark."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        started = time.monotonic()
        child = subprocess.Popen(words, env=os.environ | environment, stdout=said, stderr=complained)
        seen: list[Mapping[str, float]] = [{}]
        while True:
            ended, status, usage = os.wait4(child.pid, os.WNOHANG)
            if ended:
                break
            seen.append(_memory(child.pid))
            time.sleep(LOOK_EVERY)
        seconds = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        complained.seek(0)
        if child.returncode != 0:
            raise SystemExit(f"{' '.join(words)} failed:\n{complained.read()[-2000:]}")
        # For where there is no /proc; on Linux it has the parent's memory in it, which the child began as.
        peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        whole = max((one["VmHWM"] for one in seen if "VmHWM" in one), default=peak)
        own = max((one["RssAnon"] for one in seen if "RssAnon" in one), default=None)
        return Watched(seconds, whole, own, said.read())


def _memory(pid: int) -> dict[str, float]:
    """MB by the names of /proc; empty where there is none, and once the process is over."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    figures = (line.split() for line in lines if line.startswith(("VmHWM", "RssAnon")))
    return {name.rstrip(":"): int(kilobytes) / 2**10 for name, kilobytes, _ in figures}


def dkd(*words: object) -> list[str]:
    """The command line of `dkd`, in this interpreter."""
    return [sys.executable, "-m", "dkd_cli", *map(str, words)]


def memory(setting: Setting, rows: int | None) -> dict[str, float | None]:
    """Peak memory (MB) of one epoch: bare; with hidden states and no cache, a cold one, a warm one."""
    recipe = _recipe(setting, "memory", "dynamic-objective", rows)
    cache = {"DKD_CACHE": str(setting.folder / "cache-memory")}
    runs = {
        "bare": ("none", {"DKD_CACHE": "off"}),
        "no-cache": ("dynamic-objective", {"DKD_CACHE": "off"}),
        "cold": ("dynamic-objective", cache),
        "warm": ("dynamic-objective", cache),
    }
    found: dict[str, float | None] = {}
    for name, (strategy, environment) in runs.items():
        output = setting.folder / f"memory-{name}"
        seen = watch(dkd("distill", recipe, "--strategy", strategy, "--output-dir", output), environment)
        found[f"{name} peak"], found[f"{name} anonymous"] = seen.peak_mb, seen.anonymous_mb
    none = found["no-cache anonymous"]
    if none is not None:
        with_cache = (found["cold anonymous"], found["warm anonymous"])
        found["added by the cache"] = max(one for one in with_cache if one is not None) - none
    return found


def start_up(setting: Setting, times: int, rows: int | None) -> dict[str, float]:
    """Seconds from a process's start to its first step, all being cached, and of the imports alone."""
    recipe = _recipe(setting, "start", "static", rows)
    environment = {"DKD_CACHE": str(setting.folder / "cache-start")}
    watch(dkd("distill", recipe, "--output-dir", setting.folder / "start"), environment)  # fills the cache
    steps, imports = [], []
    for number in range(times):
        output = setting.folder / f"start-{number}"
        words = [
            sys.executable,
            "-m",
            "benchmarks.first_step",
            "distill",
            str(recipe),
            "--output-dir",
            str(output),
        ]
        steps.append(_until_printed(words, environment))
        imports.append(_until_printed([sys.executable, "-c", IMPORTS], environment))
    first, libraries = Spread.of(steps).median, Spread.of(imports).median
    return {"first step": first, "imports": libraries, "beyond the imports": first - libraries}


def _until_printed(words: Sequence[str], environment: Mapping[str, str]) -> float:
    """Seconds from the start of a process to the time that it prints last; the clock is the machine's own."""
    started = time.monotonic()
    return float(watch(words, environment).output.split()[-1]) - started


def sweep(setting: Setting, rows: int, one_pass: float) -> dict[str, float]:
    """Seconds of four strategies with three seeds, and of twelve runs without a teacher.

    Args:
        setting: names the teachers.
        rows: of the training split.
        one_pass: the seconds that each teacher takes once over these rows, added up.
    """
    recipe = _recipe(setting, "sweep", "dynamic-teacher", rows)
    environment = {"DKD_CACHE": str(setting.folder / "cache-sweep")}

    def seconds(name: str, seeds: int, strategies: Sequence[str]) -> float:
        words = [word for strategy in strategies for word in ("--strategy", strategy)]
        words += ["--seed", ",".join(map(str, range(1, seeds + 1)))]
        return watch(
            dkd("distill", recipe, *words, "--output-dir", setting.folder / name), environment
        ).seconds

    bare = seconds("sweep-bare", 12, ["none"])
    return {
        "sweep": seconds("sweep-all", 3, STRATEGIES),
        "twelve bare runs": bare,
        "one pass of each teacher": one_pass,
        "allowed for": bare + one_pass,
    }


def _recipe(setting: Setting, name: str, strategy: str, rows: int | None) -> Path:
    changes = {} if rows is None else {"data__max_train": rows, "data__max_validation": rows}
    return setting.recipe(name, "rte", strategy, train__epochs=1, **changes)
