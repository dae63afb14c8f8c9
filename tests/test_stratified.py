"""Iterative stratification: every split gets its share of every label, and groups stay together."""

from __future__ import annotations

import random
from collections import Counter

from dkd_cli.data.stratified import iterative_sides


def test_each_split_gets_its_share_of_each_label() -> None:
    chance = random.Random(0)
    rows = [tuple(label for label in range(6) if chance.random() < 0.5 / (label + 1)) for _ in range(600)]
    positions = {row: chance.random() for row in range(600)}
    shares = {"test": 0.1, "validation": 0.2, "rest": 0.7}
    sides = iterative_sides(range(600), rows, positions, shares)
    for label in range(6):
        total = sum(label in found for found in rows)
        for name, share in shares.items():
            found = sum(label in rows[row] and sides[row] == name for row in range(600))
            assert abs(found - share * total) <= 2
    sizes = Counter(sides.values())
    assert all(abs(sizes[name] - share * 600) <= 6 for name, share in shares.items())


def test_rows_of_a_group_stay_together() -> None:
    groups = [row // 3 for row in range(60)]
    positions = {group: group / 20 for group in range(20)}
    sides = iterative_sides(groups, [(0,)] * 60, positions, {"test": 0.5, "rest": 0.5})
    assert set(sides) == set(range(20))
    assert Counter(sides.values()) == {"test": 10, "rest": 10}
