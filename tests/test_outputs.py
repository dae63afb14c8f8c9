"""Each kind of output has what a step asks of it, and the recipe's words name nothing else."""

from __future__ import annotations

import pytest
import torch

from dkd_cli.data.kinds import KINDS
from dkd_cli.engine.method.checks import CHECKS
from dkd_cli.engine.method.objectives import KD_LOSSES
from dkd_cli.engine.method.outputs import OUTPUTS
from dkd_cli.engine.method.selection import INFORMATIVENESS
from dkd_cli.evaluation.disagreements import _BY_KIND
from dkd_cli.evaluation.fidelity import AGREEMENT
from dkd_cli.evaluation.outputs import SCORED
from dkd_cli.recipe.fields import choices, hints
from dkd_cli.recipe.loader import parse_recipe
from dkd_cli.recipe.schema import Data
from dkd_cli.recipe.strategy_section import DataSelection
from dkd_cli.recipe.words import KIND_WORDS, SCORE_READS, score_reads


def test_every_kind_of_a_recipe_is_an_entry() -> None:
    words = set(choices(hints(Data)["kind"]))
    for room in (KIND_WORDS, KINDS, OUTPUTS, CHECKS, AGREEMENT, SCORED, _BY_KIND):
        assert set(room) == words


def test_every_score_of_a_recipe_says_what_it_reads_and_has_its_function() -> None:
    words = {word.removesuffix("-r") for word in choices(hints(DataSelection)["score"])}
    assert words == set(SCORE_READS)
    assert words - {"none"} == set(INFORMATIVENESS)
    assert score_reads("llkd-r") == {"probabilities", "teacher"}


def test_a_number_has_no_uncertainty_and_one_kd_loss() -> None:
    number = OUTPUTS["regression"]
    assert not number.uncertainties
    assert number.sure_and_unsure is None
    assert set(number.kd_losses) == {"mse"}
    assert set(OUTPUTS["classification"].kd_losses) == set(KD_LOSSES)
    loss = number.supervised(torch.tensor([[2.5], [1.0]]), torch.tensor([2.0, 1.0]))
    assert loss.tolist() == [0.25, 0.0]


RECIPE = """
name: old-words
model: hub/encoder
data: {source: a.csv}
teachers: {large: {}}
strategy:
  name: dynamic-data
  data: {score: kl-r}
  objective: {kd_loss: dkd}
"""


def test_the_published_and_the_old_words_are_read() -> None:
    with pytest.warns(FutureWarning, match="'dkd' is now called 'decoupled'"):
        recipe = parse_recipe(RECIPE, "old.yaml")
    assert recipe.strategy.data.score == "label-loss-r"
    assert recipe.strategy.objective.kd_loss == "decoupled"
