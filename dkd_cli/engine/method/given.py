"""Logits for given probabilities: what a teacher that is a file says. Needs nothing but torch."""

from __future__ import annotations

from torch import Tensor

PROBABILITY_FLOOR = 1e-4
"""The least probability that a teacher's file gives a class: the logarithm of 0 is no logit. A bare label
then stands 9.2 above the other logits, about as sure as trained classifiers are."""


def probability_logits(probabilities: Tensor) -> Tensor:
    """Logits whose softmax gives these class probabilities (no smaller than the floor): log p, less its mean.

    Logits are known up to a constant. KD-MSE depends on it, so it is settled: the mean over classes is 0.

    Args:
        probabilities: [N, C], each row summing to 1.

    Returns:
        [N, C] float32.

    >>> import torch
    >>> probability_logits(torch.tensor([[0.8, 0.2]]))
    tensor([[ 0.6931, -0.6931]])
    """
    floored = probabilities.double().clamp(min=PROBABILITY_FLOOR)
    logs = (floored / floored.sum(dim=-1, keepdim=True)).log()
    return (logs - logs.mean(dim=-1, keepdim=True)).float()


def label_logits(probabilities: Tensor) -> Tensor:
    """Logits whose sigmoid gives these probabilities of labels: log p/(1 - p).

    Args:
        probabilities: [N, C], each in [0, 1]; taken as at least the floor away from 0 and 1.

    Returns:
        [N, C] float32.

    >>> import torch
    >>> label_logits(torch.tensor([[0.8, 0.5]]))
    tensor([[1.3863, 0.0000]])
    """
    return probabilities.double().clamp(PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR).logit().float()
