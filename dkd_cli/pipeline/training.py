"""Training of a prepared run, and its publication in the run's folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dkd_cli.data.examples import Split
from dkd_cli.data.kinds import KINDS
from dkd_cli.engine.models.inference import predict_logits
from dkd_cli.engine.models.models import LoadedModel, depth
from dkd_cli.engine.runs.checkpoints import Run, publish
from dkd_cli.engine.teachers.bank import TeacherBank
from dkd_cli.engine.training.counts import examples_seen
from dkd_cli.engine.training.fit import fit
from dkd_cli.engine.training.job import Job
from dkd_cli.evaluation.details import Said, fit_said
from dkd_cli.evaluation.temperature_file import Temperature, write_temperature
from dkd_cli.files import write_text
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.report.model_card import model_card


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run of which everything is read and built."""

    job: Job
    built: LoadedModel
    """The untrained model of the job, and its tokenizer."""
    source: str
    """The model that it was built from."""
    run: Run
    """All but the results."""
    teachers: TeacherBank
    """Those that the job's step queries."""


def train_and_publish(workshop: Workshop, prepared: Prepared, final: Path) -> Run:
    """Train a prepared model, put it in its folder `final`, and return the run with its results.

    Raises:
        DkdError: as `fit.fit`.
    """
    peers, built, teachers = workshop.peers, prepared.built, prepared.teachers
    job = prepared.job
    seen = examples_seen(job.settings, job.rows_per_epoch, job.pool, peers.count)
    with workshop.terminal.progress(final.name, seen) as advance, teachers.kept():
        fitted = fit(replace(job, advance=advance, say=workshop.terminal.say))

    calibration = fitted_calibration(workshop, prepared)

    def save_weights(folder: Path) -> None:
        built.model.save_pretrained(folder)
        if calibration is not None:
            write_temperature(folder, calibration)
        # How the last texts were cut stays in it, unless the cache had all tokens: no part of the model.
        backend = getattr(built.tokenizer, "backend_tokenizer", None)
        if backend is not None:
            backend.no_truncation()
            backend.no_padding()
        built.tokenizer.save_pretrained(folder)
        card = model_card(
            done,
            workshop.data(done.recipe),
            base=prepared.source,
            layers=depth(built.model),
            parameters=sum(weight.numel() for weight in built.model.parameters()),
        )
        write_text(folder / "README.md", card)

    names = workshop.data(prepared.run.recipe).label_names
    done = replace(
        prepared.run,
        validation=fitted.validation,
        seconds=fitted.seconds,
        predicts=None if fitted.constant is None or names is None else names[fitted.constant],
    )
    queries, hits = teachers.tally(peers)
    log = {
        "best_step": fitted.best_step,
        "steps": fitted.steps,
        "examples": fitted.work.examples,
        "backward_rows": fitted.work.backward,
        "rows": rows_by_kind(job.train.split),
        "processes": peers.count,
        "compute": str(job.compute),
        "teacher_queries": queries,
        "teacher_hits": hits,
        "history": fitted.history,
    }
    peers.decide(lambda: publish(job.working, final, done, save_weights, log))
    return peers.decide(lambda: done)


def fitted_calibration(workshop: Workshop, prepared: Prepared) -> Temperature | None:
    """Temperature and thresholds of the trained model, where it decides about labels by thresholds.

    As `dkd evaluate` fits them on the validation split; None where that has no labels.
    """
    job, data = prepared.job, workshop.data(prepared.run.recipe)
    validation = data.splits["validation"]
    if not KINDS[data.task.kind].thresholds or validation.labels is None:
        return None
    size, precision = job.settings.eval_batch_size, job.settings.precision
    logits = predict_logits(job.model, job.validation, job.collator, batch_size=size, precision=precision)
    return fit_said(data, validation, Said(logits.numpy(), logits.numpy())).fitted


def rows_by_kind(split: Split) -> dict[str, int]:
    """Numbers of rows of a training split with and without a label."""
    labelled = len(split) if split.labelled is None else sum(split.labelled)
    labelled = 0 if split.labels is None else labelled
    return {"labelled": labelled, "unlabelled": len(split) - labelled}
