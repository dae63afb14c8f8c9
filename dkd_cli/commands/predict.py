"""`dkd predict`: texts in, a label, its probability and its uncertainty out, in the order of the texts."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TextIO

from dkd_cli.data.kinds import KINDS
from dkd_cli.errors import ModelError, RecipeError, SystemProblem
from dkd_cli.evaluation.cascade_file import (
    NAME,
    Cascade,
    check_unchanged,
    names_same,
    read_cascade,
    write_cascade,
)
from dkd_cli.files import CellWriter, replacing
from dkd_cli.pipeline.answering import AnsweringStep, Row, Tally, answers, cascade_steps, one_step
from dkd_cli.pipeline.text_sources import STDIN, Source, opened
from dkd_cli.reading.locate import local_path
from dkd_cli.reading.streams import Columns, TextRow, windows
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.terminal import Terminal

WINDOW = 32
"""Batches sorted together by length: texts of like length need little padding."""
ANSWER = (
    *("label", "labels", "entities", "spans", "probability", "uncertainty"),
    *("prediction", "probabilities", "answered_by"),
)
"""The columns of the answers; one of the input that is called so is written as `input_label`."""

SEPARATOR = "|"
"""Between several labels of a text in csv, as training reads them."""
BROKEN_BAR = "¦"
"""Stands in csv for a `|` inside an entity, which would look like two."""

Groups = Iterator[list[Row]]


@dataclass(frozen=True)
class CascadeRequest:
    """The models that answer what the first one is unsure of."""

    models: tuple[str, ...] = ()
    """In the order in which they are asked."""
    agreement: float = 0.98
    """Of a cascade that is not chosen yet: as `dkd cascade --agreement`."""


def predict(
    model: str,
    source: Source,
    *,
    others: CascadeRequest,
    output: Path | None,
    as_json: bool,
    with_text: bool,
    all_probabilities: bool,
    batch_size: int,
    terminal: Terminal,
) -> None:
    """Classify every text, in bounded memory, and write csv or JSON lines to a file or stdout.

    Args:
        model: a checkpoint, an export, a hub id or `pkg://`; or the cascade.json of several.
        source: the texts.
        others: who answers what `model` is unsure of.
        output: the file, which is written whole or not at all; None: stdout, batch by batch.
        as_json: JSON lines; else csv. Also where the file's name ends in .jsonl.
        with_text: write the texts beside the answers.
        all_probabilities: give those of every class.
        batch_size: texts in each forward pass.
        terminal: for warnings.

    Raises:
        RecipeError: for a format that is not known.
        DataError: at the line that cannot be read.
        ModelError: where there is no such classifier.
        SystemProblem: where nothing can be read or written.
    """
    quiet_libraries()
    notes: list[str] = []
    if source.inputs in ((), (STDIN,)) and sys.stdin.isatty():
        terminal.warn("no texts are named: reading them from the terminal, one a line, until Ctrl-D")
    with opened(source, notes.append) as there:
        steps = chosen_steps(model, others, terminal)
        predictor = steps[0].load()
        if all_probabilities and KINDS[predictor.kind].by_word:
            problem = "gives the probabilities of a text's classes, and this model tags words"
            raise RecipeError("--all-probabilities", problem, "leave it out")
        columns = source.columns(predictor.text, predictor.text_pair)
        tally = Tally()
        rows = answers(
            steps,
            windows(there.examples(columns, notes.append), WINDOW * batch_size, live=there.live),
            batch_size=batch_size,
            beside=partial(beside, columns=columns, with_text=with_text),
            tally=tally,
        )
        write = json_lines if as_json or (output is not None and output.suffix == ".jsonl") else csv_lines
        shown: Groups = (shaped(window, all_probabilities) for window in rows)
        if output is None:
            to_stdout(write, shown)
        else:
            # of a pipe nobody knows the end
            if there.file is not None and there.stream is not None and not there.live:
                shown = followed(shown, there.stream, there.file, terminal)
            to_file(output, write, shown)
            terminal.say(f"{output}: {tally.rows} answers")
    if len(steps) > 1:
        terminal.aside(tally.shares(steps))
    for step in steps:
        if step is steps[0] or tally.answered[step.name]:  # the others were not loaded
            for note in step.load().notes:
                terminal.aside(note)
    for warning in [*notes, *tally.warnings(predictor.max_length)]:
        terminal.warn(warning)


def chosen_steps(model: str, others: CascadeRequest, terminal: Terminal) -> list[AnsweringStep]:
    """The classifiers that answer; a cascade that was not chosen yet is chosen now, and kept.

    Raises:
        RecipeError: for a cascade.json and further models.
        DataError: for a cascade.json that cannot be read, or where one cannot be chosen.
        ModelError: for models that were made again since the cascade was chosen.
    """
    path = Path(model)
    if path.suffix == ".json" and path.is_file():
        if others.models:
            problem = f"{path} says already which models follow"
            raise RecipeError("--else", problem, "leave it out, or name a model instead of the file")
        cascade = read_cascade(path)
    elif others.models:
        path = local_path(model, ModelError) / NAME
        known = read_cascade(path) if path.is_file() else None
        names = (model, *others.models)
        if known is not None and names_same(known, names):
            cascade = known
        else:
            cascade = fit_cascade(names, path, others.agreement, terminal)
    else:
        return one_step(model)
    check_unchanged(cascade, path)
    steps = cascade_steps(cascade)
    if len(steps) == 1:
        terminal.warn(f"{path}: the last model answers everything, for no other keeps what was asked for")
    return steps


def fit_cascade(models: Sequence[str], path: Path, agreement: float, terminal: Terminal) -> Cascade:
    """Choose a cascade's threshold as `dkd cascade` does, and keep it beside the first model."""
    # Late: an export answers without torch.
    from dkd_cli.evaluation.cascade_choice import CascadeTarget
    from dkd_cli.pipeline.cascades import Cascading

    if not path.parent.is_dir():
        raise ModelError(models[0], "is no folder here to keep cascade.json in", "see `dkd cascade --help`")
    quiet = Terminal(quiet=True)
    cascade = Cascading(models, None, quiet).fit(CascadeTarget("agreement", agreement))
    write_cascade(path, cascade)
    found = cascade.validation
    terminal.aside(
        f"{path}: agreement of {agreement:.0%} with {models[-1]}, which answers {found.answered[-1]:.0%} of "
        f"{found.rows} validation texts; `dkd cascade` chooses another"
    )
    return cascade


