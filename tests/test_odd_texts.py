"""Odd texts: what they hold, for single texts and for pairs."""

from __future__ import annotations

from dkd_cli.data.examples import Split
from dkd_cli.data.odd_texts import odd_texts

USUAL = Split("validation", ["my bag is lost", "it is late"], None, [0, 1], ["a", "b"])


def test_empty_long_and_special_texts_are_among_them() -> None:
    found = odd_texts(USUAL, ["[CLS]", "[SEP]"], 128)
    assert "" in found.texts
    assert max(len(text.split()) for text in found.texts) > 128
    assert {"[SEP]", "remove the [CLS] from my name"} <= set(found.texts)
    assert (found.labels, found.text_pairs) == (None, None)
    assert len(set(found.texts)) == len(set(found.example_ids)) == len(found)


def test_pairs_join_every_text_with_another() -> None:
    pairs = Split("validation", USUAL.texts, ["a", "b"], [0, 1], ["a", "b"])
    found = odd_texts(pairs, ["[SEP]"], 16)
    assert found.text_pairs is not None
    assert sorted(found.text_pairs) == sorted(found.texts)
    assert all(one != other for one, other in zip(found.texts, found.text_pairs, strict=True))


def test_texts_without_words_have_odd_ones_too() -> None:
    empty = Split("validation", [""], None, [0], ["a"])
    assert max(len(text.split()) for text in odd_texts(empty, [], 64).texts) > 64
