"""Inside the child of a trial: it counts what it does, a fault strikes at its number, the end is reported.

Everything is hooked from outside, at the functions of the system that Python code writes files with, and at
the phases of a run. Knows neither what is promised nor what else goes on.
"""

from __future__ import annotations

import builtins
import errno
import hashlib
import importlib
import io
import json
import mmap
import os
import random
import resource
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from soak.orders import COUNTED, Fault, Order

CHANGES = ("replace", "rename", "link", "symlink", "unlink", "remove", "rmdir", "mkdir", "fsync", "truncate")
CREATING = frozenset({"open", "mkdir", "link"})
"""What a full disk refuses besides writing."""
PHASES = {
    "training": ("dkd_cli.engine.training.trainer", "DistillationTrainer.training_step"),
    "evaluation": ("dkd_cli.engine.training.resumable", "ResumableTrainer.look"),
    "selection": ("dkd_cli.engine.method.selection", "informativeness"),
    "caching": ("dkd_cli.engine.cache.rows", "write_shard"),
    "saving": ("dkd_cli.engine.training.resumable", "ResumableTrainer._save_checkpoint"),
}
"""What is called as each phase begins; `look`, after each batch of an evaluation."""
CELL = struct.Struct("<q")


class Counters:
    """Numbers that a killed process leaves behind."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as handle:
            self._cells = mmap.mmap(handle.fileno(), CELL.size * len(COUNTED))

    def next(self, name: str) -> int:
        """Count one more."""
        at = COUNTED.index(name) * CELL.size
        number = int(CELL.unpack_from(self._cells, at)[0]) + 1
        CELL.pack_into(self._cells, at, number)
        return number


def read_counters(path: Path) -> dict[str, int]:
    """What a child counted, alive or dead."""
    cells = path.read_bytes()
    return {name: int(CELL.unpack_from(cells, at * CELL.size)[0]) for at, name in enumerate(COUNTED)}


def blank_counters(path: Path) -> None:
    """All at 0."""
    path.write_bytes(bytes(CELL.size * len(COUNTED)))


class Probe:
    """Counts, and strikes."""

    def __init__(self, order: Order) -> None:
        self.counters = Counters(Path(order.counters))
        self.fault: Fault | None = order.fault
        self.folder = f"{order.folder}{os.sep}"
        self.cache = f"{self.folder}cache{os.sep}"
        self.trace: list[str] = []
        self.trained: list[dict[str, str]] = []
        self.full = False

    def reach(self, what: str) -> None:
        """Count one of `COUNTED`, and strike if it is its turn."""
        number, fault = self.counters.next(what), self.fault
        if fault is None or (what, number) != (fault.at, fault.number):
            return
        if fault.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault.kind == "signal":
            os.kill(os.getpid(), fault.signal)
        else:
            if fault.kind == "torn":
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            self.full = fault.kind == "full" and fault.reach == 0
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (fault.reach, hard))

    def touch(self, operation: str, path: Any, relative: bool = False) -> None:
        """An operation on a file; one of another place than the trial's does not count."""
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        place = self.folder if relative else str(Path(os.fsdecode(path)).absolute())
        if not place.startswith(self.folder):
            return
        self.trace.append(f"{operation} {os.path.relpath(place, self.folder)}")
        if place.startswith(self.cache):
            self.reach("cache")
        self.reach("file")
        if self.full and operation in CREATING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place)


def hook(probe: Probe) -> None:
    """Put the probe in front of whatever changes a file, and of the phases."""
    for name in CHANGES:
        setattr(os, name, _watched(probe, name, getattr(os, name)))
    plain, low = builtins.open, os.open

    def opened(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if set(mode) & set("wax+"):
            probe.touch("open", file)
        return plain(file, mode, *rest, **named)

    def opened_low(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            probe.touch("open", path, named.get("dir_fd") is not None)
        return low(path, flags, *rest, **named)

    builtins.open = io.open = opened
    os.open = opened_low
    for module, name in (("safetensors.torch", "serialize_file"), ("torch", "save")):
        where = importlib.import_module(module)
        setattr(where, name, _written(probe, name, getattr(where, name)))
    for phase, (module, dotted) in PHASES.items():
        owner: Any = importlib.import_module(module)
        *outer, name = dotted.split(".")
        for part in outer:
            owner = getattr(owner, part)
        setattr(owner, name, _announced(probe, phase, getattr(owner, name)))
    _report_optimizer(probe)


def _watched(probe: Probe, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def watched(path: Any, *rest: Any, **named: Any) -> Any:
        probe.touch(name, path, named.get("dir_fd") is not None)
        return original(path, *rest, **named)

    return watched


def _written(probe: Probe, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def written(content: Any, path: Any, *rest: Any, **named: Any) -> Any:
        if isinstance(path, (str, os.PathLike)):
            probe.touch(name, path)
        return original(content, path, *rest, **named)

    return written


def _announced(probe: Probe, phase: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def announced(*args: Any, **named: Any) -> Any:
        probe.reach(phase)
        return original(*args, **named)

    return announced


def _report_optimizer(probe: Probe) -> None:
    """Note what the optimizer, the schedule and the dice hold at the end of each training."""
    from dkd_cli.engine.training.trainer import DistillationTrainer

    train = DistillationTrainer.train

    def trained(self: Any, *args: Any, **named: Any) -> Any:
        result = train(self, *args, **named)
        probe.trained.append(state_digests(self))
        return result

    DistillationTrainer.train = trained


def state_digests(trainer: Any) -> dict[str, str]:
    """Digests of all that would decide the next step."""
    import torch

    def digest(*tensors: Any) -> str:
        state = hashlib.sha256()
        for tensor in tensors:
            cells = torch.as_tensor(tensor).detach().contiguous().reshape(-1)
            state.update(cells.view(torch.uint8).numpy().tobytes())
        return state.hexdigest()

    moments = [state[name] for state in trainer.optimizer.state.values() for name in sorted(state)]
    return {
        "weights": digest(*trainer.model.state_dict().values()),
        "optimizer": digest(*moments),
        "schedule": repr(sorted(trainer.lr_scheduler.state_dict().items(), key=str)),
        "random state": digest(torch.get_rng_state()),
    }


def become(order: Order, output: int) -> NoReturn:
    """Turn this process, just forked, into one that was started with the order's command line.

    Args:
        order: what it does.
        output: where it prints, an open file's number.
    """
    os.chdir(order.folder)
    os.environ.update(order.variables)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for wanted, given in ((0, nothing), (1, output), (2, output)):
        os.dup2(given, wanted)
    os.close(output)
    os.close(nothing)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    random.seed()
    if order.save_always:
        import dkd_cli.engine.training.resumable as resumable

        resumable.SECONDS_BETWEEN_SAVES = 0.0
    probe = Probe(order)
    hook(probe)
    from dkd_cli.cli import run

    code: Any = 0
    try:
        run(order.words)
    except SystemExit as stop:
        code = stop.code
    sys.stdout.flush()
    sys.stderr.flush()
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    told = {"trace": probe.trace, "trained": probe.trained}
    report = Path(order.report)
    # A kill at any moment may come now.
    whole = report.with_suffix(".part")
    whole.write_text(json.dumps(told), encoding="utf-8")
    whole.replace(report)
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)
