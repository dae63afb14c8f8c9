"""Matches the tokens of two tokenizers of which one has some of the other's pieces.

Hidden states can be compared where both have the same piece at the same place of a text. Knows nothing of
models.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from dkd_cli.data.encoding import EncodedSplit, TokenRows

Ids = NDArray[np.int64]
SPLITTING = ("normalizer", "pre_tokenizer")
"""The parts of tokenizer.json that say what a piece may be cut from."""


@dataclass(frozen=True)
class Common:
    """For each row of a split, the teacher's position of each token of the student."""

    places: TokenRows
    """-1 where the teacher has another piece."""

    @property
    def share(self) -> float:
        """Of the student's tokens, those that the teacher has too."""
        return float((self.places.flat >= 0).mean()) if self.places.flat.size else 1.0

    def batch(self, rows: NDArray[np.integer[Any]]) -> Tensor:
        """[n] rows -> [n, L] long, L the student's longest of these rows, padded with -1."""
        found = [torch.from_numpy(self.places[int(row)].astype(np.int64)) for row in rows]
        return torch.nn.utils.rnn.pad_sequence(found, batch_first=True, padding_value=-1)


def match(
    student: EncodedSplit,
    teacher: EncodedSplit,
    own: PreTrainedTokenizerBase,
    other: PreTrainedTokenizerBase,
) -> Common | None:
    """Mask of the positions where student and teacher have the same token; None if they all are.

    Args:
        student: a split in the student's tokens.
        teacher: the same split in the teacher's.
        own: the student's tokenizer.
        other: the teacher's.

    Raises:
        ValueError: where the student's tokenizer is not the teacher's with fewer pieces.
    """
    mine, theirs = _tokens(student), _tokens(teacher)
    if mine == theirs:
        return None
    mine = TokenRows(_translation(own, other)[mine.flat], mine.lengths)
    if mine == theirs:
        return None
    if not _related(own, other) or bool((mine.flat < 0).any()):
        raise ValueError("the student's tokenizer is not the teacher's with fewer pieces")
    widths, special = _widths(other), np.array(sorted(other.all_special_ids), dtype=np.int64)
    places = []
    for row in range(len(student)):
        a, b = mine[row].astype(np.int64), theirs[row].astype(np.int64)
        found = np.full(len(a), -1, dtype=np.int32)
        reach = int(max(widths[a].sum(), widths[b].sum()))
        keys = [_keys(ids, widths, special, reach) for ids in (a, b)]
        _, here, there = np.intersect1d(keys[0], keys[1], assume_unique=True, return_indices=True)
        found[here] = there
        if not len(here):
            raise ValueError(f"example {student.split.example_ids[row]} has no token in common")
        places.append(found)
    lengths = np.array([len(one) for one in places], dtype=np.int64)
    return Common(TokenRows(np.concatenate(places), lengths))


def _translation(own: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> Ids:
    """[V] the teacher's id of each of the student's pieces, -1 for none.

    Special tokens are translated by what they are for: MPNet begins a text with another one than BERT.
    """
    known = other.get_vocab()
    translated = np.full(max(own.get_vocab().values()) + 1, -1, dtype=np.int64)
    for piece, number in own.get_vocab().items():
        translated[number] = known.get(piece, -1)
    for role in ("pad", "unk", "mask", "sep", "cls"):
        here, there = (getattr(one, f"{role}_token_id") for one in (own, other))
        if here is not None and there is not None:
            translated[here] = there
    return translated


def _tokens(split: EncodedSplit) -> TokenRows:
    tokens = split.columns["input_ids"]
    assert isinstance(tokens, TokenRows), "tokens are kept end to end"
    return tokens


def _related(own: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Return whether both cut texts into words alike, and words into pieces of one kind."""
    mine, theirs = _written(own), _written(other)
    if mine is None or theirs is None:
        return False
    alike = all(mine[part] == theirs[part] for part in SPLITTING)
    return alike and mine["model"]["type"] == theirs["model"]["type"]


def _written(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any] | None:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return None if backend is None else dict(json.loads(backend.to_str()))


def _widths(tokenizer: PreTrainedTokenizerBase) -> Ids:
    """[V] how many characters of a text each piece stands for."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    prefix, suffix = (model.get(name) or "" for name in ("continuing_subword_prefix", "end_of_word_suffix"))
    widths = np.ones(max(tokenizer.get_vocab().values()) + 1, dtype=np.int64)
    for piece, number in tokenizer.get_vocab().items():
        widths[number] = max(1, len(piece.removeprefix(prefix).removesuffix(suffix)))
    return widths


def _keys(ids: Ids, widths: Ids, special: Ids, reach: int) -> Ids:
    """[L] one number for what a token is and where it begins, counted from the last special token before it.

    An unknown word is a special token, so that its length does not matter. No such count is above `reach`.
    """
    marks = np.isin(ids, special)
    starts = np.cumsum(widths[ids]) - widths[ids]
    section = np.cumsum(marks)
    firsts = np.concatenate([[0], starts[marks]])
    keys: Ids = (section * (reach + 1) + starts - firsts[section]) * len(widths) + ids
    return keys
