"""`calibration.json` of a model folder: the temperature that divides its logits, and thresholds of labels.

The only file that `dkd evaluate` adds to a model folder; `dkd predict` reads it. Does not know how a
temperature is fitted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dkd_cli.errors import DataError
from dkd_cli.files import write_json

NAME = "calibration.json"


@dataclass(frozen=True)
class Fit:
    """Calibration figures at one temperature, on the rows that it was fitted on."""

    ece: float
    nll: float
    """Nats, mean over rows."""


@dataclass(frozen=True)
class Temperature:
    """Content of the file."""

    temperature: float
    fitted_on: str
    """The split."""
    rows: int
    before: Fit
    """At temperature 1."""
    after: Fit
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Of several labels the probability, at that temperature, above which each is predicted."""


def plain(fitted: Temperature) -> dict[str, Any]:
    """The content of the file; without thresholds where there are none."""
    values = asdict(fitted)
    return values if fitted.thresholds else {k: v for k, v in values.items() if k != "thresholds"}


def write_temperature(folder: Path, fitted: Temperature) -> None:
    """Write the file atomically; a file with the same content is left alone."""
    path, values = folder / NAME, plain(fitted)
    if path.is_file() and path.read_text(encoding="utf-8") == json.dumps(values, indent=2) + "\n":
        return
    write_json(path, values)


def read_temperature(folder: Path) -> float:
    """Return the temperature of the model in `folder`; 1 if it was never calibrated.

    Raises:
        DataError: for a file that cannot be read, or holds no temperature.
    """
    path = folder / NAME
    if not path.is_file():
        return 1.0
    try:
        temperature = float(json.loads(path.read_text(encoding="utf-8"))["temperature"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            str(path), f"holds no temperature ({error})", "remove it and run `dkd evaluate`"
        ) from error
    if not 0 < temperature < float("inf"):
        raise DataError(str(path), f"{temperature} is not a temperature", "remove it and run `dkd evaluate`")
    return temperature


def read_thresholds(folder: Path) -> dict[str, float]:
    """Return the threshold of each label of the model in `folder`; empty if there are none.

    Raises:
        DataError: for a file that cannot be read, or holds something else.
    """
    path = folder / NAME
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get("thresholds", {})
        thresholds = {str(name): float(value) for name, value in found.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        problem = f"holds no thresholds of labels ({error})"
        raise DataError(str(path), problem, "remove it and run `dkd evaluate`") from error
    wrong = next((name for name, value in thresholds.items() if not 0 < value < 1), None)
    if wrong is not None:
        problem = f"the threshold of {wrong!r} is {thresholds[wrong]}, not between 0 and 1"
        raise DataError(str(path), problem, "remove it and run `dkd evaluate`")
    return thresholds
