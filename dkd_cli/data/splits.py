"""Identifying, deduplicating, cutting and capping examples by what they say, never by where they stand.

Knows nothing about files; rows keep their table only to name their place in an error.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dkd_cli.data.examples import Labels, Split, taken
from dkd_cli.data.near_duplicates import group_near_duplicates, normalise
from dkd_cli.data.stratified import ClassesOf, iterative_sides, one_class
from dkd_cli.errors import DataError, RecipeError
from dkd_cli.reading.tables import Table

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
    labels: Labels
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
            taken(self.labels, indices),
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
    ranked: Any = labels
    order = sorted(range(len(keys)), key=lambda row: 0 if ranked is None else ranked[row])
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
    labels: Any = part.labels if part.labels is not None else [0] * len(part)
    kept: dict[tuple[str, Any], int] = {}
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


@dataclass(frozen=True, slots=True)
class Cut:
    """Splits that were cut out of an example set."""

    splits: dict[str, Part]
    """Each in the order of the rows; `rest` is what is left."""
    alike: int
    """Number of examples with a near-duplicate."""
    moved: int
    """Number of examples in `rest` because their class would otherwise be missing there."""


def cut(
    part: Part,
    shares: Mapping[str, float],
    seed: int,
    threshold: float,
    *,
    keep_classes: bool = True,
    classes_of: ClassesOf = one_class,
    stratified: bool = False,
) -> Cut:
    """Cut splits out of an example set by a hash of the text; what is left is `rest`.

    Near-duplicates stay on one side. A group's side follows from its smallest normalised text and the seed,
    so neither the order of the rows nor what other rows there are moves it; but where no example of a class
    would be left in `rest`, the group with one whose hash is nearest to that side is moved there.

    Args:
        part: the examples.
        shares: the share of each split to cut out.
        seed: another one cuts elsewhere.
        threshold: Jaccard similarity from which on two texts are near-duplicates.
        keep_classes: whether `rest` is trained on, so that no class may be missing there.
        classes_of: the classes of a label.
        stratified: each split gets its share of every class, by `stratified.iterative_sides`; sides then
            follow from all the rows, still not from their order.
    """
    texts = [PAIR.join(map(normalise, key.split(PAIR))) for key in part.whole_texts()]
    distinct = sorted(set(texts))
    index = {text: i for i, text in enumerate(distinct)}
    groups = group_near_duplicates(distinct, threshold)
    positions = {group: _position(distinct[group], seed) for group in set(groups)}
    of_rows = [groups[index[text]] for text in texts]
    classes = [classes_of(label) for label in part.labels or ()]
    if stratified and classes:
        every = {**shares, "rest": 1 - sum(shares.values())}
        sides = iterative_sides(of_rows, classes, positions, every)
    else:
        sides = {group: _side(position, shares) for group, position in positions.items()}
    saved = _saved(classes, of_rows, sides, positions) if keep_classes else set()
    sides |= dict.fromkeys(saved, "rest")
    indices: dict[str, list[int]] = {name: [] for name in (*shares, "rest")}
    for i, group in enumerate(of_rows):
        indices[sides[group]].append(i)
    sizes = Counter(of_rows)
    return Cut(
        {name: part.take(chosen) for name, chosen in indices.items()},
        alike=sum(size for size in sizes.values() if size > 1),
        moved=sum(sizes[group] for group in saved),
    )


def _saved(
    classes: Sequence[tuple[int, ...]],
    groups: Sequence[int],
    sides: Mapping[int, str],
    positions: Mapping[int, float],
) -> set[int]:
    """Groups to move to `rest`: for each class that has no example there, the nearest one with an example."""
    of_class: dict[int, set[int]] = {}
    for found, group in zip(classes, groups, strict=False):
        for label in found:
            of_class.setdefault(label, set()).add(group)
    saved: set[int] = set()
    for _, members in sorted(of_class.items()):
        if saved.isdisjoint(members) and all(sides[group] != "rest" for group in members):
            saved.add(max(members, key=lambda group: (positions[group], group)))
    return saved


def _position(text: str, seed: int) -> float:
    return int(_digest(str(seed), text), 16) / 2**64


def _side(position: float, shares: Mapping[str, float]) -> str:
    for name, share in shares.items():
        if position < share:
            return name
        position -= share
    return "rest"


def cap(part: Part, most: int | None, seed: int) -> Part:
    """Keep at most so many examples, chosen by a hash of the text, in the order of the rows."""
    if most is None or len(part) <= most:
        return part
    return part.take(sorted(_by_hash(part, seed)[:most]))


def cap_training(part: Part, most: int | None, seed: int, classes_of: ClassesOf = one_class) -> Part:
    """As `cap`, but keep an example of every class.

    In place of each class that would be lost, the last example goes whose classes all have another one.

    Raises:
        RecipeError: there are more classes than examples to keep.
    """
    classes = [classes_of(label) for label in part.labels or ()]
    known = {label for found in classes for label in found}
    if most is None or len(part) <= most or not known:
        return cap(part, most, seed)
    by_hash = _by_hash(part, seed)
    kept = set(by_hash[:most])
    counts = Counter(label for i in kept for label in classes[i])
    lost = {label: i for i in reversed(by_hash[most:]) for label in classes[i] if label not in counts}
    added = set(lost.values())
    for i in reversed(by_hash[:most]):
        if len(kept) + len(added) == most:
            break
        if all(counts[label] > 1 for label in classes[i]):
            counts.subtract(classes[i])
            kept.remove(i)
    if most < len(known) or len(kept) + len(added) > most:
        problem = f"{most} examples cannot hold {len(known)} classes"
        raise RecipeError("data.max_train", problem, "raise it, or leave it out")
    return part.take(sorted(kept | added))


def _by_hash(part: Part, seed: int) -> list[int]:
    return sorted(range(len(part)), key=lambda i: _digest(str(seed), part.example_ids[i]))
