"""Texts that validation data seldom holds, for checks that a model has to pass on whatever it is given.

Knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Sequence

from dkd_cli.data.examples import Split

ODD = (
    "",
    " ",
    "a",
    "!",
    "7",
    "...",
    "ok ok ok ok ok ok ok ok",
    "https://example.org/a?b=c&d=%20e#f",
    "naïve café, Ünïcödé e\u0301",
    "これは日本語の文章です。",
    "هذا نص باللغة العربية",
    "👍🏽👩‍👩‍👧 🇫🇷",
    "tab\tline\nfeed\r\nand\x0bmore\x00\x7f\ufeff",
    "\u200b\u00a0\u2028",
    "<b>bold</b> &amp; {json: [1, 2]}",
    "0123456789" * 30,
    "x" * 3000,
)
"""Empty, short, of other scripts, with control characters, and one word without end."""


def odd_texts(usual: Split, special: Sequence[str], tokens: int) -> Split:
    """`ODD`, texts longer than `tokens` tokens, and texts in which special tokens are spelled out.

    Args:
        usual: texts of the task, at least one; those with a partner make pairs of the odd ones.
        special: the special tokens as they are written, such as `[SEP]`.
        tokens: where the model truncates.
    """
    words = " ".join(usual.texts[:100]).split() or ["word"]
    long = " ".join(words * (1 + 2 * tokens // len(words)))
    half = long[: len(long) // 8]
    spelled = [
        text for one in special for text in (one, f"remove the {one} from my name", f"{one}{one} {half}")
    ]
    texts = [*ODD, words[0], half, long, *spelled]
    pairs = None if usual.text_pairs is None else [*texts[-7:], *texts[:-7]]
    ids = [f"odd text {row}" for row in range(len(texts))]
    return Split("odd texts", texts, pairs, None, ids, by_word=usual.by_word)
