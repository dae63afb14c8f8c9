"""Identifying, deduplicating, cutting and capping examples by what they say, never by where they stand.

Knows nothing about files; rows keep their table only to name their place in an error.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dkd_cli.data.examples import Split
from dkd_cli.data.near_duplicates import group_near_duplicates, normalise
from dkd_cli.data.tables import Table
from dkd_cli.errors import DataError

MOST_EMPTY = 0.01
"""More empty texts than this share are a mistake in the file, not a slip."""
PAIR = "\x1f"


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a table as examples; every column has one entry per example."""

    table: Table
    rows: Sequence[int]
    texts: Sequence[str]
    text_pairs: Sequence[str] | None
    labels: Sequence[int] | Sequence[float] | None
    example_ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.rows)

    def whole_texts(self) -> list[str]:
        """The whole text of each example, a pair as one."""
        if self.text_pairs is None:
            return list(self.texts)
        return [text + PAIR + pair for text, pair in zip(self.texts, self.text_pairs, strict=True)]

    def take(self, indices: Sequence[int]) -> Part:
        """The examples at `indices`, in that order."""
        return Part(
            self.table,
            [self.rows[i] for i in indices],
            [self.texts[i] for i in indices],
            None if self.text_pairs is None else [self.text_pairs[i] for i in indices],
            None if self.labels is None else [self.labels[i] for i in indices],
            [self.example_ids[i] for i in indices],
        )

    def to_split(self, name: str) -> Split:
        """Forget where the examples came from."""
        return Split(name, self.texts, self.text_pairs, self.labels, self.example_ids)


def make_part(
    table: Table,
    texts: Sequence[str],
    text_pairs: Sequence[str] | None,
    labels: Sequence[int] | Sequence[float] | None,
) -> Part:
    """Give every row of a table its `example_id`.

    Rows with the same texts are told apart by a counter that follows their labels, not their order.
    """
    part = Part(table, range(len(table)), texts, text_pairs, labels, ())
    keys = part.whole_texts()
    order = sorted(range(len(keys)), key=lambda row: 0 if labels is None else labels[row])
    seen: Counter[str] = Counter()
    ids = [""] * len(keys)
    for row in order:
        occurrence = seen[keys[row]]
        ids[row] = _digest(keys[row], str(occurrence)) if occurrence else _digest(keys[row])
        seen[keys[row]] += 1
    return Part(table, part.rows, texts, text_pairs, labels, ids)


def _digest(*texts: str) -> str:
    """16 hex digits that depend on the texts alone, on any machine."""
    joined = "\x1e".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(joined, digest_size=8).hexdigest()


def without_empty(part: Part, drop: bool) -> tuple[Part, int]:
    """Count the examples with an empty text and, on request, drop them.

    Raises:
        DataError: more than 1 % of the texts are empty.
    """
    columns = [part.texts] if part.text_pairs is None else [part.texts, part.text_pairs]
    blank = {i for column in columns for i, text in enumerate(column) if not text.strip()}
    if len(blank) > MOST_EMPTY * len(part):
        raise DataError(
            part.table.where(part.rows[min(blank)]),
            f"the text is empty, as {len(blank):,} of {len(part):,} are",
            "check the column's name, or remove these rows",
        )
    if not drop or not blank:
        return part, len(blank)
    return part.take([i for i in range(len(part)) if i not in blank]), len(blank)


def without_duplicates(part: Part) -> tuple[Part, int, int]:
    """Drop examples whose texts and label stood before.

    Returns:
        What is left, how many were dropped, and how many of the texts left stand with several labels.
    """
    keys = part.whole_texts()
    labels = part.labels if part.labels is not None else [0] * len(part)
    kept: dict[tuple[str, float], int] = {}
    for i, key in enumerate(zip(keys, labels, strict=True)):
        kept.setdefault(key, i)
    contradicting = sum(count > 1 for count in Counter(key for key, _ in kept).values())
    if len(kept) == len(part):
        return part, 0, contradicting
    left = part.take(list(kept.values()))
    # The same texts, once each per label: their ids are the first ones again, whichever copy was kept.
    again = make_part(left.table, left.texts, left.text_pairs, left.labels)
    return (
        Part(left.table, left.rows, left.texts, left.text_pairs, left.labels, again.example_ids),
        len(part) - len(kept),
        contradicting,
    )


def cut(part: Part, shares: Mapping[str, float], seed: int, threshold: float) -> tuple[dict[str, Part], int]:
    """Cut splits out of an example set by content; what is left is `rest`.

    Near-duplicates stay on one side. A group's side follows from its smallest normalised text and the seed,
    so neither the order of the rows nor what other rows there are moves it.

    Args:
        shares: the share of each split to cut out.
        threshold: Jaccard similarity from which on two texts are near-duplicates.

    Returns:
        The splits, each in the order of the rows, and how many examples have a near-duplicate.
    """
    texts = [PAIR.join(map(normalise, key.split(PAIR))) for key in part.whole_texts()]
    distinct = sorted(set(texts))
    index = {text: i for i, text in enumerate(distinct)}
    groups = group_near_duplicates(distinct, threshold)
    sides = {group: _side(distinct[group], shares, seed) for group in set(groups)}
    indices: dict[str, list[int]] = {name: [] for name in (*shares, "rest")}
    sizes: Counter[int] = Counter()
    for i, text in enumerate(texts):
        group = groups[index[text]]
        sizes[group] += 1
        indices[sides[group]].append(i)
    splits = {name: part.take(chosen) for name, chosen in indices.items()}
    return splits, sum(size for size in sizes.values() if size > 1)


def _side(text: str, shares: Mapping[str, float], seed: int) -> str:
    position = int(_digest(str(seed), text), 16) / 2**64
    for name, share in shares.items():
        if position < share:
            return name
        position -= share
    return "rest"


def cap(part: Part, most: int | None, seed: int) -> Part:
    """Keep at most so many examples, chosen by content, in the order of the rows."""
    if most is None or len(part) <= most:
        return part
    by_hash = sorted(range(len(part)), key=lambda i: _digest(str(seed), part.example_ids[i]))
    return part.take(sorted(by_hash[:most]))
