"""From texts to logits through an export's own runtime, without torch and transformers."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.first_pieces import words_in
from dkd_cli.data.kinds import KINDS, kind_of_model
from dkd_cli.engine.deploy.predictor import Logits, Pairs, Predictor
from dkd_cli.engine.deploy.text_tokens import TextTokens
from dkd_cli.engine.models.export_formats import format_of
from dkd_cli.engine.models.exports import Export, Padding
from dkd_cli.errors import ModelError
from dkd_cli.recipe.words import NO_WORD


def export_tokens(folder: Path, export: Export) -> TextTokens:
    """An export's tokenizer, padding to the longest text of a batch."""
    return TextTokens(
        folder,
        export.max_length,
        export.padding,
        export.truncation_side,
        special_as_text=export.special_tokens_as_text,
    )


def exported_predictor(folder: Path, export: Export, threads: int | None = None) -> Predictor:
    """Predict through the runtime of the export's format, on `threads` or as many as this process may use.

    Raises:
        ModelError: for a damaged export.
        SystemProblem: without a package that the format needs.
    """
    tokens = export_tokens(folder, export)
    session = format_of(export.format, folder).load(folder, threads or available_threads())

    def logits(texts: Sequence[str], pairs: Pairs) -> tuple[Logits, int]:
        encoded = tokens(texts, pairs)
        inputs = {
            "input_ids": np.array([one.ids for one in encoded], dtype=np.int64),
            "attention_mask": np.array([one.attention_mask for one in encoded], dtype=np.int64),
            "token_type_ids": np.array([one.type_ids for one in encoded], dtype=np.int64),
        }
        inputs = stand_in(inputs, export.padding)
        said = session.logits(inputs)
        if by_word:
            rows = zip(texts, encoded, strict=True)
            said = logits_of_words(said, [words_in(text, one.offsets) for text, one in rows])
        return said, sum(bool(one.overflowing) for one in encoded)

    labels, kind = _labels(folder)
    by_word = KINDS[kind].by_word
    text = "text" if by_word else export.text
    return Predictor(labels, kind, text, export.text_pair, export.max_length, logits)


def logits_of_words(logits: Logits, first_pieces: Sequence[Sequence[int]]) -> Logits:
    """The logits at the first piece of each word, [B, L, C] -> [B, W, C]; `NO_WORD` where there is none.

    >>> logits_of_words(np.array([[[1.0], [2.0]]], dtype=np.float32), [[1, -1]]).flatten().tolist()
    [2.0, -32768.0]
    """
    most = max(1, *map(len, first_pieces))
    found = np.full((len(logits), most, logits.shape[-1]), NO_WORD, dtype=np.float32)
    for row, places in enumerate(first_pieces):
        for word, place in enumerate(places):
            if place >= 0:
                found[row, word] = logits[row, place]
    return found


def stand_in(inputs: dict[str, NDArray[np.int64]], padding: Padding) -> dict[str, NDArray[np.int64]]:
    """Inputs [B, L] in which texts without a token have `padding.empty`, where the export names one."""
    if padding.empty is None:
        return inputs
    blank = ~inputs["attention_mask"].any(axis=1)
    if not inputs["attention_mask"].shape[1]:
        inputs = {name: np.zeros((len(rows), 1), dtype=np.int64) for name, rows in inputs.items()}
    place = -1 if padding.side == "left" else 0
    for name, value in (("input_ids", padding.empty), ("attention_mask", 1), ("token_type_ids", 0)):
        inputs[name][blank, place] = value
    return inputs


def available_threads() -> int:
    """Number of threads: OMP_NUM_THREADS, else the processors that this process may run on."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _labels(folder: Path) -> tuple[tuple[str, ...] | None, str]:
    """The names of the outputs, and their kind."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        named = config["id2label"]
        labels = tuple(str(named[str(index)]) for index in range(len(named)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            str(path), f"does not name the classes ({error})", "export the model again"
        ) from error
    kind = kind_of_model(config.get("problem_type"), len(labels), config.get("architectures"))
    return (labels if len(labels) > 1 else None), kind
