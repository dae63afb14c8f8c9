"""Tokenising once, padding per batch, and batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from dkd_cli.data import encoding
from dkd_cli.data.encoding import (
    WINDOW,
    EncodedSplit,
    LengthGroupedBatches,
    PaddingCollator,
    TokenRows,
    encode,
    length_grouped_order,
)
from dkd_cli.data.examples import Split
from dkd_cli.errors import ModelError

TEXTS = ["a story", "a story about the film and its actors with music", "music", "the film"]


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_encoder)
    return loaded


def split(
    texts: Sequence[str] = TEXTS,
    pairs: Sequence[str] | None = None,
    labels: Sequence[Any] | None = (0, 1, 1, 0),
) -> Split:
    return Split("train", texts, pairs, labels, [f"{i:016x}" for i in range(len(texts))])


def test_items(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = encode(split(), tokenizer, 16)
    assert {name: np.asarray(value).tolist() for name, value in encoded[1].items()} == {
        "input_ids": tokenizer(TEXTS[1])["input_ids"],
        "token_type_ids": [0] * encoded.lengths[1],
        "labels": 1,
        "row": 1,
    }
    assert encoded.lengths.tolist() == [len(tokenizer(text)["input_ids"]) for text in TEXTS]
    assert len(encoded) == 4
    assert encoded.truncated == 0


def test_pairs_have_segments(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = encode(split(pairs=TEXTS[::-1]), tokenizer, 32)
    assert set(encoded[0]["token_type_ids"]) == {0, 1}
    assert encoded[0]["input_ids"].tolist() == tokenizer(TEXTS[0], TEXTS[3])["input_ids"]


def test_truncated_texts_are_counted(tokenizer: PreTrainedTokenizerBase) -> None:
    longest = len(tokenizer(TEXTS[1])["input_ids"])
    assert encode(split(), tokenizer, longest).truncated == 0, "a text that just fits loses nothing"
    shorter = encode(split(), tokenizer, longest - 1)
    assert shorter.truncated == 1
    assert max(shorter.lengths) == longest - 1


def test_hidden_labels_and_empty_splits(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = encode(split(labels=None), tokenizer, 16)
    assert "labels" not in encoded[0]
    assert "labels" not in PaddingCollator(tokenizer)([encoded[0]])
    assert len(encode(split([], None, []), tokenizer, 16)) == 0


def test_batches(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = encode(split(), tokenizer, 16)
    batch = PaddingCollator(tokenizer)([encoded[2], encoded[0]])
    length = max(encoded.lengths[2], encoded.lengths[0])
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == {
        "input_ids": (2, length),
        "token_type_ids": (2, length),
        "attention_mask": (2, length),
        "labels": (2,),
        "row": (2,),
    }
    assert all(tensor.dtype == torch.long for tensor in batch.values())
    assert batch["row"].tolist() == [2, 0]
    assert batch["attention_mask"].sum(1).tolist() == [encoded.lengths[2], encoded.lengths[0]]
    assert (batch["input_ids"][batch["attention_mask"] == 0] == tokenizer.pad_token_id).all()


def test_same_batch_as_the_tokenizer_pads(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = encode(split(pairs=TEXTS[::-1]), tokenizer, 16)
    batch = PaddingCollator(tokenizer)([encoded[row] for row in range(4)])
    expected = tokenizer(
        TEXTS, TEXTS[::-1], truncation=True, max_length=16, padding=True, return_tensors="pt"
    )
    assert all(torch.equal(batch[name], expected[name]) for name in expected)


RAGGED = st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=5), max_size=6)


@given(rows=RAGGED, other=RAGGED)
def test_rows_end_to_end_are_the_rows(rows: list[list[int]], other: list[list[int]]) -> None:
    joined = TokenRows.join(rows)
    assert len(joined) == len(rows)
    assert joined.lengths.tolist() == [len(row) for row in rows]
    assert [row.tolist() for row in joined] == rows
    assert [row.tolist() for row in joined[1:4:2]] == rows[1:4:2]
    if rows:
        assert joined[-1].tolist() == rows[-1]
    with pytest.raises(IndexError):
        joined[len(rows)]
    assert (joined == TokenRows.join(other)) == (rows == other)
    assert TokenRows.chain([joined, TokenRows.join(other)]) == TokenRows.join(rows + other)


def test_rows_take_four_bytes_a_token() -> None:
    assert TokenRows.join([range(100)] * 50).flat.nbytes == 4 * 100 * 50
    with pytest.raises(OverflowError):
        TokenRows.join([[2**31]])


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_texts_are_tokenised_in_chunks(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    whole = encode(split(pairs=TEXTS[::-1]), tokenizer, 9)
    monkeypatch.setattr(encoding, "CHUNK", chunk)
    parted = encode(split(pairs=TEXTS[::-1]), tokenizer, 9)
    assert parted.columns == whole.columns
    assert parted.truncated == whole.truncated > 0


def test_the_longest_come_first(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = encode(split(), tokenizer, 16)
    assert encoded.by_length().tolist() == sorted(range(4), key=lambda row: -encoded.lengths[row])


def test_the_highest_token(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = encode(split(pairs=TEXTS), tokenizer, 64)
    assert encoded.highest("input_ids") == max(max(ids) for ids in tokenizer(TEXTS, TEXTS)["input_ids"])
    assert encoded.highest("token_type_ids") == 1
    assert encode(split([], None, []), tokenizer, 16).highest("token_type_ids") == -1


@pytest.mark.parametrize("side", ["left", "right"])
@given(rows=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=9), min_size=1, max_size=6))
def test_padding_is_on_its_side(tokenizer: PreTrainedTokenizerBase, side: str, rows: list[list[int]]) -> None:
    collator = PaddingCollator(tokenizer)
    collator.side = side
    batch = collator([{"input_ids": np.array(ids), "row": row} for row, ids in enumerate(rows)])

    def padded(sequences: list[torch.Tensor], value: int) -> torch.Tensor:
        return pad_sequence(sequences, batch_first=True, padding_value=value, padding_side=side)

    assert set(batch) == {"input_ids", "attention_mask", "row"}
    ids = [torch.tensor(ids) for ids in rows]
    assert batch["input_ids"].equal(padded(ids, collator.padding["input_ids"]))
    assert batch["attention_mask"].equal(padded([torch.ones_like(one) for one in ids], 0))


def test_target_values_are_floats(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = encode(split(labels=[0.5, 1.0, 2.0, 3.0]), tokenizer, 16)
    labels = PaddingCollator(tokenizer)([encoded[0], encoded[1]])["labels"]
    assert labels.dtype == torch.float32
    assert labels.tolist() == [0.5, 1.0]


def test_tokenizer_without_padding_is_refused(tiny_encoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    tokenizer.pad_token = None
    with pytest.raises(ModelError, match="no padding token"):
        PaddingCollator(tokenizer)


LENGTHS = [(17 * i * i) % 61 + 3 for i in range(2 * WINDOW * 4 + 7)]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 200, 201, len(LENGTHS)])
def test_every_row_once(count: int) -> None:
    assert sorted(length_grouped_order(LENGTHS[:count], 4, 0, 0)) == list(range(count))


def test_order_depends_on_seed_and_epoch_alone() -> None:
    orders = {
        (seed, epoch): length_grouped_order(LENGTHS, 4, seed, epoch) for seed in (0, 1) for epoch in (0, 1)
    }
    assert len({tuple(order) for order in orders.values()}) == 4
    assert orders[1, 1] == length_grouped_order(LENGTHS, 4, 1, 1)


def padding(order: Sequence[int], batch_size: int) -> int:
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return sum(max(LENGTHS[row] for row in batch) * len(batch) for batch in batches) - sum(LENGTHS)


def test_batches_hold_texts_of_similar_length() -> None:
    grouped = padding(length_grouped_order(LENGTHS, 4, 0, 0), 4)
    assert grouped < 0.15 * padding(range(len(LENGTHS)), 4)


def test_lengths_come_in_random_order() -> None:
    order = length_grouped_order(LENGTHS, 4, 0, 0)
    firsts = [LENGTHS[row] for row in order[:200:4]]
    assert firsts != sorted(firsts)
    assert firsts != sorted(firsts, reverse=True)


def test_batches_follow_the_epoch() -> None:
    batches = LengthGroupedBatches(LENGTHS, 4, 3)
    assert len(batches) == len(list(batches)) == (len(LENGTHS) + 3) // 4
    assert [row for batch in batches for row in batch] == length_grouped_order(LENGTHS, 4, 3, 0)
    batches.set_epoch(2)
    assert [row for batch in batches for row in batch] == length_grouped_order(LENGTHS, 4, 3, 2)


def test_the_parts_of_a_batch_are_the_batch() -> None:
    """Whatever its size, and with a stand-in for a process that has no row of the last one."""
    whole = list(LengthGroupedBatches(LENGTHS[:13], 6, 3))
    halves = [
        list(
            LengthGroupedBatches(
                LENGTHS[:13], 6, 3, lambda size, rank=rank: slice(rank * size // 2, (rank + 1) * size // 2)
            )
        )
        for rank in range(2)
    ]
    assert [len(batch) for batch in whole] == [6, 6, 1]
    assert halves[0][-1] == [-1]
    joined = [[row for row in first + second if row >= 0] for first, second in zip(*halves, strict=True)]
    assert joined == whole


def test_works_in_a_data_loader(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded: EncodedSplit = encode(split(), tokenizer, 16)
    batches = LengthGroupedBatches(encoded.lengths, 2, 0)
    loader = DataLoader(encoded, batch_sampler=batches, collate_fn=PaddingCollator(tokenizer))
    assert sorted(row for batch in loader for row in batch["row"].tolist()) == [0, 1, 2, 3]


def test_a_longer_epoch_goes_on_from_pass_to_pass() -> None:
    lengths = [3 + (7 * row) % 11 for row in range(20)]
    batches = LengthGroupedBatches(lengths, 4, seed=3, rows_per_epoch=50)
    seen: list[int] = []
    for epoch in range(4):
        batches.set_epoch(epoch)
        found = list(batches)
        assert len(found) == len(batches) == 13
        assert [len(batch) for batch in found] == [4] * 12 + [2]
        seen += [row for batch in found for row in batch]
    passes = [length_grouped_order(lengths, 4, 3, one) for one in range(10)]
    assert seen == [row for one in passes for row in one]
