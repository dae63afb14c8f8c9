"""The student that chooses what to ask: a mean of token vectors under a linear head, trained in seconds.

Its table starts as the token embeddings of the recipe's pretrained encoder. Tokens that occur in no answered
text keep theirs, so that unseen words still say something.
Knows nothing about endpoints or budgets, nor how its uncertainty is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dkd_cli.engine.models.models import Tokenizer, load_pretrained, load_tokenizer

EPOCHS, BATCH, FEWEST_STEPS = 20, 64, 200
TABLE_RATE, HEAD_RATE = 3e-3, 5e-3
CHUNK = 8192
"""Texts tokenised or scored at once."""


@dataclass(frozen=True)
class Bags:
    """The tokens of N texts, end to end."""

    tokens: Tensor
    """[T] int32."""
    starts: Tensor
    """[N + 1] int64: where each text begins, and T."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def take(self, rows: Tensor) -> Bags:
        """Some of the texts."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        ends = lengths.cumsum(0)
        starts = torch.cat([torch.zeros(1, dtype=torch.long), ends])
        shift = torch.repeat_interleave(self.starts[rows] - starts[:-1], lengths)
        return Bags(self.tokens[torch.arange(int(ends[-1]) if len(ends) else 0) + shift], starts)

    def chunks(self) -> Iterator[Bags]:
        """All texts in order, `CHUNK` at once."""
        for start in range(0, len(self), CHUNK):
            stop = min(start + CHUNK, len(self))
            low, high = int(self.starts[start]), int(self.starts[stop])
            yield Bags(self.tokens[low:high], self.starts[start : stop + 1] - low)


@dataclass(frozen=True)
class Vectors:
    """Token vectors of a pretrained encoder."""

    tokenizer: Tokenizer
    table: Tensor
    """[V, H] float32."""

    @classmethod
    def load(cls, source: str) -> Vectors:
        """Take the token embeddings of an encoder: hub id, folder or `pkg://`."""
        model, _ = load_pretrained(source, "model")
        table: Tensor = model.get_input_embeddings().weight.detach().clone()
        return cls(load_tokenizer(source, "model"), table)

    def bags(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        max_length: int,
        advance: Callable[[int], object] = lambda count: None,
    ) -> Bags:
        """Tokenise texts (and their second texts behind them), each truncated to `max_length` tokens."""
        parts: list[NDArray[np.int32]] = []
        lengths: list[int] = []
        unknown = self.tokenizer.unk_token_id or 0
        for start in range(0, len(texts), CHUNK):
            chunk = list(texts[start : start + CHUNK])
            second = None if pairs is None else list(pairs[start : start + CHUNK])
            found = self.tokenizer(
                chunk,
                second,
                add_special_tokens=False,
                truncation=True,
                max_length=max_length,
                return_attention_mask=False,
                return_token_type_ids=False,
            )["input_ids"]
            rows = [row or [unknown] for row in found]
            parts += [np.fromiter((token for row in rows for token in row), dtype=np.int32)]
            lengths += [len(row) for row in rows]
            advance(len(chunk))
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return Bags(torch.from_numpy(np.concatenate(parts)), torch.from_numpy(starts))

    def means(self, bags: Bags) -> Tensor:
        """The mean token vector of each text, scaled to length 1: [N, H]."""
        found = [F.normalize(_mean(part, self.table), dim=1) for part in bags.chunks()]
        return torch.cat(found)


@dataclass(frozen=True)
class Chooser:
    """A trained bag of token vectors."""

    table: Tensor
    """[V, H]."""
    weight: Tensor
    """[C, H]."""
    bias: Tensor
    """[C]."""

    @torch.no_grad()
    def logits(self, bags: Bags) -> Iterator[Tensor]:
        """Logits of all texts in order, a chunk [n, C] at once."""
        for part in bags.chunks():
            yield F.linear(_normal(_mean(part, self.table)), self.weight, self.bias)


def train(vectors: Vectors, bags: Bags, targets: Tensor, seed: int) -> Chooser:
    """Train a chooser on soft answers by cross-entropy; the same inputs give the same bits.

    Args:
        vectors: the table to start from.
        bags: the N answered texts.
        targets: [N, C], each row summing to 1.
        seed: decides the head's start and the order of the texts.
    """
    generator = torch.Generator().manual_seed(seed)
    table = vectors.table.clone().requires_grad_()
    width, classes = vectors.table.size(1), targets.size(1)
    weight = (torch.randn(classes, width, generator=generator) / width**0.5).requires_grad_()
    bias = torch.zeros(classes, requires_grad=True)
    # A step updates the tokens of its batch alone, which makes it ten times as fast.
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.SparseAdam([table], lr=TABLE_RATE),
        torch.optim.Adam([weight, bias], lr=HEAD_RATE),
    ]
    steps = max(FEWEST_STEPS, EPOCHS * len(bags) // BATCH)
    decays = [
        torch.optim.lr_scheduler.LambdaLR(one, lambda step: max(0.0, 1 - step / steps)) for one in optimizers
    ]
    for rows in _batches(len(bags), steps, generator):
        logits = F.linear(_normal(_mean(bags.take(rows), table, sparse=True)), weight, bias)
        loss = F.cross_entropy(logits, targets[rows])
        for optimizer in optimizers:
            optimizer.zero_grad()
        torch.autograd.backward(loss)
        for optimizer, decay in zip(optimizers, decays, strict=True):
            optimizer.step()
            decay.step()
    return Chooser(table.detach(), weight.detach(), bias.detach())


def _batches(size: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    made = 0
    while True:
        for rows in torch.split(torch.randperm(size, generator=generator), BATCH):
            if made == steps:
                return
            made += 1
            yield rows


def _mean(bags: Bags, table: Tensor, *, sparse: bool = False) -> Tensor:
    starts = bags.starts[:-1].to(bags.tokens.dtype)
    return F.embedding_bag(bags.tokens, table, starts, mode="mean", sparse=sparse)


def _normal(vectors: Tensor) -> Tensor:
    return F.layer_norm(vectors, vectors.shape[1:])
