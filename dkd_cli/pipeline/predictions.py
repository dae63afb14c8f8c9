"""Predictions of models on a split, cached on disk, so that a resumed comparison does not recompute them.

A kept answer counts only for the weights, the labels, the texts and the lengths that it was given for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from dkd_cli.data.encoding import PaddingCollator, encode
from dkd_cli.data.examples import Split, TaskData
from dkd_cli.engine.cache.fingerprint import weight_files
from dkd_cli.engine.models.inference import predict_logits
from dkd_cli.engine.models.models import check_fit, load_classifier, locate_model
from dkd_cli.files import replacing
from dkd_cli.recipe.schema import Recipe

Logits = NDArray[np.float32]


def answers(
    source: str,
    recipe: Recipe,
    data: TaskData,
    split: Split,
    kept: Path,
    advance: Callable[..., None],
    labels: tuple[str, ...] | None = None,
) -> Logits:
    """The logits of a classifier for every row of a split, [N, C], in the order of the task's labels.

    Args:
        source: a folder or hub id.
        recipe: how the texts are cut and in which precision they are read.
        data: the task.
        split: what is asked.
        kept: the file that answers are found in, or else written to.
        advance: told how many rows were answered.
        labels: the class names in the order of the model's outputs, where it does not know them.
    """
    key = _key(source, recipe, split, (data.label_names, labels))
    found = _read(kept, key)
    if found is not None:
        advance(len(split))
        return found
    logits = asked(source, recipe, data, split, advance, labels, key=source).numpy()
    with replacing(kept) as staged:
        save_file({"logits": logits}, staged, {"key": key})
    return logits


def asked(
    source: str,
    recipe: Recipe,
    data: TaskData,
    split: Split,
    advance: Callable[..., None],
    labels: tuple[str, ...] | None,
    *,
    key: str,
) -> Tensor:
    """As `answers`, but kept nowhere; `key` names the model in errors."""
    loaded = load_classifier(source, data, labels=labels, key=key)
    encoded = encode(split, loaded.tokenizer, recipe.data.max_length)
    check_fit(loaded.model, [encoded], recipe.data.max_length, key)
    return predict_logits(
        loaded.model,
        encoded,
        PaddingCollator(loaded.tokenizer),
        batch_size=recipe.train.eval_batch_size,
        precision=recipe.train.precision,
        advance=advance,
    )


def digest(values: NDArray[np.generic]) -> str:
    """32 hex digits of an array of class ids or numbers, the same on any machine."""
    return hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=16).hexdigest()


def _key(source: str, recipe: Recipe, split: Split, labels: object) -> str:
    known = hashlib.blake2b(digest_size=16)
    for path in weight_files(locate_model(source, source)):
        with path.open("rb") as handle:
            known.update(hashlib.file_digest(handle, "blake2b").digest())
    known.update(f"{recipe.data.max_length} {recipe.train.precision} {labels}".encode())
    known.update("".join(split.example_ids).encode())
    return known.hexdigest()


def _read(kept: Path, key: str) -> Logits | None:
    if not kept.is_file():
        return None
    try:
        with safe_open(kept, "numpy") as file:
            return file.get_tensor("logits") if (file.metadata() or {}).get("key") == key else None
    except SafetensorError:
        # Damaged from outside: what it held is made again.
        return None
