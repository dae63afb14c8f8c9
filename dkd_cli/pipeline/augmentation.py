"""Augmentation of a training split with the recipe's encoder; the candidates for words are cached on disk.

A word that is one token of an encoder with a masked-language-model head gets what that model predicts in its
place; every other word gets neighbours among the encoder's static token vectors. A killed run finds what was
computed before, at most `SECONDS_BETWEEN_WRITES` of work lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from dkd_cli.data.augment import Candidates, augmented_split, word_spans
from dkd_cli.data.examples import Split
from dkd_cli.engine.cache.entries import Cache
from dkd_cli.engine.cache.fingerprint import weights_digest
from dkd_cli.engine.cache.rows import CachedRows
from dkd_cli.engine.cache.tokens import text_keys, tokenizer_digest
from dkd_cli.engine.models.proposals import (
    NONE,
    Ids,
    load_proposer,
    masked_candidates,
    neighbours,
)
from dkd_cli.engine.models.token_vectors import Progress
from dkd_cli.recipe.schema import Recipe

SECONDS_BETWEEN_WRITES = 20.0
WORDS_AT_ONCE = 4096
INT32 = np.dtype("<i4")

Texts = tuple[list[str], list[str] | None]


def augmented(train: Split, recipe: Recipe, cache: Cache | None, progress: Progress) -> Texts:
    """Texts (and second texts) of the copies of a training split that `data.augment` asks for.

    Args:
        train: the labelled rows.
        recipe: names the encoder and the settings.
        cache: where candidates are found and kept; None: nowhere.
        progress: shows how many texts the masked language model has read.

    Raises:
        ModelError: if the encoder cannot be loaded.
    """
    candidates = find_candidates([*train.texts, *(train.text_pairs or ())], recipe, cache, progress)
    return augmented_split(train, candidates, recipe.data.augment, recipe.data.split_seed)


def find_candidates(
    texts: Sequence[str], recipe: Recipe, cache: Cache | None, progress: Progress
) -> dict[str, Candidates]:
    """For each distinct text the candidates of its words."""
    settings, proposer = recipe.data.augment, load_proposer(recipe.model, "model")
    distinct = [text for text in dict.fromkeys(texts) if word_spans(text)]
    facts = {
        "weights": weights_digest(recipe.model, "model"),
        "tokenizer": tokenizer_digest(proposer.tokenizer),
        "candidates": settings.candidates,
    }
    words = list(dict.fromkeys(word.casefold() for text in distinct for word in _words(text)))

    def near(some: Sequence[str]) -> Iterator[Ids]:
        yield from (row[None] for row in neighbours(proposer, some, settings.candidates))

    found = _cached(words, near, facts | {"kept": "neighbours"}, settings.candidates, cache, WORDS_AT_ONCE)
    masked: Mapping[str, Ids] = {}
    if proposer.model is not None:
        with progress("augmenting", len(distinct)) as advance:

            def predicted(some: Sequence[str]) -> Iterator[Ids]:
                for text in some:
                    length = recipe.data.max_length
                    yield masked_candidates(proposer, text, word_spans(text), settings.candidates, length)
                    advance(1)

            kept = facts | {"kept": "masked words", "max_length": recipe.data.max_length}
            masked = _cached(distinct, predicted, kept, settings.candidates, cache, 1)
    made: dict[str, Candidates] = dict.fromkeys(texts, ())
    for text in distinct:
        near_rows = [found[word.casefold()][0] for word in _words(text)]
        rows = _merged(masked[text], near_rows) if text in masked else near_rows
        made[text] = [proposer.spell(row.tolist()) for row in rows]
    return made


def _words(text: str) -> list[str]:
    return [text[begin:end] for begin, end in word_spans(text)]


def _merged(masked: Ids, near: Sequence[Ids]) -> list[Ids]:
    return [own if own[0] != NONE else other for own, other in zip(masked, near, strict=True)]


def _cached(
    texts: Sequence[str],
    compute: Callable[[Sequence[str]], Iterator[Ids]],
    facts: Mapping[str, object],
    width: int,
    cache: Cache | None,
    at_once: int,
) -> dict[str, Ids]:
    """The rows of each text, [words, width]: from the cache, or computed and put there."""
    if not texts:
        return {}
    entry = None if cache is None or facts["tokenizer"] is None else cache.attach("augmentation", facts)
    keys, first, place = np.unique(
        text_keys(Split("words", texts, None, None, ())), return_index=True, return_inverse=True
    )
    kept = CachedRows(keys, width, INT32, entry)
    # In the order of the texts, not of their digests: the progress of a killed run is then that of a prefix.
    lacking = sorted(kept.lacking(np.arange(len(keys))), key=lambda slot: int(first[slot]))
    made: dict[int, Ids] = {}
    written = time.monotonic()
    for start in range(0, len(lacking), at_once):
        slots = lacking[start : start + at_once]
        rows = dict(zip(slots, compute([texts[first[slot]] for slot in slots]), strict=True))
        made |= rows
        kept.put(rows)
        if time.monotonic() - written > SECONDS_BETWEEN_WRITES:
            kept.flush()
            written = time.monotonic()
    kept.finish(hits=len(keys) - len(lacking))
    found = np.setdiff1d(np.arange(len(keys)), lacking)
    made |= dict(zip(found.tolist(), kept.rows(found), strict=True))
    return {text: made[slot] for text, slot in zip(texts, place.tolist(), strict=True)}
