"""Augmentation: copies of a text in which some words are replaced (Jiao et al., 2020, "TinyBERT").

Needs the candidates for each word and knows nothing about where they come from. A copy depends on the text,
the candidates and the settings alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from dkd_cli.data.examples import Split
from dkd_cli.recipe.schema import Augment

WORD = re.compile(r"[^\W\d_]{2,}(?:['’][^\W\d_]+)*")
"""Two letters or more, with what follows an apostrophe; numbers, mentions and links have no candidates."""
SKIPPED = re.compile(r"https?://\S*|www\.\S+|[@#]\w+")

Candidates = Sequence[Sequence[str]]
"""For each word of a text, in its order, what may stand in its place; empty: the word stays."""


def word_spans(text: str) -> list[tuple[int, int]]:
    """Begin and end of each word that may be replaced.

    >>> word_spans("@you don't like 4 cats")
    [(5, 10), (11, 15), (18, 22)]
    """
    skipped = [found.span() for found in SKIPPED.finditer(text)]
    spans = [found.span() for found in WORD.finditer(text)]
    return [span for span in spans if not any(begin <= span[0] < end for begin, end in skipped)]


def copies_of(text: str, candidates: Candidates, settings: Augment, count: int, seed: int) -> list[str]:
    """Make `count` copies of a text, each with at least one word replaced; none if no word has candidates.

    Every word with candidates is replaced with probability `settings.replace` by one of them, all equally
    likely.

    Args:
        text: the original.
        candidates: for each of `word_spans(text)`.
        settings: how often words are replaced.
        count: how many copies.
        seed: another one makes other copies.
    """
    spans = word_spans(text)
    open_words = [place for place, words in enumerate(candidates) if words]
    if not open_words:
        return []
    digest = hashlib.blake2b(f"{seed} {text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    chance = np.random.default_rng(int.from_bytes(digest))
    made = []
    for _ in range(count):
        chosen = chance.random(len(open_words)) < settings.replace
        if not chosen.any():
            chosen[chance.integers(len(open_words))] = True
        parts, end = [], 0
        for place in np.array(open_words)[chosen].tolist():
            begin, stop = spans[place]
            words = candidates[place]
            parts += [text[end:begin], _like(text[begin:stop], words[int(chance.integers(len(words)))])]
            end = stop
        made.append("".join([*parts, text[end:]]))
    return made


def augmented_split(
    split: Split, candidates: Mapping[str, Candidates], settings: Augment, seed: int
) -> tuple[list[str], list[str] | None]:
    """Texts (and second texts) of all copies of a split's rows; of pairs the two texts change in turn.

    Args:
        split: the originals.
        candidates: by text.
        settings: `copies` of each row.
        seed: as in `copies_of`.
    """
    texts: list[str] = []
    pairs: list[str] = []
    for row, text in enumerate(split.texts):
        if split.text_pairs is None:
            texts += copies_of(text, candidates[text], settings, settings.copies, seed)
            continue
        pair = split.text_pairs[row]
        changed = copies_of(text, candidates[text], settings, -(-settings.copies // 2), seed)
        others = copies_of(pair, candidates[pair], settings, settings.copies // 2, seed)
        texts += [*changed, *[text] * len(others)]
        pairs += [*[pair] * len(changed), *others]
    return texts, None if split.text_pairs is None else pairs


def _like(word: str, candidate: str) -> str:
    """The candidate, written in capitals where the word is.

    >>> _like("Good", "great"), _like("GOOD", "great"), _like("good", "Paris")
    ('Great', 'GREAT', 'Paris')
    """
    if word.isupper() and len(word) > 1:
        return candidate.upper()
    return candidate.capitalize() if word[0].isupper() and candidate.islower() else candidate
