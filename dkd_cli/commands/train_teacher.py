"""`dkd train-teacher`: fine-tune the recipe's teachers, keep the best checkpoint of each."""

from __future__ import annotations

from dkd_cli.commands.running import Workshop, best_metric, train_and_publish
from dkd_cli.engine.checkpoints import Run, claim, read_run, teacher_folder, teacher_train
from dkd_cli.engine.distillation import distillation_step
from dkd_cli.engine.models import build_classifier
from dkd_cli.engine.strategies import FINE_TUNING
from dkd_cli.engine.teachers import NO_TEACHERS
from dkd_cli.errors import RecipeError
from dkd_cli.recipe.schema import Recipe
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.runs import runs_table
from dkd_cli.report.terminal import Terminal


def train_teacher(
    recipe: Recipe, *, only: tuple[str, ...], fresh: bool, terminal: Terminal, typed: str
) -> None:
    """Make every teacher of the recipe that is not made yet.

    Args:
        recipe: resolved.
        only: the names to make; empty: all that name no `checkpoint` of their own.
        fresh: start over where a run was begun or finished.
        terminal: for progress and the summary.
        typed: the recipe and overrides as the user typed them, for the next command's line.

    Raises:
        RecipeError: for a name that is no teacher of the recipe, or one that is trained elsewhere.
    """
    names = chosen(recipe, only)
    quiet_libraries()
    workshop = Workshop(terminal)
    runs = [one_teacher(workshop, recipe, name, fresh) for name in names]
    folder = teacher_folder(recipe, names[0]).parent
    terminal.table(*runs_table(f"teachers in {folder}", runs))
    terminal.say(f"next: dkd distill{typed} --strategy dynamic-objective")


def chosen(recipe: Recipe, only: tuple[str, ...]) -> list[str]:
    """The teachers to make."""
    for name in only:
        if name not in recipe.teachers:
            raise RecipeError(
                "--teacher", f"{name!r} is no teacher of this recipe", f"choose {', '.join(recipe.teachers)}"
            )
    names = list(only) or [name for name, teacher in recipe.teachers.items() if teacher.checkpoint is None]
    for name in names:
        checkpoint = recipe.teachers[name].checkpoint
        if checkpoint is not None:
            raise RecipeError(
                f"teachers.{name}", f"is trained elsewhere ({checkpoint})", "go on with `dkd distill`"
            )
    if not names:
        raise RecipeError("teachers", "all of them are trained elsewhere", "go on with `dkd distill`")
    return names


def one_teacher(workshop: Workshop, recipe: Recipe, name: str, fresh: bool) -> Run:
    """Fine-tune one teacher, or find it made."""
    final = teacher_folder(recipe, name)
    teacher = recipe.teachers[name]
    settings = teacher_train(recipe.train, teacher)
    with claim(final, recipe, "teacher", name, fresh=fresh) as working:
        if working is None:
            workshop.terminal.say(f"{final} is complete; --fresh starts over")
            run = read_run(final)
            assert run is not None
            return run
        data = workshop.data(recipe)
        best_metric(settings, data)  # a wrong one is reported before any weight is read
        compute = workshop.compute(settings)
        built = build_classifier(
            teacher.model or recipe.model, teacher.layers, data, settings.seed, f"teachers.{name}"
        )
        splits = workshop.splits(recipe, built.tokenizer)
        return train_and_publish(
            workshop,
            Run(
                role="teacher",
                name=final.name,
                strategy=None,
                seed=settings.seed,
                teacher=None,
                recipe=recipe,
                validation={},
                seconds=0.0,
            ),
            built,
            splits,
            lambda student, labels, rows: distillation_step(
                FINE_TUNING, student, labels, rows, NO_TEACHERS, {}
            ),
            settings=settings,
            compute=compute,
            needs_hidden_states=False,
            working=working,
            final=final,
            queries={},
        )
