"""The classes of a label, and iterative stratification: splits that rare classes all reach.

Knows nothing about texts; a group is a set of rows that must stay together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

ClassesOf = Callable[[Any], tuple[int, ...]]
"""A label -> the ids of its classes (`kinds.Kind.classes_of`)."""


def one_class(label: Any) -> tuple[int, ...]:
    """The class of a label that is one class id; a number has none.

    >>> one_class(3), one_class(0.5)
    ((3,), ())
    """
    return (label,) if isinstance(label, int) else ()


def iterative_sides(
    groups: Sequence[int],
    classes: Sequence[tuple[int, ...]],
    positions: Mapping[int, float],
    shares: Mapping[str, float],
) -> dict[int, str]:
    """Assign groups to splits so that each split gets its share of every class.

    Sechidis et al. (2011), "On the stratification of multi-label data": the class with the fewest groups left
    is dealt out first, each of its groups to the split that lacks most of it; ties go to the split that lacks
    most rows. Groups without a class come last.

    Args:
        groups: of each row, [N].
        classes: the class ids of each row, [N].
        positions: of each group in [0, 1), a hash of its text: the order in which groups are dealt.
        shares: of each split; they sum to 1.

    Returns:
        The split of each group.

    >>> rows = [(0,), (0,), (1,), (1,), (), ()]
    >>> iterative_sides(range(6), rows, {i: i / 6 for i in range(6)}, {"test": 0.5, "rest": 0.5})
    {0: 'test', 1: 'rest', 2: 'test', 3: 'rest', 4: 'test', 5: 'rest'}
    """
    sizes = Counter(groups)
    counts: dict[int, Counter[int]] = {group: Counter() for group in sizes}
    for group, found in zip(groups, classes, strict=True):
        counts[group].update(found)
    order = sorted(sizes, key=lambda group: (positions[group], group))
    totals = Counter(label for found in classes for label in found)
    lacking = {name: {label: share * n for label, n in totals.items()} for name, share in shares.items()}
    room = {name: share * len(groups) for name, share in shares.items()}
    members: dict[int, list[int]] = {label: [] for label in totals}
    for group in order:
        for label in counts[group]:
            members[label].append(group)
    left = {label: len(found) for label, found in members.items()}
    sides: dict[int, str] = {}

    def deal(group: int, side: str) -> None:
        sides[group] = side
        room[side] -= sizes[group]
        for label, count in counts[group].items():
            lacking[side][label] -= count
            left[label] -= 1

    while rest := [label for label in left if left[label]]:
        rarest = min(rest, key=lambda label: (left[label], label))
        for group in members[rarest]:
            if group not in sides:
                deal(group, max(shares, key=lambda name: (lacking[name][rarest], room[name])))
    for group in order:
        if group not in sides:
            deal(group, max(shares, key=lambda name: room[name]))
    return dict(sorted(sides.items()))
