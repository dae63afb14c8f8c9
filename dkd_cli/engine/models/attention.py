"""Queries, keys and values of a model's attention, shown in place of its hidden states.

Knows nothing about losses or teachers. A model that shows its attention is otherwise unchanged: its weights,
its logits, and what is saved of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dkd_cli.engine.models.models import Model
from dkd_cli.errors import ModelError

NAMES = (("query", "key", "value"), ("q_lin", "k_lin", "v_lin"), ("q", "k", "v"))
"""Names of the three linear maps: BERT and its many relatives, DistilBERT, MPNet."""

KEY = "strategy.objective.hidden_loss"


def show_attention(model: Model, key: str) -> None:
    """From now on the `hidden_states` of its output are the queries, keys and values of each layer in turn.

    Each is [B, L, H]; layer n, counted from 1, has the places 3(n - 1) to 3(n - 1) + 2.

    Raises:
        ModelError: for an architecture that does not compute them by three linear maps.
    """
    # DeBERTa puts its relative positions through the same maps: more is called than there are layers.
    maps = [] if "deberta" in model.config.model_type else _maps(model)
    if not maps:
        raise ModelError(
            key,
            f"the attention of {model.config.model_type!r} does not show queries, keys and values",
            f"set {KEY} to states",
        )
    seen: list[Tensor] = []

    def begin(module: object, args: object) -> None:
        seen.clear()  # of a pass that broke off

    def note(module: object, args: object, output: Tensor) -> None:
        seen.append(output)

    def show(module: object, args: object, output: Any) -> Any:
        if output.hidden_states is not None:
            output.hidden_states = tuple(seen)
        seen.clear()
        return output

    model.register_forward_pre_hook(begin)
    for linear in maps:
        linear.register_forward_hook(note)
    model.register_forward_hook(show)


def _maps(model: Model) -> list[torch.nn.Module]:
    """The linear maps of all layers, in the order in which attention calls them."""
    return [
        getattr(module, name)
        for names in NAMES
        for module in model.modules()
        if all(isinstance(getattr(module, name, None), torch.nn.Linear) for name in names)
        for name in names
    ]


def places(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Positions of the layers of these (student, teacher) pairs among those that `show_attention` shows.

    The embedding layer has no attention: its pair is left out.

    >>> places([(0, 0), (2, 6)])
    [(3, 15), (4, 16), (5, 17)]
    """
    return [
        (3 * (student - 1) + part, 3 * (teacher - 1) + part)
        for student, teacher in pairs
        if student > 0 and teacher > 0
        for part in range(3)
    ]


def check_heads(heads: int, widths: Sequence[int]) -> None:
    """Refuse relation heads that do not divide the widths of both sides.

    Raises:
        ModelError: names the numbers.
    """
    if any(width % heads for width in widths):
        raise ModelError(
            "strategy.objective.relation_heads",
            f"{heads} does not divide the widths {' and '.join(str(width) for width in widths)}",
            "choose a number that divides both",
        )
