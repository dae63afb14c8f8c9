"""Recipes of the strategies that `dkd compare` compares.

A contender is a strategy with all settings to try and all seeds, as ordinary points of a sweep. Knows no data
and no results.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dkd_cli.errors import DkdError, Problems, RecipeError, raise_all
from dkd_cli.recipe.loader import load_points, load_recipe
from dkd_cli.recipe.overrides import Override, Sweep, collect_options, parse_overrides
from dkd_cli.recipe.schema import (
    STRATEGIES,
    Recipe,
    Value,
    decides_teachers,
    has_transfer,
    strategy_parts,
    without_transfer,
)
from dkd_cli.recipe.student_kinds import student_train
from dkd_cli.recipe.written import Place, Written

CONTROL = "random"
"""The name for `dynamic-data` with random selection: the control of every other score."""
LABELLED = "labelled"
"""The word for `static` on the labelled rows alone: the control of what a transfer set brings."""
SELECTING = "dynamic-data"
REFERENCES = ("none", "static")
CONTROLS = {CONTROL: SELECTING, LABELLED: "static"}
"""Each control and the strategy that it is the control of."""

MAX_PASSES = "strategy.max_passes"
FEW_PASSES = 10
"""Passes over the labelled rows that students without the transfer set end after, as a second setting: for as
many updates as the others they go through a few rows so often that they overfit."""

_SCORE, _TRANSFER = "strategy.data.score", "strategy.transfer"
_VARIED = ("strategy.name", "train.seed")
_BUDGET = ("train.epochs", "train.max_steps", _TRANSFER, MAX_PASSES)
_TUNED = ("student.learning_rate", "student.batch_size", "student.warmup", "student.freeze")
"""Settings of the student that leave its size and the rows that it sees as they are."""


@dataclass(frozen=True)
class ComparisonRequest:
    """A comparison as it was typed."""

    reference: str | None
    """A recipe file or bundled name; None: the quickstart."""
    overrides: Sequence[str | Override]
    grid: Sequence[str]
    """`key=[value, value]` items: the settings to try for each strategy."""
    seeds: tuple[int, ...]
    strategies: tuple[str, ...] = ()
    """Empty: all strategies that the recipe allows."""


@dataclass(frozen=True)
class Contender:
    """One strategy and all of its runs."""

    name: str
    points: tuple[Recipe, ...]
    """Every combination of the grid with every seed."""

    @property
    def control(self) -> bool:
        """True if it serves as a reference and is not a candidate for use."""
        return self.name in CONTROLS


@dataclass(frozen=True)
class Contenders:
    """All contenders, and a line on each strategy that is not possible."""

    base: Recipe
    """The recipe with its own settings, which train the teachers."""
    strategies: tuple[Contender, ...]
    notes: tuple[str, ...]


def load_contenders(asked: ComparisonRequest, max_validation: int | None = None) -> Contenders:
    """Load every run of a comparison, each checked like any recipe.

    `none` and `static`, the references, always take part, and with `dynamic-data` its control. Strategies
    that were not requested are left out if the recipe does not allow them.

    Args:
        asked: the command line.
        max_validation: `data.max_validation` of every run, which then appears in the names of their folders.

    Raises:
        RecipeError: or Problems, for the recipe, the grid, or a requested strategy.
    """
    overrides = parse_overrides(asked.overrides)
    _, grid, found = collect_options((), asked.grid)
    raise_all([problem.error() for problem in found] + [_unfit(item) for item in grid if not _free(item.key)])
    swept = load_recipe(asked.reference, overrides).sweep
    others = {key: len(values) for key, values in swept.items() if not _free(key) and key not in _VARIED}
    aside = [f"the recipe's sweep of {key} is left aside" for key, count in others.items() if count > 1]
    # A sweep of one value is a setting like any other, though it names the folders.
    settled = {key for key, count in others.items() if count == 1}
    shared = [] if max_validation is None else [_sweep("data.max_validation", [max_validation])]
    overrides = [one for one in overrides if one.key not in {sweep.key for sweep in shared}]
    [base] = load_points(asked.reference, overrides, shared, keep=settled.__contains__)
    contenders: list[Contender] = []
    for name in _names(asked.strategies, transfer=has_transfer(base.data) and base.strategy.transfer):
        try:
            points = _points(name, asked, overrides, [*grid, *shared], settled)
        except (DkdError, Problems) as error:
            if asked.strategies or name in REFERENCES:
                raise
            first = error.errors[0] if isinstance(error, Problems) else error
            aside.append(f"{name} takes no part: {first.problem}")
            continue
        contenders.append(Contender(name, points))
    drawn = [one.points[0].strategy.data.score == "random" for one in contenders if one.name == SELECTING]
    if any(drawn):
        # The recipe itself selects at random, and a control of the control is meaningless.
        contenders = [one for one in contenders if one.name != CONTROL]
    return Contenders(base, tuple(contenders), tuple(aside))


def _names(asked: Sequence[str], *, transfer: bool) -> list[str]:
    wanted = [",".join(strategy_parts(name)) for name in asked] or list(STRATEGIES)
    others = [name for name in wanted if name not in (*REFERENCES, *CONTROLS)]
    controls = [CONTROL] if SELECTING in others or CONTROL in wanted else []
    controls += [LABELLED] if transfer or LABELLED in wanted else []
    return list(dict.fromkeys([*REFERENCES, *others, *controls]))


def _points(
    name: str,
    asked: ComparisonRequest,
    overrides: Sequence[Override],
    sweeps: Sequence[Sweep],
    settled: Collection[str],
) -> tuple[Recipe, ...]:
    def load() -> list[Recipe]:
        # What makes a contender what it is, whatever the recipe says.
        decided = {sweep.key for sweep in own} - set(_VARIED)
        rest = [one for one in overrides if one.key not in decided]
        kept = [one for one in sweeps if one.key not in decided]
        return load_points(
            asked.reference, rest, [*kept, *own], keep=lambda key: key in settled or _free(key)
        )

    own = [
        _sweep("strategy.name", [CONTROLS.get(name, name)]),
        _sweep("train.seed", asked.seeds),
    ]
    if name == LABELLED:
        own.append(_sweep(_TRANSFER, [False]))
    if name == CONTROL:
        own.append(_sweep(_SCORE, ["random"]))
    points = load()
    if _overfits(name, points[0]):
        passes = max(FEW_PASSES, math.ceil(student_train(without_transfer(points[0])).epochs))
        own.append(_sweep(MAX_PASSES, [passes]))
        points += load()
    return tuple(points)


def _overfits(name: str, point: Recipe) -> bool:
    """Return whether its passes over the labelled rows may be too many: without the transfer set, and unless
    the recipe limits them."""
    alone = not point.strategy.transfer or (name == "none" and not point.data.unlabelled)
    return alone and has_transfer(point.data) and point.strategy.max_passes is None


def _sweep(key: str, values: Sequence[Value]) -> Sweep:
    place = Place({"strategy.name": "--strategy", "train.seed": "--seeds"}.get(key, "dkd compare"), 0)
    return Sweep(key, Written([Written(value, str(value), place) for value in values], "", place))


def _free(key: str) -> bool:
    if decides_teachers(key) or key in (*_VARIED, *_BUDGET):
        return False
    return key in _TUNED or not key.startswith(("data.", "student."))


def _unfit(item: Sweep) -> RecipeError:
    if item.key in _VARIED:
        problem, remedy = "is what a comparison varies by itself", "use --strategy and --seeds"
    elif not decides_teachers(item.key):
        problem, remedy = "would make the budgets unequal", "give it the same value for all with --set"
    else:
        problem, remedy = "decides data or teachers, which all share", "make a comparison for each value"
    return RecipeError(f"--grid {item.key}", problem, remedy)
