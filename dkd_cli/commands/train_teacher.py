"""`dkd train-teacher`: fine-tune the recipe's teachers, keep the best checkpoint of each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from dkd_cli.engine.machine.processes import meeting
from dkd_cli.engine.runs.checkpoints import Run
from dkd_cli.pipeline.sweeping import raise_failures, report, run_points
from dkd_cli.pipeline.teacher import one_teacher, teachers_to_make
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.schema import Recipe
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.terminal import Terminal

NOTHING_TO_TRAIN = "all teachers of the recipe are made elsewhere: nothing to train"


def train_teacher(
    points: Sequence[Recipe], *, only: tuple[str, ...], fresh: bool, terminal: Terminal, typed: str
) -> list[Run]:
    """Make every teacher of the recipe that is not made yet.

    Args:
        points: resolved recipes; several where something is swept.
        only: the names to make; empty: all that are not made elsewhere.
        fresh: start over where a run was begun or finished.
        terminal: for progress and the summary.
        typed: the recipe and overrides as the user typed them, for the next command's line.

    Returns:
        The runs, each teacher once.

    Raises:
        RecipeError: for a name that is no teacher of the recipe, or one that is made elsewhere.
    """
    runs = teachers_to_make(points, only)
    if not runs:
        terminal.say(NOTHING_TO_TRAIN)
        terminal.say(f"next: dkd distill{typed}")
        return []
    quiet_libraries()
    with meeting() as peers, closing(Workshop(terminal, peers=peers)) as workshop:
        outcomes = run_points(runs, lambda run: one_teacher(workshop, run, fresh), terminal)
    folder = runs[0].folder.parent
    report(f"teachers in {folder}", outcomes, folder / "teachers.json", workshop.data, terminal)
    terminal.say(f"next: dkd distill{typed}")
    raise_failures(outcomes)
    return [outcome.run for outcome in outcomes if outcome.run is not None]
