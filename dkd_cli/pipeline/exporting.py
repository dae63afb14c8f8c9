"""Exports: a classifier in the format that serves it, behind gates.

The export has to give the logits that torch gives, and what is quantised has to keep its quality on
validation texts; what does not pass leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator, empty_token, encode
from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.metric_names import judged
from dkd_cli.data.odd_texts import odd_texts
from dkd_cli.data.sources import load_task_data
from dkd_cli.engine.cache.fingerprint import state_digest
from dkd_cli.engine.deploy.export_writers import WRITERS
from dkd_cli.engine.deploy.exported_predictor import export_tokens
from dkd_cli.engine.models.export_formats import FORMATS
from dkd_cli.engine.models.exported_model import ExportedClassifier
from dkd_cli.engine.models.exports import (
    Export,
    Graph,
    Padding,
    Quantization,
    read_export,
    write_export,
)
from dkd_cli.engine.models.inference import model_inputs, predict_logits
from dkd_cli.engine.models.label_order import label_order, name_outputs
from dkd_cli.engine.models.models import (
    LoadedModel,
    Model,
    check_fit,
    depth,
    limits,
    load_trained,
    locate_model,
)
from dkd_cli.engine.runs.checkpoints import given_labels, read_run
from dkd_cli.errors import ModelError, RecipeError, SystemProblem
from dkd_cli.evaluation.gates import (
    Gates,
    check_batches,
    check_parity,
    check_quality,
    lost,
    measure_parity,
    measure_quality,
    one_after_the_other,
)
from dkd_cli.evaluation.known_cuts import find_cuts
from dkd_cli.evaluation.temperature_file import NAME
from dkd_cli.files import remove_folder, rename, write_json
from dkd_cli.manifests import damage, seal
from dkd_cli.recipe.schema import Recipe, labelled_data
from dkd_cli.report.terminal import Advance, Terminal
from dkd_cli.version import __version__

MOST_ROWS = 5000
"""So many validation texts tell a point of accuracy; more would take minutes on a CPU."""
TEXTS_AT_ONCE = 500
KEPT_FILES = ("recipe.yaml", NAME)
"""Files of a source that are also true of its export."""

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class ExportSource:
    """A classifier, and the texts that its exports are judged by."""

    named: str
    """As the user did."""
    folder: Path | None
    """None for a hub id."""
    recipe: Recipe
    data: TaskData
    rows: EncodedSplit
    odd: EncodedSplit
    """Texts unlike those of validation, which it has to read like its exports."""
    loaded: LoadedModel
    order: list[int] | None
    """For each of the task's labels, the output that stands for it."""
    weights: str
    """A digest."""


@dataclass(frozen=True)
class WantedExport:
    """Options of an export."""

    format: str
    quantization: Quantization | None
    gates: Gates


def export_model(
    source: ExportSource, wanted: WantedExport, output: Path | None, terminal: Terminal
) -> tuple[Path, Export, bool]:
    """Write the folder of an export, unless it is there already.

    Args:
        source: the classifier and the texts that it is judged by.
        wanted: format, quantization and gates.
        output: the folder; None: beside the checkpoint, under its name and the format's.
        terminal: for progress.

    Returns:
        The folder, what it holds, and whether it was made now.

    Raises:
        ModelError: for a model that cannot be exported, or an export that fails a gate.
        SystemProblem: where nothing can be written, or the extra `onnx` is missing.
    """
    WRITERS[wanted.format].check(source.loaded.model, wanted.quantization, source.named)
    final = output or beside(source, wanted)
    with claim_export(final) as staged:
        done = read_export(final)
        if done is not None and still_holds(done, source, wanted) and damage(final) is None:
            return final, done, False
        made = write_and_judge(source, wanted, staged, final, terminal)
        put_in_place(staged, final)
    return final, made, True


def read_source(checkpoint: str, recipe: Recipe | None) -> ExportSource:
    """Load the classifier and the validation texts that it will be judged by."""
    located = locate_model(checkpoint, checkpoint)
    folder = Path(located) if Path(located).is_dir() else None
    run = read_run(folder) if folder else None
    settings = run.recipe if run else recipe
    if settings is None:
        problem = "does not say which data it is for, and an export is judged on validation texts"
        raise RecipeError(checkpoint, problem, "give --recipe NAME or FILE")
    data = judged(load_task_data(labelled_data(settings.data)), settings.train.metric)
    loaded = load_trained(checkpoint, checkpoint)
    labels = given_labels(settings, checkpoint)
    order = label_order(loaded.model.config, data, labels, checkpoint, checkpoint)
    name_outputs(loaded.model.config, labels)
    tokenizer, longest = loaded.tokenizer, settings.data.max_length
    usual = some_rows(data.splits["validation"])
    odd = odd_texts(usual, tokenizer.all_special_tokens, longest)
    rows, odd_rows = (encode(split, tokenizer, longest) for split in (usual, odd))
    check_fit(loaded.model, [rows, odd_rows], longest, checkpoint)
    weights = state_digest(loaded.model)
    return ExportSource(checkpoint, folder, settings, data, rows, odd_rows, loaded, order, weights)


