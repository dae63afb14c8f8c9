"""One rung of `dkd shrink` at a time: train the student, export it, compare the export with the teacher.

What is measured is what would be deployed: the export, from texts to logits. Prints progress alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.metric_names import judged
from dkd_cli.data.output_math import Floats
from dkd_cli.data.sources import load_task_data
from dkd_cli.engine.deploy.load import load_predictor
from dkd_cli.engine.runs.checkpoints import Run
from dkd_cli.errors import DkdError, ModelError, Problems, raise_all
from dkd_cli.evaluation.gates import Gates
from dkd_cli.evaluation.keeping import Kept, kept_score
from dkd_cli.evaluation.known_cuts import cuts_in, find_cuts
from dkd_cli.evaluation.text_latency import TextLatency, measure_text_latency
from dkd_cli.pipeline.cascades import label_places, split_logits
from dkd_cli.pipeline.exporting import WantedExport, export_model, read_source
from dkd_cli.pipeline.loaded_teachers import LoadedTeachers
from dkd_cli.pipeline.planned import StudentRun
from dkd_cli.pipeline.predictions import asked
from dkd_cli.pipeline.student import one_student
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.schema import Recipe, labelled_data
from dkd_cli.report.terminal import Terminal
from dkd_cli.shrinking.ladder import SERVED, Export, Rung

MOST_ROWS = 2000
"""So many rows tell a point of accuracy; more would take minutes with a large teacher."""
GATES = Gates(tolerance=1e-3, max_loss=1.0)

Logits = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ShrinkTarget:
    """Requirements on a student to be chosen."""

    keep: float
    """The share of the teacher's score."""
    confidence: float
    """With which it keeps that, over examples."""
    latency_ms: float | None = None
    """The most for one text, tokenisation included, on one thread."""
    size_mb: float | None = None
    """The most for the folder, in 10⁶ bytes."""


@dataclass(frozen=True)
class Judges:
    """The rows that students are compared with their teacher on, and what it says of them."""

    data: TaskData
    split: Split
    teacher: Logits
    cuts: Floats | None = None
    """Of the teacher: the logits [C] above which labels are predicted; None: 0."""
    tests: int = 1
    """How many students are to be compared on these rows."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A rung that was climbed."""

    rung: Rung
    run: Run
    folder: Path
    """The export."""
    export: Export
    kept: Kept | None
    """On validation rows; None where the score is undefined."""
    latency: TextLatency
    size_mb: float

    def suffices(self, wanted: ShrinkTarget) -> bool:
        """Return whether it keeps what was asked for, within the limits."""
        kept = self.kept is not None and self.kept.confidence >= wanted.confidence
        return kept and not self.too_large(wanted)

    def too_large(self, wanted: ShrinkTarget) -> bool:
        """Return whether it is beyond a limit, as all larger ones will be."""
        slow = wanted.latency_ms is not None and self.latency.median_ms > wanted.latency_ms
        return slow or (wanted.size_mb is not None and self.size_mb > wanted.size_mb)


def judges_of(recipe: Recipe, source: str, tests: int, terminal: Terminal) -> Judges:
    """The validation rows, those that `data.max_validation` leaves out too, with the teacher's logits.

    Args:
        recipe: the one that is shrunk.
        source: of its largest teacher.
        tests: how many students will be compared with it.
        terminal: for progress and a note on the teacher's thresholds.

    Raises:
        DataError, ModelError: where data or teacher cannot be read.
    """
    # These rows are of no other split: the limit is applied after the texts were divided.
    wide = replace(labelled_data(recipe.data), max_validation=None)
    data = judged(load_task_data(wide), recipe.train.metric)
    split = _at_most(data.splits["validation"])
    logits = teacher_logits(recipe, source, data, split, terminal)
    folder, names = Path(source) if Path(source).is_dir() else None, data.label_names or ()
    known = find_cuts(folder, data.task.kind, names, logits, split.labels)
    if known.origin is not None:
        terminal.say(f"thresholds of the teacher: {known.origin}")
    return Judges(data, split, logits, known.cuts, tests)


