"""What must hold between the keys of a recipe whose types are right.

Everything here can be known without the data, the models or the machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from dkd_cli.recipe.fields import did_you_mean
from dkd_cli.recipe.schema import STRATEGIES, Recipe, strategy_parts

Broken = tuple[str, str, str]
"""(dotted key, problem, remedy)"""

NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_PAIR = re.compile(r"\s*([0-9]{1,4})\s*:\s*([0-9]{1,4})\s*")


def check(recipe: Recipe) -> list[Broken]:
    """Every rule that the recipe breaks."""
    return [
        *_names(recipe),
        *_data(recipe),
        *_strategy_name(recipe),
        *_teachers(recipe),
        *_objective(recipe),
        *_layer_map(recipe),
    ]


def parse_layer_map(text: str) -> tuple[tuple[int, int], ...] | Literal["uniform", "last"]:
    """Read `strategy.objective.layer_map`: a word, or pairs (student layer, teacher layer).

    Raises ValueError with a plain sentence.

    >>> parse_layer_map("0:0, 1:2")
    ((0, 0), (1, 2))
    """
    if text == "uniform":
        return "uniform"
    if text == "last":
        return "last"
    matches = [_PAIR.fullmatch(part) for part in text.split(",")]
    pairs = tuple((int(match[1]), int(match[2])) for match in matches if match)
    if len(pairs) < len(matches):
        raise ValueError("must be `uniform`, `last` or pairs such as `0:0, 1:2`")
    students = [student for student, _ in pairs]
    repeated = sorted({layer for layer in students if students.count(layer) > 1})
    if repeated:
        raise ValueError(f"maps student layer {repeated[0]} more than once")
    return pairs


def valid_name(name: str) -> bool:
    """Whether a name may become a folder: nothing that leaves the output folder."""
    return NAME.fullmatch(name) is not None and name not in (".", "..")


def _names(recipe: Recipe) -> Iterator[Broken]:
    rule = "use 1 to 100 letters, digits, `.`, `_` or `-`"
    if not valid_name(recipe.name):
        yield "name", f"{_quoted(recipe.name)} cannot name a folder", rule
    for name in recipe.teachers:
        if not valid_name(name):
            yield f"teachers.{name}", f"{_quoted(name)} cannot name a folder", rule


def _data(recipe: Recipe) -> Iterator[Broken]:
    data = recipe.data
    if data.source is None and data.train is None:
        yield "data", "has neither `source` nor `train`", "name a data set or a file in `data.source`"
    if data.text is not None and data.text == data.text_pair:
        yield "data.text_pair", f"is the same column as `text`, {_quoted(data.text)}", "name the second text"
    if data.label is not None and data.label in (data.text, data.text_pair):
        yield "data.label", f"is a text column, {_quoted(data.label)}", "name the column with the label"
    if data.validation_share + data.test_share >= 1:
        total = data.validation_share + data.test_share
        yield (
            "data.validation_share",
            f"makes {total:g} together with `test_share`, which leaves nothing to train on",
            "make their sum less than 1",
        )
    if data.labels is None:
        return
    if data.kind == "regression":
        yield "data.labels", "names classes, but `kind` is regression", "remove one of the two"
    if len(data.labels) < 2:
        yield "data.labels", f"names {len(data.labels)} classes", "name two or more, or leave it out"
    for label in sorted({label for label in data.labels if data.labels.count(label) > 1}):
        yield "data.labels", f"names {_quoted(label)} more than once", "give each class one name"


def _strategy_name(recipe: Recipe) -> Iterator[Broken]:
    key, parts = "strategy.name", strategy_parts(recipe.strategy.name)
    for part in dict.fromkeys(parts):
        if part not in STRATEGIES:
            every = "use " + ", ".join(f"`{name}`" for name in STRATEGIES)
            yield key, f"{_quoted(part)} is no strategy", did_you_mean(part, STRATEGIES, every)
        if parts.count(part) > 1:
            yield key, f"names `{part}` more than once", "name it once"
    if len(set(parts)) > 1:
        for alone in ("none", "static"):
            if alone in parts:
                yield key, f"joins `{alone}` with another strategy", f"use `{alone}` alone or leave it out"


def _teachers(recipe: Recipe) -> Iterator[Broken]:
    parts, adoption = strategy_parts(recipe.strategy.name), recipe.strategy.teacher
    count = len(recipe.teachers)
    if "dynamic-teacher" in parts and count < 2:
        number = "one" if count else "none"
        yield (
            "strategy.name",
            f"`dynamic-teacher` chooses between teachers, but the recipe has {number}",
            "add a second one under `teachers`",
        )
    elif parts != ("none",) and not count:
        yield "teachers", f"is empty, but `{recipe.strategy.name}` needs a teacher", "name one, or use `none`"
    if recipe.student.model == "teacher" and not count:
        yield "student.model", "is `teacher`, but the recipe has none", "name a model"
    if adoption.weights is None:
        return
    key = "strategy.teacher.weights"
    if adoption.mode != "static":
        yield (
            key,
            f"contradicts the mode `{adoption.mode}`",
            "set `strategy.teacher.mode: static` or remove it",
        )
    for name in adoption.weights:
        if name not in recipe.teachers:
            known = ", ".join(recipe.teachers) or "none"
            remedy = did_you_mean(name, recipe.teachers, f"the recipe's teachers: {known}")
            yield f"{key}.{name}", f"{_quoted(name)} is no teacher of this recipe", remedy
    if not any(adoption.weights.values()):
        yield key, "gives every teacher the weight 0", "make one of them positive"


def _objective(recipe: Recipe) -> Iterator[Broken]:
    parts, objective = strategy_parts(recipe.strategy.name), recipe.strategy.objective
    key = "strategy.objective"
    if parts == ("none",):
        return
    dynamic = "dynamic-objective" in parts
    hidden_weight = objective.hidden_weight
    if hidden_weight is None:
        hidden_weight = 1.0 if dynamic else 0.0
    if dynamic and objective.mode != "fixed":
        for name, weight in (("hidden_weight", hidden_weight), ("kd_weight", objective.kd_weight)):
            if weight == 0:
                problem = (
                    "is 0, but `dynamic-objective` shifts weight between the logits and the hidden states"
                )
                yield f"{key}.{name}", problem, "make it positive or use another strategy"
    elif objective.kd_weight == 0 and hidden_weight == 0:
        problem = f"is 0, like `hidden_weight`: `{recipe.strategy.name}` has nothing to distil"
        yield f"{key}.kd_weight", problem, "make one of them positive, or use the strategy `none`"


def _layer_map(recipe: Recipe) -> Iterator[Broken]:
    key = "strategy.objective.layer_map"
    try:
        layer_map = parse_layer_map(recipe.strategy.objective.layer_map)
    except ValueError as error:
        yield key, str(error), "write `student:teacher` pairs, 0 being the embedding layer"
        return
    layers = recipe.student.layers
    beyond = [pair[0] for pair in layer_map if isinstance(pair, tuple) and layers and pair[0] > layers]
    if beyond:
        yield key, f"maps student layer {beyond[0]}, but the student has {layers}", f"use 0 to {layers}"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
