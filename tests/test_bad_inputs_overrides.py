"""Command lines that are refused: bad inputs 12 to 16, and wrong usage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from command_line import refused


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--set", "train.epochs"], "--set: 'train.epochs' is not `key=value`; write, for example, .+"),
        (["--set", "=3"], "--set: '=3' is not `key=value`; .+"),
        (
            ["-s", "train.epoch=3"],
            r"--set train.epoch: there is no key 'train.epoch'; did you mean `train.epochs`\?",
        ),
        (
            ["-s", "teachers.big.layers=3"],
            "--set teachers.big.layers: .+; the recipe's teachers are: small, large .+",
        ),
        (
            ["-s", "train.epochs=x"],
            r"--set train.epochs: must be a number > 0, not 'x'; .+ default \(5.0\)",
        ),
        (["-s", "train.seed=true"], "--set train.seed: must be a whole number .+, not true; .+"),
        (["-s", "train.seed="], "--set train.seed: must be a whole number .+, but is empty; .+"),
        (["-s", "data.labels=[a"], r"--set data.labels: is not valid YAML \(.+\); .+"),
        (["-s", "strategy.name=dynamic"], r"--set strategy.name: 'dynamic' is not a strategy; .+"),
        (["-s", "teachers={a: {layers: 0}}"], "--set teachers: teachers.a.layers must be .+, not 0; .+"),
        (
            ["-s", "train.seed=1", "-s", "train.seed=1"],
            "--set train.seed: `train.seed` is given twice; give it once",
        ),
        (["-s", "train.seed=1", "--seed", "2"], "--seed: `train.seed` is given twice .+; give it once"),
        (
            ["-s", "output_dir=a", "--output-dir", "b"],
            "--output-dir: `output_dir` is given twice .+; give it once",
        ),
        (
            ["-s", "strategy.name=none", "--strategy", "none"],
            "--strategy: `strategy.name` is given twice .+; .+",
        ),
        (
            ["--strategy", "none", "--strategy", "none"],
            "--strategy: `none` is given more than once; give it once",
        ),
        (["--sweep", "train.seed"], r"--sweep: 'train.seed' is not `key=\[value, value\]`; write, .+"),
        (
            ["--sweep", "train.sed=[1]"],
            r"--sweep train.sed: there is no key 'train.sed'; did you mean `train.seed`\?",
        ),
        (["--sweep", "train.seed=[1, x]"], "--sweep train.seed: must be a whole number .+, not 'x'; .+"),
        (
            ["--sweep", "train.seed=[1, 2]", "--seed", "1,2"],
            r"--seed: `train.seed` is given twice \(also by --sweep train.seed\); give it once",
        ),
        (["--seed", ""], "--seed: is empty; give one seed or several, such as 1,2,3"),
        (["--seed", "1,1"], "--seed: 1 is given more than once; give each seed once"),
        (["--seed", "1,x"], "--seed: 'x' is not a whole number from 0 to 4294967295; .+"),
    ],
)
def test_bad_overrides(words: Sequence[str], line: str, workdir: Path) -> None:
    lines = refused(2, "distill", *words)
    assert len(lines) == 1, lines
    assert list(workdir.iterdir()) == []
    assert re.fullmatch(line, lines[0]), lines


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["distil"], r"dkd: No such command 'distil'.*; see `dkd --help`"),
        (["distill", "--strategi", "none"], r"dkd distill: No such option.+; see `dkd distill --help`"),
        (["evaluate"], r"dkd evaluate: Missing argument.+; see `dkd evaluate --help`"),
        (["select-data", "--seed", "1,2"], "--seed: gives 2 seeds; give one; .+"),
        (
            ["select-data", "--ratio", "0.1", "--count", "3"],
            "--count: contradicts --ratio; give one of the two",
        ),
        (["select-data", "--count", "0"], "--count: must be 1 or more, not 0; .+"),
        (["select-data", "--ratio", "2"], "--ratio: must be a number > 0 and ≤ 1, not 2; .+"),
        (["select-data", "--score", "entrpy"], r"--score: must be one of .+; did you mean `entropy`\?"),
        (["recipes", "show", "glue-rtee"], r"'glue-rtee': .+; did you mean `glue-rte`\?"),
    ],
)
def test_wrong_usage(words: Sequence[str], line: str, workdir: Path) -> None:
    lines = refused(2, *words)
    assert list(workdir.iterdir()) == []
    assert len(lines) == 1
    assert re.fullmatch(line, lines[0]), lines
