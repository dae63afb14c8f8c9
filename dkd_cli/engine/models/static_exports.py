"""Static students in compact files: vectors of fewer bits, or one vector of logits per token.

Written and read with NumPy and safetensors alone. Knows nothing of texts, nor of what makes an export good
enough.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from dkd_cli.engine.models.exports import Inputs, Quantization
from dkd_cli.engine.models.static_arrays import (
    WEIGHTS,
    Filters,
    Floats,
    StaticArrays,
    Table,
    damaged,
    read_config,
    read_tensors,
    special_tokens,
)
from dkd_cli.files import write_json

EMBEDDINGS = "embeddings"
"""Model2Vec's name for the table of vectors."""
EMPTY = "empty_logits"


class ArraysSession:
    """A static classifier that takes padded batches, as the session of an ONNX graph does."""

    inputs = frozenset({"input_ids", "attention_mask"})

    def __init__(self, arrays: StaticArrays) -> None:
        self.arrays = arrays

    def logits(self, inputs: Inputs) -> Floats:
        """Compute the logits [B, C] of token ids [B, L] and their mask."""
        rows = zip(inputs["input_ids"], inputs["attention_mask"] != 0, strict=True)
        return self.arrays.logits([ids[real] for ids, real in rows])


def quantized_rows(vectors: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Round each row to 8-bit integers times a scale of its own: [V, D] -> [V, D] and [V].

    >>> values, scales = quantized_rows(np.array([[1.0, -0.5], [0.0, 0.0]], dtype=np.float32))
    >>> values.tolist()
    [[127, -64], [0, 0]]
    """
    scales = np.maximum(np.abs(vectors).max(axis=1), 1e-12).astype(np.float32) / 127
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales


def narrowed(arrays: StaticArrays, quantization: Quantization | None) -> StaticArrays:
    """The same classifier with the vectors of its tokens in fewer bits."""
    vectors = np.asarray(arrays.vectors, dtype=np.float32)
    if quantization == "int8":
        values, scales = quantized_rows(vectors)
        return replace(arrays, vectors=values, scales=scales)
    if quantization == "fp16":
        return replace(arrays, vectors=vectors.astype(np.float16))
    return arrays


def per_token(arrays: StaticArrays) -> StaticArrays | None:
    """A bag's weights and linear head multiplied into its vectors: each token then has C logits.

    mean_t(w_t v_t) · W + b = mean_t(w_t v_t · W + b): the same logits for any text with a token that counts,
    and b for any other. None where convolutions, normalisation or a hidden layer stand between vectors and
    logits.
    """
    linear = not arrays.convolutions and not arrays.normalised and len(arrays.head) == 1
    if not linear or arrays.scales is not None:
        return None
    weight, bias = arrays.head[0]
    vectors = (np.asarray(arrays.vectors, dtype=np.float32) @ weight) * arrays.weights[:, None] + bias
    return replace(arrays, vectors=vectors, weights=np.ones_like(arrays.weights), head=(), empty=bias)


def write_numpy(folder: Path, arrays: StaticArrays) -> None:
    """Write all arrays of a classifier as safetensors."""
    tensors: dict[str, Table] = {"vectors": arrays.vectors, "weights": arrays.weights}
    if arrays.scales is not None:
        tensors["scales"] = arrays.scales
    if arrays.empty is not None:
        tensors["empty"] = arrays.empty
    for place, each in enumerate(arrays.convolutions):
        tensors |= {f"convolutions.{place}.weight": each.weight, f"convolutions.{place}.bias": each.bias}
    for place, (weight, bias) in enumerate(arrays.head):
        tensors |= {f"head.{place}.weight": weight, f"head.{place}.bias": bias}
    save_file({name: np.ascontiguousarray(one) for name, one in tensors.items()}, folder / WEIGHTS)


def read_numpy(folder: Path) -> StaticArrays:
    """Read what `write_numpy` wrote, beside the model's `config.json`.

    Raises:
        ModelError: where it is damaged.
    """
    tensors, config = read_tensors(folder / WEIGHTS), read_config(folder)
    try:
        convolutions = tuple(
            Filters(width, tensors[f"convolutions.{place}.weight"], tensors[f"convolutions.{place}.bias"])
            for place, width in enumerate(config["convolutions"])
        )
        layers = sum(name.startswith("head.") for name in tensors) // 2
        head = tuple(
            (tensors[f"head.{place}.weight"], tensors[f"head.{place}.bias"]) for place in range(layers)
        )
        vectors = tensors["vectors"]
        special = special_tokens(config, len(vectors))
        return StaticArrays(
            vectors,
            tensors.get("scales"),
            tensors["weights"],
            special,
            convolutions,
            head,
            normalised=bool(config.get("normalised")),
            empty=tensors.get("empty"),
        )
    except (KeyError, IndexError, TypeError) as error:
        raise damaged(folder, error) from error


def write_model2vec(folder: Path, arrays: StaticArrays) -> None:
    """Write the vectors of logits that `per_token` made, under the name that Model2Vec reads.

    What it has no place for, the logits of a text without tokens, goes into the model's `config.json`.
    """
    assert arrays.empty is not None
    write_json(folder / "config.json", {**read_config(folder), EMPTY: arrays.empty.tolist()})
    save_file({EMBEDDINGS: np.ascontiguousarray(arrays.vectors)}, folder / WEIGHTS)


def model2vec_config(config: Mapping[str, Any], special: int) -> dict[str, Any]:
    """A model's configuration with what Model2Vec reads there.

    Args:
        config: the content of `config.json`.
        special: tokens around a text, which Model2Vec leaves away before it truncates.
    """
    longest = config.get("reads", {}).get("max_length")
    limit = None if longest is None else max(1, longest - special)
    return {**config, "normalize": False, "max_length": limit}


def read_model2vec(folder: Path) -> StaticArrays:
    """Read a table of logits per token, beside the model's `config.json`.

    Raises:
        ModelError: where it is damaged.
    """
    tensors, config = read_tensors(folder / WEIGHTS), read_config(folder)
    try:
        vectors = tensors[EMBEDDINGS]
        special = special_tokens(config, len(vectors))
        empty = np.array(config[EMPTY], dtype=np.float32) if EMPTY in config else None
    except (KeyError, IndexError, TypeError) as error:
        raise damaged(folder, error) from error
    return StaticArrays(vectors, None, np.ones(len(vectors), dtype=np.float32), special, (), (), empty=empty)


def model2vec_file(folder: Path, special: int) -> None:
    """Add to a written `config.json` what Model2Vec reads there; `special` as in `model2vec_config`."""
    path = folder / "config.json"
    config = model2vec_config(json.loads(path.read_text(encoding="utf-8")), special)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
