"""The KD term of a recipe: the loss that it names, with its own numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dkd_cli.engine.method import losses
from dkd_cli.engine.method.hidden_losses import (
    attention_relations,
    hidden_alignment,
    hidden_directions,
)
from dkd_cli.engine.method.objectives import KD_LOSSES, kd, pt
from dkd_cli.recipe.fields import choices, hints
from dkd_cli.recipe.strategy_section import Objective

STUDENT = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
TEACHER = torch.randn(6, 4, generator=torch.Generator().manual_seed(2))
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


def test_every_word_of_the_recipe_has_its_loss() -> None:
    assert set(choices(hints(Objective)["kd_loss"])) == set(KD_LOSSES)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (Objective(), losses.kd_mse(STUDENT, TEACHER)),
        (Objective(kd_loss="kl", temperature=3.0), losses.kd_kl(STUDENT, TEACHER, 3.0)),
        (
            Objective(kd_loss="jsd", temperature=3.0, jsd_beta=0.2),
            losses.kd_jensen_shannon(STUDENT, TEACHER, 3.0, 0.2),
        ),
        (
            Objective(kd_loss="taid", temperature=3.0, teacher_share=0.6),
            losses.kd_interpolated(STUDENT, TEACHER, 3.0, 0.6),
        ),
        (
            Objective(kd_loss="decoupled", temperature=3.0, target_weight=0.5, others_weight=2.0),
            losses.kd_decoupled(STUDENT, TEACHER, LABELS, 3.0, 0.5, 2.0),
        ),
        (
            Objective(kd_loss="dist", temperature=3.0, inter_weight=0.5, intra_weight=2.0),
            losses.kd_correlation(STUDENT, TEACHER, 3.0, 0.5, 2.0),
        ),
        (
            Objective(kd_loss="kl", temperature=3.0, standardise=True),
            losses.kd_kl(losses.standardised(STUDENT), losses.standardised(TEACHER), 3.0),
        ),
    ],
    ids=lambda value: value.kd_loss if isinstance(value, Objective) else "",
)
def test_the_numbers_of_the_recipe_reach_the_loss(objective: Objective, expected: Tensor) -> None:
    assert torch.equal(kd(KD_LOSSES, objective, STUDENT, TEACHER, LABELS), expected)


@pytest.mark.parametrize("name", sorted(set(KD_LOSSES) - {"mse"}))
def test_standardised_logits_are_compared_whatever_their_scale(name: Any) -> None:
    objective = Objective(kd_loss=name, standardise=True)
    expected = kd(KD_LOSSES, objective, STUDENT, TEACHER, LABELS)
    found = kd(KD_LOSSES, objective, 3 * STUDENT + 1, 0.5 * TEACHER - 2, LABELS)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", sorted(set(KD_LOSSES) - {"decoupled"}))
def test_only_the_decoupled_loss_reads_labels(name: Any) -> None:
    objective = Objective(kd_loss=name)
    assert torch.equal(
        kd(KD_LOSSES, objective, STUDENT, TEACHER, None), kd(KD_LOSSES, objective, STUDENT, TEACHER, LABELS)
    )


def test_states_or_relations_are_compared() -> None:
    own, other, mask = [torch.randn(2, 3, 8)], [torch.randn(2, 3, 8)], torch.ones(2, 3)
    published = Objective(hidden_loss="states")
    assert torch.equal(pt(published, own, other, mask), hidden_alignment(own, other, mask))
    assert torch.equal(pt(Objective(), own, other, mask), hidden_directions(own, other, mask))
    relations = Objective(hidden_loss="relations", relation_heads=4)
    assert torch.equal(pt(relations, own, other, mask), attention_relations(own, other, mask, 4))
