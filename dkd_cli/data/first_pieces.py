"""First pieces of words: where each word of a text begins among the pieces that a tokenizer makes of it.

Knows no tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence

from dkd_cli.data.tags import words_of

NO_PIECE = -1


def spans_of(text: str) -> list[tuple[int, int]]:
    """Places of the words of a text, which single spaces separate: (first character, the one after the last).

    >>> spans_of("Ada met")
    [(0, 3), (4, 7)]
    """
    spans, start = [], 0
    for word in words_of(text):
        spans.append((start, start + len(word)))
        start += len(word) + 1
    return spans


def first_pieces(spans: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """The place of the first piece of each word; `NO_PIECE` for a word that was cut off, or left no piece.

    Args:
        spans: of the words, in their order.
        offsets: of the pieces, (first character, the one after the last), in their order; a special token's
            are (0, 0). A piece may begin with the space before its word, or be that space alone.

    >>> first_pieces([(0, 3), (4, 7), (8, 9)], [(0, 0), (0, 2), (2, 3), (3, 7), (0, 0)])
    [1, 3, -1]
    """
    places, piece = [], 0
    for start, end in spans:
        while piece < len(offsets) and offsets[piece][1] <= start:
            piece += 1
        there = piece < len(offsets) and offsets[piece][0] < end
        places.append(piece if there else NO_PIECE)
    return places


def words_in(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """The place of the first piece of each word of a text whose words single spaces separate."""
    return first_pieces(spans_of(text), offsets)
