"""Sequence classifiers in and out of Hugging Face folders: found, loaded, checked.

`load_classifier` takes a trained one and puts its outputs in the task's label order. Knows nothing of
building new ones (`students`), nor of training.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
import transformers
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from dkd_cli.data.encoding import EncodedSplit
from dkd_cli.data.examples import TaskData
from dkd_cli.engine.models.exports import EXPORT_FILE, Graph, Limits
from dkd_cli.engine.models.first_token import answer_from_first_token
from dkd_cli.engine.models.label_order import is_tagger, label_order, put_in_order
from dkd_cli.engine.models.padding import agree_on_padding
from dkd_cli.engine.models.static import StaticConfig, StaticForSequenceClassification
from dkd_cli.engine.models.trial import check_reading
from dkd_cli.errors import ModelError, raise_all, reason
from dkd_cli.manifests import MANIFEST, damage
from dkd_cli.reading.hub import hub_answers
from dkd_cli.reading.locate import package_path

Model: TypeAlias = transformers.PreTrainedModel
Tokenizer: TypeAlias = transformers.PreTrainedTokenizerBase
FEWEST_TOKENS = 16
ADAPTER_FILE = "adapter_config.json"
MOST_NAMED = 3
"""Models of a folder that an error names."""
"""Written by peft for LoRA and other adapters."""

AutoConfig.register(StaticConfig.model_type, StaticConfig)
AutoModelForSequenceClassification.register(StaticConfig, StaticForSequenceClassification)


@dataclass(frozen=True)
class LoadedModel:
    """A classifier whose logits are in the task's label order, and its tokenizer."""

    model: Model
    tokenizer: Tokenizer
    notes: tuple[str, ...] = ()
    """Notes for the user about how it was built, a line each."""


def locate_model(name: str, key: str, *, exported: bool = False) -> str:
    """Turn a hub id, a folder or `pkg://package/path` into what `from_pretrained` takes.

    Args:
        name: the model's.
        key: the recipe's key, for errors.
        exported: whether an export will do, which has a graph in place of weights.

    Raises:
        ModelError: for a folder that is not there, or holds no model in safetensors.
    """
    if _is_hub_id(name):
        return name
    path = package_path(name, ModelError) if name.startswith("pkg://") else Path(name)
    path = path.expanduser()
    if not path.is_dir():
        raise ModelError(key, f"{name!r} is not there", "name a folder, a hub id or pkg://package/path")
    if (path / ADAPTER_FILE).is_file():
        # Without the library that reads adapters it would be ignored, and with it applied, without a word.
        whole = (path / "config.json").is_file()
        problem = (
            "has an adapter next to its weights" if whole else "is an adapter without the model it adapts"
        )
        remedy = "merge it (merge_and_unload of peft, then save_pretrained) and name the merged folder"
        raise ModelError(key, f"{name!r} {problem} ({ADAPTER_FILE})", remedy)
    if not (path / "config.json").is_file():
        inside = sorted(one.parent.name for one in path.glob("[!.]*/config.json"))
        remedy = "name the folder that save_pretrained wrote"
        if inside:
            more = f" or {len(inside) - MOST_NAMED} more" if len(inside) > MOST_NAMED else ""
            remedy = f"name one of the models in it: {', '.join(inside[:MOST_NAMED])}{more}"
        raise ModelError(key, f"{name!r} has no config.json", remedy)
    if (path / EXPORT_FILE).is_file() and not exported:
        problem = f"{name!r} is an export, which answers but cannot be trained, teach or be exported again"
        raise ModelError(key, problem, "name the checkpoint that it was made from")
    if not any(path.glob("*.safetensors")) and not exported:
        has_pickle = any(path.glob("pytorch_model*.bin"))
        problem = "has pickled weights only, which can run code" if has_pickle else "has no weights"
        raise ModelError(
            key, f"{name!r} {problem}", "save it again as safetensors (the default of save_pretrained)"
        )
    return str(path)


def _is_hub_id(name: str) -> bool:
    local = name.startswith(("pkg://", "/", "./", "../", "~")) or name.count("/") > 1
    return not local and not Path(name).exists()


def _hub(source: str) -> dict[str, bool]:
    """For a hub id, whether to ask the hub or only its copies on this disk."""
    return {} if Path(source).is_dir() else {"local_files_only": not hub_answers()}


