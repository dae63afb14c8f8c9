"""Exported models: what their folder says of itself, and a session that runs them.

Needs neither torch nor transformers, so that an answer costs no second of imports. Knows nothing about how an
export is made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dkd_cli.errors import DataError, DkdError, ModelError, SystemProblem, reason
from dkd_cli.files import write_json

GRAPH_FILE = "model.onnx"
EXPORT_FILE = "export.json"
OUTPUT = "logits"

Quantization = Literal["int8", "fp16"]
Inputs = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Limits:
    """Limits of a model's input."""

    vocabulary: int
    """Token ids are below it."""
    token_types: int | None
    """So are token types below this; None where the model reads none."""
    positions: int | None
    """The tokens that the longest text may have; None where positions are only ever relative."""


@dataclass(frozen=True)
class Graph:
    """Facts about the graph that it no longer shows."""

    quantization: Quantization | None
    layers: int
    parameters: int
    limits: Limits

    @property
    def width(self) -> str:
        """Of its numbers: `fp32`, `fp16` or `int8`."""
        return self.quantization or "fp32"


@dataclass(frozen=True)
class Padding:
    """Padding of a batch."""

    side: Literal["left", "right"]
    token_id: int
    token_type: int
    empty: int | None = None
    """The token that a text without any is read as; None where there is no such text."""


@dataclass(frozen=True)
class Parity:
    """Largest differences between an exported graph and its source."""

    rows: int
    max_difference: float
    """Of a logit, before anything is quantised."""
    bound: float


@dataclass(frozen=True)
class Quality:
    """Cost of the export on labelled rows; without labels the metric is agreement with the source."""

    split: str
    rows: int
    metric: str
    before: float
    after: float
    max_loss: float
    """Points, that is hundredths of the metric."""
    max_difference: float
    """Of a logit, as exported."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """Contents of `export.json`."""

    dkd: str
    format: str
    """A name in `export_formats.FORMATS`."""
    opset: int | None
    """Of an ONNX graph."""
    edition: int = 1
    """Of what wrote it (`export_writers.Writer`)."""
    source: str
    """Relative to the export for a folder; a hub id otherwise."""
    source_weights: str
    """A digest of the weights that were exported."""
    graph: Graph
    max_length: int
    """Texts are cut to so many tokens."""
    truncation_side: Literal["left", "right"] = "right"
    """The end of a text that is cut off."""
    padding: Padding
    special_tokens_as_text: bool = False
    """Whether special tokens that a text spells are ordinary text."""
    text: str
    """The column that the model was trained on, and its partner."""
    text_pair: str | None
    parity: Parity
    quality: Quality
    source_bytes: int
    """Of the weights."""
    bytes: int
    """Of the file with its weights."""
    versions: Mapping[str, str]


def write_export(folder: Path, export: Export) -> None:
    """Write `export.json`."""
    write_json(folder / EXPORT_FILE, asdict(export))


def read_export(folder: Path) -> Export | None:
    """Read an export's manifest; None for a folder without an export.

    Raises:
        DataError: for an `export.json` that cannot be read.
    """
    path = folder / EXPORT_FILE
    if not path.exists():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        export = Export(**said)
        return replace(
            export,
            graph=Graph(**(said["graph"] | {"limits": Limits(**said["graph"]["limits"])})),
            padding=Padding(**said["padding"]),
            parity=Parity(**said["parity"]),
            quality=Quality(**said["quality"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(str(path), f"cannot be read ({error})", "export the model again") from error


class Session:
    """The graph in a folder, on a CPU.

    Raises:
        SystemProblem: without onnxruntime.
        ModelError: if the graph is missing or damaged.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise no_extra(error) from error
        self._path = str(folder / GRAPH_FILE)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # its errors are raised; its warnings are for makers of graphs
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / GRAPH_FILE), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own exceptions have no common ancestor
            raise ModelError(
                str(folder / GRAPH_FILE), f"cannot be loaded ({reason(error)})", "export the model again"
            ) from error
        self.inputs = frozenset(one.name for one in self._session.get_inputs())

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """Logits [B, C] of token ids [B, L] and their like; inputs that the graph lacks are left out."""
        named = {name: value for name, value in inputs.items() if name in self.inputs}
        try:
            (logits,) = self._session.run([OUTPUT], named)
        except Exception as error:  # as above
            if "allocate" in str(error):
                raise MemoryError(str(error)) from error
            shape = " x ".join(map(str, inputs["input_ids"].shape))
            problem = f"onnxruntime fails on {shape} tokens ({reason(error)})"
            raise ModelError(self._path, problem, "deploy the checkpoint itself") from error
        return np.asarray(logits, dtype=np.float32)


def no_extra(error: ImportError) -> DkdError:
    """One line for a package of the extra `onnx` that is not there."""
    return SystemProblem(error.name or "onnx", "is not installed", "pip install 'dkd-cli[onnx]'")
