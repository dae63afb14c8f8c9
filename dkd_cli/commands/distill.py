"""`dkd distill`: teach a small student, by each strategy and seed that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from dkd_cli.engine.machine.processes import meeting
from dkd_cli.engine.runs.checkpoints import Run
from dkd_cli.pipeline.loaded_teachers import LoadedTeachers
from dkd_cli.pipeline.planned import plan_student
from dkd_cli.pipeline.student import one_student, require_teachers
from dkd_cli.pipeline.sweeping import raise_failures, report, run_points
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.schema import Recipe
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.terminal import Terminal


def distill(
    points: Sequence[Recipe], *, fresh: bool, terminal: Terminal, typed: str, cached: bool = True
) -> list[Run]:
    """Distil one student per point; teachers are loaded once and keep their answers from run to run.

    Args:
        points: resolved recipes; several where strategies, seeds or anything else is swept.
        fresh: start over where a run was begun or finished.
        terminal: for progress and the summary.
        typed: the recipe and overrides as the user typed them, for the lines that name the next command.
        cached: whether teachers' answers and tokens are read from and written to the cache on disk.

    Returns:
        The runs, in the order of the points.

    Raises:
        ModelError: for a teacher that is not made yet, naming the command that makes it.
        DkdError: at the end, what became of the points that failed.
    """
    quiet_libraries()
    runs = [plan_student(recipe) for recipe in points]
    with meeting() as peers, closing(Workshop(terminal, cached=cached, peers=peers)) as workshop:
        peers.decide(lambda: require_teachers(runs, typed))
        teachers = LoadedTeachers(workshop, runs)
        outcomes = run_points(runs, lambda run: one_student(workshop, teachers, run, fresh), terminal)
    folder = runs[0].folder.parent
    report(f"students in {folder}", outcomes, folder / "students.json", workshop.data, terminal)
    terminal.say(f"next: dkd evaluate {folder}")
    raise_failures(outcomes)
    return [outcome.run for outcome in outcomes if outcome.run is not None]
