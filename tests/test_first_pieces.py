"""First pieces of words, by tokenizers of every kind, and the logits that are taken there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from encoders import FAMILIES, save_encoder
from small import CPU
from tagged import tiny_sentences
from transformers import AutoModelForTokenClassification, AutoTokenizer

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator, encode
from dkd_cli.data.examples import Split
from dkd_cli.data.first_pieces import NO_PIECE, words_in
from dkd_cli.data.tags import words_of
from dkd_cli.engine.cache.entries import Cache
from dkd_cli.engine.models.inference import predict_logits
from dkd_cli.engine.teachers.bank import Cached, FrozenTeacher, TeacherBank
from dkd_cli.errors import ModelError
from dkd_cli.recipe.words import NO_TAG, NO_WORD

NAMES = ("O", "B-GOOD", "I-GOOD", "B-BAD", "I-BAD")
FAST = [name for name, family in FAMILIES.items() if family.tokenizer().is_fast]


def tagged(count: int = 12) -> Split:
    """Some of the tiny sentences; among them one whose words have many pieces."""
    made = [*tiny_sentences()[: count - 1], (["Überstraße", "(x)", "don't", "film"], ["O"] * 4)]
    labels = [tuple(map(NAMES.index, tags)) for _, tags in made]
    texts = [" ".join(words) for words, _ in made]
    return Split("train", texts, None, labels, [f"row-{row}" for row in range(count)], by_word=True)


@pytest.mark.parametrize("family", FAST)
def test_every_word_begins_at_its_first_piece(family: str) -> None:
    tokenizer = FAMILIES[family].tokenizer()
    for text in tagged().texts:
        read = tokenizer(text, return_offsets_mapping=True)
        places = words_in(text, read["offset_mapping"])
        assert places == sorted(set(places))
        assert min(places) >= 0
        start = 0
        for word, place in zip(words_of(text), places, strict=True):
            first, last = read["offset_mapping"][place]
            assert first <= start < last <= start + len(word)
            start += len(word) + 1


def test_words_that_are_cut_off_have_no_piece_and_keep_their_tags() -> None:
    tokenizer = FAMILIES["bert"].tokenizer()
    whole, cut = (encode(tagged(), tokenizer, length) for length in (60, 6))
    batch = PaddingCollator(tokenizer)([cut[row] for row in range(len(cut))])
    assert batch["words"].shape == batch["labels"].shape
    for row in range(len(cut)):
        places = whole[row]["words"]
        kept = np.where(places < 5, places, NO_PIECE)  # the last one of six is [SEP]
        assert cut[row]["words"].tolist() == kept.tolist()
        assert batch["words"][row, : len(kept)].tolist() == kept.tolist()
        assert batch["words"][row, len(kept) :].eq(NO_PIECE).all()
        assert batch["labels"][row, len(kept) :].eq(NO_TAG).all()
    assert cut.labels.equal(whole.labels)


def test_padding_on_the_left_moves_the_pieces() -> None:
    tokenizer = FAMILIES["bert"].tokenizer()
    tokenizer.padding_side = "left"
    read = encode(tagged(), tokenizer, 60)
    batch = PaddingCollator(tokenizer)([read[0], read[3]])
    for row, one in enumerate((read[0], read[3])):
        there = batch["words"][row][batch["words"][row] >= 0]
        pieces = batch["input_ids"][row][there].tolist()
        assert pieces == one["input_ids"][one["words"]].tolist()


def test_a_tokenizer_that_knows_no_characters_is_refused() -> None:
    tokenizer = FAMILIES["bert"].tokenizer()

    class Slow(type(tokenizer)):  # type: ignore[misc]
        is_fast = False

    tokenizer.__class__ = Slow
    with pytest.raises(ModelError, match="use a model with a fast tokenizer"):
        encode(tagged(), tokenizer, 16)


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tagger of another family than the tests' usual one."""
    folder = save_encoder(tmp_path_factory.mktemp("tagger"), "roberta")
    torch.manual_seed(0)
    model = AutoModelForTokenClassification.from_pretrained(folder, num_labels=len(NAMES))
    model.save_pretrained(folder)
    return folder


def loaded(folder: Path, max_length: int, cache: Cache | None = None) -> tuple[FrozenTeacher, EncodedSplit]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForTokenClassification.from_pretrained(folder)
    read = encode(tagged(), tokenizer, max_length)
    cached = None if cache is None else Cached(cache, "tagger", {"weights": str(max_length)})
    return FrozenTeacher(model, read, PaddingCollator(tokenizer), cached=cached), read


@pytest.mark.parametrize("max_length", [60, 7])
def test_a_teachers_logits_are_those_at_the_first_pieces(
    tagger: Path, tmp_path: Path, max_length: int
) -> None:
    cache = Cache(tmp_path / "cache", 10**9, pytest.fail)
    teacher, read = loaded(tagger, max_length, cache)
    rows = torch.tensor([5, 0, 5, 11])
    bank = TeacherBank({"large": teacher}, CPU)
    found = bank.logits("large", rows)
    assert found.shape[:2] == (4, max(len(read[row]["words"]) for row in rows.tolist()))
    for row, logits in zip(rows.tolist(), found, strict=True):
        item = read[row]
        with torch.no_grad():
            own = teacher.model(input_ids=torch.tensor(item["input_ids"][None], dtype=torch.long)).logits[0]
        for word, place in enumerate(item["words"].tolist()):
            wanted = own[place] if place >= 0 else torch.full_like(own[0], NO_WORD)
            assert torch.allclose(logits[word], wanted, atol=1e-5)
        assert logits[len(item["words"]) :].eq(NO_WORD).all()
    bank.flush()
    assert bank.queries["large"] == 3
    again, _ = loaded(tagger, max_length, cache)
    other = TeacherBank({"large": again}, CPU)
    assert other.logits("large", rows).equal(found)
    assert other.queries["large"] == 0


def test_predictions_of_a_split_are_those_of_its_batches(tagger: Path) -> None:
    teacher, read = loaded(tagger, 60)
    teacher.model.eval()
    sizes = [
        predict_logits(teacher.model, read, teacher.collator, batch_size=size, precision="fp32")
        for size in (2, 12)
    ]
    assert sizes[0].shape == (12, read.most_words, len(NAMES))
    assert torch.allclose(*sizes, atol=1e-4)
    assert (sizes[0] != NO_WORD).any(dim=-1).equal(read.labels != NO_TAG)
