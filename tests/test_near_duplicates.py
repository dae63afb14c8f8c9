"""Near-duplicates are found whatever stands around them, and unlike texts are left apart."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dkd_cli.data.near_duplicates import group_near_duplicates, near_known, normalise

WORDS = [f"{a}{b}{c}" for a in "bdfglmnprst" for b in "aeiou" for c in ("nk", "rd", "st", "mp")]


def sentences(count: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.sample(WORDS, 14)) for _ in range(count)]


def similarity(first: str, second: str) -> float:
    def shingles(text: str) -> set[str]:
        return {text.ljust(5)[i : i + 5] for i in range(max(1, len(text) - 4))}

    return len(shingles(first) & shingles(second)) / len(shingles(first) | shingles(second))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("RT @someone: So TRUE!!! https://t.co/abc", "so true"),
        ("so   true www.example.org/x?y=1", "so true"),
        ("the art of RTL", "the art of rtl"),
        ("Straße_1", "strasse 1"),
        ("@you https://t.co/abc", "@you https://t.co/abc"),
        ("😀 😀", "😀 😀"),
        ("", ""),
    ],
)
def test_normalise(text: str, plain: str) -> None:
    assert normalise(text) == plain


def test_edited_copies_join_and_others_do_not() -> None:
    originals = sentences(200)
    copies = [" ".join(text.split()[:-1]) for text in originals]
    texts = sorted({*originals, *copies})
    groups = dict(zip(texts, group_near_duplicates(texts, 0.7), strict=True))
    assert all(groups[a] == groups[b] for a, b in zip(originals, copies, strict=True))
    assert len(set(groups.values())) == 200
    assert all(texts[group] <= text for text, group in groups.items()), "named by its smallest text"


def test_chains_are_one_group() -> None:
    words = sentences(1)[0].split() + sentences(1, seed=1)[0].split()
    chain = sorted(" ".join(words[start : start + 14]) for start in range(8))
    assert len(set(group_near_duplicates(chain, 0.7))) == 1
    assert min(similarity(a, b) for a in chain for b in chain) < 0.7


def test_threshold_one_groups_nothing() -> None:
    texts = sorted(["a b c d e f g h i j k", "a b c d e f g h i j k l"])
    assert group_near_duplicates(texts, 1.0) == [0, 1]


@pytest.mark.parametrize("texts", [[], ["a"], ["", "a", "ab"], ["\ud800", "😀"]])
def test_short_texts(texts: list[str]) -> None:
    assert group_near_duplicates(sorted(texts), 0.7) == list(range(len(texts)))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), threshold=st.sampled_from([0.3, 0.5, 0.7, 0.9]))
def test_agrees_with_comparing_every_pair(seed: int, threshold: float) -> None:
    chance = random.Random(seed)
    texts = sentences(8, seed)
    for text in list(texts):
        words = text.split()
        texts += [" ".join(words[: -chance.randint(1, 6)]), " ".join(words[chance.randint(1, 6) :])]
    texts = sorted(set(texts))
    groups = group_near_duplicates(texts, threshold)
    for i, first in enumerate(texts):
        for j in range(i):
            value = similarity(first, texts[j])
            if value >= threshold + 0.02:  # the exact bound may be missed once in a thousand pairs
                assert groups[i] == groups[j]


def test_known_texts_are_recognised_as_grouping_would() -> None:
    known = [normalise(text) for text in sentences(300)]
    edited = [" ".join(text.split()[:-1]) for text in known[:100]]
    strange = [normalise(text) for text in sentences(300, seed=5)]
    assert (
        near_known([*edited, *strange, *known[:5]], known, 0.7) == [True] * 100 + [False] * 300 + [True] * 5
    )
    assert near_known([*edited, known[0]], known, 1.0) == [False] * 100 + [True]
    assert near_known(strange, [], 0.7) == [False] * 300


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.text("ab c", min_size=0, max_size=12), max_size=12), st.lists(st.text("ab c", max_size=12))
)
def test_known_texts_are_those_that_are_alike_enough(texts: list[str], known: list[str]) -> None:
    expected = [any(similarity(text, other) >= 0.7 for other in known) for text in texts]
    assert near_known(texts, known, 0.7) == expected
