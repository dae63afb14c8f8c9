"""Checks of a recipe that take seconds: its data, and the configurations of its models.

Reads no weights and trains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

from dkd_cli.data.examples import TaskData
from dkd_cli.data.metric_names import positive_note
from dkd_cli.engine.method.checks import check_plan
from dkd_cli.engine.models.label_order import label_order
from dkd_cli.engine.models.models import (
    is_at_hand,
    load_config,
    locate_model,
    positions,
    skeleton,
)
from dkd_cli.engine.models.students import pick_layers
from dkd_cli.errors import ModelError, collect, raise_all
from dkd_cli.labelling.setting import resolve_setting
from dkd_cli.pipeline.judging import weights_of_classes
from dkd_cli.pipeline.planned import plan_student, plan_teacher
from dkd_cli.pipeline.readings import read_texts
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.schema import Augment, Recipe
from dkd_cli.recipe.teacher_kinds import kind_of
from dkd_cli.report.terminal import Terminal


@dataclass(frozen=True)
class _Source:
    """A model that a recipe starts from, or takes as a teacher."""

    key: str
    """The recipe's section."""
    name: str
    layers: int | None
    take: str
    labels: tuple[str, ...] | None
    trained: bool
    """Return whether it is a classifier already, whose classes must be the task's."""


def check_recipe(points: Sequence[Recipe], terminal: Terminal) -> None:
    """Read the data of each point of a recipe and the configurations of its models; print what is found.

    Raises:
        Problems, DkdError: all that is wrong, at once.
    """
    with closing(Workshop(terminal, cached=False)) as workshop:
        checked: set[tuple[object, ...]] = set()
        raise_all(collect([partial(_check_point, workshop, point, checked) for point in points]))


def _check_point(workshop: Workshop, recipe: Recipe, checked: set[tuple[object, ...]]) -> None:
    # Copies take a model to make, and follow from the texts.
    recipe = replace(recipe, data=replace(recipe.data, augment=Augment()))
    found: list[TaskData] = []
    problems = collect([lambda: found.append(workshop.data(recipe))])
    data = found[0] if found else None
    if data is not None and (recipe.data, recipe.train.metric) not in checked:
        checked.add((recipe.data, recipe.train.metric))
        metric = data.task.metrics[0]
        note = positive_note(data, [metric])
        workshop.terminal.say(f"  metric: {note or metric}")
    run = plan_student(recipe)
    steps: list[Callable[[], object]] = []
    if data is not None:
        plan = replace(run.plan, output=data.task.kind)
        steps.append(partial(check_plan, plan, recipe.strategy.name, data.outputs))
        if data.splits["train"].labels is not None:
            steps.append(partial(weights_of_classes, recipe.train, data))
        asked = [name for name, teacher in recipe.teachers.items() if teacher.endpoint is not None]
        steps += [partial(resolve_setting, recipe, name, data.label_names or ()) for name in asked]
    for source in _sources(recipe):
        facts = (source, recipe.data)
        if facts not in checked:
            checked.add(facts)
            steps.append(partial(_check_source, workshop.terminal, source, recipe, data, checked))
    raise_all([*problems, *collect(steps)])


def _sources(recipe: Recipe) -> Iterator[_Source]:
    """The models that exist before anything is trained, the student's first."""
    run = plan_student(recipe)
    student, teachers = recipe.student, list(recipe.teachers.values())
    if student.model != "teacher" or not kind_of(teachers[-1]).trained_here:
        yield _Source("student", run.source, student.layers, student.take, None, trained=False)
    for name, teacher in recipe.teachers.items():
        kind, key = kind_of(teacher), f"teachers.{name}"
        if kind.trained_here:
            encoder = plan_teacher(recipe, name).source
            yield _Source(key, encoder, teacher.layers, "first", None, trained=False)
        elif kind.is_model:
            labels = tuple(teacher.labels) if teacher.labels is not None else None
            yield _Source(key, str(teacher.checkpoint), None, "first", labels, trained=True)


def _check_source(
    terminal: Terminal,
    source: _Source,
    recipe: Recipe,
    data: TaskData | None,
    checked: set[tuple[object, ...]],
) -> None:
    """Check a model's layers, length, classes and tokenizer against the recipe and its data.

    Raises:
        ModelError: for what does not fit.
    """
    key, name = source.key, source.name
    locate_model(name, key)
    if not is_at_hand(name):
        terminal.say(f"{key}: {name} is not on this disk, and the hub is out of reach: not checked")
        return
    config = load_config(name, key)
    if source.trained and data is not None:
        label_order(config, data, source.labels, name, key)
    available = int(config.num_hidden_layers)
    if not available and not source.trained:
        raise ModelError(f"{key}.model", f"{name!r} is a static student, without layers", "name an encoder")
    picks = pick_layers(source.take, source.layers, available, key) if available else ()
    longest, length = positions(skeleton(config, name, key)), recipe.data.max_length
    if longest is not None and length > longest:
        problem = f"{length} tokens, but {name!r} has {longest} positions"
        raise ModelError("data.max_length", problem, "lower it")
    limit = "" if longest is None else f", up to {longest} tokens"
    terminal.say(f"{key}: {len(picks)} of the {available} layers of {name}{limit}")
    if data is None or (name, recipe.data) in checked:
        return
    checked.add((name, recipe.data))
    train = data.splits["train"]
    reading = read_texts(train.texts, train.text_pairs, name, key)
    terminal.say(f"  {reading.length_line(length)}")
    hint = reading.language_line()
    if hint is not None:
        terminal.warn(f"{key}: {hint}")
