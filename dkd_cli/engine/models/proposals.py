"""Words in place of other words: what a masked language model predicts, and neighbours of token vectors.

Works on token ids of whole words. Knows nothing of how texts are augmented, nor of the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoModelForMaskedLM
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from dkd_cli.engine.models.models import (
    Model,
    Tokenizer,
    explain,
    load_config,
    load_tokenizer,
    locate_model,
)
from dkd_cli.reading.hub import hub_answers

NONE = -1
"""In place of a token id: there is no candidate."""
COPIES_AT_ONCE = 64
WORDS_AT_ONCE = 256
DECIMALS = 6
"""Cosines are rounded before they are compared: what else is in a product must not change the order."""
MARKS = ("Ġ", "▁")
"""Marks that tokenizers put before a token that begins a word; WordPiece marks the others, by ##."""

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Proposer:
    """An encoder as a source of words."""

    tokenizer: Tokenizer
    model: Model | None
    """Its masked-language-model head and all below it; None where the checkpoint has no such head."""
    vectors: NDArray[np.float32]
    """[V, H], the static token vectors."""
    whole: NDArray[np.int64]
    """[W], the ids of the tokens that are whole words of two letters or more."""
    names: dict[int, str]
    """Spelling of each token."""

    def spell(self, ids: Sequence[int]) -> list[str]:
        """The words behind ids; `NONE` is left out."""
        return [self.names[one] for one in ids if one != NONE]


def load_proposer(name: str, key: str) -> Proposer:
    """Load an encoder, with its masked-language-model head if the checkpoint has one.

    Raises:
        ModelError: if there is no such model, or it cannot be loaded.
    """
    tokenizer, config, source = load_tokenizer(name, key), load_config(name, key), locate_model(name, key)
    settings: dict[str, Any] = {
        "dtype": torch.float32,
        "output_loading_info": True,
        **({} if Path(source).is_dir() else {"local_files_only": not hub_answers()}),
    }
    try:
        model = None
        if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and tokenizer.mask_token_id is not None:
            model, info = AutoModelForMaskedLM.from_pretrained(
                source, trust_remote_code=False, use_safetensors=True, **settings
            )
            # A head that is not in the file is random, and proposes nothing of worth.
            encoder = model
            model = None if info["missing_keys"] or not tokenizer.is_fast else model
        else:
            encoder, _ = AutoModel.from_pretrained(
                source, trust_remote_code=False, use_safetensors=True, **settings
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise explain(error, name, key) from error
    vectors: NDArray[np.float32] = encoder.get_input_embeddings().weight.detach().numpy()
    names = _whole_words(tokenizer, len(vectors))
    if model is not None:
        model.requires_grad_(False).eval()
    return Proposer(tokenizer, model, vectors, np.array(sorted(names), dtype=np.int64), names)


def _whole_words(tokenizer: Tokenizer, size: int) -> dict[int, str]:
    tokens = tokenizer.convert_ids_to_tokens(list(range(min(size, len(tokenizer)))))
    special = set(tokenizer.all_special_ids)
    marked = any(str(token).startswith(MARKS) for token in tokens)
    found = {}
    for number, token in enumerate(tokens):
        word = str(token)
        if number in special or (marked and not word.startswith(MARKS)):
            continue
        word = word[1:] if marked else word
        if len(word) > 1 and word.isalpha():
            found[number] = word
    return found


def neighbours(proposer: Proposer, words: Sequence[str], count: int) -> Ids:
    """The whole words whose static vectors are nearest to each word's, by the cosine: [n, count].

    A word in several pieces has the mean of their vectors. The mean of all whole words is subtracted first,
    because token vectors share one large direction. Words that the tokenizer does not know have none.
    """
    found = np.full((len(words), count), NONE, dtype=np.int32)
    centre = proposer.vectors[proposer.whole].mean(axis=0, dtype=np.float64)
    table = _directions(proposer.vectors[proposer.whole] - centre)
    marked = " " if any(str(t).startswith("Ġ") for t in proposer.tokenizer.get_vocab()) else ""
    spelt: dict[str, list[int]] = {}
    for row, one in enumerate(proposer.whole.tolist()):
        spelt.setdefault(proposer.names[one].casefold(), []).append(row)
    unknown = proposer.tokenizer.unk_token_id
    for start in range(0, len(words), WORDS_AT_ONCE):
        some = words[start : start + WORDS_AT_ONCE]
        pieces = proposer.tokenizer([marked + word for word in some], add_special_tokens=False)["input_ids"]
        known = [place for place, ids in enumerate(pieces) if ids and unknown not in ids]
        if not known:
            continue
        means = np.stack([proposer.vectors[pieces[place]].mean(axis=0, dtype=np.float64) for place in known])
        cosines = np.round(_directions(means - centre) @ table.T, DECIMALS)
        for row, place in enumerate(known):
            cosines[row, spelt.get(some[place].casefold(), [])] = -np.inf
            # Among equals the smaller id: a partial sort alone would leave their order open.
            most = min(count, int(np.isfinite(cosines[row]).sum()))
            if not most:
                continue
            nearest = np.flatnonzero(cosines[row] >= np.partition(cosines[row], -most)[-most])
            order = np.argsort(-cosines[row, nearest], kind="stable")[:most]
            found[start + place, : len(order)] = proposer.whole[nearest[order]]
    return found


def _directions(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions: NDArray[np.float64] = vectors / np.maximum(lengths, 1e-12)
    return directions


@torch.no_grad()
def masked_candidates(
    proposer: Proposer, text: str, spans: Sequence[tuple[int, int]], count: int, max_length: int
) -> Ids:
    """The whole words that the masked language model finds likeliest in place of each word: [n, count].

    Each word that is one token is masked in a copy of its own. The others, and those beyond `max_length`
    tokens, have none. All copies of a text have its length, and no other text shares their batches, so that
    the result does not depend on other texts.
    """
    assert proposer.model is not None, "the checkpoint has the head"
    found = np.full((len(spans), count), NONE, dtype=np.int32)
    read = proposer.tokenizer(
        text, truncation=True, max_length=max_length, return_offsets_mapping=True, return_tensors="pt"
    )
    offsets = [tuple(pair) for pair in read.pop("offset_mapping")[0].tolist()]
    places = {span: place for place, span in enumerate(offsets) if span[0] < span[1]}
    # Byte-level tokenizers count the space in front of a word as its own.
    places |= {(begin + 1, end): place for (begin, end), place in places.items() if text[begin].isspace()}
    single = [(word, places[span]) for word, span in enumerate(spans) if span in places]
    whole = torch.from_numpy(proposer.whole)
    for start in range(0, len(single), COPIES_AT_ONCE):
        some = single[start : start + COPIES_AT_ONCE]
        positions = torch.tensor([place for _, place in some])
        batch = {name: values.expand(len(some), -1).clone() for name, values in read.items()}
        originals = batch["input_ids"][torch.arange(len(some)), positions].clone()
        batch["input_ids"][torch.arange(len(some)), positions] = proposer.tokenizer.mask_token_id
        logits = proposer.model(**batch).logits[torch.arange(len(some)), positions][:, whole]
        logits[originals[:, None] == whole[None, :]] = -torch.inf
        top = logits.topk(min(count, len(whole)), dim=1)
        best = whole[top.indices].masked_fill(top.values.isneginf(), NONE).numpy()
        for (word, _), ids in zip(some, best, strict=True):
            found[word, : len(ids)] = ids
    return found
