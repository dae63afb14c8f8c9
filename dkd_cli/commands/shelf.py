"""The teachers of `dkd distill`: each loaded once for all runs of a command, their answers kept."""

from __future__ import annotations

from collections.abc import Sequence

from dkd_cli.commands.running import Splits, Workshop
from dkd_cli.engine.checkpoints import teacher_source
from dkd_cli.engine.layers import layer_pairs
from dkd_cli.engine.models import LoadedModel, depth, load_classifier
from dkd_cli.engine.precision import Compute
from dkd_cli.engine.strategies import Plan, resolve
from dkd_cli.engine.teachers import Teacher, TeacherBank, check_alignable
from dkd_cli.recipe.schema import Recipe


class Shelf:
    """Teachers by source, loaded once for all runs of a command, their answers kept."""

    def __init__(self, workshop: Workshop, recipes: Sequence[Recipe]) -> None:
        self._workshop = workshop
        # Only those that some run aligns: the others need no layer map, and no memory for hidden states.
        self._aligned = {
            teacher_source(recipe, name)
            for recipe in recipes
            if (plan := resolve(recipe)).hidden_weight > 0
            for name in plan.teachers
        }
        self._teachers: dict[tuple[object, ...], tuple[Teacher, list[int]]] = {}

    def bank(
        self, recipe: Recipe, plan: Plan, student: LoadedModel, splits: Splits, compute: Compute
    ) -> tuple[TeacherBank, dict[str, list[int]]]:
        """The teachers of one run and, for each, the student layers that learn from its hidden states."""
        found = {name: self._teacher(recipe, name, student, splits) for name in plan.teachers}
        bank = TeacherBank({name: teacher for name, (teacher, _) in found.items()}, compute)
        return bank, {name: layers for name, (_, layers) in found.items()}

    def _teacher(
        self, recipe: Recipe, name: str, student: LoadedModel, splits: Splits
    ) -> tuple[Teacher, list[int]]:
        source = teacher_source(recipe, name)
        layer_map = recipe.strategy.objective.layer_map
        key = (source, recipe.teachers[name].labels, recipe.data, recipe.student, recipe.model, layer_map)
        if key not in self._teachers:
            data = self._workshop.data(recipe)
            loaded = load_classifier(
                source, data, labels=recipe.teachers[name].labels, key=f"teachers.{name}"
            )
            own = self._workshop.splits(recipe, loaded.tokenizer)
            depths = depth(student.model), depth(loaded.model)
            pairs = layer_pairs(layer_map, *depths) if source in self._aligned else []
            teacher = Teacher(loaded.model, own.train, own.collator, [layer for _, layer in pairs])
            if pairs:
                check_alignable(student.model, splits.train, teacher, name)
            self._teachers[key] = teacher, [layer for layer, _ in pairs]
        return self._teachers[key]
