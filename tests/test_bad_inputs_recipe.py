"""Recipes that are refused: bad inputs 1 to 11, through the command line."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from command_line import refused

START = "name: x\nmodel: m\ndata:\n  source: s\n"


NESTED = "train: " + "[" * 400 + "]" * 400
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)

# (the recipe, the error that must be among those shown)
BAD_RECIPES: list[tuple[str | bytes, str]] = [
    ("", r":1: is empty; start from a copy: dkd recipes copy quickstart"),
    ("# nothing\n", r":1: is empty; .+"),
    ("- name: x\n", r":1: is a list, not keys with values; .+"),
    ("quickstart\n", r":1: is one value, not keys with values; .+"),
    (
        START + "train: [1\nseed: 2\n",
        r":\d: is not valid YAML \(.+\); check indentation, quotes and brackets",
    ),
    ("name: x\n\tmodel: m\n", r":2: a tab is used for indentation; indent with spaces"),
    ("name: x\n---\nname: y\n", r":2: is not valid YAML \(.+\); .+"),
    (b"name: x\nmodel: caf\xe9\n", r":2: byte 0xe9 is not UTF-8; save the file as UTF-8"),
    (START.encode("utf-16"), r":1: byte 0xff is not UTF-8; .+"),
    ("name: x\nmodel: a\0b\n", r":2: holds the control character U\+0000; save it as plain UTF-8 text"),
    (START + "name: y\n", r":5: the key 'name' occurs twice \(first in line 1\); keep one of them"),
    (START + "  source: t\n", r":5: the key 'source' occurs twice \(first in line 4\); .+"),
    (START + "train:\n  epoch: 3\n", r":6: unknown key 'train.epoch'; did you mean `epochs`\?"),
    (START + "strategie: {}\n", r":5: unknown key 'strategie'; did you mean `strategy`\?"),
    (
        START + "teachers: {a: {layer: 3}}\n",
        r":5: unknown key 'teachers.a.layer'; did you mean `layers`\?",
    ),
    (START + "train:\n  seed: true\n", r":6: train.seed must be a whole number .+, not true; .+"),
    (START + "train:\n  epochs: three\n", r":6: train.epochs must be a number > 0, not 'three'; .+"),
    (
        START + "train:\n  batch_size: 3.5\n",
        r":6: train.batch_size must be a whole number ≥ 1, not 3.5; .+",
    ),
    (
        START + "strategy: {teacher: {mode: static, weights: {large: {x: 1}}}}\n",
        r":5: strategy.teacher.weights.large must be a number ≥ 0, not a section of keys; change it",
    ),
    (START + "train: 3\n", r":5: train must be a section of keys, not 3; .+"),
    (START + "train:\n  epochs: 0\n", r":6: train.epochs must be a number > 0, not 0; .+ default \(5.0\)"),
    (
        START + "train: {learning_rate: -1e-5}\n",
        r":5: train.learning_rate must be a number > 0, or null, not -1e-5; .+",
    ),
    (START + "train: {warmup: .nan}\n", r":5: train.warmup must be a number ≥ 0 and < 1, not '.nan'; .+"),
    (
        START + "train: {weight_decay: .inf}\n",
        r":5: train.weight_decay must be a number ≥ 0, not '.inf'; .+",
    ),
    (START + "train: {weight_decay: 1e999}\n", r":5: train.weight_decay must be .+, not '1e999'; .+"),
    (
        START + "strategy:\n  data: {ratio: 1.5}\n  objective:\n    temperature: 0\n",
        r":8: strategy.objective.temperature must be a number > 0, not 0; .+",
    ),
    (
        START + "strategy:\n  data: {ratio: 0}\n",
        r":6: strategy.data.ratio must be a number > 0 and ≤ 1, not 0; .+",
    ),
    (
        START + "strategy: {data: {score: entrpy}}\n",
        r":5: strategy.data.score must be .+ did you mean `entropy`\?",
    ),
    (
        START + "strategy:\n  name: dynamic-teacher\n",
        r":6: strategy.name `dynamic-teacher` chooses between teachers, but the recipe has one; add .+",
    ),
    (
        START + "strategy:\n  name: none,static\n",
        r":6: strategy.name joins `none` and `static` with another strategy: .+; .+ --strategy static",
    ),
    (
        START + "strategy:\n  objective:\n    kd_weight: 0\n    hidden_weight: 0\n",
        r":7: strategy.objective.kd_weight is 0, like `hidden_weight`: `static` has nothing to distil; .+",
    ),
    (
        START + "sweep:\n  train.sed: [1, 2]\n",
        r":6: there is no key 'train.sed'; did you mean `train.seed`\?",
    ),
    (
        START + "sweep:\n  train.epochs: [1, 0]\n",
        r":6: train.epochs must be a number > 0, not 0; change it",
    ),
    (BOMB, r":\d: holds far too many values; write the values out"),
    ("a: &a [*a]\n", r":1: holds far too many values; .+"),
    (NESTED, r":1: is nested deeper than 20 levels; no recipe needs that"),
    ("a" * 200_001, r":1: is longer than 200000 characters; .+"),
]


@pytest.mark.parametrize(("recipe", "line"), BAD_RECIPES)
def test_bad_recipes(recipe: str | bytes, line: str, tmp_path: Path, workdir: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(recipe if isinstance(recipe, bytes) else recipe.encode())
    for words in (["recipes", "check", str(path)], ["distill", str(path)]):
        lines = refused(2, *words, beside=tmp_path)
        assert list(workdir.iterdir()) == []
        assert any(re.fullmatch(re.escape(str(path)) + line, found) for found in lines), lines


def test_missing_or_unreadable(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.yaml")
    assert refused(2, "distill", missing) == [
        f"{missing}: no such file; check the path, or see `dkd recipes list` for the bundled recipes"
    ]
    assert refused(2, "distill", "quikstart") == [
        "'quikstart': there is no such file and no bundled recipe of that name; did you mean `quickstart`?"
    ]
    assert refused(2, "distill", "a\0b.yaml")[0].endswith("check the path and its permissions")
    locked = tmp_path / "locked.yaml"
    locked.write_text(START, encoding="utf-8")
    locked.chmod(0)
    if not os.access(locked, os.R_OK):
        assert refused(2, "distill", str(locked))[0].startswith(
            f"{locked}: cannot be read (Permission denied); "
        )


def test_a_directory(tmp_path: Path) -> None:
    assert refused(2, "distill", str(tmp_path)) == [
        f"{tmp_path}: is a directory; name a recipe file inside it"
    ]
