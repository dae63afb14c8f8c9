"""Sequence classifiers in and out of Hugging Face folders: found, built, loaded, checked.

`build_classifier` puts a new head on a pretrained encoder; `load_classifier` takes a trained one and puts its
outputs in the task's label order. Knows nothing of training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from dkd_cli.data.encoding import EncodedSplit
from dkd_cli.data.examples import TaskData
from dkd_cli.data.locate import package_path
from dkd_cli.errors import ModelError

Model: TypeAlias = transformers.PreTrainedModel
Tokenizer: TypeAlias = transformers.PreTrainedTokenizerBase
FEWEST_TOKENS = 16
GENERIC_LABEL = re.compile(r"LABEL_\d+")


@dataclass(frozen=True)
class LoadedModel:
    """A classifier whose logits are in the task's label order, and its tokenizer."""

    model: Model
    tokenizer: Tokenizer


def locate_model(name: str, key: str) -> str:
    """Turn a hub id, a folder or `pkg://package/path` into what `from_pretrained` takes.

    Raises:
        ModelError: for a folder that is not there, or holds no model in safetensors.
    """
    path = package_path(name, ModelError) if name.startswith("pkg://") else Path(name)
    looks_local = name.startswith(("pkg://", "/", "./", "../", "~")) or name.count("/") > 1 or path.exists()
    if not looks_local:
        return name
    path = path.expanduser()
    if not path.is_dir():
        raise ModelError(key, f"{name!r} is not there", "name a folder, a hub id or pkg://package/path")
    if not (path / "config.json").is_file():
        raise ModelError(key, f"{name!r} has no config.json", "name the folder that save_pretrained wrote")
    if not any(path.glob("*.safetensors")):
        has_pickle = any(path.glob("pytorch_model*.bin"))
        problem = "has pickled weights only, which can run code" if has_pickle else "has no weights"
        raise ModelError(
            key, f"{name!r} {problem}", "save it again as safetensors (the default of save_pretrained)"
        )
    return str(path)


def _explain(error: Exception, name: str, key: str) -> ModelError:
    text = str(error)
    if "trust_remote_code" in text or "custom code" in text:
        return ModelError(
            key, f"{name!r} needs code of its own to be run", "choose an architecture transformers has"
        )
    if isinstance(error, SafetensorError):
        return ModelError(
            key, f"the weights of {name!r} are damaged ({text.splitlines()[0]})", "fetch them again"
        )
    if "connect" in text or "offline" in text or "Repo id" in text or "not a local folder" in text:
        return ModelError(
            key,
            f"{name!r} is no folder here and cannot be had from the model hub",
            "check the spelling and the connection, or name a local folder or pkg://package/path",
        )
    return ModelError(
        key, f"{name!r} cannot be loaded ({text.splitlines()[0]})", "see --debug for the whole story"
    )


def load_tokenizer(name: str, key: str) -> Tokenizer:
    """The tokenizer beside a model.

    Raises:
        ModelError: if there is none, or it is damaged.
    """
    source = locate_model(name, key)
    try:
        tokenizer: Tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises nothing more special
        raise _explain(error, name, key) from error
    # Where a folder has no tokenizer, transformers makes one up that knows special tokens alone, and every
    # text would read as unknown words.
    if len(tokenizer) < FEWEST_TOKENS:
        raise ModelError(
            key,
            f"{name!r} has no tokenizer",
            "save the tokenizer beside the model (tokenizer.save_pretrained)",
        )
    return tokenizer


def _load(name: str, key: str, **settings: Any) -> tuple[Model, dict[str, Any]]:
    source = locate_model(name, key)
    try:
        loaded: tuple[Model, dict[str, Any]] = AutoModelForSequenceClassification.from_pretrained(
            source,
            output_loading_info=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            **settings,
        )
    except (OSError, ValueError, SafetensorError, RuntimeError) as error:
        raise _explain(error, name, key) from error
    return loaded


def load_config(name: str, key: str) -> transformers.PretrainedConfig:
    """The configuration alone: enough to check layers and lengths before any weight is read."""
    source = locate_model(name, key)
    try:
        return AutoConfig.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _explain(error, name, key) from error


