"""Cuts a classifier's vocabulary: its tokenizer, the rows of its token table, the token ids in its config.

Knows nothing of texts: which tokens occur is counted elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
import transformers

from dkd_cli.data.encoding import EncodedSplit, TokenRows
from dkd_cli.data.vocabulary import Ids, kept_ids, smaller_tokenizer
from dkd_cli.engine.models.models import LoadedModel, Model, embedding_table
from dkd_cli.errors import ModelError


def cut_vocabulary(loaded: LoadedModel, texts: EncodedSplit, size: int | None, key: str) -> LoadedModel:
    """Leave only some tokens to a classifier; its logits stay the same for texts of these tokens.

    Args:
        loaded: the classifier, which is changed, and its tokenizer, which is not.
        texts: in the tokens of `loaded`; says which tokens occur and how often.
        size: as in `vocabulary.kept_ids`: the number of tokens, or None for exactly those that occur.
        key: the recipe's key, for errors.

    Raises:
        ModelError: for a tokenizer or a token table that cannot be cut.
    """
    counts = token_counts(texts, len(loaded.tokenizer))
    kept = kept_ids(loaded.tokenizer, counts, size, key, first=_first_position(loaded.model))
    tokenizer = smaller_tokenizer(loaded.tokenizer, kept, key)
    cut_rows(loaded.model, kept, key)
    return replace(loaded, tokenizer=tokenizer)


def token_counts(texts: EncodedSplit, size: int) -> Ids:
    """[size] how often each token occurs."""
    tokens = texts.columns["input_ids"]
    assert isinstance(tokens, TokenRows), "tokens are kept end to end"
    return np.bincount(tokens.flat, minlength=size).astype(np.int64)


def cut_rows(model: Model, kept: Ids, key: str) -> None:
    """Keep the rows `kept` of the token table, in their order, and renumber the config's token ids.

    Raises:
        ModelError: for a model whose input embeddings are no plain table.
    """
    old = model.get_input_embeddings()
    if type(old) is not torch.nn.Embedding:
        problem = f"the token table ({type(old).__name__}) is no plain one and cannot be cut"
        raise ModelError(key, problem, "remove it, or choose another model")
    renumbered = {int(before): after for after, before in enumerate(kept)}
    new = torch.nn.Embedding(
        len(kept),
        old.embedding_dim,
        padding_idx=None if old.padding_idx is None else renumbered[old.padding_idx],
        _weight=old.weight.detach()[torch.from_numpy(kept)].clone(),
    )
    model.set_input_embeddings(new)
    _renumber(model.config, renumbered)


def _renumber(config: transformers.PretrainedConfig, renumbered: Mapping[int, int]) -> None:
    config.vocab_size = len(renumbered)
    for name, value in list(vars(config).items()):
        if name.endswith("_token_id") and isinstance(value, int):
            # One that is no token here (some encoders' configs name a decoder's) means nothing.
            setattr(config, name, renumbered.get(value))


def _first_position(model: Model) -> int:
    """Lowest token ids that must stay: RoBERTa and its like count positions from the padding's id."""
    positions = embedding_table(model, "position_embeddings")
    return 0 if positions is None or positions.padding_idx is None else positions.padding_idx + 1
