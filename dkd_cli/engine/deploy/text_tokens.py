"""Tokens of texts by a folder's tokenizer.json, without transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dkd_cli.engine.deploy.predictor import Pairs
from dkd_cli.engine.models.exports import Padding, no_extra
from dkd_cli.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Encoding

TOKENIZER_FILE = "tokenizer.json"


class TextTokens:
    """The tokenizer in a folder, for texts of at most `max_length` tokens.

    Args:
        folder: with a tokenizer.json.
        max_length: longer texts are truncated.
        padding: how a batch is filled up; None: not at all.
        truncation_side: the end that is cut off, `left` or `right`.
        special_as_text: whether special tokens that a text spells are ordinary text.

    Raises:
        ModelError: without a readable tokenizer.json.
        SystemProblem: without the package `tokenizers`.
    """

    def __init__(
        self,
        folder: Path,
        max_length: int,
        padding: Padding | None,
        truncation_side: str = "right",
        *,
        special_as_text: bool = False,
    ) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise no_extra(error) from error
        path = folder / TOKENIZER_FILE
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the tokenizers library raises nothing more special
            raise ModelError(str(path), f"cannot be read ({error})", "make the model again") from error
        self._tokenizer.encode_special_tokens = special_as_text
        self._tokenizer.enable_truncation(max_length, direction=truncation_side)
        if padding is None:
            self._tokenizer.no_padding()
        else:
            self._tokenizer.enable_padding(
                direction=padding.side, pad_id=padding.token_id, pad_type_id=padding.token_type
            )

    def __call__(self, texts: Sequence[str], pairs: Pairs) -> list[Encoding]:
        """Tokens of each text, or of each text and its partner."""
        inputs = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
        return self._tokenizer.encode_batch(inputs)

    def empty_token(self, folder: Path) -> int:
        """The token that a text without any is read as, by the folder's tokenizer_config.json.

        As `data.encoding.empty_token` chooses it in training.
        """
        path = folder / "tokenizer_config.json"
        try:
            named = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            named = {}
        for key in ("eos_token", "bos_token", "unk_token", "pad_token"):
            token = named.get(key)
            token = token.get("content") if isinstance(token, dict) else token
            number = None if token is None else self._tokenizer.token_to_id(str(token))
            if number is not None:
                return int(number)
        return 0
