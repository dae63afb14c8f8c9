"""Tokens cached on disk next to the teachers' outputs: a text is tokenised once for all runs.

Each text is found by a digest of its characters, so that another order, subset or split of the same texts
finds it. Knows nothing about models.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from dkd_cli.data.encoding import CHUNK, WIDTHS, EncodedSplit, TokenRows, Tokens, encode, label_columns
from dkd_cli.data.examples import Split
from dkd_cli.engine.cache.entries import Cache
from dkd_cli.engine.cache.rows import CachedRows
from dkd_cli.engine.cache.shards import KEY_BYTES, Keys, checksum

INT32 = np.dtype("<i4")


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """A digest of everything that decides how a tokenizer splits texts; None if unknown."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    # Left over from the previous call; every call sets them again.
    backend.no_truncation()
    backend.no_padding()
    special = ["special tokens as text"] if getattr(tokenizer, "split_special_tokens", False) else []
    besides = json.dumps([tokenizer.truncation_side, _columns(tokenizer), *special])
    return checksum(backend.to_str().encode(), besides.encode()).hex()


def encode_once(
    split: Split, tokenizer: PreTrainedTokenizerBase, max_length: int, cache: Cache | None
) -> EncodedSplit:
    """`encoding.encode` with the cache: cached tokens are read from it, and new ones are added."""
    digest = None if cache is None else tokenizer_digest(tokenizer)
    # Where words begin follows from characters, which the cache does not keep.
    if cache is None or digest is None or not len(split) or split.by_word:
        return encode(split, tokenizer, max_length)
    facts = {"kept": "tokens", "tokenizer": digest, "max_length": max_length}
    entry = cache.attach(tokenizer.name_or_path, facts)
    if entry is None:
        return encode(split, tokenizer, max_length)
    columns = _columns(tokenizer)
    keys, first, place = np.unique(text_keys(split), return_index=True, return_inverse=True)
    kept = CachedRows(keys, len(columns), INT32, entry)
    lacking = kept.lacking(np.arange(len(keys)))
    made: dict[int, Tokens] = {}
    if lacking:
        fresh = encode(_rows(split, first[lacking].tolist()), tokenizer, max_length)
        made = dict(zip(lacking, _packed(fresh, columns), strict=True))
        kept.put(made)
    kept.finish(hits=len(keys) - len(lacking))
    found = np.setdiff1d(np.arange(len(keys)), lacking)
    made |= dict(zip(found.tolist(), kept.rows(found), strict=True))
    return _unpacked(split, [made[slot] for slot in place.tolist()], columns)


def text_keys(split: Split) -> Keys:
    """[N] digests of texts, or of pairs of them."""
    digests = bytearray()
    for row, text in enumerate(split.texts):
        state = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES)
        if split.text_pairs is not None:
            # No character is encoded as this byte, so that no two pairs have the same bytes.
            state.update(b"\xff" + split.text_pairs[row].encode("utf-8", "surrogatepass"))
        digests += state.digest()
    return np.frombuffer(bytes(digests), dtype=f"S{KEY_BYTES}")


def _columns(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    return [name for name in WIDTHS if name in tokenizer.model_input_names]


def _rows(split: Split, rows: Sequence[int]) -> Split:
    pairs = None if split.text_pairs is None else [split.text_pairs[row] for row in rows]
    return replace(
        split,
        texts=[split.texts[row] for row in rows],
        text_pairs=pairs,
        labels=None,
        labelled=None,
        example_ids=[split.example_ids[row] for row in rows],
    )


def _packed(encoded: EncodedSplit, columns: Sequence[str]) -> Iterator[Tokens]:
    """Encode each row as [length, columns]; a truncated text has the complement of its first token id."""
    for row in range(len(encoded)):
        cells = np.stack([encoded.columns[name][row] for name in columns], axis=1, dtype=INT32)
        if encoded.cut[row]:
            cells[0, 0] = ~cells[0, 0]
        yield cells


def _unpacked(split: Split, rows: Sequence[Tokens], columns: Sequence[str]) -> EncodedSplit:
    parts: dict[str, list[TokenRows]] = {name: [] for name in columns}
    cut = np.zeros(len(rows), dtype=bool)
    for start in range(0, len(rows), CHUNK):
        some = rows[start : start + CHUNK]
        lengths = np.fromiter(map(len, some), dtype=np.int64, count=len(some))
        flat = np.concatenate(some)
        cut[start + np.repeat(np.arange(len(some)), lengths)[flat[:, 0] < 0]] = True
        flat[:, 0] = np.maximum(flat[:, 0], ~flat[:, 0])
        for place, name in enumerate(columns):
            parts[name].append(TokenRows(flat[:, place].astype(WIDTHS[name]), lengths))
    found: dict[str, Sequence[Any]] = {name: TokenRows.chain(several) for name, several in parts.items()}
    return EncodedSplit(split, found | label_columns(split), cut)