def some_rows(split: Split) -> Split:
    """The split, or `MOST_ROWS` of it, evenly spread."""
    if len(split) <= MOST_ROWS:
        return split
    rows = np.linspace(0, len(split) - 1, MOST_ROWS).round().astype(int).tolist()
    return split.take(rows, split.name)


def beside(source: ExportSource, wanted: WantedExport) -> Path:
    """`CHECKPOINT-onnx`, `CHECKPOINT-onnx-int8` and so on; of the hub's and packages' models, here."""
    suffix = "".join(f"-{part}" for part in (wanted.format, wanted.quantization) if part)
    own = source.folder is not None and not source.named.startswith("pkg://")
    folder = source.folder if own and source.folder is not None else Path(source.named)
    if folder.name in ("", ".."):  # named from inside; any other path stays as the user wrote it
        folder = folder.resolve()
    return folder.with_name(folder.name + suffix) if own else Path(folder.name + suffix)


@contextmanager
def claim_export(final: Path) -> Iterator[Path]:
    """Yield an empty hidden folder to work in; what is left of it goes.

    Raises:
        SystemProblem: if the place holds something else, is at work or cannot be written.
    """
    if final.exists() and read_export(final) is None:
        problem = "holds something that is no export"
        raise SystemProblem(str(final), problem, "choose another folder with --output")
    working = final.with_name(f".{final.name}")
    try:
        working.mkdir(parents=True, exist_ok=True)
        lock = FileLock(working / "lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SystemProblem(
            str(final), "another process is at work on it", "wait for it, or stop it"
        ) from error
    except OSError as error:
        raise SystemProblem(
            str(final), f"cannot be written ({error.strerror})", "choose another folder with --output"
        ) from error
    staged = working / "staged"
    try:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        yield staged
    finally:
        lock.release()
        shutil.rmtree(working, ignore_errors=True)


def still_holds(done: Export, source: ExportSource, wanted: WantedExport) -> bool:
    """Return whether an export has the same weights in the same format, and passes the gates asked for."""
    return (
        done.source_weights == source.weights
        and done.edition == WRITERS[wanted.format].edition
        and (done.format, done.graph.quantization) == (wanted.format, wanted.quantization)
        and done.parity.max_difference <= wanted.gates.tolerance
        and lost(done.quality) <= wanted.gates.max_loss
    )


def write_and_judge(
    source: ExportSource,
    wanted: WantedExport,
    staged: Path,
    final: Path,
    terminal: Terminal,
) -> Export:
    """Fill the staged folder; raises at the first gate that is not passed."""
    model, tokenizer = source.loaded.model, source.loaded.tokenizer
    quantization, gates, writer = wanted.quantization, wanted.gates, WRITERS[wanted.format]
    graph = Graph(
        quantization, depth(model), sum(weight.numel() for weight in model.parameters()), limits(model)
    )
    passes = 2 if quantization is None else 3
    with terminal.progress(f"exporting {source.named}", passes * len(source.rows)) as advance:
        expected = answers(model, source, advance)
        alone = odd_answers(model, source, 1)
        model.cpu()
        # Some formats are read with the classifier's configuration.
        model.config.save_pretrained(staged)
        writer.write(model, example(source), staged, None)
        classifier = ExportedClassifier(staged, model.config, wanted.format, graph)
        said = answers(classifier, source, advance)
        together = odd_answers(classifier, source, len(source.odd))
        parity = measure_parity(
            one_after_the_other(expected, alone), one_after_the_other(said, together), gates.tolerance
        )
        check_parity(source.named, parity)
        if quantization is not None:
            writer.write(model, example(source), staged, quantization)
            classifier = ExportedClassifier(staged, model.config, wanted.format, graph)
            said = answers(classifier, source, advance)
            pair = (odd_answers(classifier, source, size) for size in (1, len(source.odd)))
            check_batches(source.named, *pair)
    names, labels = source.data.label_names or (), source.rows.split.labels
    known = find_cuts(source.folder, source.data.task.kind, names, expected, labels)
    quality = measure_quality(
        source.named,
        source.data.task,
        source.rows.split,
        expected,
        said,
        gates.max_loss,
        known.cuts,
    )
    check_quality(source.named, quality)
    tokenizer.save_pretrained(staged)
    writer.finish(staged, tokenizer)
    if source.folder is not None and (source.folder / "dkd.json").is_file():
        describe_run(source.folder, staged, final)
    task = source.data.task
    made = Export(
        dkd=__version__,
        format=wanted.format,
        opset=writer.opset,
        edition=writer.edition,
        source=source.named if source.folder is None else os.path.relpath(source.folder, final),
        source_weights=source.weights,
        graph=graph,
        max_length=source.recipe.data.max_length,
        truncation_side=tokenizer.truncation_side,
        padding=Padding(
            tokenizer.padding_side,
            tokenizer.pad_token_id,
            tokenizer.pad_token_type_id,
            None if tokenizer("")["input_ids"] else empty_token(tokenizer),
        ),
        special_tokens_as_text=bool(getattr(tokenizer, "split_special_tokens", False)),
        text=task.text,
        text_pair=task.text_pair,
        parity=parity,
        quality=quality,
        source_bytes=sum(w.numel() * w.element_size() for w in model.parameters()),
        bytes=(staged / FORMATS[wanted.format].weights).stat().st_size,
        versions={name: version(name) for name in writer.packages},
    )
    check_tokens(source, staged, made)
    write_export(staged, made)
    return made


