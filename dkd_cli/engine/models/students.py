"""Building a small student out of a large model: some of its layers, or vectors that they made of its tokens.

Knows the structure of encoders in general and no architecture by name. Knows nothing of teachers or training.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
import transformers
from torch.nn import Linear, Module, ModuleList

from dkd_cli.data.examples import TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.engine.models.label_order import match_names, name_outputs, own_names
from dkd_cli.engine.models.layers import spread
from dkd_cli.engine.models.models import (
    LoadedModel,
    Model,
    head_parameters,
    load_config,
    load_pretrained,
    load_tokenizer,
    skeleton,
)
from dkd_cli.engine.models.padding import agree_on_padding
from dkd_cli.engine.models.static import SPECIAL, StaticConfig, static_classifier
from dkd_cli.engine.models.token_vectors import Progress, principal, silent, token_vectors
from dkd_cli.engine.models.trial import check_reading
from dkd_cli.errors import ModelError
from dkd_cli.recipe.rules import parse_take
from dkd_cli.recipe.schema import Recipe

PER_LAYER = ("layer_types", "mlp_layer_types", "attention_window", "attention_layers")
"""Configuration keys with a value for each layer."""


def pick_layers(take: str, layers: int | None, available: int, key: str) -> tuple[int, ...]:
    """The layers that a student keeps of a model that has `available`, 1 the lowest.

    `random` picks the first ones: their places are kept, their weights are not.

    Args:
        take: as in the recipe, whose rules have passed.
        layers: how many; None: all of them, or as many as a list names.
        available: the model's own.
        key: the recipe's section, for errors.

    Raises:
        ModelError: for a layer that is not there.

    >>> pick_layers("even", 3, 12, "student")
    (4, 8, 12)
    """
    settled = parse_take(take)
    if isinstance(settled, tuple):
        assert layers in (None, len(settled)), "the rules compare the two"
        if settled[-1] > available:
            problem = f"names layer {settled[-1]} of a model that has {available}"
            raise ModelError(f"{key}.take", problem, f"use 1 to {available}")
        return settled
    count = layers or available
    if count > available:
        problem = f"{count} layers of a model that has {available}"
        raise ModelError(f"{key}.layers", problem, f"ask for 1 to {available}")
    if settled == "last":
        return tuple(range(available - count + 1, available + 1))
    if settled == "even":
        return tuple(spread(count, available)[1:])
    return tuple(range(1, count + 1))


def build_classifier(
    name: str, data: TaskData, *, layers: int | None = None, take: str = "first", seed: int, key: str
) -> LoadedModel:
    """Some layers of a pretrained encoder, with its embeddings and tokenizer, under a head for this task.

    A missing head is drawn from `seed`, the same one whatever `take` is; a head that fits (a trained
    teacher's) is kept, unless `take` is `random`. The saved config describes the cut network, so that it
    reloads to the same one.

    Args:
        name: hub id, folder or `pkg://`.
        data: the task, whose labels the head gets.
        layers: as `student.layers`.
        take: as `student.take`.
        seed: decides what is drawn.
        key: the recipe's section, for errors.

    Raises:
        ModelError: for layers that the model does not have or does not keep apart, weights missing below the
            head, or a head with the task's classes in another order.
    """
    config = load_config(name, key)
    available = int(config.num_hidden_layers)
    if not available:
        raise ModelError(f"{key}.model", f"{name!r} is a static student, without layers", "name an encoder")
    picks = pick_layers(take, layers, available, key)
    first = tuple(range(1, len(picks) + 1))
    _check_labels(config, data, None, name, key)
    _check_cut(config, name, key, shallower=len(picks) < available, other=take == "random" or picks != first)
    _describe_cut(config, picks, name, key)
    _describe_task(config, data)
    transformers.set_seed(seed)
    by_word = KINDS[data.task.kind].by_word
    model, info = load_pretrained(name, key, by_word=by_word, config=config, ignore_mismatched_sizes=True)
    drawn = _drawn(model, info, name, key)
    _start_at_constant(model, data, drawn)
    notes: tuple[str, ...] = ()
    if take == "random":
        notes = _draw_layers(model, drawn, seed, key)
    elif picks != first:
        notes = _put_layers(model, picks, name, key, by_word=by_word)
    tokenizer = load_tokenizer(name, key)
    agree_on_padding(model, tokenizer, name, key)
    check_reading(model, tokenizer, name, key, trained=True)
    return LoadedModel(model, tokenizer, notes)


def build_student(
    source: str,
    data: TaskData,
    recipe: Recipe,
    labels: Sequence[str] | None = None,
    progress: Progress = silent,
) -> LoadedModel:
    """An untrained student as the recipe's `student` section asks for.

    Args:
        source: hub id, folder or `pkg://` of the model that it is made from.
        data: the task, whose labels the head gets.
        recipe: a point; `train.seed` decides what is drawn.
        labels: the class names in the order of the source's outputs, where the recipe gives them.
        progress: of what takes seconds.

    Raises:
        ModelError: as the builder of its family.
    """
    if labels is not None:
        _check_labels(load_config(source, "student"), data, labels, source, "student")
    return STUDENTS[recipe.student.family](source, data, recipe, progress)


def _cut_encoder(source: str, data: TaskData, recipe: Recipe, progress: Progress) -> LoadedModel:
    layers, take = recipe.student.layers, recipe.student.take
    return build_classifier(source, data, layers=layers, take=take, seed=recipe.train.seed, key="student")


def _static(source: str, data: TaskData, recipe: Recipe, progress: Progress) -> LoadedModel:
    """Token vectors of the encoder that `_cut_encoder` would keep, under convolutions and a head."""
    cut, student = _cut_encoder(source, data, recipe, progress), recipe.student
    tokenizer, width = cut.tokenizer, int(cut.model.config.hidden_size)
    if student.dimensions is not None and student.dimensions > width:
        problem = f"{student.dimensions} dimensions of vectors that have {width}"
        raise ModelError("student.dimensions", problem, f"use 1 to {width}")
    vectors = token_vectors(cut.model.eval().base_model, tokenizer, progress)
    if student.dimensions is not None:
        vectors = principal(vectors, student.dimensions)
    # Without convolutions the head stays linear in the vectors, so that it can be multiplied into them.
    sizes: dict[str, Any] = {
        "convolutions": student.convolutions,
        "filters": student.filters,
        "normalised": bool(student.convolutions),
    }
    special: dict[str, Any] = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id", None) for name in SPECIAL
    }
    config = StaticConfig(
        vocab_size=len(vectors),
        hidden_size=vectors.size(1),
        reads={
            "max_length": recipe.data.max_length,
            "text": data.task.text,
            "text_pair": data.task.text_pair,
        },
        **sizes,
        **special,
    )
    _describe_task(config, data)
    transformers.set_seed(recipe.train.seed)
    model = static_classifier(config, vectors)
    _start_at_constant(model, data, dict(model.named_parameters()))
    return LoadedModel(model, tokenizer, cut.notes)


STUDENTS: dict[str, Callable[[str, TaskData, Recipe, Progress], LoadedModel]] = {
    "encoder": _cut_encoder,
    "static": _static,
}
"""Builders by the recipe's word, `student.family`."""


def layer_list(model: Model) -> ModuleList | None:
    """The encoder's layers, the lowest first; None where it shares them, or has several lists as long."""
    found: dict[str, ModuleList] = {}
    for path, module in model.base_model.named_modules():
        nested = any(path.startswith(f"{outer}.") for outer in found)
        if isinstance(module, ModuleList) and not nested:
            found[path] = module
    fitting = [module for module in found.values() if len(module) == model.config.num_hidden_layers]
    return fitting[0] if len(fitting) == 1 else None


def _check_labels(
    config: transformers.PretrainedConfig,
    data: TaskData,
    labels: Sequence[str] | None,
    name: str,
    key: str,
) -> None:
    """Refuse a head whose classes are the task's in another order: it would start by confusing them."""
    if data.label_names is None:
        return
    own = list(labels or own_names(config))
    order = match_names(own, data.label_names)
    if order is not None and order != sorted(order):
        raise ModelError(
            key,
            f"the head of {name!r} has the classes in another order: {', '.join(own)}",
            "put data.labels in that order, or start from a pretrained encoder",
        )


def _check_cut(
    config: transformers.PretrainedConfig, name: str, key: str, *, shallower: bool, other: bool
) -> None:
    """Refuse what the architecture cannot be cut to, before its weights are read."""
    if shallower and getattr(config, "num_hidden_groups", 1) > 1:
        # Such an ALBERT finds a layer's group by dividing by the depth: cut, it would use other groups.
        raise ModelError(
            f"{key}.layers",
            f"{name!r} shares weights within {config.num_hidden_groups} groups of layers",
            "keep all of its layers, or choose another model",
        )
    if not other:
        return
    if layer_list(skeleton(config, name, key)) is None:
        raise ModelError(
            f"{key}.take",
            f"{name!r} does not keep its layers apart (as ALBERT, which has one for all)",
            "use `first`, which only makes it less deep",
        )


def _describe_cut(config: transformers.PretrainedConfig, picks: tuple[int, ...], name: str, key: str) -> None:
    available = config.num_hidden_layers
    if len(picks) == available:
        return
    for attribute in PER_LAYER:
        values = getattr(config, attribute, None)
        if isinstance(values, (list, tuple)) and len(values) == available:
            setattr(config, attribute, [values[pick - 1] for pick in picks])
    if hasattr(config, "attention_types"):  # GPT-Neo's `attention_layers`, as they are saved
        config.attention_types = [[list(config.attention_layers), 1]]
    try:
        config.num_hidden_layers = len(picks)
    except NotImplementedError as error:
        problem, remedy = f"{name!r} has its layers in blocks", "keep all of its layers"
        raise ModelError(f"{key}.layers", problem, remedy) from error


def _describe_task(config: transformers.PretrainedConfig, data: TaskData) -> None:
    config.problem_type = KINDS[data.task.kind].problem_type
    config.num_labels = data.outputs
    name_outputs(config, data.label_names)


def _drawn(model: Model, info: dict[str, Any], name: str, key: str) -> set[str]:
    """The weights that transformers drew for want of others, which may only be a head's."""
    drawn = {*info["missing_keys"], *(mismatch[0] for mismatch in info["mismatched_keys"])}
    head = set(head_parameters(model))
    missing = sorted(weight for weight in drawn if weight not in head)
    if missing:
        raise ModelError(
            key, f"{name!r} lacks weights of the encoder ({missing[0]} ...)", "name a pretrained encoder"
        )
    return drawn


def _start_at_constant(model: Model, data: TaskData, drawn: Collection[str]) -> None:
    """Set the bias of a drawn output layer to the logits of the constant prediction (Lin et al., 2017, 4.1),
    for kinds of output that ask for it."""
    kind, labels = KINDS[data.task.kind], data.splits["train"].labels
    layers = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, Linear) and module.out_features == data.outputs and f"{name}.bias" in drawn
    ]
    if not kind.starts_at_constant or labels is None or not layers:
        return
    logits = kind.constant(labels, data.outputs).logits
    with torch.no_grad():
        layers[-1][1].bias.copy_(torch.from_numpy(logits))


