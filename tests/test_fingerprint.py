"""What tells teachers apart: weights, configuration, the order of labels; not the place they come from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from small import LABELS, save_classifier, task_data

from dkd_cli.engine.cache.entries import Cache
from dkd_cli.engine.cache.fingerprint import fingerprint, inputs_read, state_digest, weight_files
from dkd_cli.engine.models.models import load_classifier


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    return save_classifier(tmp_path_factory.mktemp("teacher"), tiny_encoder, LABELS)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10**9, pytest.fail)


def facts(folder: Path, cache: Cache, order: tuple[int, ...] = (0, 1)) -> dict[str, object]:
    cache.root.mkdir(exist_ok=True)
    return fingerprint(load_classifier(str(folder), task_data()).model, str(folder), "key", order, cache)


def test_a_copy_is_the_same_teacher(folder: Path, cache: Cache, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert facts(copy, cache) == facts(folder, cache)


def test_other_weights_settings_and_orders_are_another(
    folder: Path, cache: Cache, tmp_path: Path, tiny_encoder: Path
) -> None:
    found = [
        facts(folder, cache),
        facts(folder, cache, (1, 0)),
        facts(save_classifier(tmp_path / "weights", tiny_encoder, LABELS, seed=2), cache),
        facts(save_classifier(tmp_path / "settings", tiny_encoder, LABELS, layer_norm_eps=1e-3), cache),
    ]
    assert len({str(one) for one in found}) == 4
    assert found[2]["config"] == found[0]["config"]
    assert found[3]["weights"] == found[0]["weights"]


def test_where_no_file_is_known_the_weights_in_memory_count(folder: Path, cache: Cache) -> None:
    assert weight_files("nobody/nothing") == []
    model = load_classifier(str(folder), task_data()).model
    before = state_digest(model)
    found = fingerprint(model, "nobody/nothing", "key", (0, 1), cache)
    assert found["weights"] == before
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1
    assert state_digest(model) != before


def test_of_a_text_counts_what_the_model_reads(folder: Path) -> None:
    model = load_classifier(str(folder), task_data()).model
    assert inputs_read(model, ["token_type_ids", "labels", "input_ids"]) == ["input_ids", "token_type_ids"]
    assert inputs_read(model, ["input_ids", "labels"]) == ["input_ids"]
