"""Near-duplicate texts: retweets, quotes, copies with another link.

MinHash finds the candidates, the exact Jaccard similarity of their shingles decides. Knows nothing about
splits or labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rensa import RMinHash  # type: ignore[import-untyped]

SHINGLE = 5
PERMUTATIONS = 128
RECALL = 0.999
"""The probability of finding a pair that is just as alike as the threshold."""
SLACK = 0.15
"""Candidates whose estimated similarity is further below the threshold are not worth an exact look: the
estimate's standard error is at most 0.045."""
CROWD = 1000
"""Texts that share a band with more others than this are taken as alike unseen: that can only keep more
texts on one side of a cut."""
CHUNK = 4096

NOISE = re.compile(r"https?://\S*|www\.\S+|@\w+|\brt\b|(?:[^\w@]|_)+|@")

Array = np.ndarray[Any, np.dtype[Any]]


def normalise(text: str) -> str:
    """Fold case and drop links, mentions, `RT`, punctuation and repeated spaces.

    >>> normalise("RT @you: Hello, WORLD!  https://t.co/x")
    'hello world'
    """
    folded = text.casefold()
    # A text of nothing but links or emoji keeps its own identity instead of joining all others like it.
    return " ".join(NOISE.sub(" ", folded).split()) or " ".join(folded.split())


def group_near_duplicates(texts: Sequence[str], threshold: float) -> list[int]:
    """Group texts whose shingles have at least `threshold` Jaccard similarity, and what they chain to.

    Args:
        texts: normalised and distinct.
        threshold: in (0, 1].

    Returns:
        For each text, the smallest index in its group.
    """
    parents = list(range(len(texts)))
    if threshold < 1 and len(texts) > 1:
        rows = max(1, _band_rows(threshold))
        signatures = np.concatenate(
            [_signatures(texts[start : start + CHUNK]) for start in range(0, len(texts), CHUNK)]
        )
        left, right, crowds = _candidates(signatures, rows, threshold)
        for first, second in crowds:
            _join(parents, int(first), int(second))
        shingles = {row: _shingle_set(texts[row]) for row in np.union1d(left, right).tolist()}
        for first, second in zip(left.tolist(), right.tolist(), strict=True):
            if _jaccard(shingles[first], shingles[second]) >= threshold:
                _join(parents, first, second)
    return [_root(parents, row) for row in range(len(texts))]


