"""Which texts are asked about next: sizes, diversity, uncertainty, near-duplicates, the flat curve."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_rows

from dkd_cli.labelling.chooser import Bags, Vectors, train
from dkd_cli.labelling.rounds import (
    Policy,
    choose_round,
    distinct,
    first_round,
    flat,
    next_round,
    random_round,
    round_sizes,
    scores,
)

TEXTS = [text for text, _ in tiny_rows()]
LABELS = torch.tensor([label == "positive" for _, label in tiny_rows()]).long()
ALL = np.arange(len(TEXTS))


@pytest.fixture(scope="module")
def vectors(tiny_encoder: Path) -> Vectors:
    return Vectors.load(str(tiny_encoder))


@pytest.fixture(scope="module")
def bags(vectors: Vectors) -> Bags:
    return vectors.bags(TEXTS, None, 16)


def test_sizes_double_and_reach_the_total() -> None:
    assert round_sizes(3200, 6) == [100, 100, 200, 400, 800, 1600]
    assert sum(round_sizes(1000, 5)) == 1000


def test_finer_rounds_spend_the_same() -> None:
    sizes = round_sizes(3200, 9, growth=1.41)
    assert sum(sizes) == 3200
    reached = [sum(sizes[: index + 1]) for index in range(9)]
    assert all(1.39 < later / before < 1.43 for before, later in pairwise(reached))


def test_bags_take_and_chunk_as_the_texts_say(
    vectors: Vectors, bags: Bags, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = torch.tensor([5, 0, 119])
    alone = vectors.bags([TEXTS[row] for row in rows.tolist()], None, 16)
    taken = bags.take(rows)
    assert torch.equal(taken.tokens, alone.tokens)
    assert torch.equal(taken.starts, alone.starts)
    whole = vectors.means(bags)
    monkeypatch.setattr("dkd_cli.labelling.chooser.CHUNK", 7)
    assert torch.equal(vectors.means(bags), whole)


def test_the_chooser_learns_in_a_moment_and_to_the_same_bits(vectors: Vectors, bags: Bags) -> None:
    targets = torch.nn.functional.one_hot(LABELS, 2).float()
    first, second = (train(vectors, bags.take(torch.arange(80)), targets[:80], 1) for _ in range(2))
    assert torch.equal(first.table, second.table)
    said = torch.cat(list(first.logits(bags))).argmax(dim=1)
    assert (said == LABELS)[80:].float().mean() > 0.9


def test_a_first_round_is_spread_over_the_clusters(vectors: Vectors) -> None:
    groups = ["alpha beta"] * 3
    texts = (
        [f"film story {i} {i}" for i in range(50)] + [f"river kitchen {i} window" for i in range(5)] + groups
    )
    bags = vectors.bags(texts, None, 16)
    found = first_round(vectors, bags, texts, np.arange(len(texts)), 6, seed=0)
    assert len(set(found.tolist())) == 6
    assert any(50 <= row < 55 for row in found)
    assert sum(row >= 55 for row in found) <= 1  # the copies count once
    again = first_round(vectors, bags, texts, np.arange(len(texts)), 6, seed=0)
    assert found.tolist() == again.tolist()


def test_the_next_round_takes_the_least_sure_and_a_random_part(vectors: Vectors, bags: Bags) -> None:
    targets = torch.nn.functional.one_hot(LABELS, 2).float()
    chooser = train(vectors, bags.take(torch.arange(10)), targets[:10], 1)
    free = ALL[10:]
    settings = {"free": free, "asked": list(range(10)), "count": 20, "seed": 3}
    found = next_round(chooser, bags, TEXTS, select="margin", explore=0.0, **settings)  # type: ignore[arg-type]
    values = scores(chooser, bags, "margin")
    assert set(found.tolist()) == set(free[np.argsort(-values[free], kind="stable")][:20].tolist())
    mixed = next_round(chooser, bags, TEXTS, select="margin", explore=0.5, **settings)  # type: ignore[arg-type]
    assert len(set(mixed.tolist())) == 20
    assert mixed.tolist()[:10] == found.tolist()[:10]


def test_near_duplicates_are_taken_once() -> None:
    texts = [
        "the very same words in a row here",
        "the very same words in a row here!",
        "something else entirely",
    ]
    assert distinct(texts, np.array([0, 1, 2]), [], 2).tolist() == [0, 2]
    assert distinct(texts, np.array([1, 2]), [0], 1).tolist() == [2]
    assert distinct(texts, np.array([0, 1, 2]), [], 3).tolist() == [0, 2, 1]  # too few others are left


@pytest.mark.parametrize(
    ("policy", "trained", "said"),
    [
        (Policy("margin"), False, "diverse"),
        (Policy("margin", diverse=False), False, "random"),
        (Policy("random"), False, "random"),
        (Policy("random"), True, "random"),
        (Policy("entropy"), True, "entropy"),
    ],
)
def test_a_policy_chooses_by_uncertainty_once_there_is_a_chooser(
    vectors: Vectors, bags: Bags, policy: Policy, trained: bool, said: str
) -> None:
    targets = torch.nn.functional.one_hot(LABELS, 2).float()
    chooser = train(vectors, bags.take(torch.arange(10)), targets[:10], 1) if trained else None
    by, rows = choose_round(policy, chooser, vectors, bags, TEXTS, ALL[10:], list(range(10)), 8, 3)
    assert by == said
    assert len(set(rows.tolist())) == 8
    assert min(rows) >= 10


def test_a_random_round_follows_its_seed() -> None:
    first, second, other = (random_round(TEXTS, ALL, [], 20, seed).tolist() for seed in (1, 1, 2))
    assert first == second != other


def test_a_curve_is_flat_when_two_rounds_gain_less_than_its_noise() -> None:
    assert not flat([0.5, 0.6], 100)
    assert flat([0.80, 0.801, 0.802], 1000)
    assert not flat([0.70, 0.75, 0.80], 1000)
    assert not flat([0.80, 0.80, 0.80], 0)
