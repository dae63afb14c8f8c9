"""The teachers of `dkd distill`: each loaded once for all runs of a command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dkd_cli.data.examples import Split
from dkd_cli.data.metric_names import merit
from dkd_cli.engine.cache.fingerprint import fingerprint
from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.method.outputs import OUTPUTS
from dkd_cli.engine.models.attention import check_heads, places, show_attention
from dkd_cli.engine.models.inference import predict_logits
from dkd_cli.engine.models.label_order import label_order
from dkd_cli.engine.models.layers import layer_pairs
from dkd_cli.engine.models.models import LoadedModel, check_fit, depth, load_classifier
from dkd_cli.engine.models.trial import check_hidden_states
from dkd_cli.engine.runs.checkpoints import teacher_source
from dkd_cli.engine.teachers.alignment import Projection, check_alignable, make_projections
from dkd_cli.engine.teachers.bank import (
    Cached,
    FrozenTeacher,
    RecordedTeacher,
    TeacherBank,
)
from dkd_cli.errors import RecipeError
from dkd_cli.evaluation.known_cuts import find_cuts
from dkd_cli.evaluation.metrics import baseline, score
from dkd_cli.labelling.setting import labels_file
from dkd_cli.pipeline.answered import answers_to
from dkd_cli.pipeline.planned import StudentRun
from dkd_cli.pipeline.workshop import Splits, Workshop, data_key
from dkd_cli.recipe.schema import Recipe, Train
from dkd_cli.recipe.teacher_kinds import kind_of

Key = tuple[object, ...]


@dataclass(frozen=True)
class Loaded:
    """A teacher of any kind."""

    teacher: FrozenTeacher | RecordedTeacher
    on_validation: Callable[[Train], torch.Tensor]
    """Its logits on the validation split, [N, C], by a schedule's precision and batch size."""
    student_layers: Sequence[int] = ()
    """Those that learn from its hidden states."""