def near_known(texts: Sequence[str], known: Sequence[str], threshold: float) -> list[bool]:
    """Mark the texts that have a near-duplicate among `known`.

    Near-duplicates among `texts` themselves are not searched for. Memory is for the signatures of `known` and
    of `CHUNK` texts, so that `texts` may be a million.

    Args:
        texts: normalised.
        known: normalised.
        threshold: Jaccard similarity from which on two texts are near-duplicates, in (0, 1].

    Returns:
        [N]; a text that equals a known one is marked too.
    """
    alike = list(map(set(known).__contains__, texts))
    if threshold == 1 or not known:
        return alike
    rows = _band_rows(threshold)
    theirs = np.concatenate(
        [_signatures(known[start : start + CHUNK]) for start in range(0, len(known), CHUNK)]
    )
    columns = list(_band_keys(theirs, rows))
    orders = [np.argsort(keys, kind="stable") for keys in columns]
    tables = [keys[order] for keys, order in zip(columns, orders, strict=True)]
    shingles: dict[int, set[str]] = {}
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        own = _signatures(chunk)
        found: list[Array] = []
        for keys, table, order in zip(_band_keys(own, rows), tables, orders, strict=True):
            first, last = np.searchsorted(table, keys, "left"), np.searchsorted(table, keys, "right")
            for row in np.flatnonzero(last - first > CROWD).tolist():
                alike[start + row] = True  # a crowd: taken as alike unseen
            sizes = np.where(last - first > CROWD, 0, last - first)
            left = np.repeat(np.arange(len(chunk)), sizes)
            step = np.arange(len(left)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            right = order[first[left] + step]
            near = (own[left] == theirs[right]).mean(axis=1) >= threshold - SLACK
            found.append(left[near] * len(known) + right[near])
        for pair in np.unique(np.concatenate(found)).tolist():
            row, other = divmod(pair, len(known))
            if not alike[start + row]:
                if other not in shingles:
                    shingles[other] = _shingle_set(known[other])
                alike[start + row] = _jaccard(_shingle_set(chunk[row]), shingles[other]) >= threshold
    return alike


def _band_rows(threshold: float) -> int:
    """The most rows per band with which a pair at the threshold is still found with `RECALL`."""
    return max(
        (r for r in range(1, 17) if 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= RECALL), default=1
    )


def _hashes(texts: Sequence[str]) -> tuple[Array, Array]:
    """Hash every run of `SHINGLE` characters; returns all hashes and, per text, where its own begin."""
    padded = [text.ljust(SHINGLE) for text in texts]
    lengths = np.array([len(text) for text in padded])
    characters = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32).astype(
        np.uint64
    )
    windows = len(characters) - SHINGLE + 1
    hashes = characters[:windows].copy()
    for position in range(1, SHINGLE):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) ^ characters[position : position + windows]
    hashes = (hashes ^ hashes >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(32)
    inside = np.ones(windows, dtype=bool)
    ends = np.cumsum(lengths)[:-1]
    for position in range(1, SHINGLE):
        inside[ends - position] = False  # a window that reaches into the next text
    return hashes[inside], np.concatenate([[0], np.cumsum(lengths - SHINGLE + 1)]).astype(np.uint64)


def _signatures(texts: Sequence[str]) -> Array:
    """MinHash signatures, [texts, PERMUTATIONS]."""
    hashes, offsets = _hashes(texts)
    digests = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, PERMUTATIONS, 0)
    return np.array(digests.to_rows(), dtype=np.uint32)


def _shingle_set(text: str) -> set[str]:
    padded = text.ljust(SHINGLE)
    return {padded[start : start + SHINGLE] for start in range(len(padded) - SHINGLE + 1)}


def _jaccard(first: set[str], second: set[str]) -> float:
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def _band_keys(signatures: Array, rows: int) -> Iterator[Array]:
    """One number for each band of `rows` columns, [texts] each: equal where the whole band is."""
    for band in range(PERMUTATIONS // rows):
        keys = signatures[:, band * rows].astype(np.uint64)
        for column in range(band * rows + 1, (band + 1) * rows):
            keys = keys * np.uint64(0x9E3779B97F4A7C15) ^ signatures[:, column]
        yield keys


def _candidates(signatures: Array, rows: int, threshold: float) -> tuple[Array, Array, list[tuple[int, int]]]:
    """Pairs (left < right) that agree on a whole band and look alike enough; and pairs out of crowds."""
    count = len(signatures)
    found: list[Array] = []
    crowds: list[tuple[int, int]] = []
    for keys in _band_keys(signatures, rows):
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[0]]))
        sizes = np.diff(starts, append=count)
        for start, size in zip(starts[sizes > CROWD].tolist(), sizes[sizes > CROWD].tolist(), strict=True):
            crowds.extend((int(order[start]), int(order[start + step])) for step in range(1, size))
        ends = np.repeat(np.where(sizes > CROWD, 0, starts + sizes), sizes)
        active, step = np.arange(count), 1
        while len(active := active[active + step < ends[active]]):
            found.append(_alike(signatures, order[active], order[active + step], threshold))
            step += 1
    pairs = np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)
    return pairs // count, pairs % count, crowds


def _alike(signatures: Array, first: Array, second: Array, threshold: float) -> Array:
    """Those pairs whose signatures agree often enough, each packed into one number."""
    near = (signatures[first] == signatures[second]).mean(axis=1) >= threshold - SLACK
    first, second = first[near], second[near]
    return np.minimum(first, second) * len(signatures) + np.maximum(first, second)


def _root(parents: list[int], row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


def _join(parents: list[int], first: int, second: int) -> None:
    low, high = sorted((_root(parents, first), _root(parents, second)))
    parents[high] = low
