"""Chance is not taken for a gain, and a gain is not taken for chance."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dkd_cli.evaluation.resampling import resampled_scores
from dkd_cli.evaluation.significance import LEVEL, Difference, holm, paired_difference

EXAMPLES, SEEDS, TRIALS = 300, 3, 400


def students(
    generator: np.random.Generator, hardness: NDArray[np.float64], skill: float, seeds_differ: float
) -> NDArray[np.int64]:
    """Whether each seed's student is right on each example, [S, N]."""
    own = skill + generator.normal(0, seeds_differ, (SEEDS, 1)) - hardness
    return (generator.logistic(0, 0.5, (SEEDS, len(hardness))) < own).astype(np.int64)


def one_trial(generator: np.random.Generator, gap: float, seeds_differ: float) -> Difference:
    """Compare two strategies on a fresh test set, one of them more skilled by `gap`."""
    hardness = generator.normal(0, 1, EXAMPLES)
    right = np.concatenate([students(generator, hardness, skill, seeds_differ) for skill in (1.0 + gap, 1.0)])
    again = resampled_scores("accuracy", right, np.ones(EXAMPLES), 100, seed=int(generator.integers(2**31)))
    scores = right.mean(axis=1)
    return paired_difference(scores[:SEEDS], scores[SEEDS:], again[:, :SEEDS], again[:, SEEDS:])


def found(gap: float, seeds_differ: float, trials: int = TRIALS) -> float:
    """The share of trials in which there is a difference."""
    generator = np.random.default_rng(0)
    return float(np.mean([one_trial(generator, gap, seeds_differ).p < LEVEL for _ in range(trials)]))


@pytest.mark.parametrize("seeds_differ", [0.0, 0.1, 0.4])
def test_equal_strategies_differ_in_a_twentieth_of_the_trials(seeds_differ: float) -> None:
    """Whether or not seeds differ, of which three, resampled, would show too little."""
    # Three standard errors of a share of 400 trials, and what is known of three seeds: up to 0.08.
    assert 0.01 <= found(0.0, seeds_differ) <= 0.10


def test_power_grows_with_the_gap() -> None:
    powers = [found(gap, 0.1, trials=100) for gap in (0.0, 0.4, 1.2)]
    assert powers == sorted(powers)
    assert powers[0] < 0.15
    assert powers[-1] > 0.95


def test_the_interval_holds_the_true_gain() -> None:
    generator = np.random.default_rng(1)
    # The accuracy that a gap in skill is worth, from many students with many examples each.
    hardness = generator.normal(0, 1, 2000)
    better, plain = (
        np.mean([students(generator, hardness, skill, 0.1).mean() for _ in range(200)])
        for skill in (1.4, 1.0)
    )
    trials = [one_trial(generator, 0.4, 0.1) for _ in range(200)]
    inside = np.mean([trial.low <= better - plain <= trial.high for trial in trials])
    assert inside >= 0.88


def test_seeds_that_disagree_widen_the_interval() -> None:
    again = np.random.default_rng(0).normal(0, 0.001, (500, 3))
    calm, wild = (
        paired_difference(
            np.full(3, 0.8) + spread, np.full(3, 0.7), again + 0.8 + spread, np.full((500, 3), 0.7)
        )
        for spread in (np.array([-0.001, 0, 0.001]), np.array([-0.08, 0, 0.08]))
    )
    assert calm.gain == pytest.approx(wild.gain)
    assert calm.p < LEVEL < wild.p
    assert wild.from_seeds > 0.9 > 0.5 > calm.from_seeds


def test_the_other_way_round_is_the_same_with_its_sign_changed() -> None:
    generator = np.random.default_rng(3)
    ours, theirs = generator.random(3), generator.random(3)
    again = generator.normal(0, 0.01, (2, 300, 3))
    forth = paired_difference(ours, theirs, ours + again[0], theirs + again[1])
    back = paired_difference(theirs, ours, theirs + again[1], ours + again[0])
    assert (forth.gain, forth.low, forth.high) == pytest.approx((-back.gain, -back.high, -back.low))
    assert forth.p == pytest.approx(back.p)


def test_identical_strategies_do_not_differ() -> None:
    same = np.array([0.5, 0.6])
    difference = paired_difference(same, same, np.tile(same, (10, 1)), np.tile(same, (10, 1)))
    assert (difference.gain, difference.p) == (0.0, 1.0)


def test_one_seed_knows_the_examples_alone() -> None:
    again = np.random.default_rng(0).normal(0.8, 0.01, (2000, 1))
    difference = paired_difference(np.array([0.8]), np.array([0.78]), again, np.full((2000, 1), 0.78))
    assert difference.from_seeds == 0.0
    assert (difference.low, difference.high) == pytest.approx((0.0004, 0.0396), abs=0.001)
    assert difference.p == pytest.approx(0.0455, abs=0.005)


def test_resamples_without_a_score_are_left_out() -> None:
    again = np.random.default_rng(0).normal(0.8, 0.01, (100, 2))
    again[7] = np.nan
    difference = paired_difference(np.full(2, 0.8), np.full(2, 0.7), again, np.full((100, 2), 0.7))
    assert np.isfinite([difference.low, difference.high, difference.p]).all()


def test_holm_is_between_nothing_and_bonferroni() -> None:
    ps = [0.2, 0.001, 0.03, 0.03]
    corrected = holm(ps)
    assert all(p <= c <= min(1.0, len(ps) * p) for p, c in zip(ps, corrected, strict=True))
    assert sorted(range(4), key=lambda i: (ps[i], i)) == sorted(range(4), key=lambda i: (corrected[i], i))
    assert holm([0.04]) == [0.04]
    assert holm([]) == []
