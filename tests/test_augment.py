"""Copies of texts with words replaced: which words, by what, and always the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkd_cli.data.augment import augmented_split, copies_of, word_spans
from dkd_cli.data.examples import Split
from dkd_cli.recipe.schema import Augment

TEXT = "The good film, see https://good.film and @good #film, isn't BAD 4 a laugh"
WORDS = ["The", "good", "film", "see", "and", "isn't", "BAD", "laugh"]
CANDIDATES = [[f"{word.lower()}x", f"{word.lower()}y"] for word in WORDS]


def test_words_are_letters_outside_links_mentions_and_tags() -> None:
    assert [TEXT[begin:end] for begin, end in word_spans(TEXT)] == WORDS


def test_copies_differ_in_words_alone_and_keep_capitals() -> None:
    for copy in copies_of(TEXT, CANDIDATES, Augment(), 50, seed=0):
        assert copy != TEXT
        skeleton = copy
        for word in WORDS:
            for mark in "xy":
                for written in (f"{word.lower()}{mark}", f"{word.lower()}{mark}".capitalize()):
                    skeleton = skeleton.replace(written, word)
                skeleton = skeleton.replace(f"{word.lower()}{mark}".upper(), word)
        assert skeleton == TEXT


@pytest.mark.parametrize("replace", [0.2, 0.4, 1.0])
def test_so_many_words_are_replaced(replace: float) -> None:
    copies = copies_of(TEXT, CANDIDATES, Augment(replace=replace), 400, seed=0)
    changed = sum(a != b for copy in copies for a, b in zip(copy.split(), TEXT.split(), strict=True)) / (
        400 * len(WORDS)
    )
    assert abs(changed - replace) < 0.05


def test_a_copy_follows_from_text_and_seed() -> None:
    first = copies_of(TEXT, CANDIDATES, Augment(), 5, seed=0)
    assert copies_of(TEXT, CANDIDATES, Augment(), 5, seed=0) == first
    assert copies_of(TEXT, CANDIDATES, Augment(), 3, seed=0) == first[:3]
    assert copies_of(TEXT, CANDIDATES, Augment(), 5, seed=1) != first


@given(st.text(max_size=60))
def test_a_text_without_candidates_has_no_copies(text: str) -> None:
    assert copies_of(text, [()] * len(word_spans(text)), Augment(), 3, seed=0) == []
    words = [["word"]] * len(word_spans(text))
    assert len(copies_of(text, words, Augment(), 3, seed=0)) == (3 if words else 0)


def test_of_a_pair_one_text_changes_at_a_time() -> None:
    split = Split("train", ["one film"], ["two laughs"], [0], ["id"])
    candidates = {"one film": [["a"], ["b"]], "two laughs": [["c"], ["d"]]}
    texts, pairs = augmented_split(split, candidates, Augment(copies=5), seed=0)
    assert pairs is not None
    assert [(a != "one film", b != "two laughs") for a, b in zip(texts, pairs, strict=True)] == (
        [(True, False)] * 3 + [(False, True)] * 2
    )
