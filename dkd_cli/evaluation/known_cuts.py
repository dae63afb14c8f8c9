"""Thresholds of a model of several labels: those of its folder, those fitted on labelled rows, or 0.5.

A checkpoint made elsewhere has none of its own. Knows no model but by its folder and its logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from numpy.typing import ArrayLike

from dkd_cli.data.kinds import KINDS
from dkd_cli.data.output_math import Floats
from dkd_cli.evaluation.temperature_file import NAME, read_temperature, read_thresholds
from dkd_cli.evaluation.thresholds import as_cuts, fit_cuts

HALF = "0.5 for every label"


@dataclass(frozen=True)
class KnownCuts:
    """Thresholds as logits, and where they are from."""

    cuts: Floats | None
    """[C], the logits above which labels are predicted; None: 0."""
    origin: str | None
    """In words; None for kinds of output without thresholds."""


def cuts_in(folder: Path | None, names: Sequence[str]) -> Floats | None:
    """Read the thresholds in a model's folder, in the order of `names`, [C]; None where it has none.

    Raises:
        DataError: for a file that cannot be read.
    """
    if folder is None:
        return None
    return as_cuts(read_thresholds(folder), read_temperature(folder), names)


def find_cuts(
    folder: Path | None,
    kind: str,
    names: Sequence[str],
    logits: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    rows: str = "validation",
) -> KnownCuts:
    """Find the thresholds of a model: its folder's, else fitted on labelled rows, else 0.5.

    Args:
        folder: of the model; None if it has none here.
        kind: of output.
        names: of the labels, in the order of the logits.
        logits: of labelled rows, [N, C]; None if there are none.
        labels: of the same rows, [N, C].
        rows: what they are called.

    Raises:
        DataError: for a file that cannot be read.
    """
    if not KINDS[kind].thresholds:
        return KnownCuts(None, None)
    own = cuts_in(folder, names)
    if own is not None:
        return KnownCuts(own, f"those of its {NAME}")
    if logits is None or labels is None:
        return KnownCuts(None, HALF)
    return KnownCuts(fit_cuts(logits, labels), f"fitted on {rows}")
