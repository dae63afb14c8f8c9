"""Static classifiers in NumPy: read from a folder and computed without torch or transformers.

Mirrors `static.StaticForSequenceClassification`. Knows nothing of texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from dkd_cli.errors import ModelError, reason
from dkd_cli.manifests import MANIFEST, damage

MODEL_TYPE = "dkd-static"
WEIGHTS = "model.safetensors"

Floats = NDArray[np.float32]
Table = NDArray[np.generic]


@dataclass(frozen=True)
class Filters:
    """One convolution."""

    width: int
    weight: Floats
    """[D, width * F], the filters of each offset in turn."""
    bias: Floats
    """[F]."""


@dataclass(frozen=True)
class StaticArrays:
    """A static classifier of V tokens, D dimensions and C outputs."""

    vectors: Table
    """[V, D], float32, float16 or int8; integers are meant times `scales`."""
    scales: Floats | None
    """[V]."""
    weights: Floats
    """[V], how much each token counts in the mean."""
    special: NDArray[np.bool_]
    """[V], tokens that are no part of a text, which the mean leaves out."""
    convolutions: tuple[Filters, ...]
    head: tuple[tuple[Floats, Floats], ...]
    """Weight [in, out] and bias of each layer, with ReLU between them."""
    normalised: bool = False
    """Whether the mean and the maxima each have mean 0 and variance 1 before the head reads them."""
    empty: Floats | None = None
    """[C], the logits of a text without a token that counts, where vectors are logits; None: the head's."""

    def logits(self, texts: Sequence[NDArray[np.integer[Any]]]) -> Floats:
        """Compute the logits [B, C] of B texts, each an array of token ids."""
        found = self._logits(texts)
        if self.empty is not None:
            found[[not len(ids) or bool(self.special[ids].all()) for ids in texts]] = self.empty
        return found

    def _logits(self, texts: Sequence[NDArray[np.integer[Any]]]) -> Floats:
        lengths = np.array([len(ids) for ids in texts])
        if not lengths.all():
            # A text without any token, not even special ones, has features of 0.
            filters = sum(len(each.bias) for each in self.convolutions)
            features = np.zeros((len(texts), self.vectors.shape[1] + filters), dtype=np.float32)
            if lengths.any():
                features[lengths > 0] = self._features([ids for ids in texts if len(ids)])
            return self._head(features)
        return self._head(self._features(texts))

    def _features(self, texts: Sequence[NDArray[np.integer[Any]]]) -> Floats:
        """The mean and the convolutions of texts of one or more tokens each: [B, D + filters]."""
        lengths = np.array([len(ids) for ids in texts])
        ids, first = np.concatenate(texts), np.cumsum(lengths) - lengths
        vectors, counted = self._vectors(ids), ~self.special[ids]
        total = np.add.reduceat(vectors * (self.weights[ids] * counted)[:, None], first, axis=0)
        mean = total / np.maximum(np.add.reduceat(counted, first, dtype=np.float32), 1)[:, None]
        features: list[Floats] = [mean.astype(np.float32)]
        if self.convolutions:
            # Rows of zeros around each text, which filters may reach into.
            gap = max(each.width for each in self.convolutions) - 1
            where = np.arange(len(ids)) + np.repeat(gap * np.arange(1, len(texts) + 1), lengths)
            spaced = np.zeros((len(ids) + gap * (len(texts) + 1), vectors.shape[1]), dtype=np.float32)
            spaced[where] = vectors
            features += [_maxima(each, spaced, where, first) for each in self.convolutions]
        return np.concatenate(features, axis=1)

    def _head(self, found: Floats) -> Floats:
        if self.normalised:
            parts = np.split(found, [self.vectors.shape[1]], axis=1)
            found = np.concatenate([_standardised(part) for part in parts if part.shape[1]], axis=1)
        for place, (weight, bias) in enumerate(self.head):
            found = (found if place == 0 else np.maximum(found, 0)) @ weight + bias
        return found

    def _vectors(self, ids: NDArray[np.integer[Any]]) -> Floats:
        found: Floats = self.vectors[ids].astype(np.float32)
        if self.scales is not None:
            found *= self.scales[ids][:, None]
        return found


