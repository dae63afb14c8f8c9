"""`calibration.json` beside a model's weights: the temperature that its logits are divided by.

The one file that `dkd evaluate` adds to a model folder; `dkd predict` reads it. Says nothing about how a
temperature is found.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from dkd_cli.errors import DataError
from dkd_cli.files import write_json

NAME = "calibration.json"


@dataclass(frozen=True)
class Fit:
    """How good the probabilities of the rows that it was fitted on are at one temperature."""

    ece: float
    nll: float
    """Nats, mean over rows."""


@dataclass(frozen=True)
class Temperature:
    """What the file says."""

    temperature: float
    fitted_on: str
    """The split."""
    rows: int
    before: Fit
    """At temperature 1."""
    after: Fit


def write_temperature(folder: Path, fitted: Temperature) -> None:
    """Write the file, whole or not at all; one that says the same is left alone."""
    path = folder / NAME
    if path.is_file() and path.read_text(encoding="utf-8") == json.dumps(asdict(fitted), indent=2) + "\n":
        return
    write_json(path, asdict(fitted))


def read_temperature(folder: Path) -> float:
    """The temperature of the model in `folder`; 1 where it was never calibrated.

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
        raise DataError(str(path), f"{temperature} is no temperature", "remove it and run `dkd evaluate`")
    return temperature
