"""A run that is killed goes on where it stopped, with a real SIGKILL: the same weights in the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import heard
from conftest import TinyRecipe
from processes import killed_after
from small import LABELS, save_classifier

from dkd_cli.manifests import sha256


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_run_ends_as_if_it_were_not(
    tiny_recipe: TinyRecipe,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
) -> None:
    """Bit for bit: the teacher's answers that it had are on disk when a checkpoint is.

    In bf16 they depend on the batch: those asked for after it are asked for in the same batches again.
    Each of the two runs starts with a cache of its own, so that neither finds the answers of the other.
    """
    strategy = "dynamic-objective"
    teacher = save_classifier(tmp_path / "large", tiny_encoder, LABELS)
    train = {"epochs": 6, "precision": precision}
    recipe = tiny_recipe({"train": train, "teachers": {"large": {"checkpoint": str(teacher)}}})
    words = ("distill", recipe, "--strategy", strategy, "--output-dir")
    whole, cut = (tmp_path / name / "tiny" / f"student-{strategy}-seed1" for name in ("whole", "cut"))
    monkeypatch.setenv("DKD_CACHE", str(tmp_path / "cache-whole"))
    assert heard(*words, tmp_path / "whole").code == 0

    monkeypatch.setenv("DKD_CACHE", str(tmp_path / "cache-cut"))
    working = cut.with_name(f".{cut.name}")
    saved = "checkpoint-*/trainer_state.json"
    killed_after(lambda: any(working.glob(saved)), *words, tmp_path / "cut")
    assert not cut.exists()

    assert heard(*words, tmp_path / "cut").code == 0
    assert not working.exists()
    assert sha256(cut / "model.safetensors") == sha256(whole / "model.safetensors")
    expected, found = (json.loads((folder / "dkd.json").read_text())["validation"] for folder in (whole, cut))
    assert found == expected
