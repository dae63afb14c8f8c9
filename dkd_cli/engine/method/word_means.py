"""Words of a text with a tag each: whatever is defined on rows is averaged over the words of each text.

So each text has one loss and one uncertainty, as in the other kinds of output. Knows no model.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dkd_cli.recipe.words import NO_WORD


def read_words(logits: Tensor) -> Tensor:
    """True where a text has a word that the model read: [B, W, C] -> [B, W]."""
    return (logits != NO_WORD).any(dim=-1)


def by_word(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Turn a function of rows, [M, C] -> [M], into its mean over the words of each text, [B, W, C] -> [B].

    Counted are the words that all arguments have; a text without any gets 0. Ids [B, W] have none where they
    are negative. One argument may reach further than another: its further words are not counted.

    >>> confidence = by_word(lambda logits: logits.softmax(dim=-1).amax(dim=-1))
    >>> confidence(torch.tensor([[[0.0, 0.0], [1000.0, 0.0], [NO_WORD, NO_WORD]]]))
    tensor([0.7500])
    """

    def mean_over_words(*values: Tensor) -> Tensor:
        reach = min(one.size(1) for one in values)
        values = tuple(one[:, :reach] for one in values)
        there = torch.stack([read_words(one) if one.dim() > 2 else one >= 0 for one in values]).all(dim=0)
        found = function(*(one[there] for one in values))
        texts = there.nonzero()[:, 0]
        total = found.new_zeros(len(there)).index_add(0, texts, found)
        return total / there.sum(dim=-1).clamp(min=1)

    return mean_over_words
