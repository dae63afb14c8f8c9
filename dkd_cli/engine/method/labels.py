"""Several labels per text as one distribution of two classes each.

So whatever is defined on a softmax is defined per label too, and averaged over the labels. Needs nothing but
torch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def as_pairs(logits: Tensor) -> Tensor:
    """Logits of two classes, yes and no, for each label: [B, C] -> [B·C, 2], with softmax = (σ(z), 1 - σ(z)).

    >>> as_pairs(torch.tensor([[1.0, -2.0]]))
    tensor([[ 1.,  0.],
            [-2.,  0.]])
    """
    flat = logits.reshape(-1)
    return torch.stack([flat, torch.zeros_like(flat)], dim=-1)


def by_label(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Turn a function of class logits [B, C] into its mean over labels, each of which is two classes.

    >>> by_label(lambda logits: logits.softmax(dim=-1).amax(dim=-1))(torch.tensor([[0.0, 1000.0]]))
    tensor([0.7500])
    """

    def mean_over_labels(*logits: Tensor) -> Tensor:
        return function(*map(as_pairs, logits)).view(logits[0].shape).mean(dim=-1)

    return mean_over_labels
