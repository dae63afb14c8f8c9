"""The comparison of ways to spend a labelling budget, on answers made up here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.budget import BUDGETS, packed, unpacked
from benchmarks.budget_report import answers_needed, gain, main, read

TEXTS = 500


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Three seeds of two ways; `margin` has at each budget what `random` has at the next one."""
    generator = np.random.default_rng(1)
    path = tmp_path / "task.jsonl"
    with path.open("w", encoding="utf-8") as handle:
        for way, lead in (("random", 0.0), ("margin", 0.1)):
            for seed in (1, 2, 3):
                shares = [0.3 + 0.1 * place + lead for place in range(len(BUDGETS))]
                right = [packed(generator.random(TEXTS) < share) for share in shares]
                record = {"task": "made", "way": way, "seed": seed, "texts": TEXTS, "right": right}
                handle.write(json.dumps(record) + "\n")
    return path


def test_what_is_packed_comes_back() -> None:
    right = np.random.default_rng(0).random(13) < 0.5
    assert (unpacked(packed(right), 13) == right).all()


def test_files_are_read_by_way_and_seed(written: Path) -> None:
    task, ways = read(written)
    assert task == "made"
    assert {way: answers.shape for way, answers in ways.items()} == dict.fromkeys(
        ("random", "margin"), (len(BUDGETS), 3, TEXTS)
    )
    np.testing.assert_allclose(ways["margin"].mean(axis=(1, 2)), np.arange(0.4, 1.0, 0.1), atol=0.03)


def test_a_lead_is_told_from_none(written: Path) -> None:
    _, ways = read(written)
    found = gain(ways["margin"][2], ways["random"][2])
    assert found.low < 0.1 < found.high
    assert found.p < 0.01
    same = gain(ways["random"][2], ways["random"][2])
    assert (same.gain, same.p) == (0, pytest.approx(1))


def test_answers_needed_are_interpolated_in_their_logarithm() -> None:
    accuracy = [0.4, 0.5, 0.6]
    assert answers_needed(accuracy, 0.5) == pytest.approx(BUDGETS[1])
    assert answers_needed(accuracy, 0.2) == BUDGETS[0]
    assert answers_needed(accuracy, 0.7) is None


def test_the_command_prints_a_row_a_budget_and_draws(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(written), "--picture", str(tmp_path / "budget.svg")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(BUDGETS)
    # One budget earlier is half of the answers.
    assert lines[3].startswith("| made | 400 | 0.")
    assert 40 < int(lines[5].split("|")[-2].strip().rstrip("%")) < 60
    assert "<svg" in (tmp_path / "budget.svg").read_text(encoding="utf-8")
