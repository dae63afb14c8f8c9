"""What a finished run is, down to its bits: two that should be the same are compared here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TIMED = ("runtime", "per_second", "seconds")
"""Figures of the log that are never the same twice have one of these in their names."""
LOGGED = ("best_step", "steps", "examples", "backward_rows", "history")


def result(output: Path) -> Mapping[str, Any]:
    """Weights, tokenizer and figures of each model below a folder; neither times nor who computed what."""
    found: dict[str, Any] = {}
    for facts in sorted(output.glob("*/*/dkd.json")):
        folder = facts.parent
        told = _read(facts)
        log = _read(folder / "training.json")
        found[folder.name] = {
            "weights": _digest(folder / "model.safetensors"),
            "config": _digest(folder / "config.json"),
            "tokenizer": _digest(folder / "tokenizer.json"),
            "validation": _timeless(told["validation"]),
            **{name: _timeless(log[name]) for name in LOGGED},
        }
    return found


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """Where two results part; None where they are the same."""
    if one.keys() != other.keys():
        return f"models {sorted(one)} are not {sorted(other)}"
    for model, expected in one.items():
        for name, value in expected.items():
            if other[model][name] != value:
                first = _first_difference(value, other[model][name])
                return f"{model}: {name} differs{first}"
    return None


def _first_difference(one: Any, other: Any) -> str:
    if isinstance(one, list) and isinstance(other, list):
        for number, (left, right) in enumerate(zip(one, other, strict=False)):
            if left != right:
                return f", first in line {number}: {left} is not {right}"
        return f": {len(one)} lines are not {len(other)}"
    return f": {one} is not {other}"


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(inner) for name, inner in value.items() if not any(t in name for t in TIMED)}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
