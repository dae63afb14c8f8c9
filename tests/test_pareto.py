"""The front: nobody on it is beaten, everybody off it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dkd_cli.evaluation.pareto import pareto_front

POINTS = st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=12)


@given(points=POINTS)
def test_members_are_not_dominated_and_others_are(points: list[tuple[int, int, int]]) -> None:
    front = pareto_front(points)
    assert any(front)
    for one, member in zip(points, front, strict=True):
        beaten = any(
            other != one and all(left <= right for left, right in zip(other, one, strict=True))
            for other in points
        )
        assert member != beaten
