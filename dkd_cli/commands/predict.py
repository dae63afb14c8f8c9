"""`dkd predict`: texts in, a label, its probability and its uncertainty out, in the order of the texts."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.locate import local_path
from dkd_cli.data.streams import Columns, TextRow, windows
from dkd_cli.engine.deploy.load import load_predictor
from dkd_cli.engine.deploy.predictor import Predictor
from dkd_cli.errors import ModelError, SystemProblem
from dkd_cli.evaluation.temperature_file import read_temperature
from dkd_cli.files import replacing
from dkd_cli.pipeline.text_sources import Source, opened
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.terminal import Terminal

WINDOW = 32
"""Batches sorted together by length: texts of like length need little padding."""
DIGITS = 6
ANSWER = ("label", "probability", "uncertainty", "prediction", "probabilities")
"""The columns of the answers; one of the input that is called so is written as `input_label`."""

Row = dict[str, Any]
Groups = Iterator[list[Row]]


def predict(
    model: str,
    source: Source,
    *,
    output: Path | None,
    as_json: bool,
    with_text: bool,
    all_probabilities: bool,
    batch_size: int,
    terminal: Terminal,
) -> None:
    """Classify every text, in bounded memory, and write csv or JSON lines to a file or stdout.

    Args:
        model: a checkpoint, an export, a hub id or `pkg://`.
        source: the texts.
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
    with opened(source, notes.append) as there:
        predictor = load_predictor(model)
        columns = source.columns(predictor.text, predictor.text_pair)
        tally = Tally()
        rows = answers(
            predictor,
            windows(there.examples(columns, notes.append), WINDOW * batch_size, live=there.live),
            temperature=read_temperature(local_path(model, ModelError)),
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
    for warning in [*notes, *tally.warnings(predictor.max_length)]:
        terminal.warn(warning)


@dataclass
class Tally:
    """What is to be said of the texts at the end."""

    rows: int = 0
    empty: int = 0
    cut: int = 0

    def warnings(self, max_length: int) -> list[str]:
        """A line each."""
        told = []
        if self.empty:
            told.append(f"{self.empty} of {self.rows} texts are empty, and were answered all the same")
        if self.cut:
            told.append(f"{self.cut} of {self.rows} texts were cut to {max_length} tokens")
        return told


def answers(
    predictor: Predictor,
    groups: Iterator[list[TextRow]],
    *,
    temperature: float,
    batch_size: int,
    beside: Callable[[TextRow], Row],
    tally: Tally,
) -> Iterator[list[Row]]:
    """Answer group after group; batches hold texts of like length, answers come in the order of the texts.

    `beside` gives what is written of an example before its answer.
    """
    for group in groups:
        by_length = sorted(range(len(group)), key=lambda row: -len(group[row]))
        rows: list[Row] = [{}] * len(group)
        for start in range(0, len(group), batch_size):
            chosen = by_length[start : start + batch_size]
            texts = [group[row].text for row in chosen]
            pairs = [group[row].text_pair or "" for row in chosen]
            paired = group[0].text_pair is not None
            logits, cut = predictor.logits(texts, pairs if paired else None)
            for row, values in zip(chosen, logits, strict=True):
                rows[row] = beside(group[row]) | answer(values, predictor.labels, temperature)
            tally.cut += cut
        tally.rows += len(group)
        tally.empty += sum(not example.text.strip() for example in group)
        yield rows


def beside(example: TextRow, columns: Columns, with_text: bool) -> Row:
    """What of an example is written: the columns that are kept, and on request the texts.

    >>> beside(TextRow("hi", None, {"id": 7, "label": "a"}), Columns("body", None), True)
    {'id': 7, 'input_label': 'a', 'body': 'hi'}
    """
    texts = {columns.text: example.text}
    if columns.text_pair is not None:
        texts[columns.text_pair] = example.text_pair or ""
    row = {**example.kept, **(texts if with_text else {})}
    return {f"input_{name}" if name in ANSWER else name: value for name, value in row.items()}


def answer(logits: NDArray[np.float32], labels: Sequence[str] | None, temperature: float) -> Row:
    """One text's answer: softmax of the logits [C] over the temperature, and entropy over log C.

    >>> answer(np.zeros(2, dtype=np.float32), ("no", "yes"), 1.0)["uncertainty"]
    1.0
    """
    if labels is None:
        return {"prediction": round(float(logits[0]), DIGITS)}
    scaled = logits.astype(np.float64) / temperature
    log_probabilities = scaled - scaled.max()
    log_probabilities -= np.log(np.exp(log_probabilities).sum())
    probabilities = np.exp(log_probabilities)
    best = int(probabilities.argmax())
    entropy = -(probabilities * log_probabilities).sum() / np.log(len(labels))
    return {
        "label": labels[best],
        "probability": round(float(probabilities[best]), DIGITS),
        "uncertainty": round(float(np.clip(entropy, 0, 1)), DIGITS),
        "probabilities": {
            label: round(float(p), DIGITS) for label, p in zip(labels, probabilities, strict=True)
        },
    }


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
    writer = csv.writer(stream, lineterminator="\n")
    begun = False
    for rows in groups:
        for row in rows:
            flat = {name: value for name, value in row.items() if name != "probabilities"}
            flat |= {f"p({label})": value for label, value in row.get("probabilities", {}).items()}
            flat = {name: written(value) for name, value in flat.items()}
            if not begun:
                writer.writerow(flat)
                begun = True
            writer.writerow(flat.values())
        stream.flush()


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