def _standardised(features: Floats) -> Floats:
    """Layer normalisation without weights, with torch's epsilon: [B, F]."""
    centred = features - features.mean(axis=1, keepdims=True)
    found: Floats = centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + 1e-5)
    return found


def _maxima(
    each: Filters, spaced: Floats, where: NDArray[np.integer[Any]], first: NDArray[np.integer[Any]]
) -> Floats:
    """The maximum of each filter over the positions of each text: [B, F]."""
    size, left = len(each.bias), (each.width - 1) // 2
    terms = spaced @ each.weight
    total = np.tile(each.bias, (len(where), 1))
    for offset in range(each.width):
        total += terms[where + offset - left, offset * size : (offset + 1) * size]
    found: Floats = np.maximum(np.maximum.reduceat(total, first, axis=0), 0)
    return found


@dataclass(frozen=True)
class StaticFacts:
    """Settings in a static student's configuration."""

    labels: tuple[str, ...] | None
    """In the order of its outputs; None where it predicts a number."""
    problem_type: str | None
    """As transformers calls it."""
    max_length: int | None
    """In tokens; None: not known."""
    text: str
    """The column that it was trained on, and its partner."""
    text_pair: str | None


def read_static(folder: Path) -> tuple[StaticArrays, StaticFacts] | None:
    """Read the static student in a folder that `save_pretrained` wrote; None for any other model.

    Raises:
        ModelError: where it is damaged.
    """
    config = read_config(folder)
    if config.get("model_type") != MODEL_TYPE:
        return None
    why = damage(folder) if (folder / MANIFEST).is_file() else None
    if why is not None:
        raise ModelError(str(folder), why, f"make it again (a run with --fresh), or remove its {MANIFEST}")
    tensors = read_tensors(folder / WEIGHTS)
    try:
        return arrays_of(tensors, config), facts_of(config)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise damaged(folder, error) from error


def arrays_of(tensors: Mapping[str, NDArray[Any]], config: Mapping[str, Any]) -> StaticArrays:
    """The arrays of a classifier, from its weights by torch's names and its configuration."""
    table = tensors["static.table.weight"]
    convolutions = tuple(
        Filters(
            width,
            np.ascontiguousarray(tensors[f"static.convolutions.{place}.linear.weight"].T),
            tensors[f"static.convolutions.{place}.bias"],
        )
        for place, width in enumerate(config["convolutions"])
    )
    layers = ("hidden", "classifier") if config["head_size"] else ("classifier",)
    head = tuple((tensors[f"{name}.weight"].T, tensors[f"{name}.bias"]) for name in layers)
    return StaticArrays(
        np.ascontiguousarray(table[:, :-1]),
        None,
        np.ascontiguousarray(table[:, -1]),
        special_tokens(config, len(table)),
        convolutions,
        head,
        normalised=bool(config.get("normalised")),
    )


def special_tokens(config: Mapping[str, Any], size: int) -> NDArray[np.bool_]:
    """Mask of the tokens that a configuration names as special, `pad_token_id` and so on: [V]."""
    special = np.zeros(size, dtype=bool)
    special[[value for name, value in config.items() if name.endswith("_token_id") and value is not None]] = (
        True
    )
    return special


def facts_of(config: Mapping[str, Any]) -> StaticFacts:
    """Read the settings in a static student's configuration."""
    named = config["id2label"]
    labels = tuple(str(named[str(index)]) for index in range(len(named)))
    reads = config.get("reads", {})
    return StaticFacts(
        labels if len(labels) > 1 else None,
        config.get("problem_type"),
        reads.get("max_length"),
        reads.get("text", "text"),
        reads.get("text_pair"),
    )


def read_config(folder: Path) -> Mapping[str, Any]:
    """The content of a folder's `config.json`; empty where there is none.

    Raises:
        ModelError: where it is damaged.
    """
    path = folder / "config.json"
    try:
        config: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return {}
    except ValueError as error:
        raise damaged(folder, error) from error
    return config


def read_tensors(path: Path) -> Mapping[str, NDArray[Any]]:
    """All tensors of a file.

    Raises:
        ModelError: where it is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> ModelError:
    """The error of a model that cannot be read."""
    return ModelError(str(path), f"is damaged ({reason(error)})", "make the model again")
