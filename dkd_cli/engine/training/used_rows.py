"""Training only those rows of the token table that the training texts use.

A token that never occurs gets no gradient, and AdamW without weight decay leaves its row as it is. Such rows,
their gradients and their optimizer state would yet be carried through every step, which on short texts costs
more than the layers do. Here they are left out, and put back at the end. Knows of texts only their token ids.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator, TokenRows
from dkd_cli.engine.models.models import Model

WORTH_IT = 0.8
"""The share of the table in use from which on leaving out the rest gains nothing."""


class UsedRows(torch.nn.Module):
    """A token table of which some rows train and the others stand still.

    In training every token must be one of those that train.
    """

    def __init__(self, table: torch.nn.Embedding, used: Tensor) -> None:
        """`used`: [U] the ids that train, each once."""
        super().__init__()
        self.weight = torch.nn.Parameter(table.weight.detach()[used].clone())
        places = torch.full((table.num_embeddings,), -1, device=used.device)
        places[used] = torch.arange(used.numel(), device=used.device)
        # Both follow from the pretrained model and the data, so that no checkpoint needs them.
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("table", table.weight.detach(), persistent=False)
        padding = -1 if table.padding_idx is None else int(places[table.padding_idx])
        self.padding_idx = padding if padding >= 0 else None

    def forward(self, ids: Tensor) -> Tensor:
        """[B, L] -> [B, L, H]."""
        assert isinstance(self.places, Tensor)
        assert isinstance(self.table, Tensor)
        places = self.places[ids]
        if self.training:
            return F.embedding(places, self.weight, self.padding_idx)
        known = (places >= 0).unsqueeze(-1)
        return torch.where(known, F.embedding(places.clamp(min=0), self.weight), F.embedding(ids, self.table))

    @torch.no_grad()
    def whole(self) -> Tensor:
        """The table with the rows as they are now, [V, H]."""
        assert isinstance(self.places, Tensor)
        assert isinstance(self.table, Tensor)
        table = self.table.clone()
        table[self.places >= 0] = self.weight[self.places[self.places >= 0]]
        return table


def ids_read(train: EncodedSplit, collator: PaddingCollator) -> set[int]:
    """The token ids that training on a split reads: those of its texts, and the padding's."""
    tokens = train.columns["input_ids"]
    assert isinstance(tokens, TokenRows)
    return {*np.unique(tokens.flat).tolist(), collator.padding["input_ids"]}


@contextmanager
def training_used_rows(model: Model, ids: Collection[int], weight_decay: float) -> Iterator[None]:
    """Let the model train the token rows `ids` alone, each given once; later it has its whole table again.

    Does nothing where the table is frozen, where most of it is in use, or where weight decay moves all of it.
    """
    table = model.get_input_embeddings()
    plain = type(table) is torch.nn.Embedding and table.weight.requires_grad
    if not plain or weight_decay > 0 or len(ids) > WORTH_IT * table.num_embeddings:
        yield
        return
    used = torch.tensor(sorted(ids), device=table.weight.device)
    rows = UsedRows(table, used).train(model.training)
    model.set_input_embeddings(rows)
    try:
        yield
    finally:
        table.weight.data = rows.whole()
        model.set_input_embeddings(table)
