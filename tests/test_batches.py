"""Which rows are read together: each once or more, always padded to the same length, never few."""

from __future__ import annotations

import random

import pytest
import torch
from small import CPU

from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.teachers.batches import FEWEST, LENGTH_STEP, Pass, passes


def test_a_text_is_always_padded_to_the_same_length() -> None:
    dice = random.Random(0)
    lengths = [dice.randint(2, 64) for _ in range(200)]
    padded: dict[int, int | None] = {}
    for _ in range(20):
        rows = dice.sample(range(200), 40)
        found = passes(rows, lengths, 64, CPU)
        assert {row for one in found for row in one.rows} == set(rows)
        for one in found:
            assert len(one.rows) >= FEWEST
            assert one.length is not None
            for row in one.rows:
                assert padded.setdefault(row, one.length) == one.length
                assert lengths[row] <= one.length <= 64


def test_padding_is_there_unless_the_positions_end() -> None:
    lengths = list(range(2, 31))
    for one in passes(list(range(len(lengths))), lengths, 30, CPU):
        own = {lengths[row] for row in one.rows}
        assert one.length is not None
        if max(own) < 24:
            assert max(own) < one.length <= max(own) + LENGTH_STEP
        else:
            assert own == {one.length}, "no place for padding: unpadded, and with none that are shorter"


@pytest.mark.parametrize(("device", "dtype"), [("cuda", torch.float32), ("cpu", torch.bfloat16)])
def test_where_grouping_buys_nothing_all_is_read_at_once(device: str, dtype: torch.dtype) -> None:
    compute = Compute(torch.device(device), dtype, "a test")
    assert passes([3, 1], [5, 9, 9, 60], 64, compute) == [Pass([3, 1], None)]
