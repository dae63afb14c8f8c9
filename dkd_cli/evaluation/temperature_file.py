"""`calibration.json` of a model folder: the temperature that divides the model's logits.

The only file that `dkd evaluate` adds to a model folder; `dkd predict` reads it. Does not know how a
temperature is fitted.
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


def write_temperature(folder: Path, fitted: Temperature) -> None:
    """Write the file atomically; a file with the same content is left alone."""
    path = folder / NAME
    if path.is_file() and path.read_text(encoding="utf-8") == json.dumps(asdict(fitted), indent=2) + "\n":
        return
    write_json(path, asdict(fitted))


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
