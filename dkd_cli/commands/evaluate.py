"""`dkd evaluate`: score, time and compare every model below some folders."""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.sources import load_task_data
from dkd_cli.data.tags import words_of
from dkd_cli.engine.runs.checkpoints import Run
from dkd_cli.errors import DkdError, RecipeError, SystemProblem, raise_all
from dkd_cli.evaluation.contests import Contest, Entrant, entrants, named_split, plan_contests
from dkd_cli.evaluation.discover import find_models
from dkd_cli.evaluation.figures import contest_figures, machine
from dkd_cli.evaluation.known_cuts import cuts_in
from dkd_cli.evaluation.metrics import predicted
from dkd_cli.evaluation.scoring import (
    Predictions,
    Result,
    answer,
    answer_all,
    compare,
    measure,
    summarise_seeds,
)
from dkd_cli.evaluation.temperature_file import NAME, write_temperature
from dkd_cli.files import CellWriter, write_json, write_text
from dkd_cli.labelling.paid import price_figures, teachers_paid_for
from dkd_cli.pipeline.answered import recorded_files, with_answers
from dkd_cli.recipe.schema import Data, Recipe, labelled_data
from dkd_cli.report.evaluation_report import evaluation_report
from dkd_cli.report.evaluation_tables import show
from dkd_cli.report.headline import contest_headline
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.prices import COLUMNS, NOTES, TITLE, price_rows, scored_students
from dkd_cli.report.terminal import Terminal

Load = Callable[[Data], TaskData]


def evaluate(
    paths: Sequence[Path],
    *,
    recipe: Recipe | None,
    split: str | None,
    predictions: str | None,
    output: Path | None,
    timing: bool,
    terminal: Terminal,
) -> None:
    """Print tables for each task and split; write `evaluation.json`, and each model's temperature.

    Args:
        paths: folders with models in them or below them.
        recipe: which data the models made elsewhere are for; the others carry their own.
        split: the split to score; None: the labelled test split, else validation.
        predictions: where the one model's predictions go, of `split` or else the test split: a file; or a
            folder, one that is there or written with a `/` at its end, for every test split's
            `test_results_<task>.txt`.
        output: the folder for `evaluation.json`; None: the first of `paths`.
        timing: whether the clock runs; scores need none.
        terminal: for progress and tables.

    Raises:
        ModelError: where no model is found, or one does not fit its task.
        RecipeError: where a model's data is unknown, or several models are to write one file.
        DataError: where the split is not there, or hides its labels and nothing is to be predicted.
        SystemProblem: where nothing can be written.
    """
    quiet_libraries()
    found = find_models(paths)
    models, folder = entrants(found.models, recipe), output or paths[0]
    read = cache(load_task_data)

    def load(data: Data) -> TaskData:
        return read(labelled_data(data))  # nothing is scored on a transfer set, which may be large

    where = predictions
    check_outputs(models, folder, where)
    for note in found.notes:
        terminal.warn(note)
    if recipe is not None and all(one.folder.run is not None for one in models):
        terminal.warn("--recipe is not read: each of these models keeps the recipe that it was made by")
    data = load(models[0].recipe.data)
    files = {} if where is None else prediction_files(where, data, split)
    said: list[Predictions] = []
    figures: list[dict[str, Any]] = []
    if not files or scorable(data, split):
        said, figures = score(models, split, load, folder, timing, terminal)
    for path, target in files.items():
        write_predictions(path, models[0], data, target, said, terminal)
    terminal.say(f"next: {next_step(models, figures)}")