def beside(example: TextRow, columns: Columns, with_text: bool) -> Row:
    """Columns of an example that are written: those kept and, on request, the texts.

    >>> beside(TextRow("hi", None, {"id": 7, "label": "a"}), Columns("body", None), True)
    {'id': 7, 'input_label': 'a', 'body': 'hi'}
    """
    texts = {columns.text: example.text}
    if columns.text_pair is not None:
        texts[columns.text_pair] = example.text_pair or ""
    row = {**example.kept, **(texts if with_text else {})}
    return {f"input_{name}" if name in ANSWER else name: value for name, value in row.items()}


def shaped(rows: Sequence[Row], all_probabilities: bool) -> list[Row]:
    """The rows as they are shown."""
    if all_probabilities:
        return list(rows)
    return [{name: value for name, value in row.items() if name != "probabilities"} for row in rows]


def followed(groups: Groups, stream: BinaryIO, file: Path, terminal: Terminal) -> Groups:
    """The same groups, with the progress through the file."""
    total, done = file.stat().st_size // 1000, 0
    with terminal.progress(f"predicting {file}", total, unit="kB") as advance:
        for rows in groups:
            yield rows
            advance(stream.tell() // 1000 - done)
            done = stream.tell() // 1000


Write = Callable[[Groups, TextIO], None]


def csv_lines(groups: Groups, stream: TextIO) -> None:
    """A header and a line for each row; the probability of a class stands under `p(CLASS)`."""
    writer = CellWriter(stream)
    begun = False
    for rows in groups:
        for row in rows:
            shown = {name: value for name, value in row.items() if name != "probabilities"}
            flat = {name: joined(name, value) for name, value in with_columns(shown).items()}
            flat |= {f"p({label})": value for label, value in row.get("probabilities", {}).items()}
            flat = {name: written(value) for name, value in flat.items()}
            if not begun:
                writer.row(flat)
                begun = True
            writer.row(flat.values())
        stream.flush()


def with_columns(row: Row) -> Row:
    """The row with lists `entities`, `labels`, `spans` and `probability` in place of a list of entities.

    >>> ada = {"text": "Ada", "label": "PER", "start": 0, "end": 3, "score": 0.9}
    >>> with_columns({"entities": [ada], "uncertainty": 0.1})
    {'entities': ['Ada'], 'labels': ['PER'], 'spans': ['0-3'], 'probability': [0.9], 'uncertainty': 0.1}
    >>> with_columns({"entities": [ada | {"text": "A|B"}]})["entities"]
    ['A¦B']
    """
    if "entities" not in row:
        return row
    found = row["entities"]
    columns = {
        "entities": [one["text"].replace(SEPARATOR, BROKEN_BAR) for one in found],
        "labels": [one["label"] for one in found],
        "spans": [f"{one['start']}-{one['end']}" for one in found],
        "probability": [one["score"] for one in found],
    }
    before = {name: value for name, value in row.items() if name not in ANSWER}
    after = {name: value for name, value in row.items() if name in ANSWER and name != "entities"}
    return before | columns | after


def joined(name: str, value: object) -> object:
    """Several labels, and their probabilities, in one cell; any other value as it is.

    >>> joined("labels", ["joy", "love"]), joined("tags", ["a"])
    ('joy|love', ['a'])
    """
    if name in ANSWER and isinstance(value, list):
        return SEPARATOR.join(map(str, value))
    return value


def written(value: object) -> object:
    """A value in a cell of csv; objects and lists, which only JSON has, are written as such."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def json_lines(groups: Groups, stream: TextIO) -> None:
    """An object on each line."""
    for rows in groups:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        stream.flush()


def to_stdout(write: Write, groups: Groups) -> None:
    """Write as the answers come; whoever stops reading ends it quietly."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    try:
        write(groups, sys.stdout)
    except BrokenPipeError:
        # What is still in Python's buffer would complain at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def to_file(path: Path, write: Write, groups: Groups) -> None:
    """Write the file whole or not at all."""
    try:
        with replacing(path) as staged, staged.open("w", encoding="utf-8", newline="") as stream:
            write(groups, stream)
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise SystemProblem(str(path), problem, "choose another place with --output") from error
