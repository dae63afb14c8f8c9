"""Trial passes: what is refused before a model is used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from architectures import save_architecture
from small import LABELS, task_data
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from dkd_cli.engine.models.models import load_trained
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.engine.models.trial import check_hidden_states, check_reading
from dkd_cli.errors import ModelError


def test_a_trial_leaves_random_numbers_and_mode_as_they_were(tmp_path: Path) -> None:
    model = build_classifier(str(save_architecture(tmp_path, "bert")), task_data(), seed=1, key="x").model
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model.train()
    before = torch.random.get_rng_state()
    check_reading(model, tokenizer, "bert", "student", trained=True)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert model.training


def test_a_model_that_reads_padding_is_refused_by_all_that_loads_it(tmp_path: Path) -> None:
    """FNet mixes all places of a batch, whatever the mask says."""
    source = save_architecture(tmp_path / "base", "fnet")
    with pytest.raises(ModelError, match="change with the padding beside it"):
        build_classifier(str(source), task_data(), seed=1, key="student")
    model = AutoModelForSequenceClassification.from_pretrained(source, id2label=dict(enumerate(LABELS)))
    torch.nn.init.normal_(model.classifier.weight)
    model.save_pretrained(tmp_path / "trained")
    AutoTokenizer.from_pretrained(source).save_pretrained(tmp_path / "trained")
    with pytest.raises(ModelError, match="change with the padding beside it"):
        load_trained(str(tmp_path / "trained"), "teachers.large")


def test_layers_in_blocks_are_not_cut(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has its layers in blocks"):
        build_classifier(
            str(save_architecture(tmp_path, "funnel")), task_data(), layers=1, seed=1, key="student"
        )


@pytest.mark.parametrize("name", ["bart", "t5"])
def test_hidden_states_that_are_not_the_tokens_are_refused(name: str, tmp_path: Path) -> None:
    built = build_classifier(str(save_architecture(tmp_path, name)), task_data(), seed=1, key="student")
    with pytest.raises(ModelError, match="does not show a vector for each token and layer"):
        check_hidden_states(built.model, built.tokenizer, 2, "student")
