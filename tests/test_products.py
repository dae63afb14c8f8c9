"""Rows of a matrix product have the same bits in a batch of any size that teachers are asked in."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dkd_cli.engine.machine.products import on_intel
from dkd_cli.engine.teachers.batches import FEWEST

SCRIPT = """
import torch
from dkd_cli.engine.machine import precision
torch.manual_seed(0)
for inner, outer in ((384, 1536), (1536, 384), (384, 3)):
    rows, weight = torch.randn(1024, inner), torch.randn(outer, inner)
    everything = torch.nn.functional.linear(rows, weight)
    for count in (FEWEST, 13, 16, 63, 64, 128, 192, 193, 512):
        some = torch.nn.functional.linear(rows[:count], weight)
        assert torch.equal(some, everything[:count]), (inner, count)
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_row_has_the_same_bits_among_any_number_of_rows(threads: str) -> None:
    script = SCRIPT.replace("FEWEST", str(FEWEST))
    environment = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**environment, "OMP_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not on_intel(), reason="other processors keep MKL's own kernels, which are faster there")
def test_a_setting_of_the_user_stays() -> None:
    script = "import os; from dkd_cli.engine.machine import precision; print(os.environ['MKL_CBWR'])"
    for given, expected in (({}, "AUTO,STRICT"), ({"MKL_CBWR": "AVX2"}, "AVX2")):
        environment = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"} | given
        found = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert found.stdout.strip() == expected
