"""Order of a classifier's outputs: matches its class names to those of the task.

Knows nothing of weights. The names that a model does not know itself come from the recipe, as
`teachers.X.labels`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PretrainedConfig

from dkd_cli.data.examples import TaskData
from dkd_cli.data.kinds import KINDS, kind_of_model
from dkd_cli.errors import ModelError

GENERIC = re.compile(r"LABEL_\d+")
"""Name that transformers gives to an output without one."""


def match_names(own: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Find each wanted name among a model's own: exactly, else without regard to case where that is unique.

    Returns:
        The place in `own` of each of `wanted`; None where they are not the same names.

    >>> match_names(["us", "US", "Us"], ["US", "Us", "us"])
    [1, 2, 0]
    >>> match_names(["NEGATIVE", "POSITIVE"], ["positive", "negative"])
    [1, 0]
    >>> match_names(["US", "us"], ["Us", "us"]) is None
    True
    """
    for spelled in (str, str.casefold):
        place = {spelled(name): index for index, name in enumerate(own)}
        names = [spelled(name) for name in wanted]
        if len(place) == len(own) == len(names) and set(names) == set(place):
            return [place[name] for name in names]
    return None


def own_names(config: PretrainedConfig) -> list[str]:
    """The names that a model's configuration gives to its outputs, in their order."""
    return [str(config.id2label.get(index, "")) for index in range(config.num_labels)]


def is_tagger(config: PretrainedConfig) -> bool:
    """Return whether a model's configuration says that each token has outputs of its own."""
    kind = kind_of_model(config.problem_type, config.num_labels, config.architectures)
    return KINDS[kind].by_word


def name_outputs(config: PretrainedConfig, labels: Sequence[str] | None) -> None:
    """Write class names into a configuration, in the order of the outputs; None: leave it as it is."""
    if labels is not None:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}


def label_order(
    config: PretrainedConfig, data: TaskData, labels: Sequence[str] | None, name: str, key: str
) -> list[int] | None:
    """For each of the task's classes, the model's output that stands for it; None for regression.

    A model whose outputs are called LABEL_0, LABEL_1, ... knows no names, unless the task's classes are
    called so themselves.

    Args:
        config: the model's.
        data: the task.
        labels: the class names in the order of the model's outputs; None: its own.
        name: the model's, for errors.
        key: the recipe's key, for errors.

    Raises:
        ModelError: for another kind of output, another number of them, other names, or no names at all.
    """
    _check_kind(config, data, name, key)
    if data.label_names is None:
        if config.num_labels != 1:
            raise ModelError(
                key,
                f"{name!r} has {config.num_labels} outputs, the task is one number",
                "choose another",
            )
        return None
    own, wanted = list(labels or own_names(config)), list(data.label_names)
    if config.num_labels != len(wanted):
        raise ModelError(
            key,
            f"{name!r} has {config.num_labels} outputs, the task {len(wanted)} classes",
            "choose a model trained on this task, or set data.labels",
        )
    if len(own) != config.num_labels:
        problem = f"{name!r} has {config.num_labels} outputs, its `labels` name {len(own)}"
        raise ModelError(key, problem, "name each output once, in their order")
    order = match_names(own, wanted)
    if order is None and labels is None and all(GENERIC.fullmatch(label) for label in own):
        raise ModelError(
            key,
            f"{name!r} does not say what its outputs stand for (LABEL_0, LABEL_1, ...)",
            "set `labels` beside the teacher's checkpoint, or id2label in its config.json",
        )
    if order is None:
        raise ModelError(
            key, f"{name!r} knows {own}, the task has {wanted}", "set data.labels or the teacher's labels"
        )
    return order


def _check_kind(config: PretrainedConfig, data: TaskData, name: str, key: str) -> None:
    """Refuse outputs that are trained as several labels where the task has one, and the other way round."""
    wanted, tagger = KINDS[data.task.kind].by_word, is_tagger(config)
    if tagger != wanted:
        gives = "a tag for each word" if tagger else "one answer for a text"
        needs = "a tag for each word (data.kind: tokens)" if wanted else "one answer for a text"
        remedy = "choose a model for token classification" if wanted else "choose a classifier of texts"
        raise ModelError(key, f"{name!r} gives {gives}, and the task is {needs}", remedy)
    several = KINDS["multi-label"].problem_type
    if (config.problem_type == several) == (KINDS[data.task.kind].problem_type == several):
        return
    if config.problem_type == several:
        problem = f"{name!r} gives several labels at once, and its outputs are no probabilities of one"
        raise ModelError(key, problem, "choose a classifier of one label, or set data.kind: multi-label")
    problem = f"{name!r} gives one label per text, and the task has several (data.kind: multi-label)"
    remedy = f'choose another, or set "problem_type": "{several}" in its config.json if it was trained so'
    raise ModelError(key, problem, remedy)


def put_in_order(model: torch.nn.Module, order: Sequence[int] | None) -> None:
    """Let the model give its outputs in another order; None: as they come."""
    if order is None or list(order) == list(range(len(order))):
        return
    columns = torch.tensor(order)

    def reorder(module: object, args: object, output: Any) -> Any:
        output.logits = output.logits[..., columns.to(output.logits.device)]
        return output

    model.register_forward_hook(reorder)
