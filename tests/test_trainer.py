"""The training loop: accumulation, order, repeatability, the best weights, and what a kill costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import weights
from torch import Tensor
from training import Jobs, Recorder, Weights, different, losses, on_labels, random_selection

from dkd_cli.data import encoding
from dkd_cli.engine.method.distillation import StepLoss, StudentOutput
from dkd_cli.engine.models.models import Model, head_parameters
from dkd_cli.engine.training import fit as fitting
from dkd_cli.engine.training import trainer
from dkd_cli.engine.training.counts import examples_seen
from dkd_cli.engine.training.fit import fit
from dkd_cli.engine.training.job import Job


@pytest.fixture
def job(tiny_encoder: Path, tmp_path: Path) -> Jobs:
    return Jobs(tiny_encoder, tmp_path)


# The same examples, the same numbers ---------------------------------------------------------------------


def test_two_batches_of_8_are_one_of_16(job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    """The last update has 8 examples in both. Plain SGD: Adam would hide gradients of twice the size."""
    plain = trainer.training_arguments
    monkeypatch.setattr(fitting, "training_arguments", lambda job: replace(plain(job), optim="sgd"))
    monkeypatch.setattr(encoding, "length_grouped_order", lambda lengths, *rest: list(range(len(lengths))))

    def one_class(student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
        return on_labels(student, torch.zeros_like(rows), rows)  # balanced labels would hardly move it

    same = {"step": one_class, "dropout": 0.0, "max_grad_norm": 0.0, "learning_rate": 0.5, "log_every": 1}
    whole = job(working="whole", batch_size=16, accumulation=1, **same)
    parts = job(working="parts", batch_size=8, accumulation=2, **same)
    before = weights(whole.model)
    one, two = fit(whole), fit(parts)
    assert one.steps == two.steps == 3
    assert max((weights(whole.model)[name] - before[name]).abs().max() for name in before) > 1e-3
    for name, weight in weights(whole.model).items():
        torch.testing.assert_close(weights(parts.model)[name], weight, rtol=0, atol=1e-6, msg=name)
    assert losses(two) == pytest.approx(losses(one), abs=2e-4)


@pytest.mark.parametrize(("batch_size", "accumulation"), [(20, 2), (36, 2), (15, 3), (39, 2)])
def test_a_last_smaller_pass_weighs_by_its_rows(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, batch_size: int, accumulation: int
) -> None:
    """1x40, 2x20, 36 + 4, 15 + 15 + 10 and 39 + 1 rows are one update, with one gradient and one loss."""
    plain = trainer.training_arguments
    monkeypatch.setattr(fitting, "training_arguments", lambda job: replace(plain(job), optim="sgd"))
    monkeypatch.setattr(encoding, "length_grouped_order", lambda lengths, *rest: list(range(len(lengths))))

    def uneven(student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
        return on_labels(student, (rows >= 36).long(), rows)  # the last rows are not like the others

    same = {"step": uneven, "dropout": 0.0, "max_grad_norm": 0.0, "learning_rate": 0.5, "log_every": 1}
    whole = job(working="whole", batch_size=40, accumulation=1, **same)
    parts = job(working="parts", batch_size=batch_size, accumulation=accumulation, **same)
    before = weights(whole.model)
    one, two = fit(whole), fit(parts)
    assert one.steps == two.steps == 1
    assert max((weights(whole.model)[name] - before[name]).abs().max() for name in before) > 1e-3
    for name, weight in weights(whole.model).items():
        torch.testing.assert_close(weights(parts.model)[name], weight, rtol=0, atol=1e-6, msg=name)
    assert losses(two) == pytest.approx(losses(one), abs=1e-4)
    terms = [line["ce"] for fitted in (one, two) for line in fitted.history if "ce" in line]
    assert terms[0] == pytest.approx(terms[1], abs=1e-5)


def test_every_epoch_sees_each_example_once_in_another_order(job: Callable[..., Job]) -> None:
    seen = Recorder()
    advanced: list[int] = []
    one = job(step=seen, epochs=3.0, advance=lambda count, **fields: advanced.append(count))
    assert fit(one).steps == 15
    rows = [row for batch in seen.batches for row in batch]
    epochs = [rows[start : start + 40] for start in (0, 40, 80)]
    assert all(sorted(epoch) == list(range(40)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert sum(advanced) == examples_seen(one.settings, 40) == 120


def test_a_seed_decides_everything(job: Callable[..., Job]) -> None:
    def trained(working: str, seed: int) -> tuple[Weights, list[list[int]]]:
        torch.manual_seed(len(working))  # whatever happened before must not matter
        seen = Recorder(random_selection)
        one = job(step=seen, working=working, seed=seed)
        fit(one)
        return weights(one.model), seen.batches

    (first, order), (again, same_order), (other, other_order) = (
        trained("a", 1),
        trained("bb", 1),
        trained("ccc", 2),
    )
    assert different(first, again) == []
    assert order == same_order != other_order
    assert different(first, other)


# What must not be updated --------------------------------------------------------------------------------


@pytest.mark.parametrize(("dropout", "varies"), [(0.0, False), (0.5, True), (None, True)])
def test_dropout_is_the_recipes_or_the_models_own(
    job: Callable[..., Job], dropout: float | None, varies: bool
) -> None:
    one = job(dropout=dropout)
    fitting.prepare_model(one.model, one.settings)
    one.model.train()
    words = torch.from_numpy(one.train[0]["input_ids"])[None]
    first, second = (one.model(input_ids=words).logits for _ in range(2))
    assert torch.equal(first, second) != varies


@pytest.mark.parametrize("freeze", ["embeddings", "nothing"])
def test_frozen_embeddings_stay(job: Callable[..., Job], freeze: str) -> None:
    one = job(freeze=freeze)
    before = weights(one.model)
    fit(one)
    changed = different(weights(one.model), before)
    assert ("bert.embeddings.word_embeddings.weight" in changed) == (freeze == "nothing")
    assert {"bert.embeddings.LayerNorm.weight", "classifier.weight"} <= set(changed)


def test_a_frozen_encoder_leaves_the_head_alone_to_learn(job: Callable[..., Job]) -> None:
    one = job(freeze="encoder")
    before = weights(one.model)
    fit(one)
    assert different(weights(one.model), before) == head_parameters(one.model) != []


# The best checkpoint -------------------------------------------------------------------------------------


class Scripted:
    """Metrics that were decided beforehand; notes the weights that each of them was given to."""

    def __init__(self, name: str, values: Sequence[float | None]) -> None:
        self.model: Model | None = None
        self.seen: list[Weights] = []
        self._name, self._values = name, values

    def __call__(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
        assert self.model is not None
        self.seen.append(weights(self.model))
        return {self._name: self._values[len(self.seen) - 1]}


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("accuracy", (0.2, 0.9, 0.5), 1),
        ("accuracy", (0.9, 0.2, 0.5), 0),
        ("accuracy", (0.2, 0.5, 0.9), 2),
        ("mse", (0.9, 0.2, 0.5), 1),
        ("pearson", (None, 0.1, 0.0), 1),
    ],
)
def test_the_best_weights_are_the_ones_that_remain(
    job: Callable[..., Job], metric: str, values: tuple[float | None, ...], best: int
) -> None:
    metrics = Scripted(metric, values)
    one = job(metrics=metrics, metric=metric, epochs=3.0)
    metrics.model = one.model
    fitted = fit(one)
    assert len(metrics.seen) == 3
    assert different(weights(one.model), metrics.seen[best]) == []
    assert different(metrics.seen[0], metrics.seen[1])
    assert fitted.best_step == 5 * (best + 1)
    assert fitted.validation[metric] == values[best]
    assert not one.model.training


def test_a_run_shorter_than_log_every_has_its_terms(job: Callable[..., Job]) -> None:
    fitted = fit(job(log_every=1000, epochs=2.0))
    assert [line["step"] for line in fitted.history if "ce" in line] == [5, 10]


def test_the_log_has_the_mean_of_each_term(job: Callable[..., Job]) -> None:
    said: list[float] = []

    def step(student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
        result = on_labels(student, labels, rows)
        said.append(result.total.item())
        return StepLoss(result.total, {"ce": result.terms["ce"], "share": torch.tensor(len(said) / 1.0)})

    fitted = fit(job(step=step, log_every=2, epochs=2.0))
    lines = [line for line in fitted.history if "loss" in line]
    assert [line["share"] for line in lines] == [1.5, 3.5, 5.0, 6.0, 7.5, 9.5], "an epoch has five updates"
    means = [group.mean() for group in np.split(np.array(said), [2, 4, 5, 6, 8])]
    assert [line["ce"] for line in lines] == pytest.approx(means)


def test_evaluation_asks_no_teacher(job: Callable[..., Job]) -> None:
    seen = Recorder()
    fitted = fit(job(step=seen))
    assert len(seen.batches) == 5, "five batches of training, none of the evaluation"
    assert {"loss", "accuracy"} <= set(fitted.validation)