def build_classifier(name: str, layers: int | None, data: TaskData, seed: int, key: str) -> LoadedModel:
    """The first `layers` of a pretrained encoder under a head for this task.

    A missing head is drawn from `seed`; a head that fits (a trained teacher's) is kept. The saved config
    describes the cut network, so that it reloads to the same one.

    Raises:
        ModelError: for more layers than the model has, weights missing below the head, or a head with the
            task's classes in another order.
    """
    config = load_config(name, key)
    available = config.num_hidden_layers
    if layers is not None and layers > available:
        raise ModelError(
            f"{key}.layers", f"{layers} layers of a model that has {available}", f"ask for 1 to {available}"
        )
    settings: dict[str, Any] = {"num_hidden_layers": layers or available}
    if data.label_names is None:
        settings |= {"num_labels": 1, "problem_type": "regression"}
    else:
        settings |= {
            "id2label": dict(enumerate(data.label_names)),
            "label2id": {label: index for index, label in enumerate(data.label_names)},
            "problem_type": "single_label_classification",
        }
        own = [config.id2label.get(index, "") for index in range(config.num_labels)]
        if sorted(own) == sorted(data.label_names) and own != list(data.label_names):
            raise ModelError(
                key,
                f"the head of {name!r} has the classes in another order: {', '.join(own)}",
                "put data.labels in that order, or start from a pretrained encoder",
            )
    transformers.set_seed(seed)
    model, info = _load(name, key, ignore_mismatched_sizes=True, **settings)
    encoder = f"{model.base_model_prefix}."
    missing = sorted(
        weight for weight in info["missing_keys"] if weight.startswith(encoder) and "pooler" not in weight
    )
    if missing:
        raise ModelError(
            key, f"{name!r} lacks weights of the encoder ({missing[0]} ...)", "name a pretrained encoder"
        )
    return LoadedModel(model, load_tokenizer(name, key))


def load_classifier(
    name: str, data: TaskData, *, labels: Sequence[str] | None = None, key: str = "model"
) -> LoadedModel:
    """A trained classifier, frozen, in eval mode, with its outputs put in the task's label order.

    Args:
        name: hub id, folder or `pkg://`.
        data: the task, whose `label_names` decide the order; None: one number.
        labels: the class names in the order of the model's outputs, where its config has only LABEL_0, ....
        key: the recipe's key, for errors.

    Raises:
        ModelError: without a trained head, or with other classes than the task's.
    """
    model, info = _load(name, key)
    if info["missing_keys"]:
        raise ModelError(
            key,
            f"{name!r} has no trained classification head ({sorted(info['missing_keys'])[0]} is missing)",
            "fine-tune it first (`dkd train-teacher`), or name a trained classifier",
        )
    model.requires_grad_(False).eval()
    order = label_order(model, data, labels, name, key)
    if order is not None and order != list(range(len(order))):
        columns = torch.tensor(order)

        def reorder(module: object, args: object, output: Any) -> Any:
            output.logits = output.logits[:, columns.to(output.logits.device)]
            return output

        model.register_forward_hook(reorder)
    return LoadedModel(model, load_tokenizer(name, key))


def label_order(
    model: Model, data: TaskData, labels: Sequence[str] | None, name: str, key: str
) -> list[int] | None:
    """For each of the task's labels, the model's output that stands for it; None for regression.

    Raises:
        ModelError: for another number of outputs, other names, or no names at all.
    """
    if data.label_names is None:
        if model.config.num_labels != 1:
            raise ModelError(
                key,
                f"{name!r} has {model.config.num_labels} outputs, the task is one number",
                "choose another",
            )
        return None
    own = (
        list(labels)
        if labels is not None
        else [model.config.id2label[i] for i in range(model.config.num_labels)]
    )
    wanted = list(data.label_names)
    if len(own) != len(wanted) or model.config.num_labels != len(wanted):
        raise ModelError(
            key,
            f"{name!r} has {model.config.num_labels} outputs, the task {len(wanted)} classes",
            "choose a model trained on this task, or set data.labels",
        )
    if labels is None and all(GENERIC_LABEL.fullmatch(label) for label in own):
        raise ModelError(
            key,
            f"{name!r} does not say what its outputs stand for (LABEL_0, LABEL_1, ...)",
            "set `labels` beside the teacher's checkpoint, or id2label in its config.json",
        )
    place = {label.casefold(): index for index, label in enumerate(own)}
    unknown = [label for label in wanted if label.casefold() not in place]
    if unknown or len(place) != len(own):
        raise ModelError(
            key, f"{name!r} knows {own}, the task has {wanted}", "set data.labels or the teacher's labels"
        )
    return [place[label.casefold()] for label in wanted]


def check_fit(model: Model, encoded: Sequence[EncodedSplit], max_length: int, key: str) -> None:
    """Refuse token ids beyond the vocabulary and texts beyond the positions.

    Raises:
        ModelError: names the figures.
    """
    vocabulary = model.get_input_embeddings().weight.size(0)
    highest = max((max(ids) for split in encoded for ids in split.columns["input_ids"]), default=0)
    if highest >= vocabulary:
        raise ModelError(
            key, f"token id {highest} in a vocabulary of {vocabulary}", "use the model's own tokenizer"
        )
    positions = getattr(model.config, "max_position_embeddings", None)
    longest = max((max(split.lengths) for split in encoded), default=0)
    if positions is not None and longest > positions:
        raise ModelError(
            "data.max_length", f"{max_length} tokens, but the model has {positions} positions", "lower it"
        )


def depth(model: Model) -> int:
    """The number of transformer layers."""
    return int(model.config.num_hidden_layers)
