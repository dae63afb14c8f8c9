"""Token counts of texts under an encoder's tokenizer, and the share of unknown tokens.

Knows nothing about recipes or labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.encoding import encode
from dkd_cli.data.examples import Split
from dkd_cli.engine.models.models import load_tokenizer

SAMPLE = 5000
"""Texts that are read, evenly spread over all of them."""
ENDLESS = 1_000_000
MANY_UNKNOWN = 0.05
MANY_PIECES = 2.5
"""Tokens of a word from which on an encoder hardly knows the language."""


@dataclass(frozen=True)
class Reading:
    """A sample of texts as a tokenizer reads them."""

    lengths: NDArray[np.int64]
    """Tokens of each text, special ones included, not truncated."""
    unknown: float
    """The share of the tokens that are unknown."""
    pieces: float
    """Tokens of a word."""

    def covering(self, share: float) -> int:
        """The tokens that this share of the texts has at most."""
        return int(np.quantile(self.lengths, share, method="higher"))

    def truncated(self, length: int) -> float:
        """The share of texts with more tokens."""
        return float(np.mean(self.lengths > length))

    def length_line(self, length: int) -> str:
        """The lengths in words, against one at which texts are truncated."""
        cut = self.truncated(length)
        share = f"{cut:.1%} are longer than" if cut else "none is longer than"
        return (
            f"tokens: half of the texts have at most {self.covering(0.5)}, 99 of 100 at most "
            f"{self.covering(0.99)}; {share} {length}"
        )

    def language_line(self) -> str | None:
        """A hint where the encoder may not know the language."""
        if self.unknown > MANY_UNKNOWN:
            found = f"{self.unknown:.0%} of the tokens are unknown to the encoder ([UNK])"
        elif self.pieces > MANY_PIECES:
            found = f"the encoder cuts a word into {self.pieces:.1f} pieces on average"
        else:
            return None
        return f"language: {found}; choose one for the language of the texts"


def read_texts(texts: Sequence[str], pairs: Sequence[str] | None, model: str, key: str) -> Reading:
    """Read a sample of texts, at least one, with the tokenizer of a model.

    Raises:
        ModelError: there is no such tokenizer.
    """
    tokenizer = load_tokenizer(model, key)
    step = max(1, len(texts) // SAMPLE)
    chosen, beside = list(texts[::step]), None if pairs is None else list(pairs[::step])
    rows = encode(Split("sample", chosen, beside, None, [""] * len(chosen)), tokenizer, ENDLESS)
    words = sum(len(text.split()) for text in [*chosen, *(beside or ())])
    special = tokenizer.num_special_tokens_to_add(pair=pairs is not None) * len(chosen)
    unknown, _ = rows.share_of(tokenizer.unk_token_id)
    return Reading(rows.lengths, unknown, (int(rows.lengths.sum()) - special) / max(1, words))
