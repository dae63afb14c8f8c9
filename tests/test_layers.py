"""Layer maps: what `uniform` and `last` come to, and pairs that are not there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkd_cli.engine.models.layers import layer_pairs
from dkd_cli.errors import ModelError


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        (6, 12, [(0, 0), (1, 2), (2, 4), (3, 6), (4, 8), (5, 10), (6, 12)]),
        (3, 6, [(0, 0), (1, 2), (2, 4), (3, 6)]),
        (4, 6, [(0, 0), (1, 2), (2, 3), (3, 5), (4, 6)]),
        (2, 2, [(0, 0), (1, 1), (2, 2)]),
        (1, 24, [(0, 0), (1, 24)]),
    ],
)
def test_uniform(student: int, teacher: int, expected: list[tuple[int, int]]) -> None:
    assert layer_pairs("uniform", student, teacher) == expected


@given(student=st.integers(1, 40), deeper=st.integers(0, 40))
def test_uniform_aligns_both_ends_and_never_a_teacher_layer_twice(student: int, deeper: int) -> None:
    pairs = layer_pairs("uniform", student, student + deeper)
    assert pairs[0] == (0, 0)
    assert pairs[-1] == (student, student + deeper)
    assert [own for own, _ in pairs] == list(range(student + 1))
    aligned = [other for _, other in pairs]
    assert aligned == sorted(set(aligned))


def test_last_and_pairs() -> None:
    assert layer_pairs("last", 3, 6) == [(3, 6)]
    assert layer_pairs("0:0, 2:6", 3, 6) == [(0, 0), (2, 6)]


@pytest.mark.parametrize(
    ("layer_map", "student", "teacher", "problem"),
    [
        ("uniform", 6, 4, "a student of 6 layers has no uniform map onto a teacher of 4"),
        ("0:0, 4:6", 3, 6, "the pair 4:6 is beyond"),
        ("3:7", 3, 6, "the pair 3:7 is beyond"),
    ],
)
def test_layers_that_are_not_there(layer_map: str, student: int, teacher: int, problem: str) -> None:
    with pytest.raises(ModelError, match=problem) as caught:
        layer_pairs(layer_map, student, teacher)
    assert caught.value.place == "strategy.objective.layer_map"
