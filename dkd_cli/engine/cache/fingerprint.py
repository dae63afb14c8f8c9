"""What decides a teacher's answers, as digests: the key to its entries in the cache.

Knows where Hugging Face keeps the files of a model; knows nothing of entries and shards.
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
"""Of a model's configuration: where it came from, and names. The order of the labels is a fact of its own."""


Facts = dict[str, Any]


def fingerprint(
    model: Model, source: str, key: str, label_order: Sequence[int] | None, cache: Cache
) -> Facts:
    """All that decides a loaded teacher's answers to token ids, except precision and device; ready for JSON.

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
    """All that a configuration says of how a model calculates, as JSON."""
    settings = {name: value for name, value in config.to_dict().items() if name not in SAYS_NOTHING}
    return json.dumps(settings, sort_keys=True, default=str)


def inputs_read(model: Model, columns: Sequence[str]) -> list[str]:
    """Those of a split's columns that decide what a model reads of a text, in a fixed order."""
    readable = forward_names(model).intersection(columns)
    return [name for name in ("input_ids", "token_type_ids") if name in readable]


def _weights(model: Model, source: str, key: str, cache: Cache) -> str:
    files = weight_files(locate_model(source, key))
    if files:
        return checksum(*(cache.file_digest(path).encode() for path in files)).hex()
    return state_digest(model)


def weight_files(located: str) -> list[Path]:
    """The safetensors of a folder, or of a hub id's snapshot on this machine; none if that is not known."""
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
    """A digest of a model's weight files; of what dkd made it is in the manifest, and no weight is read.

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
        listed[path.name].sha256 if path.name in listed else _file_digest(path, path.stat().st_mtime_ns)
        for path in weight_files(located)
    ]
    return checksum(*(digest.encode() for digest in digests)).hex()


@functools.cache
def _file_digest(path: Path, changed: int) -> str:
    """`changed`: when, in nanoseconds; a file that was written again is digested again."""
    return sha256(path)


def state_digest(model: Model) -> str:
    """A digest of the weights in memory, for a model whose files are not known."""
    state = hashlib.blake2b(digest_size=16)
    for name, weight in sorted(model.state_dict().items()):
        values = weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        state.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        state.update(values.numpy().data)
    return state.hexdigest()