def score(
    models: Sequence[Entrant],
    split: str | None,
    load: Load,
    folder: Path,
    timing: bool,
    terminal: Terminal,
) -> tuple[list[Predictions], list[dict[str, Any]]]:
    """Hold every contest, print tables, write files; returns what all models said, and all figures."""
    programme = plan_contests(models, split, load, _digests())
    for note in programme.notes:
        terminal.warn(note)
    tasks = list(dict.fromkeys(contest.data.task.name for contest in programme.contests))
    if len(tasks) > 1:
        terminal.warn(f"models of {len(tasks)} tasks, compared within each: {', '.join(tasks)}")
    everything: list[Predictions] = []
    figures: list[dict[str, Any]] = []
    for contest in programme.contests:
        splits = {id(part): part for part in (contest.split, contest.validation) if part is not None}
        rows = sum(map(len, splits.values())) * len(contest.entrants)
        with terminal.progress(f"evaluating {len(contest.entrants)} models", rows) as advance:
            said, timed = answer_all(contest, advance)
        if timing:
            terminal.say(f"timing {len(timed)} shapes of model")
        results = compare(contest, said, measure(timed, said, contest.split) if timing else {})
        summaries = summarise_seeds(results, contest.data.task.metrics[0])
        show(contest, results, summaries, asked=split is not None, terminal=terminal)
        save_temperatures(results, terminal)
        paid = price_figures(teachers_paid_for(students_of(contest)))
        figures.append(contest_figures(contest, results, summaries) | {"paid": paid})
        if paid:
            rows_shown = price_rows(paid, scored_students(figures[-1]))
            terminal.table(TITLE, COLUMNS, rows_shown, NOTES)
        for line in contest_headline(figures[-1]):
            terminal.say(line)
        everything += said
    evaluation = {"machine": machine(), "evaluations": figures}
    write_json(folder / "evaluation.json", evaluation)
    write_text(folder / "report.html", evaluation_report(evaluation))
    terminal.say(f"every figure: {folder / 'evaluation.json'}")
    terminal.say(f"to read and to send: {folder / 'report.html'}")
    return everything, figures


def students_of(contest: Contest) -> list[tuple[Path, Run]]:
    """Folder and run of each student that dkd made."""
    folders = [entrant.folder for entrant in contest.entrants]
    return [(one.path, one.run) for one in folders if one.path and one.run and one.role == "student"]


def save_temperatures(results: Sequence[Result], terminal: Terminal) -> None:
    """Put `calibration.json` into the folders that dkd made; others' folders are left as they are.

    So is a teacher's that was trained on other rows than its student: those that it was fitted on here may be
    among them.
    """
    for result in results:
        entrant, calibration = result.answers.entrant, result.details.calibration
        folder = entrant.folder
        if folder.run is None or folder.path is None or calibration is None:
            continue
        if labelled_data(folder.run.recipe.data) != labelled_data(entrant.recipe.data):
            continue
        try:
            write_temperature(folder.path, calibration.fitted)
        except OSError as error:
            terminal.warn(f"{folder.path / NAME} cannot be written ({error.strerror})")


def is_folder(where: str) -> bool:
    """Return whether predictions go into a folder, under names of their own."""
    return where.endswith("/") or Path(where).is_dir()


def prediction_files(where: str, data: TaskData, split: str | None) -> dict[Path, Split]:
    """Split to predict, by the file that it goes to: `split`, else test, else validation.

    A file takes one split. A folder takes all of the kind, named as the published scripts name them:
    `test_results_rte.txt`, `test_results_mnli.txt` and `test_results_mnli-mm.txt`.
    """
    if split is not None:
        splits = [named_split(data, split)]
    else:
        kind = "test" if "test" in data.splits else "validation"
        splits = [one for name, one in data.splits.items() if name.startswith(kind)]
    if not is_folder(where):
        return {Path(where): splits[0]}
    files = {}
    for one in splits:
        kind, _, mismatched = one.name.partition("_")
        files[Path(where) / f"{kind}_results_{data.task.name}{'-mm' if mismatched else ''}.txt"] = one
    return files


def scorable(data: TaskData, split: str | None) -> bool:
    """Return whether there are labels to score on: in the named split, else in any but training."""
    splits = [named_split(data, split)] if split else [s for n, s in data.splits.items() if n != "train"]
    return any(one.labels is not None for one in splits)


