"""Rules between the keys of a recipe whose types are valid.

All of them can be checked without data, models or hardware.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from dkd_cli.recipe.endpoint_rules import check_endpoints
from dkd_cli.recipe.fields import did_you_mean
from dkd_cli.recipe.hidden_weight import hidden_weight
from dkd_cli.recipe.kind_rules import check_kind
from dkd_cli.recipe.schema import STRATEGIES, Recipe, has_transfer, strategy_parts
from dkd_cli.recipe.teacher_kinds import kind_of
from dkd_cli.recipe.words import KIND_WORDS, score_reads

Broken = tuple[str, str, str]
"""(dotted key, problem, remedy)"""

NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
LONGEST_NAME, LONGEST_PATH = 255, 3500
"""The most bytes of a folder's name on common file systems, and of `output_dir`, which needs room for the
runs below it."""
TakeWord = Literal["first", "last", "even", "random"]
_TAKES: tuple[TakeWord, ...] = ("first", "last", "even", "random")
_LAYER = re.compile(r"\s*([0-9]{1,4})\s*")
_TOKENS = re.compile(r"[1-9][0-9]{0,8}")
_PAIR = re.compile(r"\s*([0-9]{1,4})\s*:\s*([0-9]{1,4})\s*")


def check(recipe: Recipe) -> list[Broken]:
    """Return every rule that the recipe breaks."""
    return [
        *_names(recipe),
        *_data(recipe),
        *check_kind(recipe),
        *_strategy_name(recipe),
        *_teachers(recipe),
        *_teachers_without_weights(recipe),
        *check_endpoints(recipe),
        *_unlabelled(recipe),
        *_transfer(recipe),
        *_selection(recipe),
        *_objective(recipe),
        *_relations(recipe),
        *_layer_map(recipe),
        *_take(recipe),
        *_vocabulary(recipe),
    ]


def parse_layer_map(text: str) -> tuple[tuple[int, int], ...] | Literal["uniform", "last"]:
    """Parse `strategy.objective.layer_map`: a word, or pairs (student layer, teacher layer).

    Raises ValueError with a message for the user.

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


def parse_take(text: str) -> tuple[int, ...] | TakeWord:
    """Parse `student.take`: a word, or the layers to take, where 1 is the lowest.

    Raises ValueError with a message for the user.

    >>> parse_take("1, 3, 6")
    (1, 3, 6)
    """
    for word in _TAKES:
        if text == word:
            return word
    matches = [_LAYER.fullmatch(part) for part in text.split(",")]
    layers = tuple(int(match[1]) for match in matches if match)
    if len(layers) < len(matches) or layers[0] < 1:
        raise ValueError("must be `first`, `last`, `even`, `random` or layers such as `1, 3, 6`")
    if any(lower >= upper for lower, upper in pairwise(layers)):
        raise ValueError("must name each layer once, the lowest first")
    return layers


def parse_vocabulary(text: str) -> int | Literal["used"]:
    """Read `student.vocabulary`: a word, or a number of tokens.

    Raises ValueError with a plain sentence.

    >>> parse_vocabulary("8000")
    8000
    """
    if text == "used":
        return "used"
    if not _TOKENS.fullmatch(text):
        raise ValueError("must be `used` or a number of tokens")
    return int(text)


def valid_name(name: str) -> bool:
    """Return whether a name is valid for a folder inside the output folder."""
    return NAME.fullmatch(name) is not None and name not in (".", "..")


def _names(recipe: Recipe) -> Iterator[Broken]:
    rule = "use 1 to 100 letters, digits, `.`, `_` or `-`"
    if not valid_name(recipe.name):
        yield "name", f"{_quoted(recipe.name)} is not valid as a folder name", rule
    for name in recipe.teachers:
        if not valid_name(name):
            yield f"teachers.{name}", f"{_quoted(name)} is not valid as a folder name", rule
    path = recipe.output_dir.encode(errors="replace")
    if len(path) > LONGEST_PATH or any(len(part) > LONGEST_NAME for part in path.split(b"/")):
        yield "output_dir", f"{_quoted(recipe.output_dir)} is too long for a path", "shorten it"


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
    words = KIND_WORDS[data.kind or "classification"]
    if data.positive is not None and not words.names_positive:
        yield "data.positive", f"names a class, but `kind` is {data.kind}", "remove one of the two"
    if data.labels is None:
        return
    if data.positive is not None and data.positive not in data.labels:
        remedy = did_you_mean(data.positive, data.labels, f"name one of: {', '.join(data.labels)}")
        yield "data.positive", f"{_quoted(data.positive)} is not in `data.labels`", remedy
    if not words.names_labels:
        yield "data.labels", f"names classes, but `kind` is {data.kind}", "remove one of the two"
    if len(data.labels) < 2:
        yield "data.labels", f"names {len(data.labels)} classes", "name two or more, or leave it out"
    for label in sorted({label for label in data.labels if data.labels.count(label) > 1}):
        yield "data.labels", f"names {_quoted(label)} more than once", "give each class one name"


