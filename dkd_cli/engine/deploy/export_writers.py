"""The formats that `dkd export` writes, by their names in `export_formats.FORMATS`: how each is written.

A new format is an entry here, one in `FORMATS`, and a word in `cli/deploy.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dkd_cli.engine.deploy.int8 import quantize
from dkd_cli.engine.deploy.onnx_writer import OPSET, write_graph
from dkd_cli.engine.models.exports import GRAPH_FILE, Quantization
from dkd_cli.engine.models.models import Model, Tokenizer
from dkd_cli.engine.models.static import StaticForSequenceClassification
from dkd_cli.engine.models.static_arrays import StaticArrays, arrays_of
from dkd_cli.engine.models.static_exports import (
    model2vec_file,
    narrowed,
    per_token,
    quantized_rows,
    write_model2vec,
    write_numpy,
)
from dkd_cli.errors import ModelError

Inputs = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Writer of a format."""

    check: Callable[[Model, Quantization | None, str], None]
    """Refuse a model that the format cannot hold, by the name that the user gave it.

    Raises:
        ModelError: says why.
    """
    write: Callable[[Model, Inputs, Path, Quantization | None], None]
    """Write the weights into a folder, given a padded batch of two rows or more. Called without quantization
    first and, where there is one, then with it."""
    finish: Callable[[Path, Tokenizer], None] = lambda folder, tokenizer: None
    """Complete a folder that has its configuration and its tokenizer."""
    opset: int | None = None
    edition: int = 1
    """Raised when the same weights are written otherwise: exports of another edition are made again."""
    packages: tuple[str, ...]
    """Packages whose versions are recorded."""


class QuantizedTable(torch.nn.Module):
    """The table of a static student with its vectors in fewer bits: int8 with a scale each, or fp16."""

    def __init__(self, table: Tensor, quantization: Quantization) -> None:
        super().__init__()
        vectors = table[:, :-1]
        scales = torch.ones(len(table))
        if quantization == "int8":
            values, found = quantized_rows(vectors.numpy())
            vectors, scales = torch.from_numpy(values), torch.from_numpy(found)
        self.vectors: Tensor
        self.scales: Tensor
        self.weights: Tensor
        self.register_buffer("vectors", vectors.half() if quantization == "fp16" else vectors)
        self.register_buffer("scales", scales.unsqueeze(1))
        self.register_buffer("weights", table[:, -1:].clone())

    def forward(self, ids: Tensor) -> Tensor:
        """Look up [B, L] tokens: [B, L, D + 1], in float32."""
        vectors = self.vectors[ids].float() * self.scales[ids]
        return torch.cat([vectors, self.weights[ids]], dim=-1)


def _write_onnx(model: Model, example: Inputs, folder: Path, quantization: Quantization | None) -> None:
    path = folder / GRAPH_FILE
    if quantization is None:
        write_graph(model, example, path)
    elif isinstance(model, StaticForSequenceClassification):
        smaller = copy.deepcopy(model)
        smaller.static.table = QuantizedTable(model.static.table.weight.detach(), quantization)  # type: ignore[assignment]
        write_graph(smaller, example, path)
    else:
        whole = folder / "float32.onnx"
        path.rename(whole)
        quantize(whole, path)
        whole.unlink()


def _check_onnx(model: Model, quantization: Quantization | None, name: str) -> None:
    if quantization == "fp16" and not isinstance(model, StaticForSequenceClassification):
        problem = "is an encoder, and fp16 is for the vectors of static students"
        raise ModelError(name, problem, "use --quantize int8, or none")


def _check_static(model: Model, quantization: Quantization | None, name: str) -> None:
    if not isinstance(model, StaticForSequenceClassification):
        problem = "is no static student, which this format is for"
        raise ModelError(name, problem, "use --format onnx")


def _check_bag(model: Model, quantization: Quantization | None, name: str) -> None:
    _check_static(model, quantization, name)
    if model.config.convolutions or model.config.head_size:
        problem = "has convolutions or a hidden layer, which Model2Vec's format cannot hold"
        raise ModelError(
            name, problem, "use --format onnx or numpy, or train it with student.convolutions=[]"
        )
    if quantization == "int8":
        problem = "would need a scale for each token, which Model2Vec's format cannot hold"
        raise ModelError(name, problem, "use --quantize fp16, or none")


def _arrays(model: Model) -> StaticArrays:
    tensors = {name: weight.numpy() for name, weight in model.state_dict().items()}
    arrays = arrays_of(tensors, model.config.to_dict())
    folded = per_token(arrays)
    smaller = folded is not None and folded.vectors.shape[1] <= arrays.vectors.shape[1]
    return folded if folded is not None and smaller else arrays


def _write_numpy(model: Model, example: Inputs, folder: Path, quantization: Quantization | None) -> None:
    write_numpy(folder, narrowed(_arrays(model), quantization))


def _write_model2vec(model: Model, example: Inputs, folder: Path, quantization: Quantization | None) -> None:
    tensors = {name: weight.numpy() for name, weight in model.state_dict().items()}
    folded = per_token(arrays_of(tensors, model.config.to_dict()))
    assert folded is not None, "checked before"
    write_model2vec(folder, narrowed(folded, quantization))


def _finish_model2vec(folder: Path, tokenizer: Tokenizer) -> None:
    model2vec_file(folder, tokenizer.num_special_tokens_to_add(pair=False))


WRITERS: dict[str, Writer] = {
    "onnx": Writer(
        check=_check_onnx,
        write=_write_onnx,
        opset=OPSET,
        edition=2,  # int8 activations with a scale for each token vector
        packages=("torch", "transformers", "onnx", "onnxruntime"),
    ),
    "numpy": Writer(check=_check_static, write=_write_numpy, packages=("torch", "transformers", "numpy")),
    "model2vec": Writer(
        check=_check_bag,
        write=_write_model2vec,
        finish=_finish_model2vec,
        packages=("torch", "transformers", "numpy"),
    ),
}
