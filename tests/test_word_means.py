"""Losses and uncertainties of tagged words: means over the words of each text, against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dkd_cli.data.output_math import by_word as by_word_array
from dkd_cli.data.output_math import class_divergence, cross_entropy
from dkd_cli.engine.method.distillation import StudentOutput, distillation_step
from dkd_cli.engine.method.objectives import kd
from dkd_cli.engine.method.outputs import OUTPUTS
from dkd_cli.engine.method.strategies import Plan
from dkd_cli.recipe.strategy_section import Objective, TeacherAdoption
from dkd_cli.recipe.words import NO_TAG, NO_WORD

WORDS = (3, 1, 2)
"""Of each text; the second word of the last text was read by the student alone."""
TAGS = ((0, 2, 1), (1,), (2, 0))
Lists = list[list[list[float]]]


def drawn(seed: int, lost: tuple[tuple[int, int], ...] = ()) -> tuple[torch.Tensor, Lists]:
    """Logits [3, 4, 3] of three texts, and the same as lists without what is no word or was not read."""
    logits = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(seed))
    lists = [[logits[t, w].tolist() for w in range(count)] for t, count in enumerate(WORDS)]
    for text, count in enumerate(WORDS):
        logits[text, count:] = NO_WORD
    for text, word in lost:
        logits[text, word] = NO_WORD
    return logits, lists


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp(z / temperature) for z in logits]
    return [power / sum(powers) for power in powers]


def tags() -> torch.Tensor:
    return torch.tensor([[*one, *[NO_TAG] * (4 - len(one))] for one in TAGS])


def test_kd_is_the_mean_over_words_that_both_read() -> None:
    student, own = drawn(1)
    teacher, theirs = drawn(2, lost=((2, 1),))
    temperature, wanted = 2.0, []
    for text, count in enumerate(WORDS):
        terms = []
        for word in range(count):
            if (text, word) == (2, 1):
                continue
            p, q = softmax(own[text][word], temperature), softmax(theirs[text][word], temperature)
            terms.append(temperature**2 * sum(b * math.log(b / a) for a, b in zip(p, q, strict=True)))
        wanted.append(sum(terms) / len(terms))
    objective = Objective(mode="fixed", kd_loss="kl", temperature=temperature)
    found = kd(OUTPUTS["tokens"].kd_losses, objective, student, teacher, tags())
    assert found.tolist() == pytest.approx(wanted, rel=1e-5)
    # A teacher whose batch reaches less far is of the same words.
    assert kd(OUTPUTS["tokens"].kd_losses, objective, student, teacher[:, :3], tags()).equal(found)


def test_uncertainty_is_the_mean_normalised_entropy_of_the_words() -> None:
    logits, lists = drawn(3)
    wanted = []
    for words in lists:
        terms = [-sum(p * math.log(p) for p in softmax(z)) / math.log(3) for z in words]
        wanted.append(sum(terms) / len(terms))
    assert OUTPUTS["tokens"].uncertainties["entropy"](logits).tolist() == pytest.approx(wanted, rel=1e-5)


def test_cross_entropy_of_words_with_and_without_weights() -> None:
    logits, lists = drawn(4)
    logits.requires_grad_()
    plain = [
        [-math.log(softmax(z)[tag]) for z, tag in zip(words, own, strict=True)]
        for words, own in zip(lists, TAGS, strict=True)
    ]
    found = OUTPUTS["tokens"].supervised(logits, tags())
    assert found.tolist() == pytest.approx([sum(one) / len(one) for one in plain], rel=1e-5)
    found.sum().backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    assert float(logits.grad[1, 1:].abs().sum()) == 0  # what is no word learns nothing
    weigh = OUTPUTS["tokens"].weighted
    assert weigh is not None
    weights = torch.tensor([1.0, 3.0, 0.5])
    wanted = [
        sum(weights[tag].item() * term for term, tag in zip(one, own, strict=True)) / len(one)
        for one, own in zip(plain, TAGS, strict=True)
    ]
    assert weigh(logits, tags(), weights).tolist() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", OUTPUTS["tokens"].kd_losses)
def test_every_kd_loss_is_finite_and_reaches_all_words(name: str) -> None:
    student, _ = drawn(5)
    student.requires_grad_()
    teacher, _ = drawn(6)
    objective = Objective(mode="fixed", kd_loss=name, standardise=True)
    kd(OUTPUTS["tokens"].kd_losses, objective, student, teacher, tags()).mean().backward()
    assert student.grad is not None
    moved = student.grad.abs().sum(dim=-1) > 0
    assert moved.equal((student != NO_WORD).any(dim=-1))


def test_a_text_of_which_no_word_was_read_teaches_nothing() -> None:
    logits = torch.full((1, 2, 3), NO_WORD, requires_grad=True)
    loss = OUTPUTS["tokens"].supervised(logits, torch.tensor([[0, 1]]))
    loss.sum().backward()
    assert loss.tolist() == [0.0]
    assert logits.grad is not None
    assert float(logits.grad.abs().sum()) == 0


class OneTeacher:
    """Answers the same to every row."""

    def __init__(self, answers: torch.Tensor) -> None:
        self.answers = answers

    def logits(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        return self.answers[rows]

    def hidden_states(self, name: str, rows: torch.Tensor) -> list[torch.Tensor]:
        raise AssertionError("nothing is aligned")

    def common(self, name: str, rows: torch.Tensor) -> torch.Tensor | None:
        raise AssertionError("nothing is aligned")


def test_a_step_weighs_texts_by_their_uncertainty() -> None:
    student, _ = drawn(7)
    teacher, _ = drawn(8)
    plan = Plan(
        adoption=TeacherAdoption(mode="static", weights={"large": 1.0}),
        objective=Objective(mode="uncertainty", ce_weight=1.0, kd_weight=0.5, hidden_weight=0.0),
        teachers=("large",),
        output="tokens",
    )
    output = StudentOutput(student, torch.ones(3, 5))
    step = distillation_step(plan, output, tags(), torch.arange(3), OneTeacher(teacher), {})
    known = OUTPUTS["tokens"]
    term = kd(known.kd_losses, plan.objective, student, teacher, tags())
    ce = known.supervised(student, tags()).mean()
    assert step.terms["ce"].item() == pytest.approx(ce.item())
    assert step.terms["uncertainty"].item() == pytest.approx(
        known.uncertainties["entropy"](student).mean().item()
    )
    assert step.terms["kd"].item() != pytest.approx(term.mean().item())
    assert step.total.item() == pytest.approx(ce.item() + 0.5 * step.terms["kd"].item())


def test_evaluation_measures_what_training_does() -> None:
    (student, _), (teacher, _) = drawn(9), drawn(10)
    first, second = (np.asarray(one.double().numpy()) for one in (student, teacher))
    objective = Objective(mode="fixed", kd_loss="kl", temperature=1.0)
    trained = kd(OUTPUTS["tokens"].kd_losses, objective, student, teacher, None)
    measured: NDArray[np.float64] = by_word_array(class_divergence)(second, first)
    assert measured.tolist() == pytest.approx(trained.tolist(), rel=1e-5)
    supervised = OUTPUTS["tokens"].supervised(student, tags())
    assert by_word_array(cross_entropy)(first, tags().numpy()).tolist() == pytest.approx(supervised.tolist())


def test_one_tag_for_all_words_is_noticed() -> None:
    logits, _ = drawn(11)
    one_tag = torch.where(logits == NO_WORD, logits, torch.tensor([0.0, 5.0, 0.0]))
    assert OUTPUTS["tokens"].constant(one_tag) == 1
    one_tag[0, 0, 2] = 9.0
    assert OUTPUTS["tokens"].constant(one_tag) is None
