"""The teachers of `dkd distill`: each loaded once for all runs of a command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dkd_cli.data.encoding import EncodedSplit
from dkd_cli.data.probabilities import read_probabilities
from dkd_cli.engine.cache.fingerprint import fingerprint
from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.method.strategies import Plan, resolve
from dkd_cli.engine.models.attention import check_heads, places, show_attention
from dkd_cli.engine.models.inference import predict_logits
from dkd_cli.engine.models.layers import layer_pairs
from dkd_cli.engine.models.models import LoadedModel, check_fit, depth, label_order, load_classifier
from dkd_cli.engine.runs.checkpoints import teacher_source
from dkd_cli.engine.teachers.alignment import Projection, check_alignable, make_projections
from dkd_cli.engine.teachers.bank import Cached, Recorded, Teacher, TeacherBank, probability_logits
from dkd_cli.errors import RecipeError
from dkd_cli.pipeline.workshop import Splits, Workshop
from dkd_cli.recipe.schema import Recipe

Key = tuple[object, ...]


@dataclass(frozen=True)
class Shelved:
    """A teacher that is a model."""

    teacher: Teacher
    student_layers: list[int]
    """Those that learn from its hidden states."""
    validation: EncodedSplit
    """In its own tokens."""


class LoadedTeachers:
    """Teachers by what decides their answers, loaded once for all runs of a command.

    Args:
        workshop: gives data, terminal and cache.
        recipes: all that will ask.
    """

    def __init__(self, workshop: Workshop, recipes: Sequence[Recipe]) -> None:
        self._workshop = workshop
        # Only those that some run aligns: the others need no layer map, and no memory for hidden states.
        self._aligned = {
            _meeting(recipe, name)
            for recipe in recipes
            if (plan := resolve(recipe)).aligns
            for name in plan.teachers
        }
        self._models: dict[Key, Shelved] = {}
        self._files: dict[Key, Recorded] = {}

    def bank(
        self, recipe: Recipe, plan: Plan, student: LoadedModel, splits: Splits, compute: Compute
    ) -> tuple[TeacherBank, dict[str, list[int]], dict[str, Projection]]:
        """The teachers of one run.

        Returns:
            The bank; for each teacher that is a model the student layers that learn from its hidden states;
            untrained projections to those that are aligned and have another width.
        """
        found: dict[str, Teacher | Recorded] = {}
        layers: dict[str, list[int]] = {}
        for name in plan.teachers:
            if recipe.teachers[name].probabilities is not None:
                found[name] = self._file(recipe, name)
            else:
                shelved = self._model(recipe, name, student, splits)
                found[name], layers[name] = shelved.teacher, shelved.student_layers
        bank = TeacherBank(found, compute)
        if not plan.aligns or plan.relates:  # relations have no width
            return bank, layers, {}
        models = {name: teacher for name, teacher in found.items() if isinstance(teacher, Teacher)}
        return bank, layers, make_projections(student.model, models, recipe.train.seed, compute)

    def validation_answers(
        self, recipe: Recipe, plan: Plan, student: LoadedModel, splits: Splits
    ) -> torch.Tensor:
        """What the largest teacher of the run says of the validation split: logits, [N, C]."""
        name = plan.teachers[-1]
        if recipe.teachers[name].probabilities is not None:
            return self._recorded(recipe, name, "validation")
        shelved = self._model(recipe, name, student, splits)
        return predict_logits(
            shelved.teacher.model,
            shelved.validation,
            shelved.teacher.collator,
            batch_size=recipe.train.eval_batch_size,
            precision=recipe.train.precision,
        )

    def _model(self, recipe: Recipe, name: str, student: LoadedModel, splits: Splits) -> Shelved:
        meeting = _meeting(recipe, name)
        key = meeting if meeting in self._aligned else _answers(recipe, name)
        if key not in self._models:
            objective = recipe.strategy.objective
            source, labels = teacher_source(recipe, name), recipe.teachers[name].labels
            data = self._workshop.data(recipe)
            loaded = load_classifier(source, data, labels=labels, key=f"teachers.{name}")
            own = self._workshop.splits(recipe, loaded.tokenizer)
            check_fit(loaded.model, (own.train,), recipe.data.max_length, f"teachers.{name}")
            depths = depth(student.model), depth(loaded.model)
            pairs = layer_pairs(objective.layer_map, *depths) if key == meeting else []
            shown = "hidden states"
            if pairs and objective.hidden_loss == "relations":
                check_heads(
                    objective.relation_heads,
                    (student.model.config.hidden_size, loaded.model.config.hidden_size),
                )
                show_attention(loaded.model, f"teachers.{name}")
                pairs, shown = places(pairs), "queries, keys and values"
            wanted = [layer for _, layer in pairs]
            cached, cache = None, self._workshop.cache
            if cache is not None:
                order = label_order(loaded.model.config, data, labels, source, f"teachers.{name}")
                facts = fingerprint(loaded.model, source, f"teachers.{name}", order, cache)
                cached = Cached(cache, _called(source), facts)
            teacher = Teacher(
                loaded.model, own.train, own.collator, wanted, objective.positions, cached, shown
            )
            if pairs:
                check_alignable(splits.train, splits.collator, teacher, name)
            self._models[key] = Shelved(teacher, [layer for layer, _ in pairs], own.validation)
        return self._models[key]

    def _file(self, recipe: Recipe, name: str) -> Recorded:
        key = _answers(recipe, name)
        if key not in self._files:
            self._files[key] = Recorded(self._recorded(recipe, name, "train"))
        return self._files[key]

    def _recorded(self, recipe: Recipe, name: str, split: str) -> torch.Tensor:
        data, settings = self._workshop.data(recipe), recipe.teachers[name]
        assert settings.probabilities is not None
        if data.label_names is None:
            raise RecipeError(
                f"teachers.{name}.probabilities",
                "holds probabilities of classes, but the task is to predict a number",
                f"name a trained model in teachers.{name}.checkpoint",
            )
        found = read_probabilities(
            settings.probabilities, data.splits[split], data.label_names, settings.labels, f"teachers.{name}"
        )
        return probability_logits(torch.from_numpy(found))


def _called(source: str) -> str:
    """A teacher's name that says the same from every folder."""
    return str(Path(source).resolve()) if Path(source).is_dir() else source


def _answers(recipe: Recipe, name: str) -> Key:
    """What decides a teacher's logits."""
    teacher = recipe.teachers[name]
    return teacher.probabilities or teacher_source(recipe, name), teacher.labels, recipe.data


def _meeting(recipe: Recipe, name: str) -> Key:
    """What decides, besides, which of its hidden states meet the student's."""
    objective = recipe.strategy.objective
    where = objective.layer_map, objective.positions, objective.hidden_loss
    return *_answers(recipe, name), recipe.student, recipe.model, *where
