"""Smaller vocabularies: which pieces of a tokenizer to keep, and a tokenizer with only those.

Edits what the `tokenizers` library writes to tokenizer.json. The new tokenizer splits a text exactly as the
old one does where all pieces of the old split are kept; other words fall into smaller pieces that are kept,
down to single characters or bytes. Knows nothing of models.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from dkd_cli.errors import ModelError

Json = dict[str, Any]
Ids = NDArray[np.int64]

BYTE = re.compile(r"<0x[0-9A-F]{2}>")
"""Form in which BPE and Unigram write a byte of a character that they lack."""


@dataclass(frozen=True)
class Segmentation:
    """A segmentation model of the `tokenizers` library; each function takes its part of tokenizer.json."""

    ids: Callable[[Json], Mapping[str, int]]
    """Each piece's id."""
    required: Callable[[Json], set[str]]
    """Pieces that stay in any case, so that no text becomes unknown that was not before.

    Raises ValueError with a plain sentence where no set of pieces can promise that.
    """
    parts: Callable[[Json], Callable[[str], set[str]]]
    """Gives for a piece those that the tokenizer builds it from, itself included."""
    cut: Callable[[Json, Mapping[str, int]], Json]
    """The model with the given pieces only, under their new ids."""


def kept_ids(
    tokenizer: PreTrainedTokenizerBase, counts: Ids, size: int | None, key: str, *, first: int = 0
) -> Ids:
    """The token ids of a smaller vocabulary, ascending: a kept token's place here is its new id.

    Special and added tokens, single characters and the pieces that kept ones are built from always stay.

    Args:
        tokenizer: the one to make smaller.
        counts: [V], how often each token occurs.
        size: the number of tokens to keep, the most frequent first, ties and unused ones in the order of
            their ids; fewer where the next token does not fit with its parts. None: those that occur.
        key: the recipe's key, for errors.
        first: ids below this one stay too.

    Raises:
        ModelError: for a tokenizer that cannot be cut, or a `size` below what has to stay.
    """
    content, kind = _content(tokenizer, key)
    model = content["model"]
    ids = kind.ids(model)
    piece_of = {number: piece for piece, number in ids.items()}
    try:
        required = kind.required(model)
    except ValueError as error:
        raise ModelError(key, f"the tokenizer cannot be cut: {error}", "remove it") from error
    parts = kind.parts(model)
    kept = {*_special_ids(content, tokenizer), *(ids[piece] for piece in required)}
    kept |= {token for token in range(first) if token in piece_of}

    def with_parts(token: int) -> set[int]:
        piece = piece_of.get(token)
        return {token} if piece is None else {token, *(ids[part] for part in parts(piece))}

    for token in list(kept):
        kept |= with_parts(token)
    occurring = np.flatnonzero(counts).tolist()
    if size is None:
        for token in occurring:
            kept |= with_parts(token)
        return np.array(sorted(kept), dtype=np.int64)
    if size < len(kept):
        problem = f"{size} tokens are fewer than the {len(kept)} special tokens and single characters"
        raise ModelError(key, problem, f"raise it to {len(kept)} or more, or use `used`")
    known = np.array(sorted(piece_of), dtype=np.int64)
    by_frequency = known[np.argsort(-counts[known], kind="stable")]
    for token in by_frequency.tolist():
        wanted = with_parts(token)
        if len(kept | wanted) > size:
            break
        kept |= wanted
    return np.array(sorted(kept), dtype=np.int64)