def refuse_damaged(source: str, name: str, key: str) -> None:
    """One flipped bit loads without a word; what dkd made says what it was. Others are taken as they are.

    Raises:
        ModelError: for a model that is not as dkd wrote it.
    """
    folder = Path(source)
    why = damage(folder) if (folder / MANIFEST).is_file() else None
    if why is not None:
        remedy = f"make it again (a run with --fresh), or remove its {MANIFEST} if you changed it yourself"
        raise ModelError(key, f"{name!r} {why}", remedy)


def explain(error: Exception, name: str, key: str) -> ModelError:
    """Turn an exception that transformers raised for the model `name` into a ModelError of one line."""
    text = str(error)
    if "trust_remote_code" in text or "custom code" in text:
        return ModelError(
            key, f"{name!r} needs code of its own to be run", "choose an architecture transformers has"
        )
    if isinstance(error, SafetensorError):
        return ModelError(key, f"the weights of {name!r} are damaged ({reason(error)})", "fetch them again")
    if "connect" in text or "offline" in text or "Repo id" in text or "not a local folder" in text:
        return ModelError(
            key,
            f"{name!r} is no folder here and cannot be had from the model hub",
            "check the spelling and the connection, or name a local folder or pkg://package/path",
        )
    return ModelError(key, f"{name!r} cannot be loaded ({reason(error)})", "see --debug for the whole story")


def load_tokenizer(name: str, key: str) -> Tokenizer:
    """The tokenizer beside a model or an export.

    Raises:
        ModelError: if there is none, or it is damaged.
    """
    source = locate_model(name, key, exported=True)
    try:
        tokenizer: Tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **_hub(source))
    except Exception as error:  # the tokenizers library raises nothing more special
        raise explain(error, name, key) from error
    # Where a folder has no tokenizer, transformers makes one up that knows special tokens alone, and every
    # text would read as unknown words.
    if len(tokenizer) < FEWEST_TOKENS:
        raise ModelError(
            key,
            f"{name!r} has no tokenizer",
            "save the tokenizer beside the model (tokenizer.save_pretrained)",
        )
    return tokenizer


def load_pretrained(
    name: str, key: str, *, by_word: bool | None = False, **settings: Any
) -> tuple[Model, dict[str, Any]]:
    """Weights in float32 under a head for classes, and what transformers says about the loading.

    `settings` go to `from_pretrained`. The model answers as `first_token.answer_from_first_token` has it;
    `by_word`, its head reads each token and nothing is skipped; None: as its configuration says.

    Raises:
        ModelError: if there is no such model, or its weights cannot be read.
    """
    source = locate_model(name, key)
    refuse_damaged(source, name, key)
    if by_word is None:
        by_word = is_tagger(load_config(name, key))
    try:
        head = AutoModelForTokenClassification if by_word else AutoModelForSequenceClassification
        loaded: tuple[Model, dict[str, Any]] = head.from_pretrained(
            source,
            output_loading_info=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            **_hub(source),
            **settings,
        )
    except (OSError, ValueError, SafetensorError, RuntimeError) as error:
        raise explain(error, name, key) from error
    if not by_word:
        answer_from_first_token(loaded[0])
    return loaded


def load_config(name: str, key: str, *, exported: bool = False) -> transformers.PretrainedConfig:
    """The configuration alone: enough to check layers and lengths before any weight is read."""
    source = locate_model(name, key, exported=exported)
    try:
        return AutoConfig.from_pretrained(source, trust_remote_code=False, **_hub(source))
    except (OSError, ValueError) as error:
        raise explain(error, name, key) from error


def is_at_hand(name: str) -> bool:
    """Return whether a model's configuration can be read: a folder, a cached hub id, or the hub answers."""
    cached = isinstance(try_to_load_from_cache(name, "config.json"), str) if _is_hub_id(name) else True
    return cached or hub_answers()


def skeleton(config: transformers.PretrainedConfig, name: str, key: str) -> Model:
    """Build the classifier that a configuration describes, without weights.

    Raises:
        ModelError: for an architecture that classifies no texts.
    """
    try:
        with torch.device("meta"):
            model: Model = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
    except ValueError as error:
        raise explain(error, name, key) from error
    return model


def load_classifier(
    name: str, data: TaskData, *, labels: Sequence[str] | None = None, key: str = "model"
) -> LoadedModel:
    """A trained classifier with its outputs put in the task's label order.

    Args:
        name: hub id, folder or `pkg://`.
        data: the task, whose `label_names` decide the order; None: one number.
        labels: the class names in the order of the model's outputs, where its config has only LABEL_0, ....
        key: the recipe's key, for errors.

    Raises:
        ModelError: without a trained head, or with other classes than the task's.
    """
    loaded = load_trained(name, key)
    put_in_order(loaded.model, label_order(loaded.model.config, data, labels, name, key))
    return loaded


