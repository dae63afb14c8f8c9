"""The trial on `dkd shrink`: killed twice at any moment, it must end with the same students and choice."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from soak.bench import Broken, Place, dice
from soak.trials import Ended

ASKED = ("--keep", "60%", "--all", "--quiet")
TIMED = ("latency", "size_mb", "trained_in", "machine", "checkpoint", "export", "folder", "source")
"""Figures that differ from run to run, or name the folder of a trial."""
WEIGHTS = ("model.safetensors", "model.onnx")
SECONDS = "seconds.json"


def killed(place: Place, number: int) -> None:
    """SIGKILL twice, each time at any moment of the climb, then the same command again."""
    roll = dice("shrunk", number)
    with place.bench.making("shrunk") as (original, new):
        if new:
            ended = _finished(original)
            (original.folder / SECONDS).write_text(json.dumps(ended.seconds))
    seconds = float((original.folder / SECONDS).read_text())
    for _ in range(2):
        child = place.run(words(place))
        if child.works(roll.uniform(0, seconds)):
            child.send(signal.SIGKILL)
        child.wait()
    _finished(place)
    expected, found = outcome(original.output), outcome(place.output)
    for name in expected.keys() | found.keys():
        if expected.get(name) != found.get(name):
            raise Broken(f"{name} differs: {expected.get(name)} is not {found.get(name)}")


def words(place: Place) -> tuple[str, ...]:
    """The command line: the teacher, then every rung."""
    recipe = str(place.bench.setting.teachers_recipe)
    return "shrink", recipe, *ASKED, "--output-dir", str(place.output)


def outcome(output: Path) -> Mapping[str, Any]:
    """Weights of every model and export, and the figures that are no times."""
    paths = sorted(path for name in WEIGHTS for path in output.rglob(name))
    found: dict[str, Any] = {str(path.relative_to(output)): hash(path.read_bytes()) for path in paths}
    figures = json.loads((output / "soak" / "shrink.json").read_text(encoding="utf-8"))
    return found | {"shrink.json": _timeless(figures)}


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(inner) for name, inner in value.items() if name not in TIMED}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


def _finished(place: Place) -> Ended:
    ended = place.run(words(place)).wait()
    if ended.status != 0 or "Traceback" in ended.output:
        raise Broken(f"ended with {ended.status}: {ended.last_lines}")
    return ended
