"""Tokens on disk: the same as made anew, whatever is there already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from damage import flip
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from dkd_cli.data.encoding import EncodedSplit, encode
from dkd_cli.data.examples import Split
from dkd_cli.engine.cache import tokens
from dkd_cli.engine.cache.entries import Cache
from dkd_cli.engine.cache.tokens import encode_once, text_keys, tokenizer_digest

TEXTS = ["a story", "a story about the film and its actors with music", "music", "the film", "a story"]
PAIRS = ["the plot", "a camera", "music", "about it", "the plot"]


@pytest.fixture
def tokenizer(tiny_encoder: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_encoder)
    return loaded


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10**9, pytest.fail)


def split(texts: Sequence[str] = TEXTS, pairs: Sequence[str] | None = None) -> Split:
    return Split("train", texts, pairs, list(range(len(texts))), [f"{i:016x}" for i in range(len(texts))])


def assert_same(found: EncodedSplit, expected: EncodedSplit) -> None:
    assert found.columns == expected.columns
    assert found.cut.tolist() == expected.cut.tolist()
    assert found.lengths.tolist() == expected.lengths.tolist()
    assert [found.columns[name].flat.dtype for name in ("input_ids", "token_type_ids")] == [
        expected.columns[name].flat.dtype for name in ("input_ids", "token_type_ids")
    ]


@pytest.mark.parametrize("pairs", [None, PAIRS])
@pytest.mark.parametrize("known", [[], [1, 3], [4, 3, 2, 1, 0]], ids=["nothing", "some", "all"])
def test_as_if_made_anew(
    tokenizer: PreTrainedTokenizerBase, cache: Cache, pairs: list[str] | None, known: list[int]
) -> None:
    whole = split(pairs=pairs)
    part = split([TEXTS[i] for i in known], None if pairs is None else [pairs[i] for i in known])
    encode_once(part, tokenizer, 8, cache)
    expected = encode(whole, tokenizer, 8)
    assert 0 < expected.truncated < len(TEXTS)
    assert_same(encode_once(whole, tokenizer, 8, cache), expected)


def test_what_is_there_is_not_made_again(
    tokenizer: PreTrainedTokenizerBase, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encode_once(split(), tokenizer, 8, cache)
    monkeypatch.setattr(tokens, "encode", lambda *arguments: pytest.fail("tokenised again"))
    backwards = split(TEXTS[::-1])
    found = encode_once(backwards, tokenizer, 8, cache)
    assert [row.tolist() for row in found.columns["input_ids"]] == [
        row.tolist() for row in first.columns["input_ids"][::-1]
    ]
    [entry] = cache.entries()
    assert (entry.rows, entry.hits) == (4, 4), "one text stands there twice"


def test_what_decides_the_tokens_is_told_apart(tokenizer: PreTrainedTokenizerBase, cache: Cache) -> None:
    encode_once(split(), tokenizer, 8, cache)
    assert encode_once(split(), tokenizer, 16, cache).truncated == 0, "another length"
    plain = tokenizer_digest(tokenizer)
    tokenizer(["a story"], truncation=True, max_length=4, padding=True)
    assert tokenizer_digest(tokenizer) == plain, "what it did last decides nothing"
    tokenizer.truncation_side = "left"
    assert tokenizer_digest(tokenizer) != plain
    tokenizer.truncation_side = "right"
    tokenizer.add_tokens(["storyline"])
    assert tokenizer_digest(tokenizer) != plain
    keys = text_keys(split(["ab", "a", "b"], ["c", "bc", "c"]))
    assert len(np.unique(keys)) == 3, "a pair is not its texts put together"


def test_without_a_cache_or_a_place_to_write(
    tokenizer: PreTrainedTokenizerBase, cache: Cache, tmp_path: Path
) -> None:
    expected = encode(split(), tokenizer, 8)
    assert_same(encode_once(split(), tokenizer, 8, None), expected)
    (tmp_path / "file").write_text("")
    told: list[str] = []
    broken = Cache(tmp_path / "file" / "below", 10**9, told.append)
    assert_same(encode_once(split(), tokenizer, 8, broken), expected)
    assert len(told) == 1
    tight = Cache(tmp_path / "tight", 1, told.append)
    assert_same(encode_once(split(), tokenizer, 8, tight), expected)
    assert len(told) == 2


def test_damaged_tokens_are_made_again(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    encode_once(split(), tokenizer, 8, Cache(tmp_path / "cache", 10**9, pytest.fail))
    [shard] = (tmp_path / "cache").rglob("*.shard")
    flip(shard, -6)
    told: list[str] = []
    found = encode_once(split(), tokenizer, 8, Cache(tmp_path / "cache", 10**9, told.append))
    assert_same(found, encode(split(), tokenizer, 8))
    assert len(told) == 1
    assert "checksum" in told[0]
