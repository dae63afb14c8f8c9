"""From texts to padded batches of token ids.

Knows nothing about models, nor about what the labels mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, TypeAlias, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerBase

from dkd_cli.data.examples import Split
from dkd_cli.data.first_pieces import NO_PIECE, words_in
from dkd_cli.data.output_math import tag_array
from dkd_cli.errors import ModelError
from dkd_cli.recipe.words import NO_TAG

WINDOW = 50  # batches sorted together: enough to make their lengths alike, few enough to keep them random
CHUNK = 10_000  # texts tokenised at once: a tokenizer's own output takes ten times the room of what is kept

Item = dict[str, Any]
Tokens: TypeAlias = NDArray[np.signedinteger[Any]]

WIDTHS: Mapping[str, type[np.signedinteger[Any]]] = {"input_ids": np.int32, "token_type_ids": np.int8}
"""The columns that a tokenizer makes, and how wide a number of each is kept."""


class TokenRows(Sequence[Tokens]):
    """Rows of different lengths, end to end in one array: a list of ints would take ten times the room.

    Row i is a view of the array. Equal to others that hold the same numbers in the same rows.
    """

    def __init__(self, flat: Tokens, lengths: NDArray[np.int64]) -> None:
        self.flat = flat
        self.lengths = lengths
        """Of each row."""
        self._bounds = np.concatenate([[0], np.cumsum(lengths)])
        self._rows = range(len(lengths))

    @classmethod
    def join(cls, rows: Iterable[Sequence[int]], width: type[np.signedinteger[Any]] = np.int32) -> TokenRows:
        """Put rows of ints end to end."""
        listed = list(rows)
        lengths = np.fromiter(map(len, listed), dtype=np.int64, count=len(listed))
        flat = np.fromiter(chain.from_iterable(listed), dtype=width, count=int(lengths.sum()))
        return cls(flat, lengths)

    @classmethod
    def chain(cls, parts: Sequence[TokenRows]) -> TokenRows:
        """The rows of several in turn; at least one of them."""
        return cls(
            np.concatenate([part.flat for part in parts]), np.concatenate([part.lengths for part in parts])
        )

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, row: int) -> Tokens: ...
    @overload
    def __getitem__(self, row: slice) -> list[Tokens]: ...
    def __getitem__(self, row: int | slice) -> Tokens | list[Tokens]:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        row = self._rows[row]
        # `item` gives ints, with which slicing is twice as fast as with NumPy's own.
        return self.flat[self._bounds.item(row) : self._bounds.item(row + 1)]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TokenRows):
            return NotImplemented
        return np.array_equal(self.lengths, other.lengths) and np.array_equal(self.flat, other.flat)


class EncodedSplit(Dataset[Item]):
    """A split, tokenised once and not padded.

    Item i holds `input_ids`, `token_type_ids` where the tokenizer makes them, `labels` where they are
    known, `labelled` where only some rows have one, `words` where each has a label, and `row`, which is i.
    """

    def __init__(self, split: Split, columns: dict[str, Sequence[Any]], cut: NDArray[np.bool_]) -> None:
        tokens = columns["input_ids"]
        assert isinstance(tokens, TokenRows), "tokens are kept end to end"
        self.split = split
        self.columns = columns
        self.lengths: NDArray[np.int64] = tokens.lengths
        """Tokens per example, special ones included."""
        self.cut = cut
        """[N], whether an example lost tokens."""

    @property
    def labels(self) -> torch.Tensor:
        """Labels of all rows, [N], of several each [N, C], of words [N, W]."""
        column = self.columns["labels"]
        return torch.as_tensor(tag_array(list(column)) if isinstance(column, TokenRows) else column)

    @property
    def most_words(self) -> int | None:
        """Words of the row with most of them, at least 1; None where words have no labels of their own."""
        words = self.columns.get("words")
        return max(1, int(words.lengths.max(initial=0))) if isinstance(words, TokenRows) else None

    @property
    def truncated(self) -> int:
        """Number of truncated examples."""
        return int(self.cut.sum())

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: int) -> Item:
        return {name: column[row] for name, column in self.columns.items()} | {"row": row}

    @cached_property
    def digest(self) -> str:
        """Of all that is learnt from: ids, tokens and labels, in their order."""
        state = hashlib.sha256("\n".join(self.split.example_ids).encode())
        for cells in (*self.columns.values(), self.lengths):
            state.update(np.ascontiguousarray(cells.flat if isinstance(cells, TokenRows) else cells).data)
        return state.hexdigest()

    def highest(self, column: str) -> int:
        """The largest token id or type there is; -1 where there is none."""
        tokens = self.columns.get(column, ())
        return int(tokens.flat.max(initial=-1)) if isinstance(tokens, TokenRows) else -1

    def share_of(self, token: int | None) -> tuple[float, float]:
        """The share of all tokens that are this one, and of the texts that have it; 0 where there is none."""
        tokens = self.columns["input_ids"]
        if token is None or not len(self) or not isinstance(tokens, TokenRows):
            return 0.0, 0.0
        found = np.flatnonzero(tokens.flat == token)
        texts = np.unique(np.searchsorted(np.cumsum(self.lengths), found, side="right"))
        return len(found) / max(1, len(tokens.flat)), len(texts) / len(self)

    def by_length(self) -> NDArray[np.int64]:
        """All rows, the longest first: batches of like length, and the one that needs most memory first."""
        return np.argsort(-self.lengths, kind="stable")


def encode(split: Split, tokenizer: PreTrainedTokenizerBase, max_length: int) -> EncodedSplit:
    """Tokenise a split, cutting each text (the longer one of a pair first) to `max_length` tokens."""
    parts: dict[str, list[TokenRows]] = {}
    if split.by_word and not tokenizer.is_fast:
        problem = "the tokenizer does not tell which characters a piece is of"
        raise ModelError(tokenizer.name_or_path or "tokenizer", problem, "use a model with a fast tokenizer")
    cut = np.zeros(len(split), dtype=bool)
    for start in range(0, len(split), CHUNK):
        texts = list(split.texts[start : start + CHUNK])
        pairs = None if split.text_pairs is None else list(split.text_pairs[start : start + CHUNK])
        encoded = tokenizer(
            texts,
            pairs,
            truncation=True,
            max_length=max_length,
            padding=False,
            return_attention_mask=False,
            return_offsets_mapping=split.by_word,
        )
        if split.by_word:
            offsets = zip(texts, encoded["offset_mapping"], strict=True)
            places = (words_in(text, own) for text, own in offsets)
            parts.setdefault("words", []).append(TokenRows.join(places))
        stand_in = {"input_ids": [empty_token(tokenizer)], "token_type_ids": [0]}
        for name, width in WIDTHS.items():
            if name in encoded:
                rows = (row or stand_in[name] for row in encoded[name])
                parts.setdefault(name, []).append(TokenRows.join(rows, width))
        full = np.flatnonzero(parts["input_ids"][-1].lengths == max_length).tolist()
        cut[[start + row for row in _truncated(texts, pairs, full, tokenizer, max_length)]] = True
    columns: dict[str, Sequence[Any]] = {name: TokenRows.chain(rows) for name, rows in parts.items()}
    columns.setdefault("input_ids", TokenRows.join([]))
    return EncodedSplit(split, columns | label_columns(split), cut)


def empty_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that a text without any is read as, where a tokenizer adds none of its own.

    As padding it would be masked, and a decoder's answer would come from the padding of its batch.
    """
    named = (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id, tokenizer.pad_token_id)
    return next((int(one) for one in named if one is not None), 0)


