"""Logits of words out of those of tokens. Knows no architecture and no tokenizer."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dkd_cli.recipe.words import NO_WORD


def answered(logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """A model's logits of a batch: as they are, [B, C], or of words, [B, W, C], where the batch has `words`.

    Args:
        logits: [B, C], or of tokens [B, L, C].
        batch: collated; its `words` [B, W] are the places of the words' first pieces.
    """
    return at_words(logits, batch["words"].to(logits.device)) if "words" in batch else logits


def at_words(logits: Tensor, first_pieces: Tensor) -> Tensor:
    """The logits at the first piece of each word: [B, L, C] and places [B, W] -> [B, W, C].

    `NO_WORD` where the place is negative: there is no word, or none that was read.

    >>> import torch
    >>> at_words(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[2, -1]])).flatten().tolist()
    [3.0, -32768.0]
    """
    places = first_pieces.clamp(min=0)[:, :, None].expand(-1, -1, logits.size(-1))
    return logits.gather(1, places).masked_fill(first_pieces[:, :, None] < 0, NO_WORD)