def load_trained(name: str, key: str = "model") -> LoadedModel:
    """A trained classifier as it is, frozen and in eval mode.

    Raises:
        ModelError: without a trained head.
    """
    model, info = load_pretrained(name, key, by_word=None)
    if info["missing_keys"]:
        raise ModelError(
            key,
            f"{name!r} has no trained classification head ({sorted(info['missing_keys'])[0]} is missing)",
            "fine-tune it first (`dkd train-teacher`), or name a trained classifier",
        )
    model.requires_grad_(False).eval()
    tokenizer = load_tokenizer(name, key)
    agree_on_padding(model, tokenizer, name, key)
    check_reading(model, tokenizer, name, key)
    return LoadedModel(model, tokenizer)


def check_fit(model: Model, encoded: Sequence[EncodedSplit], max_length: int, key: str) -> None:
    """Refuse token ids beyond the vocabulary, token types beyond theirs and texts beyond the positions.

    Raises:
        ModelError: names the figures; several problems are raised together.
    """
    problems, bound = [], limits(model)
    highest = _highest(encoded, "input_ids")
    if highest >= bound.vocabulary:
        problem = f"token id {highest} in a vocabulary of {bound.vocabulary}"
        problems.append(ModelError(key, problem, "use the model's own tokenizer"))
    kind = _highest(encoded, "token_type_ids")
    if bound.token_types is not None and kind >= bound.token_types:
        problem = f"token type {kind}, but the model tells {bound.token_types} apart, counted from 0"
        problems.append(ModelError(key, problem, "use the model's own tokenizer"))
    longest = max((max(split.lengths, default=0) for split in encoded), default=0)
    if bound.positions is not None and max(longest, max_length) > bound.positions:
        problem = f"{max_length} tokens, but the model has {bound.positions} positions"
        problems.append(ModelError("data.max_length", problem, "lower it"))
    raise_all(problems)


def limits(model: Model) -> Limits:
    """Limits of a model's input, by its tables; an export records them."""
    said = getattr(model, "graph", None)
    if isinstance(said, Graph):
        return said.limits
    kinds = embedding_table(model, "token_type_embeddings")
    reads_types = kinds is not None and "token_type_ids" in forward_names(model)
    return Limits(
        vocabulary=model.get_input_embeddings().weight.size(0),
        token_types=kinds.num_embeddings if kinds is not None and reads_types else None,
        positions=positions(model),
    )


def _highest(encoded: Sequence[EncodedSplit], column: str) -> int:
    return max((split.highest(column) for split in encoded), default=-1)


def embedding_table(model: Model, name: str) -> torch.nn.Embedding | None:
    """The embedding called `name`, wherever an architecture keeps it."""
    for path, module in model.named_modules():
        if path.rpartition(".")[2] == name and isinstance(module, torch.nn.Embedding):
            return module
    return None


def positions(model: Model) -> int | None:
    """The tokens that the longest text may have; None where positions are only ever relative."""
    table = embedding_table(model, "position_embeddings")
    if table is not None:
        # RoBERTa and its like count positions from the one after the padding's own.
        return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
    if getattr(model.config, "position_biased_input", True) is False:
        return None  # DeBERTa: far distances share a bucket
    # MPT's name for it is the second one.
    named = (getattr(model.config, name, None) for name in ("max_position_embeddings", "max_seq_len"))
    limit: int | None = next((one for one in named if one is not None), None)
    return limit if limit is None or limit > 0 else None  # XLNet says -1


def forward_names(model: Model) -> frozenset[str]:
    """The inputs that an architecture names. Others would vanish in its `**kwargs`, or fail deep inside."""
    return _parameters(type(model).forward)


@functools.cache
def _parameters(forward: Callable[..., object]) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters)


def head_parameters(model: Model) -> list[str]:
    """The names of the weights that belong to the classification head.

    They are all outside the encoder, and the encoder's own pooler, which only the head reads.
    """
    encoder = f"{model.base_model_prefix}."
    names = (name for name, _ in model.named_parameters())
    return [name for name in names if not name.startswith(encoder) or name.startswith(f"{encoder}pooler.")]


def depth(model: Model) -> int:
    """The number of transformer layers."""
    return int(model.config.num_hidden_layers)
