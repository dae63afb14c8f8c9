"""Positions that student and teacher share: the same piece at the same place, and none that is not."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders import FAMILIES
from small import CPU, LABELS, encoded, save_classifier, split, task_data
from transformers import PreTrainedTokenizerBase

from dkd_cli.data.encoding import EncodedSplit, TokenRows, encode
from dkd_cli.data.vocabulary import kept_ids, smaller_tokenizer
from dkd_cli.engine.models.models import load_classifier
from dkd_cli.engine.teachers.bank import FrozenTeacher, TeacherBank
from dkd_cli.engine.teachers.matching import Common, match

KEY = "student.vocabulary"
KINDS = pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])


def tokens(tokenizer: PreTrainedTokenizerBase, max_length: int = 64) -> EncodedSplit:
    return encode(split("train", 0, 48), tokenizer, max_length)


def cut(tokenizer: PreTrainedTokenizerBase, room: int | None) -> PreTrainedTokenizerBase:
    counts = np.bincount(tokens(tokenizer).columns["input_ids"].flat, minlength=len(tokenizer))
    least = len(kept_ids(tokenizer, counts * 0, None, KEY))
    kept = kept_ids(tokenizer, counts, None if room is None else least + room, KEY)
    return smaller_tokenizer(tokenizer, kept, KEY)


@KINDS
def test_all_positions_are_common_where_all_tokens_are_kept(family: str) -> None:
    tokenizer = FAMILIES[family].tokenizer()
    smaller = cut(tokenizer, None)
    assert tokens(smaller).columns["input_ids"] != tokens(tokenizer).columns["input_ids"]
    assert match(tokens(smaller), tokens(tokenizer), smaller, tokenizer) is None
    assert match(tokens(tokenizer), tokens(tokenizer), tokenizer, tokenizer) is None


@KINDS
@pytest.mark.parametrize("max_length", [64, 12])
def test_common_positions_have_the_same_piece_of_the_same_text(family: str, max_length: int) -> None:
    tokenizer = FAMILIES[family].tokenizer()
    smaller = cut(tokenizer, 8)
    mine, theirs = tokens(smaller, max_length), tokens(tokenizer, max_length)
    common = match(mine, theirs, smaller, tokenizer)
    assert common is not None
    assert 0.1 < common.share < 1
    for row in range(len(mine)):
        own = smaller.convert_ids_to_tokens(mine[row]["input_ids"].tolist())
        other = tokenizer.convert_ids_to_tokens(theirs[row]["input_ids"].tolist())
        places = common.places[row].tolist()
        assert places[0] == 0  # the first token, which a classifier reads, is always there
        found = [place for place in places if place >= 0]
        assert found == sorted(set(found))
        for here, there in enumerate(places):
            if there >= 0:
                assert own[here] == other[there]
        # What lies between two common tokens is the same stretch of text, split in two ways.
        edges = [(here, there) for here, there in enumerate(places) if there >= 0]
        # Not so where a text was truncated, which more pieces make earlier.
        for (a, b), (c, d) in pairwise(edges[:-1] if mine.cut[row] else edges):
            assert bare(own[a + 1 : c]) == bare(other[b + 1 : d])


def bare(pieces: list[str]) -> str:
    return "".join(piece.removeprefix("##") for piece in pieces)


def test_a_batch_is_padded_with_positions_that_are_not_there() -> None:
    tokenizer = FAMILIES["bert"].tokenizer()
    smaller = cut(tokenizer, 8)
    common = match(tokens(smaller), tokens(tokenizer), smaller, tokenizer)
    assert common is not None
    rows = np.array([3, 0])
    batch = common.batch(rows)
    assert batch.dtype == torch.long
    assert batch.shape == (2, max(len(common.places[3]), len(common.places[0])))
    assert batch[1, : len(common.places[0])].tolist() == common.places[0].tolist()
    assert bool((batch[1, len(common.places[0]) :] == -1).all())


def test_special_tokens_are_matched_by_their_use() -> None:
    """MPNet has BERT's pieces, but begins and ends a text otherwise."""
    one, other = FAMILIES["bert"].tokenizer(), FAMILIES["mpnet"].tokenizer()
    assert one.cls_token != other.cls_token
    assert match(tokens(one), tokens(other), one, other) is None


def test_other_tokenizers_are_refused() -> None:
    one, other = FAMILIES["bert"].tokenizer(), FAMILIES["roberta"].tokenizer()
    with pytest.raises(ValueError, match="not the teacher's with fewer pieces"):
        match(tokens(one), tokens(other), one, other)
    smaller = cut(one, 8)
    with pytest.raises(ValueError, match="not the teacher's with fewer pieces"):
        match(tokens(one), tokens(smaller), one, smaller)


def test_hidden_states_lie_at_the_students_positions(tiny_encoder: Path, tmp_path: Path) -> None:
    """Where its token is another one than the teacher's there are none."""
    folder, data = save_classifier(tmp_path, tiny_encoder, LABELS), task_data()
    texts = encoded(folder, data.splits["train"])

    def teacher() -> FrozenTeacher:
        return FrozenTeacher(load_classifier(str(folder), data).model, *texts, (0, 2, 4))

    whole = teacher()
    rows = torch.tensor([4, 1])
    states = TeacherBank({"large": whole}, CPU).hidden_states("large", rows)
    assert TeacherBank({"large": whole}, CPU).common("large", rows) is None
    places = [np.arange(length, dtype=np.int32) for length in whole.encoded.lengths]
    places[1] = np.array([0, -1, -1, 2, 1], dtype=np.int32)
    one = teacher()
    one.common = Common(TokenRows.join(places))
    bank = TeacherBank({"large": one}, CPU)
    found, common = bank.hidden_states("large", rows), bank.common("large", rows)
    assert common is not None
    assert common[1, :5].tolist() == [True, False, False, True, True]
    assert common.shape == found[0].shape[:2]
    assert not common[1, 5:].any()
    for ours, theirs in zip(found, states, strict=True):
        length = whole.encoded.lengths[4]
        assert torch.equal(ours[0, :length], theirs[0, :length])
        assert torch.equal(ours[1, [0, 3, 4]], theirs[1, [0, 2, 1]])
        assert not ours[1, [1, 2]].any()
