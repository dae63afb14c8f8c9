"""Digests of everything that decides a teacher's outputs: the keys of its cache entries.

Knows where Hugging Face stores the files of a model; knows nothing about entries and shards.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig
from transformers.utils import cached_file

from dkd_cli.engine.cache.entries import Cache
from dkd_cli.engine.cache.shards import checksum
from dkd_cli.engine.models.models import Model, forward_names, locate_model, refuse_damaged
from dkd_cli.manifests import MANIFEST, Listed, read_manifest, sha256

SAYS_NOTHING = {"_name_or_path", "architectures", "transformers_version", "dtype", "id2label", "label2id"}
"""Keys of a model's configuration that are ignored: origin and names. The order of the labels is a fact of
its own."""


Facts = dict[str, Any]


def fingerprint(
    model: Model, source: str, key: str, label_order: Sequence[int] | None, cache: Cache
) -> Facts:
    """Return everything that decides a loaded teacher's outputs for token ids, except precision and device,
    as JSON values.

    Args:
        model: loaded from `source`.
        source: hub id, folder or `pkg://`.
        key: the recipe's key, for errors.
        label_order: for each of the task's labels, the model's output that stands for it; None: one number.
        cache: remembers the digests of files.
    """
    return {
        "weights": _weights(model, source, key, cache),
        "config": checksum(architecture(model.config).encode()).hex(),
        "label_order": None if label_order is None else list(label_order),
    }


def architecture(config: PretrainedConfig) -> str:
    """The computation-related part of a configuration, as JSON."""
    settings = {name: value for name, value in config.to_dict().items() if name not in SAYS_NOTHING}
    return json.dumps(settings, sort_keys=True, default=str)


def inputs_read(model: Model, columns: Sequence[str]) -> list[str]:
    """The columns of a split that a model reads, in a fixed order."""
    readable = forward_names(model).intersection(columns)
    return [name for name in ("input_ids", "token_type_ids") if name in readable]


def _weights(model: Model, source: str, key: str, cache: Cache) -> str:
    files = weight_files(locate_model(source, key))
    if files:
        return checksum(*(cache.file_digest(path).encode() for path in files)).hex()
    return state_digest(model)


def weight_files(located: str) -> list[Path]:
    """The safetensors files of a folder, or of a hub id's local snapshot; empty if unknown."""
    folder = Path(located)
    if not folder.is_dir():
        found = cached_file(
            located, "config.json", local_files_only=True, _raise_exceptions_for_missing_entries=False
        )
        if found is None:
            return []
        folder = Path(found).parent
    return sorted(folder.glob("*.safetensors"))


def weights_digest(source: str, key: str) -> str:
    """A digest of a model's weight files; for a model made by dkd it is in the manifest, and no weights are
    read.

    Args:
        source: hub id, folder or `pkg://`.
        key: the recipe's key, for errors.

    Raises:
        ModelError: if there is no such model.
    """
    located = locate_model(source, key)
    listed: dict[str, Listed] = {}
    if (Path(located) / MANIFEST).is_file():
        try:
            listed = read_manifest(Path(located))
        except (OSError, ValueError):
            refuse_damaged(located, source, key)
    digests = [
        listed[path.name].sha256 if path.name in listed else file_digest(path)
        for path in weight_files(located)
    ]
    return checksum(*(digest.encode() for digest in digests)).hex()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, which is read once unless it is written again."""
    return _file_digest(path, path.stat().st_mtime_ns)


@functools.cache
def _file_digest(path: Path, changed: int) -> str:
    """`changed`: time in nanoseconds; a file that was written again gets a new digest."""
    return sha256(path)


def state_digest(model: Model) -> str:
    """A digest of the weights in memory, for a model whose files are not known."""
    state = hashlib.blake2b(digest_size=16)
    for name, weight in sorted(model.state_dict().items()):
        values = weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        state.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        state.update(values.numpy().data)
    return state.hexdigest()
