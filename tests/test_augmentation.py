"""Candidates for words from an encoder's masked-language-model head or its vectors; cached, resumable."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import heard, refused
from conftest import tiny_rows, tiny_settings
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

from dkd_cli.data.augment import word_spans
from dkd_cli.engine.cache.entries import open_cache
from dkd_cli.engine.models import proposals
from dkd_cli.engine.models.proposals import NONE, load_proposer, masked_candidates, neighbours
from dkd_cli.engine.models.token_vectors import silent
from dkd_cli.pipeline import augmentation
from dkd_cli.pipeline.augmentation import find_candidates
from dkd_cli.recipe.schema import Augment, Data, Recipe

TEXTS = [text for text, _ in tiny_rows()[:20]]


def recipe_of(model: Path) -> Recipe:
    return Recipe(name="a", model=str(model), data=Data(source="x", augment=Augment(copies=2, candidates=4)))


@pytest.fixture(scope="module")
def masked_encoder(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """The tiny encoder with a masked-language-model head."""
    folder = tmp_path_factory.mktemp("masked")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(tiny_encoder)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(folder)
    return folder


def test_which_of_the_two_follows_from_the_checkpoint(tiny_encoder: Path, masked_encoder: Path) -> None:
    assert load_proposer(str(tiny_encoder), "model").model is None
    assert load_proposer(str(masked_encoder), "model").model is not None


def test_neighbours_are_the_nearest_vectors(tiny_encoder: Path) -> None:
    proposer = load_proposer(str(tiny_encoder), "model")
    words = [proposer.names[one] for one in proposer.whole.tolist()[:30]]
    found = neighbours(proposer, words, 3)
    table = proposer.vectors[proposer.whole].astype(np.float64)
    table -= table.mean(axis=0)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    for row, ids in enumerate(found):
        cosines = table @ table[row]
        cosines[row] = -2
        assert set(ids.tolist()) == set(proposer.whole[np.argsort(-cosines)[:3]].tolist())
    assert np.array_equal(neighbours(proposer, words[7:8], 3)[0], found[7]), "whatever is computed with it"
    assert (neighbours(proposer, ["☃"], 3) == NONE).all()
    assert set(neighbours(proposer, words[:1], 900)[0].tolist()) == {NONE, *proposer.whole.tolist()} - {
        proposer.whole[0]
    }, "more are asked for than there are"


def test_masked_words_are_those_that_the_model_finds_likeliest(masked_encoder: Path) -> None:
    proposer = load_proposer(str(masked_encoder), "model")
    assert proposer.model is not None
    text = TEXTS[0]
    spans = word_spans(text)
    found = masked_candidates(proposer, text, spans, 4, 16)
    begin, end = spans[2]
    masked = proposer.tokenizer(text[:begin] + "[MASK]" + text[end:], return_tensors="pt")
    place = int((masked["input_ids"][0] == proposer.tokenizer.mask_token_id).nonzero())
    logits = proposer.model(**masked).logits[0, place, torch.from_numpy(proposer.whole)]
    own = proposer.tokenizer.convert_tokens_to_ids(text[begin:end].lower())
    order = [one for one in proposer.whole[logits.argsort(descending=True).numpy()].tolist() if one != own]
    assert found[2].tolist() == order[:4]
    assert (masked_candidates(proposer, text, spans, 4, 5)[-1] == NONE).all(), "beyond max_length"


@pytest.mark.parametrize("kind", ["vectors", "masked"])
def test_what_is_cached_is_found_and_is_the_same(
    kind: str, tiny_encoder: Path, masked_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(tiny_encoder if kind == "vectors" else masked_encoder)
    without = find_candidates(TEXTS, recipe, None, silent)
    cache = open_cache(lambda line: pytest.fail(line))
    # Half of it is there from a run that was ended; the rest is computed in other company.
    find_candidates(TEXTS[:9], recipe, cache, silent)
    assert find_candidates(TEXTS, recipe, cache, silent) == without
    for name in ("neighbours", "masked_candidates"):
        monkeypatch.setattr(augmentation, name, lambda *args: pytest.fail("all of it is cached"))
    assert find_candidates(list(reversed(TEXTS)), recipe, cache, silent) == without
    assert any(len(words) == 4 for words in without[TEXTS[0]])
    assert proposals.NONE == NONE


@pytest.mark.parametrize("kind", ["vectors", "masked"])
def test_a_run_that_is_ended_in_between_keeps_what_it_wrote(
    kind: str, tiny_encoder: Path, masked_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(tiny_encoder if kind == "vectors" else masked_encoder)
    without = find_candidates(TEXTS, recipe, None, silent)
    monkeypatch.setattr(augmentation, "SECONDS_BETWEEN_WRITES", 0.0)
    monkeypatch.setattr(augmentation, "WORDS_AT_ONCE", 5)
    name = "neighbours" if kind == "vectors" else "masked_candidates"
    real, calls = getattr(augmentation, name), [0]

    def ending(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 6:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(augmentation, name, ending)
    with pytest.raises(KeyboardInterrupt):
        find_candidates(TEXTS, recipe, open_cache(lambda line: None), silent)
    calls[0] = 100
    whole = find_candidates(TEXTS, recipe, open_cache(lambda line: None), silent)
    assert whole == without
    expected = len(TEXTS) if kind == "masked" else -(-len({w for t in TEXTS for w in t.split()}) // 5)
    assert calls[0] - 100 == expected - 5, "the first five were on disk"


@pytest.fixture
def recipe(tmp_path: Path, tiny_encoder: Path, tiny_csv: Path) -> Path:
    settings = tiny_settings(tiny_encoder, tiny_csv, tmp_path / "checkpoints")
    settings["data"]["augment"] = {"copies": 3}
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(settings))
    shutil.copy(path, tmp_path / "tiny.yaml")
    return tmp_path / "tiny.yaml"


def test_the_command_shows_and_writes_copies(recipe: Path, tmp_path: Path) -> None:
    shown = heard("augment", recipe, "--show", "2")
    assert shown.code == 0, shown
    lines = shown.out.splitlines()
    assert [line.startswith("  ") for line in lines] == [False, True, True, True] * 2
    said = heard("augment", recipe, "--output", tmp_path / "copies.jsonl")
    assert said.code == 0, said
    written = [json.loads(line)["text"] for line in (tmp_path / "copies.jsonl").read_text().splitlines()]
    assert [line.strip() for line in lines[1:4]] == written[:3]
    assert refused(2, "augment", recipe, "--set", "data.augment.copies=0")[0].startswith(
        "data.augment.copies: is 0"
    )
    assert refused(2, "augment", recipe, "--show", "0")
    assert refused(2, "augment", recipe, "--output", "copies.csv")


def test_students_learn_from_copies_and_teachers_do_not(recipe: Path, tmp_path: Path) -> None:
    assert heard("train-teacher", recipe).code == 0
    said = heard("distill", recipe, "--strategy", "dynamic-data")
    assert said.code == 0, said
    folder = tmp_path / "checkpoints" / "tiny"
    student, teacher = (
        json.loads((folder / name / "training.json").read_text())["rows"]
        for name in ("student-dynamic-data-seed1", "teacher-large")
    )
    assert teacher["unlabelled"] == 0
    assert student["labelled"] == teacher["labelled"]
    assert 2 * student["labelled"] < student["unlabelled"] <= 3 * student["labelled"]
    assert heard("evaluate", folder / "student-dynamic-data-seed1", "--no-timing").code == 0
    selected = heard("select-data", recipe, "--count", "10", "--score", "margin")
    assert selected.code == 0, selected
    following = shlex.split(selected.out.splitlines()[-1].removeprefix("next: dkd "))
    assert heard(*following).code == 0
    log = folder.parent / "tiny-selected-margin-10" / "student-static-seed1" / "training.json"
    assert json.loads(log.read_text())["rows"] == student | {"unlabelled": 10}
