"""Token vectors for static students: every entry of a vocabulary, passed through an encoder by itself.

The idea is Model2Vec's (Tulkens and van Dongen, 2024); its library makes such vectors too, but not with
current versions of transformers. Knows nothing of texts, nor of what the vectors are for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import takewhile

import torch
from torch import Tensor

from dkd_cli.engine.models.inference import model_inputs
from dkd_cli.engine.models.models import Model, Tokenizer

AT_ONCE = 512
"""Tokens in each forward pass: fixed, so that the vectors are the same on every run."""


Progress = Callable[[str, int], AbstractContextManager[Callable[..., None]]]
"""From what is done, and its steps, to what is called with the steps that were taken."""


def silent(what: str, steps: int) -> AbstractContextManager[Callable[..., None]]:
    """Progress that nobody sees."""
    return nullcontext(lambda count: None)


LAST: dict[str, Tensor] = {}
"""The vectors of the encoder that was asked last, by a digest of its weights: all static students of one
command are made from them."""


def token_vectors(encoder: Model, tokenizer: Tokenizer, progress: Progress = silent) -> Tensor:
    """As `compute_vectors`; those of the same encoder are computed once."""
    key = _digest(encoder, tokenizer)
    if key not in LAST:
        LAST.clear()
        LAST[key] = compute_vectors(encoder, tokenizer, progress)
    return LAST[key].clone()


@torch.inference_mode()
def compute_vectors(encoder: Model, tokenizer: Tokenizer, progress: Progress = silent) -> Tensor:
    """The mean of an encoder's last hidden states over a token and the special tokens around it.

    Args:
        encoder: in eval mode and without a head.
        tokenizer: the encoder's own.
        progress: shows how many tokens are done.

    Returns:
        [V, H] float32, V the rows of the encoder's token table.
    """
    before, after = _around(tokenizer)
    found = []
    size = encoder.get_input_embeddings().weight.size(0)
    with progress("token vectors", size) as advance:
        for start in range(0, size, AT_ONCE):
            tokens = range(start, min(start + AT_ONCE, size))
            rows = torch.tensor([[*before, token, *after] for token in tokens])
            batch = {
                "input_ids": rows,
                "attention_mask": torch.ones_like(rows),
                "token_type_ids": torch.zeros_like(rows),
            }
            states = encoder(**model_inputs(encoder, batch, encoder.device)).last_hidden_state
            found.append(states.float().mean(dim=1))
            advance(len(tokens))
    return torch.cat(found)


def principal(vectors: Tensor, dimensions: int) -> Tensor:
    """The vectors on their first principal components: [V, H] -> [V, dimensions]."""
    centred = (vectors - vectors.mean(dim=0)).double()
    _, directions = torch.linalg.eigh(centred.T @ centred)
    chosen = directions[:, -dimensions:].flip(dims=[1])
    projected: Tensor = (centred @ chosen).float()
    return projected


def _digest(encoder: Model, tokenizer: Tokenizer) -> str:
    state = hashlib.blake2b(repr(_around(tokenizer)).encode(), digest_size=16)
    for name, weight in encoder.state_dict().items():
        state.update(name.encode())
        state.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()


def _around(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The special tokens that a tokenizer puts before and after a text."""
    encoded = tokenizer("a", return_special_tokens_mask=True)
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    leading = len(list(takewhile(bool, special)))
    trailing = len(list(takewhile(bool, reversed(special[leading:]))))
    return ids[:leading], ids[len(ids) - trailing :]
