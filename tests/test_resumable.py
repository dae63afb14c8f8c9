"""A run that ends at any moment goes on as if it had not, bit for bit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small import weights
from torch import Tensor
from training import Jobs, Killed, Recorder, different, kill_at, losses, random_selection

from dkd_cli.engine.runs.snapshots import newest
from dkd_cli.engine.training import resumable, trainer
from dkd_cli.engine.training.fit import fit
from dkd_cli.engine.training.job import Fitted, Job
from dkd_cli.errors import SystemProblem
from dkd_cli.stopping import Stopped, listening


@pytest.fixture
def job(tiny_encoder: Path, tmp_path: Path) -> Jobs:
    return Jobs(tiny_encoder, tmp_path)


# A kill and what follows ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kill", "settings"),
    [
        (3, {"epochs": 2.0}),
        (6, {"epochs": 2.0}),
        (8, {"epochs": 2.0}),
        (7, {"max_steps": 9}),
        (4, {"epochs": 2.0, "accumulation": 2}),
        (8, {"epochs": 2.0, "accumulation": 2}),
    ],
)
def test_a_run_that_was_killed_ends_as_if_it_were_not(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, kill: int, settings: dict[str, Any]
) -> None:
    whole = job(step=random_selection, working="whole", log_every=1, **settings)
    expected = fit(whole)
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_SAVES", 0.0)
    with pytest.raises(Killed):
        fit(job(step=random_selection, working="killed", log_every=1, advance=kill_at(kill), **settings))
    checkpoint = newest(whole.working.parent / "killed", pytest.fail)
    assert checkpoint is not None
    assert 0 < checkpoint.step < expected.steps
    torch.manual_seed(99)
    seen = Recorder(random_selection)
    again = job(step=seen, working="killed", log_every=1, **settings)
    found = fit(again)
    assert seen.batches, "something was left to do"
    assert len(seen.batches) < 2 * 5
    assert different(weights(again.model), weights(whole.model)) == []
    assert losses(found) == losses(expected)
    assert found.validation == expected.validation
    assert (found.best_step, found.steps) == (expected.best_step, expected.steps)


def test_a_resumed_run_counts_what_was_done_before(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_SAVES", 0.0)
    with pytest.raises(Killed):
        fit(job(advance=kill_at(4)))
    told: list[int] = []
    lines: list[str] = []
    fit(replace(job(advance=lambda count, **fields: told.append(count)), say=lines.append))
    assert lines == ["resuming from step 3, after 24 examples"]
    assert told[0] == 3 * 8
    assert sum(told) == 40


# Asked to stop -------------------------------------------------------------------------------------------


def ask_at(call: int, number: int = signal.SIGTERM) -> Callable[..., None]:
    """An `advance` in whose given forward pass the signal comes."""
    passes = 0

    def advance(count: int, **fields: float) -> None:
        nonlocal passes
        passes += count > 0
        if passes == call and count:
            os.kill(os.getpid(), number)

    return advance


def stopped(one: Job) -> Stopped:
    def command() -> None:
        with listening():
            fit(one)

    with pytest.raises(Stopped) as caught:
        command()
    return caught.value


@pytest.mark.parametrize(
    ("call", "number"), [(1, signal.SIGINT), (5, signal.SIGTERM), (8, signal.SIGTERM), (10, signal.SIGINT)]
)
def test_a_signal_in_training_ends_it_after_the_step(job: Jobs, call: int, number: signal.Signals) -> None:
    """Also after the last step of an epoch (5) or of all (10), whose evaluation is made up for."""
    whole = job(step=random_selection, working="whole", epochs=2.0, log_every=3)
    expected = fit(whole)
    one = job(step=random_selection, epochs=2.0, log_every=3, advance=ask_at(call, number))
    end = stopped(one)
    assert (end.exit_code, end.done) == (128 + number, f"saved at step {call}")
    seen = Recorder(random_selection)
    again = job(step=seen, epochs=2.0, log_every=3)
    found = fit(again)
    assert len(seen.batches) == 10 - call, "no step is made twice"
    assert different(weights(again.model), weights(whole.model)) == []
    assert timeless(found) == timeless(expected)


def timeless(fitted: Fitted) -> list[dict[str, float]]:
    """The log without what the clock says."""
    clocks = ("runtime", "per_second")
    return [
        {name: value for name, value in line.items() if not name.endswith(clocks)} for line in fitted.history
    ]


def test_a_signal_in_an_evaluation_ends_it_there(job: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = job(working="whole", epochs=2.0)
    expected = fit(whole)
    calls: list[int] = []
    real = trainer.predict_logits

    def interrupted(*args: Any, advance: Callable[..., None], **kwargs: Any) -> Tensor:
        def told(count: int) -> None:
            calls.append(count)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGINT)
            advance(count)

        return real(*args, advance=told, **kwargs | {"batch_size": 8})

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "predict_logits", interrupted)
        end = stopped(job(epochs=2.0))
    assert (end.exit_code, end.done, len(calls)) == (130, "saved at step 5", 2)
    seen = Recorder()
    again = job(step=seen, epochs=2.0)
    found = fit(again)
    assert len(seen.batches) == 5
    assert different(weights(again.model), weights(whole.model)) == []
    assert timeless(found) == timeless(expected)


def test_other_data_under_a_begun_run_is_refused(job: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(job(advance=ask_at(2)))
    one = job()
    one.train.__dict__["digest"] = "of other texts"
    with pytest.raises(SystemProblem, match="the training data is not what this run began with"):
        fit(one)


def test_a_run_of_so_many_updates_makes_no_more_when_it_goes_on(job: Jobs) -> None:
    """Its last checkpoint stands in the middle of an epoch."""
    whole = job(working="whole", max_steps=3)
    expected = fit(whole)
    seen = Recorder()
    again = job(step=seen, working="whole", max_steps=3)
    assert fit(again).steps == expected.steps == 3
    assert seen.batches == []
    assert different(weights(again.model), weights(whole.model)) == []
