"""Logits of the words of many texts, end to end, so that each text takes the room of its own words."""

from __future__ import annotations

import torch
from torch import Tensor

from dkd_cli.recipe.words import NO_WORD


class WordRows:
    """Places of the words of U texts among those of all, T in number.

    Args:
        sizes: [U], the number of words of each text, at least 1.

    >>> words = WordRows(torch.tensor([1, 2]))
    >>> words.read(torch.tensor([[5.0], [6.0], [7.0]]), torch.tensor([1, 0])).squeeze(-1).tolist()
    [[6.0, 7.0], [5.0, -32768.0]]
    """

    def __init__(self, sizes: Tensor) -> None:
        self.sizes = sizes
        self.first = sizes.cumsum(0) - sizes
        """[U], the place of each text's first word."""
        self.total = int(sizes.sum())

    def places(self, texts: Tensor) -> Tensor:
        """The places of all words of some texts, in their order, [n] -> [m]."""
        found, there = self._grid(texts)
        return found[there]

    def read(self, logits: Tensor, texts: Tensor) -> Tensor:
        """The logits of some texts' words: [T, C] and [n] -> [n, W, C], filled up with `NO_WORD`."""
        found, there = self._grid(texts)
        return logits[torch.where(there, found, 0)].masked_fill(~there[:, :, None], NO_WORD)

    def _grid(self, texts: Tensor) -> tuple[Tensor, Tensor]:
        """Places of words [n, W], W the most words of these texts, and a mask of those that there are."""
        texts = texts.to(self.sizes.device)
        steps = torch.arange(int(self.sizes[texts].max()), device=self.sizes.device)
        return self.first[texts][:, None] + steps, steps < self.sizes[texts][:, None]
