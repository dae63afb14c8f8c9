"""The grid of lengths, threads and batches: every cell is measured, and nothing is left changed."""

from __future__ import annotations

import torch
from test_latency import two

from dkd_cli.evaluation.latency import Contestant
from dkd_cli.evaluation.speed_grid import lengths_up_to, measure_grid, stretched, thread_counts

__all__ = ["two"]


def test_every_cell_is_measured(two: list[Contestant]) -> None:
    before = torch.get_num_threads()
    grids = measure_grid(two, 0.0)
    assert torch.get_num_threads() == before
    assert len(grids) == 2
    for grid in grids:
        assert [(one.tokens, one.threads) for one in grid.lengths] == [
            (16, threads) for threads in thread_counts(two)
        ]
        assert [one.batch_size for one in grid.batches] == [1, 4, 8]
        assert all(0 < one.median_ms <= one.p95_ms and one.runs == 5 for one in grid.lengths)
        assert all(one.examples_per_second > 0 for one in grid.batches)


def test_rows_have_the_length_asked_for(two: list[Contestant]) -> None:
    for tokens in (1, 7, 16):
        row = stretched(two[0].singles[0], tokens)
        assert {value.shape for value in row.values()} == {(1, tokens)}


def test_lengths_end_where_the_model_does() -> None:
    assert [lengths_up_to(most) for most in (8, 16, 128)] == [[8], [16], [16, 32, 64, 128]]