def _put_layers(
    model: Model, picks: tuple[int, ...], name: str, key: str, *, by_word: bool
) -> tuple[str, ...]:
    """Give the student's layers, which are the first ones, the weights of the picked ones."""
    source, info = load_pretrained(name, key, by_word=by_word, ignore_mismatched_sizes=True)
    _drawn(source, info, name, key)
    notes = []
    for place, (pick, layer) in enumerate(zip(picks, _layers(model), strict=True), start=1):
        weights, wanted = _layers(source)[pick - 1].state_dict(), layer.state_dict()
        if any(part not in weights or weights[part].shape != wanted[part].shape for part in wanted):
            problem = f"layer {pick} of {name!r} is built otherwise than its layer {place}"
            raise ModelError(f"{key}.take", problem, "use `first`")
        layer.load_state_dict({part: weights[part] for part in wanted})
        left = sorted({part.rpartition(".")[0] for part in weights.keys() - wanted.keys()})
        if left:
            # ModernBERT's first layer has no norm before its attention: the embeddings were just normed.
            parts = ", ".join(left)
            notes.append(f"{key}: layer {pick}, as layer {place}, loses its {parts}: none is used there")
    return tuple(notes)


def _draw_layers(model: Model, drawn: Collection[str], seed: int, key: str) -> tuple[str, ...]:
    """Draw anew the layers and what reads them; a head that was drawn already stays."""
    transformers.set_seed(seed)
    build: Any = type(model)
    fresh: Model = build(model.config)
    for layer, other in zip(_layers(model), _layers(fresh), strict=True):
        layer.load_state_dict(other.state_dict())
    weights = fresh.state_dict()
    head = {part: weights[part] for part in head_parameters(model) if part not in drawn}
    model.load_state_dict(head, strict=False)
    number = f"{model.config.num_hidden_layers} layers drawn at random"
    return (f"{key}: {number}, only the embeddings are pretrained: expect to train much longer",)


def _layers(model: Model) -> list[Module]:
    found = layer_list(model)
    assert found is not None, "checked before the weights were read"
    return list(found)
