"""A climb resolved once: the teachers to train, the rungs to try. Trains nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dkd_cli.engine.models.models import load_config
from dkd_cli.engine.runs.checkpoints import finished, teacher_source
from dkd_cli.errors import RecipeError
from dkd_cli.pipeline.planned import StudentRun, TeacherRun, plan_student, plan_teacher
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.schema import Recipe
from dkd_cli.recipe.teacher_kinds import kind_of
from dkd_cli.shrinking.ladder import Rung, Widths, climbable, problems_of, rung_recipe


@dataclass(frozen=True)
class Ladder:
    """A climb, resolved once."""

    base: Recipe
    folder: Path
    """Of the recipe."""
    reference: str
    """The name of the teacher that students are compared with."""
    source: str
    """Its folder or hub id."""
    layers: int
    teachers: tuple[TeacherRun, ...]
    """Those to train."""
    rungs: tuple[tuple[Rung, StudentRun], ...]


def plan_ladder(base: Recipe, workshop: Workshop) -> Ladder:
    """Resolve the teachers to train and the rungs to climb.

    Raises:
        RecipeError: where no teacher is a model, or all rungs contradict the recipe.
    """
    reference = plan_student(base).reference
    if reference is None:
        problem = "has no teacher that is a model, which students could be compared with"
        raise RecipeError(base.name, problem, "name one in `teachers`")
    needed = dict.fromkeys([*plan_student(base).plan.teachers, reference])
    trained = [name for name in needed if kind_of(base.teachers[name]).trained_here]
    runs = [plan_teacher(base, name) for name in trained]
    missing = tuple(
        run
        for run in runs
        if finished(run.folder, run.recipe, "teacher", run.name, data=workshop.data_digest(run.recipe))
        is None
    )
    source = teacher_source(base, reference)
    own = base.teachers[reference]
    made = source if not any(run.name == reference for run in missing) else None
    layers = (None if made else own.layers) or load_config(
        made or own.model or base.model, f"teachers.{reference}"
    ).num_hidden_layers
    folder = Path(base.output_dir) / base.name
    widths = encoder_widths(base.student.model or base.model, base, source)
    rungs = []
    teachers = {name: teacher_source(base, name) for name in base.teachers}
    for rung in climbable(int(layers)):
        recipe = rung_recipe(base, rung, folder / "shrink", teachers, widths)
        problems = problems_of(recipe)
        if rung.ffn_share is not None and widths.ffn is None:
            problems = ["student.ffn cannot narrow this architecture"]
        if problems:
            workshop.terminal.say(f"{rung.name} is left out: {problems[0]}")
        else:
            rungs.append((rung, plan_student(recipe)))
    if not rungs:
        raise RecipeError(base.name, "no student of the ladder fits this recipe", "see the lines above")
    return Ladder(base, folder, reference, source, int(layers), missing, tuple(rungs))


def encoder_widths(model: str, base: Recipe, teacher: str) -> Widths:
    """Read the widths of an encoder from its configuration."""
    source = teacher if model == "teacher" and Path(teacher).is_dir() else model
    config = load_config(base.model if source == "teacher" else source, "student")
    ffn = getattr(config, "intermediate_size", None) or getattr(config, "hidden_dim", None)
    hidden = getattr(config, "hidden_size", None)
    return Widths(None if hidden is None else int(hidden), None if ffn is None else int(ffn))