def _transfer(recipe: Recipe) -> Iterator[Broken]:
    if not has_transfer(recipe.data):
        if not recipe.strategy.transfer:
            yield "strategy.transfer", "is false, but `data.transfer` names no texts", "remove it"
        if recipe.strategy.max_passes is not None:
            problem = "is for students without the transfer set, but `data.transfer` names no texts"
            yield "strategy.max_passes", problem, "set train.epochs"
        return
    if recipe.strategy.transfer and recipe.strategy.objective.kd_loss == "decoupled":
        problem = "is `decoupled`, which reads the label, but transfer texts have none"
        yield "strategy.objective.kd_loss", problem, "set it to `kl`"


def _strategy_name(recipe: Recipe) -> Iterator[Broken]:
    key, parts = "strategy.name", strategy_parts(recipe.strategy.name)
    for part in dict.fromkeys(parts):
        if part not in STRATEGIES:
            every = "use " + ", ".join(f"`{name}`" for name in STRATEGIES)
            yield key, f"{_quoted(part)} is not a strategy", did_you_mean(part, STRATEGIES, every)
        if parts.count(part) > 1:
            yield key, f"names `{part}` more than once", "name it once"
    alone = [name for name in ("none", "static") if name in parts]
    if len(set(parts)) > 1 and alone:
        several = " ".join(f"--strategy {name}" for name in dict.fromkeys(parts) if name in STRATEGIES)
        yield (
            key,
            f"joins `{'` and `'.join(alone)}` with another strategy: a comma makes one of dynamic strategies",
            f"name one, or for a run of each repeat the option: {several}",
        )


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
        remedy = "name one" if recipe.data.unlabelled else "name one, or use `none`"
        yield "teachers", f"is empty, but `{recipe.strategy.name}` needs a teacher", remedy
    elif recipe.data.unlabelled and not count:
        problem = "is empty, but without labels `none` learns the predictions of a teacher"
        yield "teachers", problem, "name one, or remove `data.unlabelled`"
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
            yield f"{key}.{name}", f"{_quoted(name)} is not a teacher of this recipe", remedy
    if not any(adoption.weights.values()):
        yield key, "gives every teacher the weight 0", "make one of them positive"


def _teachers_without_weights(recipe: Recipe) -> Iterator[Broken]:
    kinds = {name: kind_of(teacher) for name, teacher in recipe.teachers.items()}
    for name, kind in kinds.items():
        for key in kind.contradicts:
            if getattr(recipe.teachers[name], key) is not None:
                yield f"teachers.{name}.{key}", f"contradicts `{kind.name}`", "remove one of the two"
    last = [*recipe.teachers, ""][len(recipe.teachers) - 1]
    if recipe.student.model == "teacher" and last in kinds and not kinds[last].is_model:
        yield "student.model", f"is `teacher`, but `{last}` is {kinds[last].noun}", "name a model"
    parts = strategy_parts(recipe.strategy.name)
    asked = list(recipe.teachers) if "dynamic-teacher" in parts else [last]
    silent = [name for name in asked if name in kinds and not kinds[name].is_model]
    if parts != ("none",) and silent and _ever(recipe, "hidden_weight"):
        yield (
            f"teachers.{silent[0]}",
            f"is {kinds[silent[0]].noun} and has no hidden states",
            "set `strategy.objective.hidden_weight: 0`, or choose another strategy than `dynamic-objective`",
        )


def _unlabelled(recipe: Recipe) -> Iterator[Broken]:
    if not recipe.data.unlabelled:
        return
    if recipe.data.missing_labels != "refuse":
        problem = f"is `{recipe.data.missing_labels}`, but `data.unlabelled` leaves all labels aside"
        yield "data.missing_labels", problem, "remove one of the two"
    parts, score = strategy_parts(recipe.strategy.name), recipe.strategy.data.score
    if "dynamic-data" in parts and "labels" in score_reads(score):
        problem = f"`{score}` reads the label, but `data.unlabelled` is true"
        yield "strategy.data.score", problem, "choose entropy, margin or confidence"


def _selection(recipe: Recipe) -> Iterator[Broken]:
    selection = recipe.strategy.data
    if "dynamic-data" not in strategy_parts(recipe.strategy.name):
        return
    if selection.backward == "selected" and selection.score == "none":
        problem = "is `selected`, but the score `none` selects everything"
        yield "strategy.data.backward", problem, "choose another score, or set it to `all`"
    elif selection.backward == "selected" and selection.ratio == 1.0:
        problem = "is `selected`, but a `ratio` of 1 selects everything"
        yield "strategy.data.backward", problem, "lower the ratio, or set it to `all`"
    if selection.keep == "weighted" and selection.score == "label-loss-b":
        problem = "is `weighted`, but `label-loss-b` is an order of the examples, without a value to draw by"
        yield "strategy.data.keep", problem, "choose another score, or set it to `top`"
    if selection.scale == "ratio" and selection.backward == "selected":
        problem = "is `ratio`, but with `backward: selected` there is nothing to weigh the selection against"
        yield "strategy.data.scale", problem, "set it to `mean`"


