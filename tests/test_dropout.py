"""Dropout from few random bits: the same law as torch's own, by test statistics with stated error rates."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from dkd_cli.engine.training.dropout import LEVELS, CheapDropout, cheap_dropout, dropout

SIGMAS = 5.0
"""A right generator fails such a test once in two million."""
CPU = torch.device("cpu")


def zeros(p: float, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return dropout(torch.ones(shape), p) == 0


@pytest.mark.parametrize("p", [0.1, 0.5, 0.01, 0.9])
def test_as_many_are_dropped_as_there_should_be(p: float) -> None:
    count = 4_000_000
    share = zeros(p, (count,)).double().mean().item()
    assert abs(share - p) < SIGMAS * math.sqrt(p * (1 - p) / count) + 0.5 / LEVELS


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_the_kept_are_scaled_so_that_the_mean_stands(p: float) -> None:
    torch.manual_seed(1)
    out = dropout(torch.ones(1000), p)
    assert out[out > 0].unique().tolist() == [pytest.approx(LEVELS / (LEVELS - round(p * LEVELS)))]
    assert out[out > 0].max().item() == pytest.approx(1 / (1 - p), rel=1e-4)


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 7, 8, 16, 384, 1000])
def test_neighbours_are_dropped_independently(distance: int) -> None:
    p, count = 0.1, 2_000_000
    gone = zeros(p, (count,)).double() - p
    covariance = (gone[:-distance] * gone[distance:]).mean().item()
    assert abs(covariance) < SIGMAS * p * (1 - p) / math.sqrt(count - distance)


def test_calls_are_independent_of_each_other() -> None:
    p, count = 0.1, 2_000_000
    torch.manual_seed(3)
    first, second = ((dropout(torch.ones(count), p) == 0).double() - p for _ in range(2))
    assert abs((first * second).mean().item()) < SIGMAS * p * (1 - p) / math.sqrt(count)


def test_rows_and_columns_are_dropped_alike() -> None:
    """The spread of the counts in rows and columns is the binomial one: chi-squared within five sigmas."""
    p, rows, columns = 0.1, 1000, 1000
    gone = zeros(p, (rows, columns)).double()
    for axis, size in ((0, rows), (1, columns)):
        counts = gone.sum(dim=axis)
        chi2 = ((counts - size * p).square() / (size * p * (1 - p))).sum().item()
        degrees = counts.numel()
        assert abs(chi2 - degrees) < SIGMAS * math.sqrt(2 * degrees)


def test_the_seed_decides_and_is_torchs_own() -> None:
    assert torch.equal(zeros(0.1, (1000,), seed=5), zeros(0.1, (1000,), seed=5))
    assert not torch.equal(zeros(0.1, (1000,), seed=5), zeros(0.1, (1000,), seed=6))
    torch.manual_seed(0)
    dropout(torch.ones(10), 0.1)
    state = torch.get_rng_state()
    expected = dropout(torch.ones(1000), 0.1)
    torch.set_rng_state(state)
    assert torch.equal(dropout(torch.ones(1000), 0.1), expected)


def test_the_gradient_is_that_of_the_mask() -> None:
    values = torch.randn(64, 33, requires_grad=True)
    torch.manual_seed(0)
    out = dropout(values, 0.3)
    out.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad * values.detach(), out.detach())


def test_modules_and_functions_use_it_inside_the_context_only() -> None:
    module, values = torch.nn.Dropout(0.5), torch.ones(1000)
    with CheapDropout():
        torch.manual_seed(0)
        inside = module(values), F.dropout(values, 0.5)
        assert module.eval()(values) is values
    torch.manual_seed(0)
    expected = dropout(values, 0.5), dropout(values, 0.5)
    assert all(torch.equal(a, b) for a, b in zip(inside, expected, strict=True))
    torch.manual_seed(0)
    assert not torch.equal(module.train()(values), expected[0])


def test_gpus_keep_their_own() -> None:
    assert isinstance(cheap_dropout(CPU), CheapDropout)
    assert not isinstance(cheap_dropout(torch.device("cuda")), CheapDropout)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (5, 7), (2, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_shape(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    out = dropout(torch.ones(shape, dtype=dtype), 0.1)
    assert (out.shape, out.dtype) == (torch.Size(shape), dtype)
