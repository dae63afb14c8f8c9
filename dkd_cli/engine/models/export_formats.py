"""The formats that `dkd export` writes, by the name in `export.json`, and how each is read without torch.

How each is written is in `engine/deploy/export_writers.py`, `WRITERS`, by the same names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dkd_cli.engine.models.exports import GRAPH_FILE, Inputs, Session
from dkd_cli.engine.models.static_arrays import WEIGHTS
from dkd_cli.engine.models.static_exports import ArraysSession, read_model2vec, read_numpy
from dkd_cli.errors import ModelError


class Runtime(Protocol):
    """Runtime that computes an export's logits."""

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """Compute the logits [B, C] of token ids [B, L] and their like."""


@dataclass(frozen=True)
class ExportFormat:
    """Reader of a format."""

    weights: str
    """The file that holds them."""
    load: Callable[[Path, int], Runtime]
    """From a folder, for so many threads.

    Raises:
        ModelError: where it is damaged.
        SystemProblem: without a package that it needs.
    """


FORMATS: dict[str, ExportFormat] = {
    "onnx": ExportFormat(GRAPH_FILE, Session),
    "numpy": ExportFormat(WEIGHTS, lambda folder, threads: ArraysSession(read_numpy(folder))),
    "model2vec": ExportFormat(WEIGHTS, lambda folder, threads: ArraysSession(read_model2vec(folder))),
}


def format_of(name: str, folder: Path) -> ExportFormat:
    """The format of an export.

    Raises:
        ModelError: for one that this version does not know.
    """
    if name not in FORMATS:
        problem = f"is an export in the format {name!r}, which this version does not read"
        raise ModelError(str(folder), problem, f"export the model again, as {' or '.join(FORMATS)}")
    return FORMATS[name]
