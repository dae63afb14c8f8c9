"""Narrows the feed-forward part of each transformer layer to some of its neurons.

Which neurons stay, and how they make up for those that go, follows from the activations on some texts: each
layer's output is kept as well as possible in the least-squares sense. Needs no labels and no gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import Linear, Module, Parameter

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator
from dkd_cli.engine.models.inference import model_inputs
from dkd_cli.engine.models.models import Model
from dkd_cli.engine.models.students import layer_list
from dkd_cli.errors import ModelError

ROWS = 512
"""Texts whose activations are looked at: some ten thousand tokens, several for each neuron."""
BATCH = 32
ROUNDS = 8
"""Neurons go in so many rounds, the same share in each: without some, others matter more."""
DAMPING = 1e-3
"""Added to the covariance's diagonal, as a share of its mean: neurons that hardly vary have no inverse."""

FEED_FORWARD: Mapping[tuple[str, str], str] = {
    ("intermediate.dense", "output.dense"): "intermediate_size",
    ("ffn.lin1", "ffn.lin2"): "hidden_dim",
}
"""Names of a layer's two linear maps, and the config's key for the width between them."""


@dataclass(frozen=True)
class FeedForwardPart:
    """The feed-forward part of one layer."""

    up: Linear
    """H -> F, before the activation."""
    down: Linear
    """F -> H, after it."""


@dataclass
class Moments:
    """Of the activations a between the two maps, over all tokens so far."""

    tokens: int
    first: Tensor
    """[F] Σ a, in float64."""
    second: Tensor
    """[F, F] Σ a aᵀ, in float64."""

    def covariance(self) -> Tensor:
        """[F, F]."""
        mean = self.first / self.tokens
        return self.second / self.tokens - torch.outer(mean, mean)


def narrow(model: Model, texts: EncodedSplit, collator: PaddingCollator, width: int, key: str) -> float:
    """Narrow every feed-forward part to `width` neurons; the config says so too.

    Args:
        model: is changed; on the CPU.
        texts: up to `ROWS` of them, evenly spread, decide.
        collator: of the model's tokenizer.
        width: how many neurons stay in each layer.
        key: the recipe's key, for errors.

    Returns:
        The share of the outputs' variance on these texts that is kept, mean over layers.

    Raises:
        ModelError: for an architecture whose layers have no such part, or have fewer neurons.
    """
    parts, name = find_parts(model, key)
    present = parts[0].up.out_features
    if width > present:
        problem = f"{width} neurons of feed-forward layers that have {present}"
        raise ModelError(key, problem, f"ask for 1 to {present}")
    if width == present:
        return 1.0
    kept = []
    for part, moments in zip(parts, activation_moments(model, parts, texts, collator), strict=True):
        covariance = moments.covariance()
        neurons = most_important(covariance, part.down.weight.detach().double(), width)
        kept.append(keep_neurons(part, neurons, covariance, moments.first / moments.tokens))
    setattr(model.config, name, width)
    return sum(kept) / len(kept)


def find_parts(model: Model, key: str) -> tuple[list[FeedForwardPart], str]:
    """The feed-forward part of each layer, the lowest first, and its width's name in the config.

    Raises:
        ModelError: for an architecture that has it otherwise.
    """
    layers = layer_list(model)
    for paths, name in FEED_FORWARD.items():
        if layers is None:
            break
        found = [[_submodule(layer, path) for path in paths] for layer in layers]
        parts = [
            FeedForwardPart(up, down) for up, down in found if type(up) is Linear and type(down) is Linear
        ]
        if len(parts) == len(layers):
            return parts, name
    raise ModelError(
        key,
        f"the layers of {model.config.model_type} have no feed-forward part of two plain linear maps",
        "remove it, or choose another model",
    )


