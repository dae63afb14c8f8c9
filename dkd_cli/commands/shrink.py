"""`dkd shrink`: the smallest student that keeps what is asked for, ready in one folder.

Every rung is an ordinary run, so an interrupted climb goes on where it stopped.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from dkd_cli.data.kinds import refuse_command
from dkd_cli.engine.deploy.load import load_predictor
from dkd_cli.engine.runs.checkpoints import read_run
from dkd_cli.engine.training.counts import examples_seen
from dkd_cli.evaluation.keeping import Kept
from dkd_cli.evaluation.text_latency import measure_text_latency
from dkd_cli.files import remove, remove_folder, rename, write_json, write_text
from dkd_cli.pipeline.loaded_teachers import LoadedTeachers
from dkd_cli.pipeline.planned import StudentRun, plan_teacher
from dkd_cli.pipeline.teacher import one_teacher
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.schema import Recipe
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.terminal import Terminal, duration
from dkd_cli.shrinking.climb import (
    Judges,
    Measured,
    ShrinkTarget,
    attempted,
    check_packages,
    climb,
    compared_with_teacher,
    export_logits,
    folder_mb,
    judges_of,
    teacher_logits,
)
from dkd_cli.shrinking.estimate import estimated_seconds
from dkd_cli.shrinking.ladder import Rung
from dkd_cli.shrinking.plan import Ladder, plan_ladder
from dkd_cli.shrinking.results import (
    Shrunk,
    TeacherFacts,
    ladder_picture,
    ladder_rows,
    sentences,
    shrink_figures,
)
from dkd_cli.wording import counted


def shrink(
    base: Recipe,
    wanted: ShrinkTarget,
    *,
    every: bool,
    terminal: Terminal,
    dry_run: bool = False,
    cached: bool = True,
) -> Shrunk | None:
    """Climb the ladder of students until one keeps what is asked for, and put it into one folder.

    Args:
        base: a recipe without a sweep.
        wanted: what the student has to keep, and its limits.
        every: climb on to the last rung, whichever suffices.
        terminal: for progress, the table and the answer.
        dry_run: print what would be trained and how long it would take, then stop.
        cached: whether teachers' answers and tokens are read from and written to the cache on disk.

    Raises:
        RecipeError: where no teacher is a model, or a text has a tag for each word.
        SystemProblem: without the extra `onnx`.
        DkdError: for a teacher that cannot be trained.
    """
    refuse_command("shrink", base.data.kind or "classification")
    quiet_libraries()
    check_packages()
    with closing(Workshop(terminal, cached=cached)) as workshop:
        ladder = plan_ladder(base, workshop)
        announce(ladder, workshop, wanted, every)
        if dry_run:
            return None
        for teacher in ladder.teachers:
            one_teacher(workshop, teacher, fresh=False)
        judges = judges_of(base, ladder.source, len(ladder.rungs), terminal)
        teacher_facts = TeacherFacts(
            source=ladder.source,
            latency=measure_text_latency([load_predictor(ladder.source)], judges.split)[0],
            size_mb=folder_mb(Path(ladder.source)) if Path(ladder.source).is_dir() else 0.0,
        )
        measured, failed = climb_all(ladder, workshop, judges, wanted, every)
    chosen = next((one for one in measured if one.suffices(wanted)), None)
    test = None if chosen is None else on_test(base, ladder, judges, chosen, wanted, terminal)
    found = Shrunk(
        name=base.name,
        wanted=wanted,
        teacher=teacher_facts,
        rungs=measured,
        failed=failed,
        chosen=chosen,
        test=test,
        folder=None if chosen is None else put_ready(chosen.folder, ladder.folder / "shrunk"),
    )
    report(found, ladder.folder, terminal)
    return found


def announce(ladder: Ladder, workshop: Workshop, wanted: ShrinkTarget, every: bool) -> None:
    """Say what there is to do, and about how long it will take."""
    say = workshop.terminal.say
    names = ", ".join(rung.name for rung, _ in ladder.rungs)
    say(f"the smallest student that keeps {wanted.keep:.1%} of {ladder.reference}: {names}")
    there = read_run(Path(ladder.source)) if not ladder.teachers else None
    known = None
    if there is not None:
        rows = examples_seen(
            plan_teacher(ladder.base, ladder.reference).settings,
            len(workshop.data(ladder.base).splits["train"]),
        )
        known = there.seconds / max(1, rows)
    waiting = [(rung, run) for rung, run in ladder.rungs if not run.folder.is_dir()]
    before, total = estimated_seconds(workshop, ladder.teachers, waiting, ladder.layers, known)
    if ladder.teachers:
        say(f"first {counted(len(ladder.teachers), 'teacher')} to train, about {duration(before)}")
    until = "all rungs" if every else "at most, if it takes the last rung"
    say(f"about {duration(total)} for {until}; {len(waiting)} of {len(ladder.rungs)} are to be made")


def climb_all(
    ladder: Ladder, workshop: Workshop, judges: Judges, wanted: ShrinkTarget, every: bool
) -> tuple[list[Measured], list[str]]:
    """Climb until a rung suffices or is beyond a limit; also the names of the rungs that failed."""
    terminal = workshop.terminal
    loaded = LoadedTeachers(workshop, [run for _, run in ladder.rungs])
    measured: list[Measured] = []
    failed: list[str] = []
    for number, (rung, run) in enumerate(ladder.rungs, start=1):
        terminal.say(f"{number} of {len(ladder.rungs)}: {rung.name}")

        def climbing(rung: Rung = rung, run: StudentRun = run) -> Measured:
            return climb(workshop, loaded, rung, run, judges, wanted)

        one = attempted(climbing, rung, terminal)
        if one is None:
            failed.append(rung.name)
            continue
        measured.append(one)
        if one.kept is not None:
            terminal.say(
                f"{rung.name}: keeps {one.kept.share:.1%}, at least {one.kept.low:.1%} with "
                f"{wanted.confidence:.0%} confidence; {one.latency.median_ms:.3f} ms, {one.size_mb:.1f} MB"
            )
        if one.too_large(wanted):
            terminal.say(f"{rung.name} is beyond the limit, as all larger ones will be")
        if not every and (one.suffices(wanted) or one.too_large(wanted)):
            break
    return measured, failed


def on_test(
    base: Recipe, ladder: Ladder, judges: Judges, chosen: Measured, wanted: ShrinkTarget, terminal: Terminal
) -> Kept | None:
    """The chosen student beside its teacher on the test rows; None where they have no labels."""
    split = judges.data.splits.get("test")
    if split is None or split.labels is None:
        return None
    theirs = teacher_logits(base, ladder.source, judges.data, split, terminal)
    own = export_logits(chosen.folder, judges.data, split, terminal)
    # The only comparison on these rows.
    once = replace(judges, split=split, teacher=theirs, tests=1)
    return compared_with_teacher(once, own, chosen.folder, wanted)


def put_ready(export: Path, final: Path) -> Path:
    """Copy an export to the folder that is to be deployed, whole or not at all."""
    staged = final.with_name(f".{final.name}")
    remove(staged)
    shutil.copytree(export, staged)
    if final.exists():
        remove_folder(final)
    rename(staged, final)
    return final


def report(found: Shrunk, folder: Path, terminal: Terminal) -> None:
    """Print the table and the answer; write `shrink.json` and `shrink.svg`."""
    columns, rows, notes = ladder_rows(found)
    terminal.table(f"{found.name}: the ladder, smallest first", columns, rows, notes)
    for line in sentences(found):
        terminal.say(line)
    write_json(folder / "shrink.json", shrink_figures(found))
    if any(one.kept for one in found.rungs):
        write_text(folder / "shrink.svg", ladder_picture(found) + "\n")
        terminal.say(f"quality against latency: {folder / 'shrink.svg'}; figures: {folder / 'shrink.json'}")
    if found.folder is not None:
        terminal.say(f"ready in {found.folder}")
        terminal.say(f"next: dkd predict {found.folder}")
