"""Trial passes of a few tokens: refuse architectures that cannot be used, before anything is trained.

Knows nothing of texts or tasks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dkd_cli.errors import ModelError, reason

TOKENS = 5
PADDING = 3
TOLERANCE = 1e-4
"""Of the largest logit: rounding is two orders smaller."""
SHARE, LEAST_VARIATION = 0.01, 1e-5
"""Of the change that another text makes, where it is larger than rounding."""
REMEDY = "choose another architecture"


def check_reading(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str, key: str, *, trained: bool = False
) -> None:
    """Refuse a model that cannot read a short text, or whose logits depend on the padding around it.

    Args:
        model: as loaded.
        tokenizer: its own, after `padding.agree_on_padding`.
        name: the model's, for errors.
        key: the recipe's key, for errors.
        trained: whether it is going to be trained, which some architectures can only with certain lengths.

    Raises:
        ModelError: names the architecture and what fails.
    """
    kind = model.config.model_type
    shortest = max(1, tokenizer.num_special_tokens_to_add(pair=False))
    try:
        vocabulary = model.get_input_embeddings().weight.size(0)
        batch = _batch(model, tokenizer, vocabulary, 0)
        alone = _logits(model, batch)
        padded = _logits(model, _batch(model, tokenizer, vocabulary, PADDING))
        _logits(model, _batch(model, tokenizer, vocabulary, 0, tokens=shortest))
        if trained:
            _logits(model, batch, training=True)
    except Exception as error:  # an architecture may fail anywhere
        problem = (
            f"{name!r} ({kind}) cannot be used with texts of {shortest} to {TOKENS} tokens ({reason(error)})"
        )
        raise ModelError(key, problem, REMEDY) from error
    if alone.dim() > 2:  # of each token: those of the padding do not count
        padded = padded[:, -TOKENS:] if tokenizer.padding_side == "left" else padded[:, :TOKENS]
    if not alone.isfinite().all():
        return  # damaged weights: the first real batch raises an error of its own
    difference = float((alone - padded).abs().max())
    # A drawn head's logits are small: a difference counts also by how much another text changes them.
    other = _logits(model, batch | {"input_ids": batch["input_ids"].flip(-1)})
    allowed = [TOLERANCE * max(1.0, float(alone.abs().max()))]
    if (variation := float((alone - other).abs().max())) > LEAST_VARIATION:
        allowed.append(SHARE * variation)
    if not difference <= min(allowed):
        problem = (
            f"the logits of {name!r} ({kind}) for a text change with the padding beside it, by "
            f"{difference:.2g}: they would depend on the other texts of its batch"
        )
        raise ModelError(key, problem, REMEDY)


def check_hidden_states(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, layers: int, key: str
) -> None:
    """Refuse a model whose hidden states are not one vector for each token, before and after each layer.

    Args:
        model: as loaded.
        tokenizer: its own.
        layers: that it has.
        key: the recipe's key, for errors.

    Raises:
        ModelError: for encoder-decoders and models that pool their tokens on the way.
    """
    batch = _batch(model, tokenizer, model.get_input_embeddings().weight.size(0), 0)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        states = getattr(model(**batch, output_hidden_states=True), "hidden_states", None)
    if states is None or len(states) != layers + 1 or any(one.shape[:2] != (1, TOKENS) for one in states):
        raise ModelError(
            key,
            f"{model.config.model_type!r} does not show a vector for each token and layer",
            "set strategy.objective.hidden_weight to 0, or choose another architecture",
        )


def _batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    vocabulary: int,
    extra: int,
    *,
    tokens: int = TOKENS,
) -> dict[str, Tensor]:
    """One text of some tokens, and `extra` places of padding on the tokenizer's side."""
    special = {*tokenizer.all_special_ids, tokenizer.pad_token_id}
    usual = [token for token in range(min(vocabulary, 1000)) if token not in special][: tokens - 1] or [0]
    end = model.config.eos_token_id if model.config.is_encoder_decoder else None  # their heads look for it
    last = end if isinstance(end, int) else usual[0]
    text = [*usual, *[usual[-1]] * (tokens - 1 - len(usual)), last][-tokens:]
    ids, mask = [tokenizer.pad_token_id or 0] * extra, [0] * extra
    left = tokenizer.padding_side == "left"
    rows = (ids + text, mask + [1] * tokens) if left else (text + ids, [1] * tokens + mask)
    return {
        name: torch.tensor([row], device=model.device)
        for name, row in zip(("input_ids", "attention_mask"), rows, strict=True)
    }


def _logits(model: PreTrainedModel, batch: dict[str, Tensor], *, training: bool = False) -> Tensor:
    before = model.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            logits: Tensor = model.train(training)(**batch).logits.float()
    finally:
        model.train(before)
    return logits
