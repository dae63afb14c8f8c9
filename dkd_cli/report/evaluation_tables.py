"""Tables printed by `dkd evaluate`: all models, and short ones for the best student."""

from __future__ import annotations

from collections.abc import Sequence

from dkd_cli.data.kinds import KINDS
from dkd_cli.data.metric_names import positive_note
from dkd_cli.evaluation.contests import Contest
from dkd_cli.evaluation.known_cuts import HALF
from dkd_cli.evaluation.metrics import baseline
from dkd_cli.evaluation.scoring import Result, SeedSummary, best_student
from dkd_cli.report.tables import Column
from dkd_cli.report.terminal import Terminal

MOST_CLASSES = 12
CASCADE_POINTS = (2, 4, 6, 10)
"""Points of the curve: 10, 20, 30 and 50 % deferred."""


def show(
    contest: Contest,
    results: Sequence[Result],
    summaries: Sequence[SeedSummary],
    *,
    asked: bool,
    terminal: Terminal,
) -> None:
    """Print all tables of a contest, that of the models first."""
    models_table(contest, results, asked=asked, terminal=terminal)
    text_latency_table(results, terminal)
    if summaries:
        seeds_table(contest, summaries, terminal)
    best = best_student(results, contest)
    if best is not None:
        teacher = next((one for one in results if one.answers.entrant.folder.label == best.teacher), None)
        classes_table(best, teacher, terminal)
        calibration_table([one for one in (best, teacher) if one is not None], terminal)
        cascade_table(best, teacher, terminal)


def models_table(contest: Contest, results: Sequence[Result], *, asked: bool, terminal: Terminal) -> None:
    """A row for each model and one for the baseline."""
    task = contest.data.task
    percent = KINDS[task.kind].agreement_is_share
    formats = len({result.answers.format for result in results}) > 1
    columns: list[Column | str] = [
        "model",
        *(Column(name, 4) for name in results[0].metrics),
        Column("retention", 1, " %"),
        Column("agreement", 1, " %") if percent else Column("agreement", 4),
        Column("size", 1, " MB"),
        Column("latency", 2, " ms"),
        Column("speed-up", 2, "×"),
        Column("throughput", 0, "/s"),
        Column("params", 1, " M"),
        *("layers", "role", *(["format"] if formats else []), "strategy"),
    ]
    rows = [row(contest, result, formats) for result in results]
    constant = baseline(contest.data, contest.split)
    if constant is not None:
        after = ["baseline", *[None] * (2 if formats else 1)]
        rows.append([constant.name, *constant.metrics.values(), *[None] * 8, *after])
    why = "" if asked or contest.split.name.startswith("test") else ", there being no labelled test split"
    title = f"{task.name}: {len(contest.split)} examples of {contest.split.name}{why}"
    terminal.table(title, columns, rows, notes(contest, results))


def text_latency_table(results: Sequence[Result], terminal: Terminal) -> None:
    """Latency from a text, each shape once, beside that of the pass alone."""
    rows: list[list[object]] = []
    teachers = {name_of(one): one for one in results}
    for result in {one.answers.shape: one for one in reversed(results)}.values():
        if result.timing is None or (text := result.timing.text) is None:
            continue
        teacher = teachers.get(result.teacher or "")
        theirs = teacher.timing.text if teacher is not None and teacher.timing is not None else None
        alike = sum(one.answers.shape == result.answers.shape for one in results)
        rows.append(
            [
                f"{name_of(result)}{f' and {alike - 1} like it' if alike > 1 else ''}",
                text.median_ms,
                text.p95_ms,
                None if theirs is None else theirs.median_ms / text.median_ms,
                result.timing.speed.median_ms,
            ]
        )
    if rows:
        terminal.table(
            "from a text to its prediction: one text at a time, one thread",
            [
                "model",
                Column("with tokenisation", 3, " ms"),
                Column("p95", 3, " ms"),
                Column("speed-up", 1, "×"),
                Column("pass alone, all threads", 3, " ms"),
            ],
            rows[::-1],
            ["as `dkd predict` computes it: static students with NumPy, exports with their own runtime"],
        )


def seeds_table(contest: Contest, summaries: Sequence[SeedSummary], terminal: Terminal) -> None:
    """Each strategy over its seeds."""
    metric = contest.data.task.metrics[0]
    several = len({summary.recipe for summary in summaries}) > 1
    terminal.table(
        f"{metric} over seeds",
        ["strategy", "seeds", Column("mean", 4), Column("± sd", 4)],
        [
            [f"{s.strategy} ({s.recipe})" if several else s.strategy, len(s.seeds), s.mean, s.sd]
            for s in summaries
        ],
    )


