"""Words and entities of texts as they come, with their places."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkd_cli.data.spans import found_entities, spaced, word_spans
from dkd_cli.data.tags import words_of
from dkd_cli.recipe.words import NO_WORD

TAGS = ("O", "B-PER", "I-PER")


@given(st.text())
def test_words_are_all_of_the_text_but_its_white_space(text: str) -> None:
    spans = word_spans(text)
    assert "".join(text[start:end] for start, end in spans) == "".join(text.split())
    assert all(start < end for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert len(words_of(spaced(text))) == len(spans)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Jose\u0301, (Rene\u0301)", ["Jose\u0301", ",", "(", "Rene\u0301", ")"]),
        ("दिल्ली में।", ["दिल्ली", "में", "।"]),
        ("\u200fשלום. \u200f(א)", ["\u200fשלום", ".", "\u200f(", "א", ")"]),
        ("Ada👩\u200d💻👍🏽!", ["Ada", "👩\u200d💻", "👍🏽", "!"]),
        ("🇳🇴🇬🇧 1\ufe0f\u20e3", ["🇳🇴", "🇬🇧", "1\ufe0f\u20e3"]),
        ("\u0301 \u200b", ["\u0301", "\u200b"]),
    ],
)
def test_combining_characters_stay_with_what_they_change(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in word_spans(text)] == words


def test_entities_are_found_where_they_are() -> None:
    text = "Then  Ada Lovelace, (Grace) left."
    tags = [0, 1, 2, 0, 0, 1, 0, 0, 0]
    logits = np.full((11, 3), NO_WORD)
    logits[: len(tags)] = 0.0
    logits[range(len(tags)), tags] = 2.0
    found, uncertainty = found_entities(logits, 1.0, TAGS, text)
    assert [(one.text, one.label) for one in found] == [("Ada Lovelace", "PER"), ("Grace", "PER")]
    sure = np.exp(2) / (np.exp(2) + 2)
    assert [one.score for one in found] == pytest.approx([sure, sure])
    p = np.array([sure, (1 - sure) / 2, (1 - sure) / 2])
    assert uncertainty == pytest.approx(-(p * np.log(p)).sum() / np.log(3))
    sharper, _ = found_entities(logits, 0.5, TAGS, text)
    assert sharper[0].score > found[0].score


def test_words_that_were_cut_off_end_an_entity() -> None:
    logits = np.full((3, 3), NO_WORD)
    logits[0] = (0.0, 3.0, 0.0)
    found, _ = found_entities(logits, 1.0, TAGS, "Ada King Lovelace")
    assert [one.text for one in found] == ["Ada"]


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_a_text_without_words_has_no_entities(text: str) -> None:
    assert found_entities(np.full((1, 3), NO_WORD), 1.0, TAGS, text) == ([], 0.0)
