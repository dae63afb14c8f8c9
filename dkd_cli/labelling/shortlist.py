"""Shortlist of classes in a prompt, ranked by token vectors and by the chooser.

Knows nothing about prompts or endpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from dkd_cli.labelling.chooser import Bags, Chooser, Vectors

CLASS_TOKENS = 64


def ranked_classes(
    vectors: Vectors, bags: Bags, classes: Mapping[str, str], chooser: Chooser | None
) -> list[tuple[str, ...]]:
    """All class names for each text, the likeliest first.

    By the cosine of the mean token vectors of text and class (its name and description) and, once there is a
    chooser, by its logits: taken in turn, so that a class that was never answered keeps its chance.

    Args:
        vectors: of tokens.
        bags: the tokens of N texts.
        classes: description by name.
        chooser: trained on the answers so far; None before there are any.
    """
    names = list(classes)
    words = [f"{name.replace('_', ' ').replace('-', ' ')} {classes[name]}".strip() for name in names]
    described = vectors.means(vectors.bags(words, None, CLASS_TOKENS))
    similar = (vectors.means(bags) @ F.normalize(described, dim=1).T).argsort(dim=1, descending=True)
    if chooser is None:
        return [tuple(names[place] for place in row) for row in similar.tolist()]
    likely = torch.cat(list(chooser.logits(bags))).argsort(dim=1, descending=True)
    return [tuple(names[place] for place in row) for row in _in_turn(likely, similar)]


def _in_turn(first: Tensor, second: Tensor) -> list[list[int]]:
    """Merge two rankings [N, C] of the same classes, each place from one and then the other."""
    merged = torch.stack([first, second], dim=2).flatten(start_dim=1).tolist()
    return [list(dict.fromkeys(row)) for row in merged]


def recall(ranked: Sequence[Sequence[str]], labels: Sequence[str], size: int) -> float:
    """Share of texts whose label is among the first `size`.

    >>> recall([("a", "b"), ("b", "a")], ["a", "a"], 1)
    0.5
    """
    return sum(label in row[:size] for row, label in zip(ranked, labels, strict=True)) / len(labels)