def classes_table(best: Result, teacher: Result | None, terminal: Terminal) -> None:
    """Classes of the best student, those that changed most first if there are many."""
    theirs = {one.label: one for one in teacher.details.classes} if teacher else {}
    rows: list[tuple[float, list[object]]] = []
    for one in best.details.classes:
        change = one.f1 - theirs[one.label].f1 if one.label in theirs else None
        rows.append((abs(change or 0.0), [one.label, one.precision, one.recall, one.f1, one.support, change]))
    if not rows:
        return
    notes = []
    if len(rows) > MOST_CLASSES:
        notes.append(
            f"the {MOST_CLASSES} of {len(rows)} classes that changed most; all are in evaluation.json"
        )
        rows = sorted(rows, key=lambda entry: -entry[0])[:MOST_CLASSES]
    scores = [Column(name, 4) for name in ("precision", "recall", "f1")]
    terminal.table(
        f"classes of {name_of(best)}, the best student by validation",
        ["class", *scores, "support", Column("f1 − teacher's", 4)],
        [cells for _, cells in rows],
        notes,
    )


def calibration_table(models: Sequence[Result], terminal: Terminal) -> None:
    """Calibration of the best student and its teacher."""
    known = [(one, one.details.calibration) for one in models if one.details.calibration is not None]
    if not known:
        return
    bins = len(known[0][1].before.bins)
    unfitted = any(found.fitted.temperature == 1 for _, found in known)
    names = ("temperature", "ece", "calibrated ece", "nll", "calibrated nll", "brier", "calibrated brier")
    terminal.table(
        "calibration",
        ["model", *(Column(name, 4) for name in names)],
        [
            [
                name_of(one),
                found.fitted.temperature,
                *(found.before.ece, found.after.ece),
                *(found.before.nll, found.after.nll),
                *(found.before.brier, found.after.brier),
            ]
            for one, found in known
        ],
        [
            f"temperature: fitted on {known[0][1].fitted.fitted_on}, in calibration.json; ece: {bins} bins",
            *(
                ["a temperature of 1: no other fitted better, as where every row there is right"]
                if unfitted
                else []
            ),
        ],
    )


def cascade_table(best: Result, teacher: Result | None, terminal: Terminal) -> None:
    """Quality and latency of the cascade of student and teacher."""
    found = best.details.cascade
    if found is None or teacher is None:
        return
    shown = [found.curve[0], *(found.curve[i] for i in CASCADE_POINTS), found.curve[-1]]
    points = [("", one) for one in shown] + [("keeps the teacher's quality", found.chosen)]
    rows = []
    for name, one in sorted(points, key=lambda entry: (entry[1].deferred, entry[0])):
        latency = None
        if best.timing is not None and teacher.timing is not None:
            latency = best.timing.speed.median_ms + one.deferred * teacher.timing.speed.median_ms
        rows.append([f"{100 * one.deferred:.1f} %", one.threshold, one.quality, latency, name or None])
    metric = next(iter(best.metrics))
    terminal.table(
        f"cascade: {name_of(best)} predicts where its uncertainty is at most the threshold, "
        f"else {name_of(teacher)}",
        [
            "deferred",
            Column("threshold", 4),
            Column(metric, 4),
            Column("latency", 2, " ms"),
            "the one that",
        ],
        rows,
        [f"chosen on {found.chosen_on}: there it defers the fewest rows and scores no less than it"],
    )


def name_of(result: Result) -> str:
    """The model's label."""
    return result.answers.entrant.folder.label


def row(contest: Contest, result: Result, formats: bool) -> list[object]:
    """A model's row, in the order of the columns."""
    answers, run = result.answers, result.answers.entrant.folder.run
    agreement = result.agreement
    if agreement is not None and KINDS[contest.data.task.kind].agreement_is_share:
        agreement *= 100
    return [
        answers.entrant.folder.label,
        *result.metrics.values(),
        None if result.retention is None else 100 * result.retention,
        agreement,
        answers.entrant.folder.weights_mb,
        None if result.timing is None else result.timing.speed.median_ms,
        result.latency_speedup,
        None if result.timing is None else result.timing.speed.examples_per_second,
        answers.parameters / 1e6,
        answers.layers,
        contest.role(answers.entrant),
        *([answers.format] if formats else []),
        run.strategy if run else None,
    ]


def notes(contest: Contest, results: Sequence[Result]) -> list[str]:
    """Explanation of the columns in two lines."""
    teachers = dict.fromkeys(result.teacher for result in results if result.teacher)
    main = contest.data.task.metrics[0]
    same = KINDS[contest.data.task.kind].agreement
    lines = []
    if (positive := positive_note(contest.data, list(results[0].metrics))) is not None:
        lines.append(positive)
    if teachers:
        against = next(iter(teachers)) if len(teachers) == 1 else "each model's teacher"
        lines.append(
            f"against {against}: retention (of {main}), agreement ({same}), speed-up (of the latency)"
        )
    if KINDS[contest.data.task.kind].thresholds and contest.validation is None:
        plain = [name_of(one) for one in results if one.answers.said.cuts is None]
        if plain:
            shown = "" if len(plain) == len(results) else f" of {', '.join(plain)}"
            lines.append(f"thresholds{shown}: {HALF}, there being no validation labels to fit them on")
    if (timing := results[0].timing) is not None:
        compute = "; ".join(dict.fromkeys(str(result.answers.compute) for result in results))
        lines.append(
            f"latency: median of single examples; throughput: batches of {timing.speed.batch_size};"
            f" forward passes alone, on {compute}; models of one shape are timed once, all"
            " shapes in turns"
        )
    return lines
