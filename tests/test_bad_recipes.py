"""Recipes and overrides that are refused: bad inputs 1 to 16, through the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dkd_cli.cli import run

START = "name: x\nmodel: m\ndata:\n  source: s\n"


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """`refused(*words)`: the lines on stderr of a command that must fail with exit code 2."""

    def check(*words: str) -> list[str]:
        with pytest.raises(SystemExit) as caught:
            run(words)
        assert caught.value.code == 2
        out, err = capsys.readouterr()
        assert out == ""
        lines = err.splitlines()
        assert all(re.fullmatch(r"dkd: error: \S.*: .+; .+", line) for line in lines), lines
        return [line.removeprefix("dkd: error: ") for line in lines]

    return check


NESTED = "train: " + "[" * 400 + "]" * 400
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)

# (number of the case, the recipe, the error that must be among those shown)
BAD_RECIPES: list[tuple[int, str | bytes, str]] = [
    (3, "", r":1: is empty; start from a copy: dkd recipes copy quickstart"),
    (3, "# nothing\n", r":1: is empty; .+"),
    (3, "- name: x\n", r":1: is a list, not keys with values; .+"),
    (3, "quickstart\n", r":1: is one value, not keys with values; .+"),
    (
        4,
        START + "train: [1\nseed: 2\n",
        r":\d: is not valid YAML \(.+\); check indentation, quotes and brackets",
    ),
    (4, "name: x\n\tmodel: m\n", r":2: a tab stands where spaces belong; indent with spaces"),
    (4, "name: x\n---\nname: y\n", r":2: is not valid YAML \(.+\); .+"),
    (5, b"name: x\nmodel: caf\xe9\n", r":2: byte 0xe9 is not UTF-8; save the file as UTF-8"),
    (5, START.encode("utf-16"), r":1: byte 0xff is not UTF-8; .+"),
    (5, "name: x\nmodel: a\0b\n", r":2: holds the control character U\+0000; save it as plain UTF-8 text"),
    (6, START + "name: y\n", r":5: the key 'name' stands twice \(first in line 1\); keep one of them"),
    (6, START + "  source: t\n", r":5: the key 'source' stands twice \(first in line 4\); .+"),
    (7, START + "train:\n  epoch: 3\n", r":6: unknown key 'train.epoch'; did you mean `epochs`\?"),
    (7, START + "strategie: {}\n", r":5: unknown key 'strategie'; did you mean `strategy`\?"),
    (
        7,
        START + "teachers: {a: {layer: 3}}\n",
        r":5: unknown key 'teachers.a.layer'; did you mean `layers`\?",
    ),
    (8, START + "train:\n  seed: true\n", r":6: train.seed must be a whole number .+, not true; .+"),
    (8, START + "train:\n  epochs: three\n", r":6: train.epochs must be a number > 0, not 'three'; .+"),
    (
        8,
        START + "train:\n  batch_size: 3.5\n",
        r":6: train.batch_size must be a whole number ≥ 1, not 3.5; .+",
    ),
    (8, START + "train: 3\n", r":5: train must be a section of keys, not 3; .+"),
    (9, START + "train:\n  epochs: 0\n", r":6: train.epochs must be a number > 0, not 0; .+ default \(3.0\)"),
    (
        9,
        START + "train: {learning_rate: -1e-5}\n",
        r":5: train.learning_rate must be a number > 0, not -1e-5; .+",
    ),
    (9, START + "train: {warmup: .nan}\n", r":5: train.warmup must be a number ≥ 0 and < 1, not '.nan'; .+"),
    (
        9,
        START + "train: {weight_decay: .inf}\n",
        r":5: train.weight_decay must be a number ≥ 0, not '.inf'; .+",
    ),
    (9, START + "train: {weight_decay: 1e999}\n", r":5: train.weight_decay must be .+, not '1e999'; .+"),
    (
        9,
        START + "strategy:\n  data: {ratio: 1.5}\n  objective:\n    temperature: 0\n",
        r":8: strategy.objective.temperature must be a number > 0, not 0; .+",
    ),
    (
        9,
        START + "strategy:\n  data: {ratio: 0}\n",
        r":6: strategy.data.ratio must be a number > 0 and ≤ 1, not 0; .+",
    ),
    (
        9,
        START + "strategy: {data: {score: entrpy}}\n",
        r":5: strategy.data.score must be .+ did you mean `entropy`\?",
    ),
    (
        10,
        START + "strategy:\n  name: dynamic-teacher\n",
        r":6: strategy.name `dynamic-teacher` chooses between teachers, but the recipe has one; add .+",
    ),
    (
        10,
        START + "strategy:\n  name: none,static\n",
        r":6: strategy.name joins `none` with another strategy; .+",
    ),
    (
        10,
        START + "strategy:\n  objective:\n    kd_weight: 0\n",
        r":7: strategy.objective.kd_weight is 0, like `hidden_weight`: `static` has nothing to distil; .+",
    ),
    (
        7,
        START + "sweep:\n  train.sed: [1, 2]\n",
        r":6: there is no key 'train.sed'; did you mean `train.seed`\?",
    ),
    (
        9,
        START + "sweep:\n  train.epochs: [1, 0]\n",
        r":6: train.epochs must be a number > 0, not 0; change it",
    ),
    (11, BOMB, r":\d: holds far too many values; write the values out"),
    (11, "a: &a [*a]\n", r":1: holds far too many values; .+"),
    (11, NESTED, r":1: is nested deeper than 20 levels; no recipe needs that"),
    (11, "a" * 200_001, r":1: is longer than 200000 characters; .+"),
]


@pytest.mark.parametrize(("number", "recipe", "line"), BAD_RECIPES)
def test_bad_recipes(
    number: int,
    recipe: str | bytes,
    line: str,
    tmp_path: Path,
    refused: Callable[..., list[str]],
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(recipe if isinstance(recipe, bytes) else recipe.encode())
    for words in (["recipes", "check", str(path)], ["distill", str(path)]):
        lines = refused(*words)
        assert any(re.fullmatch(re.escape(str(path)) + line, found) for found in lines), (number, lines)


def test_1_missing_or_unreadable(tmp_path: Path, refused: Callable[..., list[str]]) -> None:
    missing = str(tmp_path / "none.yaml")
    assert refused("distill", missing) == [
        f"{missing}: no such file; check the path, or see `dkd recipes list` for the bundled recipes"
    ]
    assert refused("distill", "quikstart") == [
        "'quikstart': there is no such file and no bundled recipe of that name; did you mean `quickstart`?"
    ]
    assert refused("distill", "a\0b.yaml")[0].endswith("check the path and its permissions")
    locked = tmp_path / "locked.yaml"
    locked.write_text(START, encoding="utf-8")
    locked.chmod(0)
    if not os.access(locked, os.R_OK):
        assert refused("distill", str(locked))[0].startswith(
            f"{locked}: cannot be read (Permission denied); "
        )


def test_2_a_directory(tmp_path: Path, refused: Callable[..., list[str]]) -> None:
    assert refused("distill", str(tmp_path)) == [f"{tmp_path}: is a directory; name a recipe file inside it"]


@pytest.mark.parametrize(
    ("number", "words", "line"),
    [
        (12, ["--set", "train.epochs"], "--set: 'train.epochs' is no `key=value`; write, for example, .+"),
        (12, ["--set", "=3"], "--set: '=3' is no `key=value`; .+"),
        (
            13,
            ["-s", "train.epoch=3"],
            r"--set train.epoch: there is no key 'train.epoch'; did you mean `train.epochs`\?",
        ),
        (
            13,
            ["-s", "teachers.big.layers=3"],
            "--set teachers.big.layers: .+; the recipe's teachers are: small, large .+",
        ),
        (
            14,
            ["-s", "train.epochs=x"],
            r"--set train.epochs: must be a number > 0, not 'x'; .+ default \(3.0\)",
        ),
        (14, ["-s", "train.seed=true"], "--set train.seed: must be a whole number .+, not true; .+"),
        (14, ["-s", "train.seed="], "--set train.seed: must be a whole number .+, but is empty; .+"),
        (14, ["-s", "data.labels=[a"], r"--set data.labels: is not valid YAML \(.+\); .+"),
        (14, ["-s", "strategy.name=dynamic"], r"--set strategy.name: 'dynamic' is no strategy; .+"),
        (14, ["-s", "teachers={a: {layers: 0}}"], "--set teachers: teachers.a.layers must be .+, not 0; .+"),
        (
            15,
            ["-s", "train.seed=1", "-s", "train.seed=1"],
            "--set train.seed: `train.seed` is given twice; give it once",
        ),
        (15, ["-s", "train.seed=1", "--seed", "2"], "--seed: `train.seed` is given twice .+; give it once"),
        (
            15,
            ["-s", "output_dir=a", "--output-dir", "b"],
            "--output-dir: `output_dir` is given twice .+; give it once",
        ),
        (
            15,
            ["-s", "strategy.name=none", "--strategy", "none"],
            "--strategy: `strategy.name` is given twice .+; .+",
        ),
        (
            15,
            ["--strategy", "none", "--strategy", "none"],
            "--strategy: `none` is given more than once; give it once",
        ),
        (12, ["--sweep", "train.seed"], r"--sweep: 'train.seed' is no `key=\[value, value\]`; write, .+"),
        (
            13,
            ["--sweep", "train.sed=[1]"],
            r"--sweep train.sed: there is no key 'train.sed'; did you mean `train.seed`\?",
        ),
        (14, ["--sweep", "train.seed=[1, x]"], "--sweep train.seed: must be a whole number .+, not 'x'; .+"),
        (
            15,
            ["--sweep", "train.seed=[1, 2]", "--seed", "1,2"],
            r"--seed: `train.seed` is given twice \(also by --sweep train.seed\); give it once",
        ),
        (16, ["--seed", ""], "--seed: is empty; give one seed or several, such as 1,2,3"),
        (16, ["--seed", "1,1"], "--seed: 1 is given more than once; give each seed once"),
        (16, ["--seed", "1,x"], "--seed: 'x' is no whole number from 0 to 4294967295; .+"),
    ],
)
def test_bad_overrides(
    number: int, words: Sequence[str], line: str, refused: Callable[..., list[str]]
) -> None:
    lines = refused("distill", *words)
    assert len(lines) == 1, number
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
def test_wrong_usage(words: Sequence[str], line: str, refused: Callable[..., list[str]]) -> None:
    lines = refused(*words)
    assert len(lines) == 1
    assert re.fullmatch(line, lines[0]), lines