def teacher_logits(recipe: Recipe, source: str, data: TaskData, split: Split, terminal: Terminal) -> Logits:
    """Compute the teacher's logits for a split, in the task's order of labels, [N, C]."""
    named = [teacher for teacher in recipe.teachers.values() if teacher.checkpoint == source]
    labels = named[-1].labels if named else None
    with terminal.progress(f"teacher on {split.name}", len(split)) as advance:
        return asked(source, recipe, data, split, advance, labels, key="teachers").numpy()


def export_logits(folder: Path, data: TaskData, split: Split, terminal: Terminal) -> Logits:
    """Compute an export's logits for a split, in the task's order of labels, [N, C]."""
    predictor = load_predictor(str(folder))
    with terminal.progress(f"{folder.name} on {split.name}", len(split)) as advance:
        said = split_logits(predictor, split, advance)
    if data.label_names is None:
        return said
    return said[:, label_places(predictor, data.label_names, str(folder), data.task.kind)]


def compared_with_teacher(judges: Judges, said: Logits, folder: Path, wanted: ShrinkTarget) -> Kept | None:
    """Compare an export's logits [N, C] with the teacher's, each at its own thresholds."""
    own = cuts_in(folder, judges.data.label_names or ())
    return kept_score(
        judges.data.task,
        said,
        judges.teacher,
        judges.split.labels,
        wanted.keep,
        wanted.confidence,
        tests=judges.tests,
        cuts=(own, judges.cuts),
    )


def climb(
    workshop: Workshop,
    loaded: LoadedTeachers,
    rung: Rung,
    run: StudentRun,
    judges: Judges,
    wanted: ShrinkTarget,
) -> Measured:
    """Make a student or find it made, export it and measure the export.

    Raises:
        DkdError: for what goes wrong in any of it.
    """
    made = one_student(workshop, loaded, run, fresh=False)
    folder, export = serve(run.folder, rung, workshop.terminal)
    said = export_logits(folder, judges.data, judges.split, workshop.terminal)
    kept = compared_with_teacher(judges, said, folder, wanted)
    (latency,) = measure_text_latency([load_predictor(str(folder), threads=1)], judges.split)
    return Measured(
        rung=rung,
        run=made,
        folder=folder,
        export=export,
        kept=kept,
        latency=latency,
        size_mb=folder_mb(folder),
    )


def serve(checkpoint: Path, rung: Rung, terminal: Terminal) -> tuple[Path, Export]:
    """Export a student in the smallest format that passes the gates.

    Raises:
        ModelError: where none does.
    """
    source = read_source(str(checkpoint), None)
    refused: list[DkdError] = []
    for format, quantization in SERVED[rung.family]:
        wanted = WantedExport(format, quantization, GATES)
        try:
            folder, _, _ = export_model(source, wanted, None, terminal)
        except ModelError as error:
            terminal.warn(f"{checkpoint.name} as {format} {quantization or 'fp32'}: {error.problem}")
            refused.append(error)
            continue
        return folder, (format, quantization)
    raise refused[-1]


def folder_mb(folder: Path) -> float:
    """All that lies in a folder, in 10⁶ bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def attempted(climbing: Callable[[], Measured], rung: Rung, terminal: Terminal) -> Measured | None:
    """A rung, or None and a warning where it fails: the others go on without it."""
    try:
        return climbing()
    except (DkdError, Problems) as problem:
        error = problem.errors[0] if isinstance(problem, Problems) else problem
        terminal.warn(f"{rung.name} failed: {error}")
        return None


def check_packages() -> None:
    """Refuse to begin without what the exports of encoders need.

    Raises:
        SystemProblem: names the extra.
    """
    from dkd_cli.engine.models.exports import no_extra

    missing: list[DkdError] = []
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        missing.append(no_extra(error))
    raise_all(missing)


def _at_most(split: Split) -> Split:
    if len(split) <= MOST_ROWS:
        return split
    rows = np.linspace(0, len(split) - 1, MOST_ROWS).round().astype(int).tolist()
    return split.take(rows, split.name)