def smaller_tokenizer(tokenizer: PreTrainedTokenizerBase, kept: Ids, key: str) -> PreTrainedTokenizerBase:
    """The tokenizer with the tokens `kept` alone, which are renumbered in their order.

    Args:
        tokenizer: a fast one; stays as it is.
        kept: as `kept_ids` gives them.
        key: the recipe's key, for errors.

    Raises:
        ModelError: for a tokenizer that cannot be cut.
    """
    content, kind = _content(tokenizer, key)
    renumbered = {int(old): new for new, old in enumerate(kept)}
    pieces = {
        piece: renumbered[number]
        for piece, number in sorted(kind.ids(content["model"]).items(), key=lambda item: item[1])
        if number in renumbered
    }
    content["model"] = kind.cut(content["model"], pieces)
    for token in content["added_tokens"]:
        token["id"] = renumbered[token["id"]]
    content["post_processor"] = _renumber(content["post_processor"], renumbered)
    content["truncation"] = content["padding"] = None
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        Path(folder, "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        smaller: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    smaller.name_or_path = tokenizer.name_or_path
    expected = {tokenizer.convert_ids_to_tokens(old): new for old, new in renumbered.items()}
    if smaller.get_vocab() != expected:
        problem = f"the tokenizer ({type(tokenizer).__name__}) does not load with renumbered tokens"
        raise ModelError(key, problem, "remove it, or choose another model")
    return smaller


def _content(tokenizer: PreTrainedTokenizerBase, key: str) -> tuple[Json, Segmentation]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        problem = f"the tokenizer ({type(tokenizer).__name__}) is not one of the `tokenizers` library"
        raise ModelError(key, problem, "remove it, or choose a model with a tokenizer.json")
    content: Json = json.loads(backend.to_str())
    name = content["model"]["type"]
    if name not in KINDS:
        problem = f"the tokenizer is of the kind {name}, which cannot be cut"
        raise ModelError(key, problem, f"remove it, or choose a model with {', '.join(KINDS)}")
    return content, KINDS[name]


def _special_ids(content: Json, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    added = {int(token["id"]) for token in content["added_tokens"]}
    return {*added, *tokenizer.all_special_ids, *_processor_ids(content["post_processor"])}


def _processor_ids(processor: Any) -> set[int]:
    """The ids that a post-processor adds: `"ids": [2]` of a template, `"sep": ["[SEP]", 3]` of others."""
    if isinstance(processor, list):
        return set().union(*map(_processor_ids, processor))
    if not isinstance(processor, dict):
        return set()
    own = {*processor.get("ids", ())} | {processor[name][1] for name in ("sep", "cls") if name in processor}
    return own.union(*map(_processor_ids, processor.values()))


def _renumber(processor: Any, renumbered: Mapping[int, int]) -> Any:
    if isinstance(processor, list):
        return [_renumber(one, renumbered) for one in processor]
    if not isinstance(processor, dict):
        return processor
    changed = {name: _renumber(value, renumbered) for name, value in processor.items()}
    if "ids" in processor:
        changed["ids"] = [renumbered[one] for one in processor["ids"]]
    for name in ("sep", "cls"):
        if name in processor:
            token, number = processor[name]
            changed[name] = [token, renumbered[number]]
    return changed


def _own_ids(model: Json) -> Mapping[str, int]:
    ids: Mapping[str, int] = model["vocab"]
    return ids


def _itself(model: Json) -> Callable[[str], set[str]]:
    return lambda piece: {piece}


def _with_vocabulary(model: Json, pieces: Mapping[str, int]) -> Json:
    return {**model, "vocab": dict(pieces)}


def _word_piece_required(model: Json) -> set[str]:
    """Each character as the start of a word and within one.

    A word is matched from its start, the longest piece first, and is unknown as a whole where none fits. With
    all characters kept one always fits.
    """
    vocabulary, prefix = _own_ids(model), model["continuing_subword_prefix"]
    single = {
        piece
        for piece in vocabulary
        if len(piece) == 1 or (piece.startswith(prefix) and len(piece) == len(prefix) + 1)
    }
    for piece in vocabulary:
        if piece == model["unk_token"] or re.fullmatch(r"\[.*\]|<.*>", piece):
            continue
        inner = piece.startswith(prefix) and len(piece) > len(prefix)
        rest = piece[len(prefix) :] if inner else piece[1:]
        lacking = [c for c in rest if prefix + c not in single]
        lacking += [] if inner or piece[0] in single else [piece[0]]
        if lacking:
            raise ValueError(f"it has the piece {piece!r} but lacks {lacking[0]!r} as a piece by itself")
    return single | ({model["unk_token"]} & vocabulary.keys())


def _bpe_required(model: Json) -> set[str]:
    """Split a word into its smallest pieces: characters, or bytes written as characters."""
    vocabulary = _own_ids(model)
    single = {piece for piece in vocabulary if len(_bare(model, piece)) == 1 or BYTE.fullmatch(piece)}
    return single | ({model["unk_token"]} & vocabulary.keys())


def _bare(model: Json, piece: str) -> str:
    bare = piece.removeprefix(model.get("continuing_subword_prefix") or "")
    return bare.removesuffix(model.get("end_of_word_suffix") or "")


def _bpe_parts(model: Json) -> Callable[[str], set[str]]:
    """The results of all merges that make a piece.

    They are those of the piece by itself: in a word that ends up with it no merge crosses its edges.
    """
    vocabulary = _own_ids(model)
    ranks = {_pair(merge): rank for rank, merge in enumerate(model["merges"])}
    prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""

    def parts(piece: str) -> set[str]:
        if BYTE.fullmatch(piece):
            return {piece}
        inner = bool(prefix) and piece.startswith(prefix)
        symbols = [
            (prefix if inner or place else "") + character
            for place, character in enumerate(_bare(model, piece))
        ]
        if suffix and piece.endswith(suffix) and symbols:
            symbols[-1] += suffix
        found = {piece, *symbols}
        while len(symbols) > 1:
            pairs = list(pairwise(symbols))
            rank, place = min((ranks.get(pair, len(ranks)), place) for place, pair in enumerate(pairs))
            if rank == len(ranks):
                break
            symbols[place : place + 2] = [symbols[place] + symbols[place + 1].removeprefix(prefix)]
            found.add(symbols[place])
        return found & vocabulary.keys()

    return parts


def _bpe_cut(model: Json, pieces: Mapping[str, int]) -> Json:
    """Merges go with their parts or results."""
    prefix = model.get("continuing_subword_prefix") or ""
    merges = [
        [left, right]
        for left, right in map(_pair, model["merges"])
        if left in pieces and right in pieces and left + right.removeprefix(prefix) in pieces
    ]
    return {**model, "vocab": dict(pieces), "merges": merges}


def _pair(merge: str | Sequence[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _unigram_ids(model: Json) -> Mapping[str, int]:
    return {piece: number for number, (piece, _) in enumerate(model["vocab"])}


def _unigram_required(model: Json) -> set[str]:
    """Single characters, and every piece with a character that is no piece by itself."""
    pieces = [piece for piece, _ in model["vocab"]]
    single = {piece for piece in pieces if len(piece) == 1}
    unknown = [] if model["unk_id"] is None else [pieces[model["unk_id"]]]
    return {*single, *unknown, *(piece for piece in pieces if BYTE.fullmatch(piece) or set(piece) - single)}


def _unigram_cut(model: Json, pieces: Mapping[str, int]) -> Json:
    kept: Iterable[tuple[str, float]] = (entry for entry in model["vocab"] if entry[0] in pieces)
    unknown = model["unk_id"]
    if unknown is not None:
        unknown = pieces[model["vocab"][unknown][0]]
    return {**model, "vocab": [list(entry) for entry in kept], "unk_id": unknown}


KINDS: Mapping[str, Segmentation] = {
    "WordPiece": Segmentation(_own_ids, _word_piece_required, _itself, _with_vocabulary),
    "BPE": Segmentation(_own_ids, _bpe_required, _bpe_parts, _bpe_cut),
    "Unigram": Segmentation(_unigram_ids, _unigram_required, _itself, _unigram_cut),
}
"""By the name in tokenizer.json."""
