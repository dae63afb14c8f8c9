"""From texts to padded batches of token ids.

Knows nothing about models, nor about what the labels mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerBase

from dkd_cli.data.examples import Split
from dkd_cli.errors import ModelError

WINDOW = 50  # batches sorted together: enough to make their lengths alike, few enough to keep them random

Item = dict[str, Any]


class EncodedSplit(Dataset[Item]):
    """A split, tokenised once and not padded.

    Item i holds `input_ids`, `token_type_ids` where the tokenizer makes them, `labels` where they are
    known, and `row`, which is i.
    """

    def __init__(self, split: Split, columns: dict[str, Sequence[Any]], truncated: int) -> None:
        self.split = split
        self.columns = columns
        self.lengths: list[int] = [len(ids) for ids in columns["input_ids"]]
        """Tokens per example, special ones included."""
        self.truncated = truncated
        """How many examples lost tokens."""

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: int) -> Item:
        return {name: column[row] for name, column in self.columns.items()} | {"row": row}


def encode(split: Split, tokenizer: PreTrainedTokenizerBase, max_length: int) -> EncodedSplit:
    """Tokenise a split, cutting each text (the longer one of a pair first) to `max_length` tokens."""
    texts = list(split.texts)
    pairs = None if split.text_pairs is None else list(split.text_pairs)
    if not texts:
        return EncodedSplit(split, {"input_ids": []}, 0)
    encoded = tokenizer(
        texts, pairs, truncation=True, max_length=max_length, padding=False, return_attention_mask=False
    )
    columns: dict[str, Sequence[Any]] = {
        name: encoded[name] for name in ("input_ids", "token_type_ids") if name in encoded
    }
    if split.labels is not None:
        columns["labels"] = split.labels
    full = [row for row, ids in enumerate(columns["input_ids"]) if len(ids) == max_length]
    return EncodedSplit(split, columns, _truncated(texts, pairs, full, tokenizer, max_length))


def _truncated(
    texts: list[str],
    pairs: list[str] | None,
    full: list[int],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> int:
    """Count those of the rows `full` that are longer than `max_length` when nothing cuts them."""
    if not full:
        return 0
    whole = tokenizer(
        [texts[row] for row in full],
        None if pairs is None else [pairs[row] for row in full],
        truncation=False,
        padding=False,
        return_attention_mask=False,
        verbose=False,
    )
    return sum(len(ids) > max_length for ids in whole["input_ids"])


class PaddingCollator:
    """Turns items of an `EncodedSplit` into a batch as long as its longest item.

    `input_ids`, `attention_mask` and `token_type_ids` are [B, L]; `labels` [B] is long for class ids and
    float32 for target values; `row` [B] is long.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if tokenizer.pad_token_id is None:
            raise ModelError(
                tokenizer.name_or_path or "tokenizer",
                "the tokenizer has no padding token",
                "use an encoder whose tokenizer has one",
            )
        self.side: str = tokenizer.padding_side
        self.padding: dict[str, int] = {
            "input_ids": int(tokenizer.pad_token_id),
            "token_type_ids": int(tokenizer.pad_token_type_id),
        }

    def __call__(self, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        batch = {
            name: self._pad([torch.tensor(item[name]) for item in items], padding)
            for name, padding in self.padding.items()
            if name in items[0]
        }
        batch["attention_mask"] = self._pad(
            [torch.ones(len(item["input_ids"]), dtype=torch.long) for item in items], 0
        )
        if "labels" in items[0]:
            labels = [item["labels"] for item in items]
            dtype = torch.float32 if isinstance(labels[0], float) else torch.long
            batch["labels"] = torch.tensor(labels, dtype=dtype)
        batch["row"] = torch.tensor([item["row"] for item in items])
        return batch

    def _pad(self, sequences: list[torch.Tensor], value: int) -> torch.Tensor:
        return pad_sequence(sequences, batch_first=True, padding_value=value, padding_side=self.side)


def length_grouped_order(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[int]:
    """Order rows so that consecutive batches hold texts of similar length, yet come in random order.

    Every row appears exactly once; the order depends on the arguments alone. A batch that is not full is
    the last one, so that the others keep their bounds.
    """
    random = np.random.default_rng([seed, epoch])
    rows = random.permutation(len(lengths))
    by_row = np.asarray(lengths, dtype=np.int64)
    window = WINDOW * batch_size
    batches: list[np.ndarray[Any, np.dtype[np.int64]]] = []
    for start in range(0, len(rows), window):
        inside = rows[start : start + window]
        inside = inside[np.argsort(by_row[inside], kind="stable")]
        batches.extend(inside[first : first + batch_size] for first in range(0, len(inside), batch_size))
    partial = [batches.pop()] if batches and len(batches[-1]) < batch_size else []
    shuffled = [batches[position] for position in random.permutation(len(batches))]
    return [int(row) for batch in shuffled + partial for row in batch]


class LengthGroupedSampler(Sampler[int]):
    """`length_grouped_order` as a sampler; `set_epoch` picks the epoch, the first one being 0."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration follows."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(length_grouped_order(self.lengths, self.batch_size, self.seed, self.epoch))
