"""Models in and out of folders: loaded in the task's label order, or refused in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small import LABELS, encoded, save_classifier, split, task_data
from transformers import AutoModelForSequenceClassification

from dkd_cli.data.examples import TaskData
from dkd_cli.engine.models.models import (
    Model,
    check_fit,
    load_classifier,
    load_config,
    load_tokenizer,
    locate_model,
)
from dkd_cli.errors import ModelError, Problems


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    return save_classifier(tmp_path_factory.mktemp("classifier"), tiny_encoder, LABELS)


def logits(model: Model, folder: Path) -> torch.Tensor:
    tokens, collator = encoded(folder, task_data().splits["validation"])
    batch = collator([tokens[row] for row in range(len(tokens))])
    with torch.no_grad():
        output = model.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    found: torch.Tensor = output.logits
    return found


def refused(call: Callable[[], Any]) -> str:
    """The one line that a call is refused with."""
    with pytest.raises(ModelError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 400
    assert caught.value.exit_code == 4
    return line


# Loading a trained classifier ---------------------------------------------------------------------------


def permuted(classifier: Path, folder: Path, labels: tuple[str, ...] | None) -> Path:
    """The same classifier with its two outputs swapped."""
    model = AutoModelForSequenceClassification.from_pretrained(classifier)
    with torch.no_grad():
        model.classifier.weight.copy_(model.classifier.weight.flip(0))
        model.classifier.bias.copy_(model.classifier.bias.flip(0))
    model.config.id2label = dict(enumerate(labels or ("LABEL_0", "LABEL_1")))
    model.config.label2id = {label: index for index, label in model.config.id2label.items()}
    model.save_pretrained(folder)
    load_tokenizer(str(classifier), "model").save_pretrained(folder)
    return folder


@pytest.mark.parametrize("names", [("positive", "negative"), ("Positive", "NEGATIVE")])
def test_outputs_are_put_in_the_order_of_the_task(
    classifier: Path, tmp_path: Path, names: tuple[str, str]
) -> None:
    expected = logits(load_classifier(str(classifier), task_data()).model, classifier)
    swapped = load_classifier(str(permuted(classifier, tmp_path, names)), task_data()).model
    assert torch.equal(logits(swapped, classifier), expected)
    other = load_classifier(str(classifier), task_data(("positive", "negative"))).model
    assert torch.equal(logits(other, classifier), expected.flip(1))


def test_outputs_without_names_need_them(classifier: Path, tmp_path: Path) -> None:
    folder = permuted(classifier, tmp_path, None)
    line = refused(lambda: load_classifier(str(folder), task_data(), key="teachers.large"))
    assert line.startswith("teachers.large: ")
    assert "does not say what its outputs stand for" in line
    given = load_classifier(str(folder), task_data(), labels=("positive", "negative")).model
    expected = logits(load_classifier(str(classifier), task_data()).model, classifier)
    assert torch.equal(logits(given, classifier), expected)


def test_a_loaded_classifier_is_frozen(classifier: Path) -> None:
    model = load_classifier(str(classifier), task_data()).model
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize(
    ("data", "labels", "problem"),
    [
        (task_data(("negative", "neutral", "positive")), None, "has 2 outputs, the task 3 classes"),
        (task_data(("bad", "good")), None, "knows ['negative', 'positive'], the task has ['bad', 'good']"),
        (task_data(), ("negative",), "has 2 outputs"),
        (task_data(), ("negative", "neutral", "positive"), "has 2 outputs"),
        (task_data(), ("negative", "neutral"), "knows ['negative', 'neutral']"),
        (task_data(None), None, "has 2 outputs, the task is one number"),
    ],
)
def test_other_classes_than_the_tasks(
    classifier: Path, data: TaskData, labels: tuple[str, ...] | None, problem: str
) -> None:
    assert problem in refused(lambda: load_classifier(str(classifier), data, labels=labels))


# Folders that are not what they should be ---------------------------------------------------------------


def test_weights_of_another_shape(classifier: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(classifier, tmp_path / "model"))
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_size": 64}))
    assert "cannot be loaded" in refused(lambda: load_classifier(str(folder), task_data()))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/model", "nowhere/with/depth", "~/nowhere-at-all"])
def test_a_folder_that_is_not_there(name: str) -> None:
    assert f"key: {name!r} is not there" in refused(lambda: locate_model(name, "key"))


@pytest.mark.parametrize("name", ["nobody-at-all/no-such-model", "no-such-model-at-all"])
def test_a_hub_id_that_cannot_be_had(name: str) -> None:
    assert "is no folder here and cannot be had" in refused(lambda: load_config(name, "model"))
    assert "is no folder here and cannot be had" in refused(lambda: load_tokenizer(name, "model"))


def test_a_hub_that_does_not_answer_is_asked_once() -> None:
    """Its own library would try for 24 seconds with each file; data sets ask it too."""
    code = "from dkd_cli.engine.models.models import *; import time; t = time.monotonic()\n"
    code += "from dkd_cli.reading.hub import *\n"
    code += "for load in (load_config, load_tokenizer):\n"
    code += "    try: load('nobody/nothing', 'model')\n"
    code += "    except ModelError as error: print(error)\n"
    code += "try: load_hub_splits('nobody/nothing', None, 'label', None)\n"
    code += "except DataError as error: print(error)\n"
    code += "print(time.monotonic() - t < 12)"
    online = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    nowhere = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-c", code], env=online | nowhere, capture_output=True, text=True, check=True
    )
    first, second, third, quick = done.stdout.splitlines()
    assert first == second
    assert third.startswith("nobody/nothing: cannot be loaded: ")
    assert "is no folder here and cannot be had from the model hub" in first
    assert quick == "True"


def test_a_package_that_is_not_installed() -> None:
    line = refused(lambda: locate_model("pkg://no_such_package/model", "model"))
    assert "'no_such_package' is not installed" in line


# Texts that do not fit ----------------------------------------------------------------------------------


def test_texts_beyond_the_vocabulary_or_the_positions(tiny_encoder: Path, tmp_path: Path) -> None:
    """The positions are those of the table, whatever the config says."""
    folder = save_classifier(tmp_path, tiny_encoder, LABELS)
    data = task_data()
    model = load_classifier(str(folder), data).model
    tokens, _ = encoded(folder, data.splits["train"])
    check_fit(model, (tokens,), 16, "student")
    model.config.max_position_embeddings = 1
    check_fit(model, (tokens,), 16, "student")
    longest = max(tokens.lengths)
    model.bert.embeddings.position_embeddings = torch.nn.Embedding(longest, 32)
    check_fit(model, (tokens,), longest, "student")
    model.bert.embeddings.position_embeddings = torch.nn.Embedding(longest - 1, 32)
    line = refused(lambda: check_fit(model, (tokens,), longest, "student"))
    assert line == f"data.max_length: {longest} tokens, but the model has {longest - 1} positions; lower it"
    tokens.columns["input_ids"][3][1] = model.config.vocab_size
    with pytest.raises(Problems, match=r"student: token id \d+ in a vocabulary of \d+") as caught:
        check_fit(model, (tokens,), longest, "student")
    assert len(caught.value.errors) == 2


def test_token_types_beyond_those_of_the_model(classifier: Path) -> None:
    data = task_data()
    model = load_classifier(str(classifier), data).model
    tokens, _ = encoded(classifier, data.splits["train"])
    tokens.columns["token_type_ids"][5][-1] = 1
    check_fit(model, (tokens,), 16, "student")
    tokens.columns["token_type_ids"][5][-1] = 2
    line = refused(lambda: check_fit(model, (tokens,), 16, "student"))
    assert line.startswith("student: token type 2, but the model tells 2 apart")


def test_a_split_without_rows_fits(classifier: Path) -> None:
    empty, _ = encoded(classifier, split("train", 0, 0))
    check_fit(load_classifier(str(classifier), task_data()).model, (empty,), 16, "student")
