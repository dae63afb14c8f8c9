"""Smaller tokenizers: the same pieces where all are kept, smaller ones elsewhere, and nothing new unknown."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path

import numpy as np
import pytest
from conftest import tiny_rows
from encoders import BERT, FAMILIES
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from dkd_cli.data.vocabulary import kept_ids, smaller_tokenizer
from dkd_cli.engine.models.models import load_tokenizer
from dkd_cli.errors import ModelError

KEY = "student.vocabulary"
TEXTS = [text for text, _ in tiny_rows()]
SEEN, UNSEEN = TEXTS[:12], TEXTS[12:]
KINDS = pytest.mark.parametrize("family", ["bert", "mpnet", "roberta", "modernbert", "xlm-roberta", "albert"])


def counted(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> np.ndarray:
    ids = [token for row in tokenizer(texts)["input_ids"] for token in row]
    return np.bincount(ids, minlength=len(tokenizer))


def cut(tokenizer: PreTrainedTokenizerBase, size: int | None = None) -> PreTrainedTokenizerBase:
    return smaller_tokenizer(tokenizer, kept_ids(tokenizer, counted(tokenizer, SEEN), size, KEY), KEY)


def pieces(tokenizer: PreTrainedTokenizerBase, text: str) -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])


def made_up_words() -> list[str]:
    random_letters = random.Random(1)
    return ["".join(random_letters.choices(string.ascii_lowercase, k=size)) for size in range(1, 40)]


@KINDS
def test_texts_whose_pieces_are_all_kept_are_split_as_before(family: str) -> None:
    tokenizer = FAMILIES[family].tokenizer()
    smaller = cut(tokenizer)
    assert len(smaller) < len(tokenizer)
    assert [pieces(smaller, text) for text in SEEN] == [pieces(tokenizer, text) for text in SEEN]


@KINDS
@pytest.mark.parametrize("room", [None, 10])
def test_no_text_becomes_unknown_that_was_not(family: str, room: int | None) -> None:
    tokenizer = FAMILIES[family].tokenizer()
    least = len(kept_ids(tokenizer, np.zeros(len(tokenizer), dtype=int), None, KEY))
    smaller = cut(tokenizer, None if room is None else least + room)
    unknown = tokenizer.unk_token
    for text in [*UNSEEN, *made_up_words(), "7 café 中"]:
        assert pieces(smaller, text).count(unknown) <= pieces(tokenizer, text).count(unknown)
        assert set(pieces(smaller, text)) <= set(tokenizer.get_vocab())


@KINDS
def test_special_tokens_keep_their_parts(family: str) -> None:
    tokenizer = FAMILIES[family].tokenizer()
    smaller = cut(tokenizer)
    assert smaller.special_tokens_map == tokenizer.special_tokens_map
    assert smaller.padding_side == tokenizer.padding_side
    assert smaller.model_max_length == tokenizer.model_max_length
    pair = tokenizer(TEXTS[0], TEXTS[1])["input_ids"], smaller(TEXTS[0], TEXTS[1])["input_ids"]
    assert tokenizer.convert_ids_to_tokens(pair[0]) == smaller.convert_ids_to_tokens(pair[1])


@KINDS
def test_the_saved_folder_is_an_ordinary_one(family: str, tmp_path: Path) -> None:
    smaller = cut(FAMILIES[family].tokenizer())
    smaller.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.get_vocab() == smaller.get_vocab()
    assert again(TEXTS)["input_ids"] == smaller(TEXTS)["input_ids"]


@KINDS
def test_the_tokenizer_itself_stays(family: str) -> None:
    tokenizer = FAMILIES[family].tokenizer()
    before = tokenizer(TEXTS)["input_ids"]
    cut(tokenizer)
    assert tokenizer(TEXTS)["input_ids"] == before


def test_the_most_frequent_tokens_are_kept() -> None:
    tokenizer = FAMILIES["bert"].tokenizer()
    counts = counted(tokenizer, SEEN)
    least = len(kept_ids(tokenizer, counts * 0, None, KEY))
    kept = kept_ids(tokenizer, counts, least + 5, KEY)
    others = sorted(set(range(len(tokenizer))) - set(kept.tolist()))
    assert len(kept) == least + 5
    added = [token for token in kept.tolist() if len(tokenizer.convert_ids_to_tokens(token).strip("#")) > 1]
    words = [token for token in added if token not in tokenizer.all_special_ids]
    assert len(words) == 5
    assert min(counts[words]) >= max(counts[others])


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_room_for_all_keeps_all(family: str) -> None:
    tokenizer = FAMILIES[family].tokenizer()
    kept = kept_ids(tokenizer, counted(tokenizer, SEEN), len(tokenizer) + 100, KEY)
    assert kept.tolist() == list(range(len(tokenizer)))


@KINDS
def test_too_few_tokens_are_refused(family: str) -> None:
    tokenizer = FAMILIES[family].tokenizer()
    with pytest.raises(ModelError, match="20 tokens are fewer than the"):
        kept_ids(tokenizer, counted(tokenizer, SEEN), 20, KEY)


def test_merges_go_with_their_parts() -> None:
    tokenizer = FAMILIES["roberta"].tokenizer()
    smaller = cut(tokenizer, 300)
    vocabulary = smaller.get_vocab()
    left = smaller.backend_tokenizer.model
    for first, second in _merges(smaller):
        assert {first, second, first + second} <= vocabulary.keys()
    assert 0 < len(_merges(smaller)) < len(_merges(tokenizer))
    assert left.token_to_id("Ġ") is not None


def _merges(tokenizer: PreTrainedTokenizerBase) -> list[list[str]]:
    return json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]


def test_marks_within_and_at_the_end_of_words_are_understood() -> None:
    """BPE as in GPT (1) and CLIP: the last piece of a word is marked, here also each one after the first."""
    model = models.BPE(unk_token="[UNK]", end_of_word_suffix="</w>", continuing_subword_prefix="##")
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(BERT),
        show_progress=False,
        end_of_word_suffix="</w>",
        continuing_subword_prefix="##",
    )
    backend.train_from_iterator(TEXTS, trainer)
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), BERT, strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    smaller = cut(tokenizer)
    assert len(smaller) < len(tokenizer)
    assert [pieces(smaller, text) for text in SEEN] == [pieces(tokenizer, text) for text in SEEN]
    for text in UNSEEN:
        assert pieces(smaller, text).count("[UNK]") == pieces(tokenizer, text).count("[UNK]") == 0


def test_a_word_piece_of_a_character_that_is_no_piece_is_refused() -> None:
    backend = Tokenizer(
        models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2, "ax": 3, "[PAD]": 4}, unk_token="[UNK]")
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]")
    with pytest.raises(ModelError, match="it has the piece 'ax' but lacks 'x' as a piece by itself"):
        kept_ids(tokenizer, np.zeros(5, dtype=int), None, KEY)


def test_other_kinds_are_refused() -> None:
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    with pytest.raises(ModelError, match="kind WordLevel"):
        kept_ids(tokenizer, np.zeros(2, dtype=int), None, KEY)


@pytest.mark.slow
def test_a_real_vocabulary(pretrained: str) -> None:
    """MiniLM's has every character by itself, so that made-up words are spelt out."""
    tokenizer = load_tokenizer(pretrained, "model")
    smaller = cut(tokenizer)
    assert len(smaller) < 2200
    assert [pieces(smaller, text) for text in SEEN] == [pieces(tokenizer, text) for text in SEEN]
    assert smaller.unk_token not in pieces(smaller, " ".join(made_up_words()))
