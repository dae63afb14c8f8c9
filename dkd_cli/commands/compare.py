"""`dkd compare`: is distillation worth it on this task? Equal budgets, several seeds, and a verdict.

Every run is an ordinary teacher or student folder, so an interrupted comparison goes on where it stopped.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from dkd_cli.comparison.deployed import check_packages, deploy, deployed_table, deployment_verdict
from dkd_cli.comparison.forecast import forecast
from dkd_cli.comparison.predicted_labels import with_predicted_labels
from dkd_cli.comparison.results import BestSetting, comparison_figures, settle, to_ship, undecided
from dkd_cli.comparison.runs import Candidate, Comparison, make_plan
from dkd_cli.comparison.tables import comparison_page, gain_table, price_table, score_table
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.metric_names import merit
from dkd_cli.data.output_math import Floats
from dkd_cli.engine.runs.checkpoints import NO_TEACHERS, Run, finished, teacher_source
from dkd_cli.errors import SystemProblem
from dkd_cli.evaluation.known_cuts import cuts_in, find_cuts
from dkd_cli.files import write_json, write_text
from dkd_cli.labelling.paid import paid_teachers, price_figures
from dkd_cli.pipeline.loaded_teachers import LoadedTeachers
from dkd_cli.pipeline.planned import StudentRun, TeacherRun
from dkd_cli.pipeline.predictions import Logits, answers
from dkd_cli.pipeline.student import one_student, weights_of_teachers
from dkd_cli.pipeline.sweeping import Outcome, attempt, raise_failures
from dkd_cli.pipeline.teacher import one_teacher
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.contenders import ComparisonRequest
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.terminal import Terminal, duration
from dkd_cli.wording import counted


def compare(
    asked: ComparisonRequest,
    *,
    dry_run: bool,
    terminal: Terminal,
    cached: bool = True,
    exports: bool = False,
    fresh: bool = False,
    more_seeds: str | None = None,
) -> None:
    """Make what is missing of a comparison, and say what it shows.

    Args:
        asked: recipe, seeds, strategies and grid.
        dry_run: say what would be run and how long it would take, then stop.
        terminal: for progress, tables and the verdict.
        cached: whether teachers' answers are read from and written to the cache on disk.
        exports: whether the teacher and the best students also contend as int8 exports.
        fresh: make students again whose data or teachers have changed, instead of refusing them.
        more_seeds: the command that compares with more seeds, for where these say nothing.

    Raises:
        SystemProblem: for exports without the extra `onnx`.
        DataError: where there are too few rows to report on.
        DkdError: at the end, what became of the runs that failed.
    """
    quiet_libraries()
    if exports:
        check_packages()
    with closing(Workshop(terminal, cached=cached)) as workshop:
        plan = make_plan(asked, workshop)
        done, teachers, students = missing(plan, workshop, fresh=fresh)
        announce(workshop, plan, done, teachers, students)
        if dry_run:
            return
        outcomes = run(workshop, plan, done, teachers, students)
    metric = plan.chosen_by
    chosen = choose(plan, outcomes, metric)
    said, teacher_said = ask(plan, chosen, terminal)
    cuts = known_cuts(plan, chosen, terminal)
    if plan.judge is not None and plan.judge == plan.teacher and teacher_said is not None:
        own = cuts.get(teacher_source(plan.base, plan.judge))
        labelled = with_predicted_labels(plan.data, plan.reported, teacher_said, own)
        plan, teacher_said = replace(plan, reported=labelled), None
    result = settle(plan, chosen, said, teacher_said, cuts)
    terminal.table(*score_table(plan, result, metric))
    terminal.table(*gain_table(plan, result))
    if paid := paid_teachers(plan.base):
        terminal.table(*price_table(paid))
    made = deploy(plan, chosen, terminal) if exports else []
    tables = [deployed_table(plan, made)] if made else []
    told = None if plan.judge else deployment_verdict(plan.data.task.metrics[0], made)
    result = replace(result, verdict=(*result.verdict, *([told] if told else [])))
    for table in tables:
        terminal.table(*table)
    for line in result.verdict:
        terminal.say(line)
    folder = Path(plan.base.output_dir) / plan.base.name
    figures = comparison_figures(plan, result, metric) | {"paid": price_figures(paid)}
    figures["exports"] = [asdict(one) for one in made]
    write_json(folder / "comparison.json", figures)
    write_text(folder / "comparison.html", comparison_page(plan, result, metric, tables))
    terminal.say(f"to send: {folder / 'comparison.html'}; every figure: {folder / 'comparison.json'}")
    best = to_ship(result, metric)
    if more_seeds is not None and undecided(result, plan.data.task.metrics[0]):
        terminal.say(f"next: {more_seeds}")
    elif best is not None:
        step = "export {} --quantize int8" if plan.base.student.family == "encoder" else "predict {}"
        terminal.say(f"next: dkd {step.format(shlex.quote(str(best)))}")
    raise_failures(list(outcomes.values()))


def missing(
    plan: Comparison, workshop: Workshop, *, fresh: bool = False
) -> tuple[dict[Path, Run], list[TeacherRun], list[StudentRun]]:
    """The students that are there, and the teachers and students that are not.

    Raises:
        SystemProblem: for a folder that holds something else, or, unless `fresh`, was made from other data or
            teachers, before hours are spent.
    """
    teachers = [
        one
        for one in plan.teachers
        if finished(one.folder, one.recipe, "teacher", one.name, data=workshop.data_digest(one.recipe))
        is None
    ]
    unmade = {one.name for one in teachers}
    done: dict[Path, Run] = {}
    students = []
    for point in plan.students():
        known = NO_TEACHERS if unmade & set(point.teachers) else weights_of_teachers(point)
        digest = workshop.data_digest(point.recipe)
        own = partial(finished, point.folder, point.recipe, "student", point.recipe.strategy.name)
        try:
            there = own(known, digest)
        except SystemProblem:
            if not fresh:
                raise
            own()  # another experiment stays refused
            there = None
        if there is None:
            students.append(point)
        else:
            done[point.folder] = there
    return done, teachers, students


def announce(
    workshop: Workshop,
    plan: Comparison,
    done: Mapping[Path, Run],
    teachers: Sequence[TeacherRun],
    students: Sequence[StudentRun],
) -> None:
    """Say what there is to do, and about how long it will take."""
    say = workshop.terminal.say
    for note in plan.notes:
        say(note)
    seeds = len({point.seed for point in plan.students()})
    settings = max(len(entry.candidates) for entry in plan.entries)
    tried = f", up to {settings} settings each" if settings > 1 else ""
    names = ", ".join(entry.name for entry in plan.entries)
    say(f"{counted(len(plan.entries), 'strategy')}{tried}, {counted(seeds, 'seed')}: {names}")
    there = f"{len(plan.teachers) - len(teachers)} and {len(done)} there already"
    make = f"{counted(len(teachers), 'teacher')} and {counted(len(students), 'student')} to make"
    say(f"{make}, {there}")
    for folder in [*(one.folder for one in teachers), *(one.folder for one in students)]:
        say(f"  {folder}")
    if teachers or students:
        estimate = forecast(workshop, teachers, students, list(done.values()))
        say(f"about {duration(estimate.seconds)} to go, an estimate {estimate.basis}")


def run(
    workshop: Workshop,
    plan: Comparison,
    done: Mapping[Path, Run],
    teachers: Sequence[TeacherRun],
    students: Sequence[StudentRun],
) -> dict[Path, Outcome]:
    """Make every missing run; what became of each student, by its folder."""
    terminal = workshop.terminal
    every = len(plan.teachers) + len(plan.students())
    before = every - len(teachers) - len(students)
    outcomes: dict[Path, Outcome] = {}
    loaded = LoadedTeachers(workshop, plan.students())
    with terminal.progress("comparison", every, unit="runs", done=before) as advance:
        number = before
        for wanted in teachers:
            number += 1
            terminal.say(f"{number} of {every}: {wanted.folder.name}")
            one_teacher(workshop, wanted, fresh=False)
            advance(1)
        for run in plan.students():
            if run.folder in done:
                outcomes[run.folder] = Outcome(run, done[run.folder], None)
                continue
            number += 1
            terminal.say(f"{number} of {every}: {run.folder.name}")
            outcomes[run.folder] = attempt(
                # A folder that is there and not among those that are done is outdated.
                run,
                lambda run: one_student(workshop, loaded, run, fresh=run.folder.exists()),
                terminal,
            )
            advance(1)
    return outcomes


def choose(plan: Comparison, outcomes: dict[Path, Outcome], metric: str) -> list[BestSetting]:
    """For each strategy the setting with the best mean over seeds on the validation split."""
    chosen = []
    for entry in plan.entries:
        tried: list[tuple[Candidate, tuple[Run, ...], float]] = []
        for candidate in entry.candidates:
            runs = [outcomes[point.folder].run for point in candidate.points]
            whole = tuple(one for one in runs if one is not None and metric in one.validation)
            if len(whole) == len(runs):
                mean = float(np.mean([one.validation[metric] for one in whole]))
                tried.append((candidate, whole, mean))
        best = max(tried, key=lambda one: merit(metric, one[2]), default=None)
        means = [(candidate.settings, mean) for candidate, _, mean in tried]
        if best is None:
            chosen.append(BestSetting(entry, None, (), None, means))
        else:
            chosen.append(BestSetting(entry, best[0], best[1], best[2], means))
    return chosen


def ask(
    plan: Comparison, chosen: Sequence[BestSetting], terminal: Terminal
) -> tuple[dict[Path, Logits], Logits | None]:
    """Predictions of the chosen students and of their teacher on the reported rows."""
    top = Path(plan.base.output_dir) / plan.base.name / "comparison"
    points = [point for one in chosen if one.candidate for point in one.candidate.points]
    name = plan.teacher
    said: dict[Path, Logits] = {}
    rows, total = plan.reported, len(plan.reported) * (len(points) + (name is not None))
    with terminal.progress(f"answers to {rows.name}", total) as advance:
        for point in points:
            kept = top / f"{point.folder.name}.safetensors"
            said[point.folder] = answers(str(point.folder), point.recipe, plan.data, rows, kept, advance)
        if name is None:
            return said, None
        labels = plan.base.teachers[name].labels
        kept = top / f"teacher-{name}.safetensors"
        return said, answers(
            teacher_source(plan.base, name), plan.base, plan.data, rows, kept, advance, labels
        )


def known_cuts(plan: Comparison, chosen: Sequence[BestSetting], terminal: Terminal) -> dict[str, Floats]:
    """The logits above which labels are predicted, by the thresholds in each model's folder; of those that
    have such. A teacher's without thresholds are fitted on validation."""
    points = [point for one in chosen if one.candidate for point in one.candidate.points]
    names, kind = plan.data.label_names or (), plan.data.task.kind
    found = {str(point.folder): cuts_in(point.folder, names) for point in points}
    if plan.teacher is not None and KINDS[kind].thresholds:
        source, labels = teacher_source(plan.base, plan.teacher), plan.base.teachers[plan.teacher].labels
        folder = Path(source) if Path(source).is_dir() else None
        rows, said = plan.data.splits["validation"], None
        if cuts_in(folder, names) is None and rows.labels is not None:
            stored = Path(plan.base.output_dir) / plan.base.name / "comparison"
            kept = stored / "teacher-validation.safetensors"
            with terminal.progress(f"teacher on {rows.name}", len(rows)) as advance:
                said = answers(source, plan.base, plan.data, rows, kept, advance, labels)
        known = find_cuts(folder, kind, names, said, rows.labels)
        terminal.say(f"thresholds of the teacher: {known.origin}")
        found[source] = known.cuts
    return {one: cuts for one, cuts in found.items() if cuts is not None}