def activation_moments(
    model: Model, parts: Sequence[FeedForwardPart], texts: EncodedSplit, collator: PaddingCollator
) -> list[Moments]:
    """Collect the inputs of each `down`, over all tokens of some texts, without padding."""
    widths = [part.down.in_features for part in parts]
    sums = [
        Moments(0, torch.zeros(width, dtype=torch.float64), torch.zeros(width, width, dtype=torch.float64))
        for width in widths
    ]
    rows = np.unique(np.linspace(0, len(texts) - 1, min(ROWS, len(texts))).round().astype(int))
    by_length = rows[np.argsort(texts.lengths[rows], kind="stable")]
    training = model.training
    model.eval()
    for start in range(0, len(by_length), BATCH):
        batch = collator([texts[int(row)] for row in by_length[start : start + BATCH]])
        with torch.no_grad(), _watching(parts) as seen:
            # Hidden states of all layers: without them the last layer may compute its first token alone.
            model(**model_inputs(model, batch, model.device), output_hidden_states=True)
        real = batch["attention_mask"].bool()
        for one, states in zip(sums, seen, strict=True):
            some = states[real].double()
            one.tokens += len(some)
            one.first += some.sum(dim=0)
            one.second += some.T @ some
    model.train(training)
    return sums


def most_important(covariance: Tensor, weight: Tensor, width: int) -> Tensor:
    """The neurons to keep, ascending, [width] of F.

    A neuron's importance is the error of the layer's output without it, once the others have made up for it
    as well as they can: ‖w_i‖² / [C⁻¹]_ii, with the weights w that the neurons left have by then (Hassibi &
    Stork, 1993, Optimal Brain Surgeon; Kurtic et al., 2023, ZipLM, for whole neurons).

    Args:
        covariance: [F, F] of the activations.
        weight: [H, F] of the map after them.
        width: how many stay.
    """
    damped = _damped(covariance)
    targets = damped @ weight.T
    left = torch.arange(len(damped))
    for turn in range(1, ROUNDS + 1):
        inner = damped[left][:, left]
        inverse = torch.linalg.inv(inner)
        own = inverse @ targets[left]
        importance = own.square().sum(dim=1) / inverse.diagonal()
        count = round(len(damped) * (width / len(damped)) ** (turn / ROUNDS)) if turn < ROUNDS else width
        left = left[importance.topk(count).indices.sort().values]
    return left


def keep_neurons(part: FeedForwardPart, neurons: Tensor, covariance: Tensor, mean: Tensor) -> float:
    """Leave the part these neurons alone; the weights after them are fitted to the output that it had.

    Args:
        part: is changed.
        neurons: [W] which stay.
        covariance: [F, F] of the activations.
        mean: [F].

    Returns:
        The share of the output's variance that is kept.
    """
    old = part.down.weight.detach().double()
    # Damped on both sides: where the activations say nothing the old weights stay.
    damped = _damped(covariance)[neurons]
    new = torch.linalg.solve(damped[:, neurons], damped @ old.T).T
    gap = old.clone()
    gap[:, neurons] -= new
    lost, total = (float((some @ covariance * some).sum()) for some in (gap, old))
    part.up.weight = Parameter(part.up.weight.detach()[neurons].clone())
    part.down.weight = Parameter(new.to(part.down.weight.dtype))
    if part.up.bias is not None:
        part.up.bias = Parameter(part.up.bias.detach()[neurons].clone())
    if part.down.bias is not None:
        bias = part.down.bias.detach().double() + gap @ mean
        part.down.bias = Parameter(bias.to(part.down.bias.dtype))
    part.up.out_features = part.down.in_features = len(neurons)
    return 1.0 - lost / total if total > 0 else 1.0


def _damped(covariance: Tensor) -> Tensor:
    floor = DAMPING * float(covariance.diagonal().mean()) or 1.0
    return covariance + floor * torch.eye(len(covariance), dtype=covariance.dtype)


def _submodule(layer: Module, path: str) -> Module | None:
    try:
        return layer.get_submodule(path)
    except AttributeError:
        return None


@contextmanager
def _watching(parts: Sequence[FeedForwardPart]) -> Iterator[list[Tensor]]:
    """The input of each `down`, in their order, after one forward pass."""
    seen: list[Tensor] = []
    hooks = [part.down.register_forward_pre_hook(lambda module, args: seen.append(args[0])) for part in parts]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