def label_columns(split: Split) -> dict[str, Sequence[Any]]:
    """The columns `labels`, where there are any, and `labelled`, where only some rows have one."""
    labels = TokenRows.join(split.labels) if split.by_word and split.labels is not None else split.labels
    found = {"labels": labels, "labelled": split.labelled}
    return {name: column for name, column in found.items() if column is not None}


def _truncated(
    texts: list[str],
    pairs: list[str] | None,
    full: list[int],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> list[int]:
    """Those of the rows `full` that are longer than `max_length` when nothing cuts them."""
    if not full:
        return []
    whole = tokenizer(
        [texts[row] for row in full],
        None if pairs is None else [pairs[row] for row in full],
        truncation=False,
        padding=False,
        return_attention_mask=False,
        verbose=False,
    )
    return [row for row, ids in zip(full, whole["input_ids"], strict=True) if len(ids) > max_length]


class PaddingCollator:
    """Turns items of an `EncodedSplit` into a batch as long as its longest item, or as asked for.

    `input_ids`, `attention_mask` and `token_type_ids` are [B, L]; `labels` [B] is long for class ids and
    float32 for target values; `labelled` [B] is bool; `row` [B] is long. Of words, `words` [B, W] are the
    places of their first pieces, or `NO_PIECE`, and `labels` [B, W] their tags, or `NO_TAG`.
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

    def __call__(self, items: Sequence[Item], length: int | None = None) -> dict[str, torch.Tensor]:
        lengths = [len(item["input_ids"]) for item in items]
        shape = len(items), length or max(lengths)
        spans = [slice(shape[1] - n, None) if self.side == "left" else slice(n) for n in lengths]
        batch = {}
        for name, padding in self.padding.items():
            if name in items[0]:
                padded = np.full(shape, padding, dtype=np.int64)
                for row, span, item in zip(padded, spans, items, strict=True):
                    row[span] = item[name]
                batch[name] = torch.from_numpy(padded)
        real = np.zeros(shape, dtype=np.int64)
        for row, span in zip(real, spans, strict=True):
            row[span] = 1
        batch["attention_mask"] = torch.from_numpy(real)
        if "words" in items[0]:
            most = max(1, *(len(item["words"]) for item in items))
            for name, padding in (("words", NO_PIECE), ("labels", NO_TAG)):
                if name in items[0]:
                    padded = np.full((len(items), most), padding, dtype=np.int64)
                    for row, item in zip(padded, items, strict=True):
                        row[: len(item[name])] = item[name]
                    batch[name] = torch.from_numpy(padded)
            shifts = torch.tensor([span.start or 0 for span in spans])[:, None]
            batch["words"] += shifts * (batch["words"] >= 0)
        elif "labels" in items[0]:
            labels = torch.tensor([item["labels"] for item in items])
            batch["labels"] = labels.float() if labels.is_floating_point() else labels
        if "labelled" in items[0]:
            batch["labelled"] = torch.tensor([item["labelled"] for item in items])
        batch["row"] = torch.tensor([item["row"] for item in items])
        return batch


def length_grouped_order(
    lengths: Sequence[int] | NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[int]:
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


class LengthGroupedBatches(Sampler[list[int]]):
    """`length_grouped_order` in batches, and of each the part that one process works on.

    What stands in for a part without rows is the row -1: it keeps that process in step, and counts nowhere.
    An epoch is one pass over the rows unless `rows_per_epoch` is larger: it then takes the next so many rows
    of pass after pass, each in an order of its own.
    """

    def __init__(
        self,
        lengths: Sequence[int] | NDArray[np.int64],
        batch_size: int,
        seed: int,
        part: Callable[[int], slice] = slice,
        rows_per_epoch: int | None = None,
    ) -> None:
        """`batch_size` is that of all processes; `part` says which rows of so many are this one's."""
        self.lengths = lengths
        self.rows_per_epoch = rows_per_epoch or len(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.part = part
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration follows; the first one is 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.rows_per_epoch // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order()
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            yield batch[self.part(len(batch))] or [-1]

    def _order(self) -> list[int]:
        """The rows of this epoch: of the endless row of passes, those from `epoch * rows_per_epoch` on."""
        size, first = len(self.lengths), self.epoch * self.rows_per_epoch
        begun, skipped = divmod(first, size)
        passes = range(begun, -(-(first + self.rows_per_epoch) // size))
        rows: list[int] = []
        for one in passes:
            rows += length_grouped_order(self.lengths, self.batch_size, self.seed, one)
        return rows[skipped : skipped + self.rows_per_epoch]