class LoadedTeachers:
    """Teachers by what decides their answers, loaded once for all runs of a command.

    Args:
        workshop: gives data, terminal and cache.
        runs: the students that will be made.
    """

    def __init__(self, workshop: Workshop, runs: Sequence[StudentRun]) -> None:
        self._workshop = workshop
        # Only those that some run aligns: the others need no layer map, and no memory for hidden states.
        self._aligned = {
            _meeting(run.recipe, name) for run in runs if run.plan.aligns for name in run.plan.teachers
        }
        self._loaded: dict[Key, Loaded] = {}
        self._looked_at: set[Key] = set()

    def bank(
        self, run: StudentRun, student: LoadedModel, splits: Splits, compute: Compute
    ) -> tuple[TeacherBank, dict[str, list[int]], dict[str, Projection]]:
        """The teachers of one run.

        Returns:
            The bank; for each teacher that is a model the student layers that learn from its hidden states;
            untrained projections to those that are aligned and have another width.
        """
        loaded = {name: self._load(run, name, student, splits) for name in run.plan.teachers}
        found = {name: one.teacher for name, one in loaded.items()}
        models = {name: teacher for name, teacher in found.items() if isinstance(teacher, FrozenTeacher)}
        layers = {name: list(loaded[name].student_layers) for name in models}
        bank = TeacherBank(found, compute)
        if not run.plan.aligns or run.plan.relates:  # relations have no width
            return bank, layers, {}
        return bank, layers, make_projections(student.model, models, run.seed, compute)

    def leave_hidden_states(self, run: StudentRun) -> None:
        """Forget that a run was going to align its student with its teachers."""
        self._aligned -= {_meeting(run.recipe, name) for name in run.plan.teachers}

    def validation_answers(self, run: StudentRun, student: LoadedModel, splits: Splits) -> torch.Tensor:
        """The logits of the run's largest teacher on the validation split, [N, C]."""
        return self._load(run, run.plan.teachers[-1], student, splits).on_validation(run.recipe.train)

    def _load(self, run: StudentRun, name: str, student: LoadedModel, splits: Splits) -> Loaded:
        load = LOADERS[kind_of(run.recipe.teachers[name]).name]
        return load(self, run, name, student, splits)

    def _model(self, run: StudentRun, name: str, student: LoadedModel, splits: Splits) -> Loaded:
        recipe, meeting = run.recipe, _meeting(run.recipe, name)
        key = meeting if run.plan.aligns or meeting in self._aligned else _answers(recipe, name)
        if key not in self._loaded:
            objective = recipe.strategy.objective
            source, labels = teacher_source(recipe, name), recipe.teachers[name].labels
            data = self._workshop.data(recipe)
            loaded = load_classifier(source, data, labels=labels, key=f"teachers.{name}")
            own = self._workshop.splits(recipe, loaded.tokenizer)
            check_fit(loaded.model, (own.train,), recipe.data.max_length, f"teachers.{name}")
            depths = depth(student.model), depth(loaded.model)
            pairs = layer_pairs(objective.layer_map, *depths) if key == meeting else []
            if pairs and objective.hidden_loss != "relations":
                for one, layers, called in zip(
                    (student, loaded), depths, ("student", f"teachers.{name}"), strict=True
                ):
                    check_hidden_states(one.model, one.tokenizer, layers, called)
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
            teacher = FrozenTeacher(
                loaded.model, own.train, own.collator, wanted, objective.positions, cached, shown
            )
            if pairs:
                tokenizers = student.tokenizer, loaded.tokenizer
                teacher.common = check_alignable(splits.train, splits.collator, teacher, name, tokenizers)
                if teacher.common is not None:
                    share = f"{teacher.common.share:.1%} of the student's tokens, where both have the same"
                    self._workshop.terminal.say(f"hidden states: compared with {name} on {share}")

            def on_validation(train: Train) -> torch.Tensor:
                size, precision = train.eval_batch_size, train.precision
                return predict_logits(
                    loaded.model, own.validation, own.collator, batch_size=size, precision=precision
                )

            self._loaded[key] = Loaded(teacher, on_validation, [layer for layer, _ in pairs])
            if kind_of(recipe.teachers[name]).name == "checkpoint":
                self._look_at(recipe, name, "validation", None, lambda: on_validation(recipe.train))
        return self._loaded[key]

    def _recorded(self, run: StudentRun, name: str, student: LoadedModel, splits: Splits) -> Loaded:
        recipe = run.recipe
        key = _answers(recipe, name)
        if key not in self._loaded:
            data = self._workshop.data(recipe)
            output = OUTPUTS[data.task.kind]
            if output.from_probabilities is None or data.label_names is None:
                raise RecipeError(
                    f"teachers.{name}.probabilities",
                    "holds probabilities of classes, but the task is to predict a number",
                    f"name a trained model in teachers.{name}.checkpoint",
                )
            logits_of, sum_to_one = output.from_probabilities, output.probabilities_sum_to_one

            def answers(split: Split) -> tuple[torch.Tensor, NDArray[np.bool_]]:
                found, own = answers_to(recipe, name, data, split, sum_to_one=sum_to_one)
                return logits_of(torch.from_numpy(found)), own

            taught, own = answers(data.taught())
            self._loaded[key] = Loaded(
                RecordedTeacher(taught), lambda train: answers(data.splits["validation"])[0]
            )
            if not own.all():
                self._workshop.terminal.say(
                    f"teachers.{name}: {int((~own).sum()):,} of {len(own):,} texts have no answer; "
                    "their label stands for it"
                )
            if kind_of(recipe.teachers[name]).name == "probabilities":
                rows = [row for row in range(len(data.splits["train"])) if own[row]]
                self._look_at(recipe, name, "train", rows, lambda: taught[rows])
        return self._loaded[key]

    def _look_at(
        self,
        recipe: Recipe,
        name: str,
        split: str,
        which: Sequence[int] | None,
        predict: Callable[[], torch.Tensor],
    ) -> None:
        """Print a borrowed teacher's score next to the baseline's; warn if it is the lower one.

        Of several labels it is that at the teacher's own thresholds, or at those fitted on these rows.
        `which`: the rows of the split that it predicts; None: all.
        """
        data, terminal = self._workshop.data(recipe), self._workshop.terminal
        rows = data.splits[split] if which is None else data.splits[split].take(which, split)
        key = name, split, *_answers(recipe, name)
        if rows.labels is None or key in self._looked_at:
            return
        self._looked_at.add(key)
        constant, metric = baseline(data, rows), data.task.metrics[0]
        logits, checkpoint = predict().float().cpu().numpy(), recipe.teachers[name].checkpoint
        folder = Path(checkpoint) if checkpoint is not None and Path(checkpoint).is_dir() else None
        names = data.label_names or ()
        known = find_cuts(folder, data.task.kind, names, logits, rows.labels, rows="these rows")
        own = score(metric, data.task, logits, rows.labels, known.cuts)
        other = None if constant is None else constant.metrics[metric]
        shown = f"{metric} {'undefined' if own is None else f'{own:.4f}'}"
        beside = "" if constant is None or other is None else f"; {constant.name}: {other:.4f}"
        at = "" if known.origin is None else f" (thresholds: {known.origin})"
        terminal.say(f"teachers.{name}: {shown} on {split}{at}{beside}")
        if constant is None or other is None or own is None or merit(metric, own) > merit(metric, other):
            return
        terminal.warn(
            f"teachers.{name} is no better than {constant.name!r} on {split} ({shown}): its labels may be in "
            f"another order, or it was made for another task; check teachers.{name}.labels"
        )


LOADERS: dict[str, Callable[[LoadedTeachers, StudentRun, str, LoadedModel, Splits], Loaded]] = {
    "trained": LoadedTeachers._model,
    "checkpoint": LoadedTeachers._model,
    "probabilities": LoadedTeachers._recorded,
    "endpoint": LoadedTeachers._recorded,
}
"""By the kind's name (`recipe.teacher_kinds`)."""


def _called(source: str) -> str:
    """A teacher's name that says the same from every folder."""
    return str(Path(source).resolve()) if Path(source).is_dir() else source


def _answers(recipe: Recipe, name: str) -> Key:
    """Return everything that decides a teacher's logits."""
    teacher = recipe.teachers[name]
    if teacher.endpoint is not None:
        return str(labels_file(recipe, name)), data_key(recipe)
    return teacher.probabilities or teacher_source(recipe, name), teacher.labels, data_key(recipe)


def _meeting(recipe: Recipe, name: str) -> Key:
    """Return what also decides which of its hidden states are compared with the student's."""
    objective = recipe.strategy.objective
    where = objective.layer_map, objective.positions, objective.hidden_loss
    return *_answers(recipe, name), recipe.student, recipe.model, *where