def _ever(recipe: Recipe, weight: Literal["kd_weight", "hidden_weight"]) -> bool:
    """Return whether a term has a positive weight at any time of the run."""
    objective = recipe.strategy.objective
    start = hidden_weight(recipe) if weight == "hidden_weight" else objective.kd_weight
    return start > 0 or bool(getattr(objective.final, weight))


def _objective(recipe: Recipe) -> Iterator[Broken]:
    parts, objective = strategy_parts(recipe.strategy.name), recipe.strategy.objective
    key = "strategy.objective"
    if parts == ("none",):
        return
    if "dynamic-objective" in parts and objective.mode != "fixed":
        names: tuple[Literal["hidden_weight", "kd_weight"], ...] = ("hidden_weight", "kd_weight")
        for name in names:
            if not _ever(recipe, name):
                problem = (
                    "is 0, but `dynamic-objective` shifts weight between the logits and the hidden states"
                )
                yield f"{key}.{name}", problem, "make it positive or use another strategy"
    elif not _ever(recipe, "kd_weight") and not _ever(recipe, "hidden_weight"):
        problem = f"is 0, like `hidden_weight`: `{recipe.strategy.name}` has nothing to distil"
        yield f"{key}.kd_weight", problem, "make one of them positive, or use the strategy `none`"
    yield from _kd_loss(recipe)


def _kd_loss(recipe: Recipe) -> Iterator[Broken]:
    key, objective = "strategy.objective", recipe.strategy.objective
    if objective.standardise and objective.kd_loss == "mse":
        problem = "needs a softmax, and `mse` compares the logits themselves"
        yield f"{key}.standardise", problem, "set `kd_loss: kl`"
    if objective.kd_loss == "decoupled" and recipe.data.unlabelled:
        problem = "is `decoupled`, which reads the label, but `data.unlabelled` is true"
        yield f"{key}.kd_loss", problem, "set it to `kl`"
    parts = {"decoupled": ("target_weight", "others_weight"), "dist": ("inter_weight", "intra_weight")}
    names = parts.get(objective.kd_loss, ())
    if names and not any(getattr(objective, name) for name in names):
        problem = f"is 0, like `{names[1]}`: nothing is left of `{objective.kd_loss}`"
        yield f"{key}.{names[0]}", problem, "make one of them positive"


def _relations(recipe: Recipe) -> Iterator[Broken]:
    key, objective = "strategy.objective", recipe.strategy.objective
    aligns = strategy_parts(recipe.strategy.name) != ("none",) and _ever(recipe, "hidden_weight")
    if objective.hidden_loss != "relations" or not aligns:
        return
    if objective.positions == "first":
        yield f"{key}.positions", "is `first`, but one token has no relations", "set it to `all`"
    if re.search(r"\b0\b", objective.layer_map):
        problem = "names layer 0, but the embedding layer has no attention to compare the `relations` of"
        yield f"{key}.layer_map", problem, "set it to `last`, or to pairs from 1 on"


def _layer_map(recipe: Recipe) -> Iterator[Broken]:
    key = "strategy.objective.layer_map"
    try:
        layer_map = parse_layer_map(recipe.strategy.objective.layer_map)
    except ValueError as error:
        yield key, str(error), "write `student:teacher` pairs, 0 being the embedding layer"
        return
    layers = _student_layers(recipe)
    beyond = [pair[0] for pair in layer_map if isinstance(pair, tuple) and layers and pair[0] > layers]
    if beyond:
        yield key, f"maps student layer {beyond[0]}, but the student has {layers}", f"use 0 to {layers}"


def _take(recipe: Recipe) -> Iterator[Broken]:
    key, layers = "student.take", recipe.student.layers
    try:
        take = parse_take(recipe.student.take)
    except ValueError as error:
        yield key, str(error), "1 is the lowest layer"
        return
    if isinstance(take, tuple) and layers is not None and len(take) != layers:
        yield key, f"names {len(take)} layers, but `layers` is {layers}", "remove one of the two"
    if take in ("last", "even") and layers is None:
        yield key, f"is `{take}`, but `layers` does not say how many", "set `student.layers`"


def _vocabulary(recipe: Recipe) -> Iterator[Broken]:
    if recipe.student.vocabulary is None:
        return
    try:
        parse_vocabulary(recipe.student.vocabulary)
    except ValueError as error:
        yield "student.vocabulary", str(error), "write `used`, a number such as 8000, or remove it"


def _student_layers(recipe: Recipe) -> int | None:
    """The student's number of layers, if the recipe alone determines it."""
    try:
        take = parse_take(recipe.student.take)
    except ValueError:
        return None
    return len(take) if isinstance(take, tuple) else recipe.student.layers


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