def check_tokens(source: ExportSource, staged: Path, made: Export) -> None:
    """Refuse a tokenizer that reads texts otherwise where there is no transformers.

    Raises:
        ModelError: with the number of texts; or for a tokenizer that has no file of its own.
    """
    reader = export_tokens(staged, made)
    for rows in (source.rows, source.odd):
        split, other = rows.split, list[str]()
        for start in range(0, len(split), TEXTS_AT_ONCE):
            part = slice(start, start + TEXTS_AT_ONCE)
            read = reader(split.texts[part], None if split.text_pairs is None else split.text_pairs[part])
            for row, encoded in enumerate(read, start):
                real = np.array(encoded.attention_mask, dtype=bool)
                tokens = np.array(encoded.ids, dtype=int)[real].tolist() or [made.padding.empty]
                if tokens != rows[row]["input_ids"].tolist():
                    other.append(split.texts[row])
        if other:
            problem = (
                f"its tokenizer reads {len(other)} of {len(split)} texts otherwise outside transformers, "
                f"such as {other[0][:40]!r}"
            )
            raise ModelError(source.named, problem, "deploy the checkpoint itself")


def answers(model: Model, source: ExportSource, advance: Advance) -> Logits:
    """Logits [N, C] of the validation texts, in the task's order of labels."""
    logits = _logits(model, source.rows, source, source.recipe.train.eval_batch_size, advance)
    return logits if source.order is None else logits[..., source.order]


def odd_answers(model: Model, source: ExportSource, batch_size: int) -> Logits:
    """Logits [N, C] of the odd texts, in the model's own order."""
    return _logits(model, source.odd, source, batch_size, None)


def _logits(
    model: Model, rows: EncodedSplit, source: ExportSource, batch_size: int, advance: Advance | None
) -> Logits:
    collator = PaddingCollator(source.loaded.tokenizer)
    logits: Logits = predict_logits(
        model, rows, collator, batch_size=batch_size, precision="fp32", advance=advance
    ).numpy()
    return logits


def example(source: ExportSource) -> dict[str, Tensor]:
    """A batch of two texts of different length: what the exporter sees."""
    model = source.loaded.model
    by_length = source.rows.by_length()
    chosen = [source.rows[int(row)] for row in (by_length[0], by_length[-1])]
    return model_inputs(model, PaddingCollator(source.loaded.tokenizer)(chosen), model.device)


def describe_run(folder: Path, staged: Path, final: Path) -> None:
    """Take over what dkd wrote beside the weights: an export is scored like its source."""
    for name in KEPT_FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, staged / name)
    facts = json.loads((folder / "dkd.json").read_text(encoding="utf-8"))
    if facts["teacher_is_local"]:
        facts["teacher"] = os.path.relpath((folder / facts["teacher"]).resolve(), final.resolve())
    write_json(staged / "dkd.json", facts)


def put_in_place(staged: Path, final: Path) -> None:
    """Seal the finished folder and give it its name, in the place of an older export."""
    seal(staged, but=(NAME,))
    if final.exists():
        remove_folder(final)
    rename(staged, final)


def summary(final: Path, made: Export) -> str:
    """Describe the export in one line."""
    quality = made.quality
    return (
        f"{final}: {made.format} {made.graph.width}, "
        f"{made.bytes / 1e6:.1f} MB of {made.source_bytes / 1e6:.1f} MB; "
        f"float32 logits within {made.parity.max_difference:.1e} of torch's; "
        f"{quality.metric} {quality.before:.4f} -> {quality.after:.4f} "
        f"on {quality.rows} texts of {quality.split}"
    )