def write_predictions(
    path: Path, model: Entrant, data: TaskData, split: Split, said: Sequence[Predictions], terminal: Terminal
) -> None:
    """Write `index<TAB>prediction`: label names, or numbers; hidden labels are predicted all the same.

    A name with a tab, a line break or a quote in it is quoted as in csv.
    """
    known = (a for a in said if a.split is split and a.entrant.folder.source == model.folder.source)
    answers = next(known, None)
    if answers is None:
        with terminal.progress(f"predicting {split.name}", len(split)) as advance:
            answers, _ = answer(model, data, split, None, advance)
    said_by, kind = answers.said, KINDS[data.task.kind]
    cuts = said_by.cuts
    if kind.thresholds and cuts is None and model.folder.path is not None:
        folder, names = model.folder.path, data.label_names or ()
        cuts = cuts_in(folder, names)
    values = predicted(data.task, said_by.scored, cuts).tolist()
    if kind.by_word:  # without what fills up the rows of shorter texts
        values = [tags[: len(words_of(text))] for tags, text in zip(values, split.texts, strict=True)]
    shown = [kind.shown(value, data.label_names) for value in values]
    written = io.StringIO()
    table = CellWriter(written, "\t")
    table.row(("index", "prediction"))
    table.rows((i, one if isinstance(one, str) else format(one, ".6g")) for i, one in enumerate(shown))
    write_text(path, written.getvalue())
    hidden = "; its labels are hidden, so nothing is scored on it" if split.labels is None else ""
    terminal.say(f"predictions: {path}, {len(split)} examples of {split.name}{hidden}")


def _digests() -> Callable[[Recipe, TaskData], str]:
    """Of what a run of a recipe is made from today: a text that its teacher was not asked about waits.

    Recipes with the same data and teachers share one, as all students of a sweep do.
    """
    known: dict[tuple[Data, tuple[tuple[str, str], ...]], str] = {}

    def digest(recipe: Recipe, data: TaskData) -> str:
        made_from = (recipe.data, tuple(sorted(recorded_files(recipe).items())))
        if made_from not in known:
            known[made_from] = with_answers(recipe, data).digest()
        return known[made_from]

    return digest


def check_outputs(models: Sequence[Entrant], folder: Path, predictions: str | None) -> None:
    """Refuse what could not be written, before minutes of work."""
    errors: list[DkdError] = []
    if predictions is not None and len(models) > 1:
        problem = f"one place cannot hold the predictions of {len(models)} models"
        errors.append(RecipeError("--predictions", problem, "name one model's folder"))
    places = {folder: "--output"}
    if predictions is not None:
        place = Path(predictions)
        places.setdefault(place if is_folder(predictions) else place.parent, "--predictions")
    for place, option in places.items():
        above = next(path for path in (place, *place.absolute().parents) if path.exists())
        if not above.is_dir() or not os.access(above, os.W_OK):
            errors.append(
                SystemProblem(str(place), "cannot be written", f"choose another folder with {option}")
            )
    raise_all(errors)


def next_step(models: Sequence[Entrant], figures: Sequence[Mapping[str, Any]]) -> str:
    """The command that makes sense after this one: the best student's export, or predictions of it."""
    students = [model for model in models if model.folder.role == "student"]
    best = [found["best_student"]["model"] for found in figures if found["best_student"]]
    source = next((m.folder.source for m in students if m.folder.label in best[:1]), None)
    exports = [m.folder.source for m in students if m.folder.export is not None]
    if source is not None and not any(export.startswith(f"{source}-onnx") for export in exports):
        return f"dkd export {_shown(source)} --quantize int8"
    source = next((e for e in exports if source is not None and e.startswith(f"{source}-onnx")), source)
    chosen = _shown(source or (students or models)[-1].folder.source)
    if not students and any(model.folder.role == "teacher" for model in models):
        # The resolved recipe beside the teacher is as good as the one that was typed.
        return f"dkd distill {chosen}/recipe.yaml --strategy dynamic-objective"
    return f"dkd predict {chosen}"


def _shown(source: str) -> str:
    """A path as short as it can be typed from here, quoted if it has to be."""
    return shlex.quote(os.path.relpath(source) if Path(source).is_relative_to(Path.cwd()) else source)
