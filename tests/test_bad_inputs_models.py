"""Models that are refused: bad inputs 34 to 42, through the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import heard, refused
from conftest import TinyRecipe
from small import LABELS, save_classifier
from transformers import AutoModelForSequenceClassification, AutoTokenizer


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    return save_classifier(tmp_path_factory.mktemp("classifier"), tiny_encoder, LABELS)


@pytest.fixture
def copied(classifier: Path, tmp_path: Path) -> Path:
    """A copy of the classifier, to be damaged."""
    return Path(shutil.copytree(classifier, tmp_path / "model"))


@pytest.fixture
def taught(tiny_recipe: TinyRecipe) -> Callable[..., Path]:
    """`taught(folder)`: a recipe whose only teacher is the model there."""

    def write(teacher: Path | str, changes: dict[str, Any] | None = None, **more: Any) -> Path:
        large = {"large": {"layers": None, "checkpoint": str(teacher)} | more}
        return tiny_recipe({"teachers": {"small": {"layers": 2}} | large} | (changes or {}))

    return write


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# Folders that are not what they should be ---------------------------------------------------------------


def no_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def garbage(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 4096)


def emptied(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert"')


def unknown_architecture(folder: Path) -> None:
    edit_config(folder, model_type="nobodys-model")


def own_code(folder: Path) -> None:
    edit_config(
        folder, model_type="nobodys-model", auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Model"}
    )
    (folder / "own.py").write_text("import pathlib\npathlib.Path('executed').touch()\n")


def no_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version": "1.0"')


def two_inside(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / name).mkdir()
        shutil.copy(folder / "config.json", folder / name)
    (folder / "config.json").unlink()


def beside_an_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')


def only_an_adapter(folder: Path) -> None:
    beside_an_adapter(folder)
    (folder / "config.json").unlink()
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")


MERGED = (
    " (adapter_config.json); merge it (merge_and_unload of peft, then save_pretrained) and name the "
    "merged folder"
)
AS_SAFETENSORS = "; save it again as safetensors (the default of save_pretrained)"
STORY = "); see --debug for the whole story"
# What is done to the folder, how the line goes on after the folder's name, its end
DAMAGE: list[tuple[Callable[[Path], None], str, str]] = [
    (no_folder, " is not there; name a folder, a hub id or pkg://package/path", ""),
    (no_config, " has no config.json; name the folder that save_pretrained wrote", ""),
    (two_inside, " has no config.json; name one of the models in it: a, b", ""),
    (beside_an_adapter, f" has an adapter next to its weights{MERGED}", ""),
    (only_an_adapter, f" is an adapter without the model it adapts{MERGED}", ""),
    (no_weights, f" has no weights{AS_SAFETENSORS}", ""),
    (only_pickle, f" has pickled weights only, which can run code{AS_SAFETENSORS}", ""),
    (own_code, " needs code of its own to be run; choose an architecture transformers has", ""),
    (cut, " are damaged (", "; fetch them again"),
    (garbage, " are damaged (", "; fetch them again"),
    (emptied, " are damaged (", "; fetch them again"),
    (broken_config, " cannot be loaded (", STORY),
    (unknown_architecture, " cannot be loaded (", STORY),
    (no_tokenizer, " has no tokenizer; save the tokenizer beside the model", ""),
    (broken_tokenizer, " cannot be loaded (", STORY),
]


@pytest.mark.parametrize(("damage", "problem", "end"), DAMAGE, ids=[f.__name__ for f, _, _ in DAMAGE])
@pytest.mark.parametrize("role", ["teachers.large", "student"])
def test_a_folder_that_is_not_what_it_should_be(
    damage: Callable[[Path], None],
    problem: str,
    end: str,
    role: str,
    copied: Path,
    taught: Callable[..., Path],
    classifier: Path,
    workdir: Path,
) -> None:
    damage(copied)
    recipe = (
        taught(copied)
        if role == "teachers.large"
        else taught(classifier, {"student": {"model": str(copied), "layers": 2}})
    )
    (line,) = refused(4, "distill", recipe, beside=copied.parent)
    whose = "the weights of " if "damaged" in problem else ""
    assert line.startswith(f"{role}: {whose}{str(copied)!r}{problem}"), line
    assert line.endswith(end)
    assert list(workdir.iterdir()) == [], "no code of the folder ran"


def test_a_hub_id_that_cannot_be_had(taught: Callable[..., Path]) -> None:
    assert refused(4, "distill", taught("nobody-at-all/no-such-model")) == [
        "teachers.large: 'nobody-at-all/no-such-model' is no folder here and cannot be had from the model "
        "hub; check the spelling and the connection, or name a local folder or pkg://package/path"
    ]


def test_a_teacher_that_is_not_made_yet(tiny_recipe: TinyRecipe) -> None:
    recipe = tiny_recipe()
    assert refused(4, "distill", recipe) == [
        f"teachers.large: {recipe.parent}/checkpoints/tiny/teacher-large does not exist yet; make it with "
        f"`dkd train-teacher {recipe}`"
    ]


def test_a_teacher_without_a_trained_head(taught: Callable[..., Path], tiny_encoder: Path) -> None:
    assert refused(4, "distill", taught(tiny_encoder)) == [
        f"teachers.large: {str(tiny_encoder)!r} has no trained classification head (classifier.bias is "
        "missing); fine-tune it first (`dkd train-teacher`), or name a trained classifier"
    ]


def test_labels_that_differ(
    taught: Callable[..., Path], classifier: Path, tmp_path: Path, tiny_encoder: Path
) -> None:
    nameless = save_classifier(tmp_path / "nameless", tiny_encoder, None)
    three = save_classifier(tmp_path / "three", tiny_encoder, ("negative", "neutral", "positive"))
    other = save_classifier(tmp_path / "other", tiny_encoder, ("bad", "good"))
    for folder, line in {
        nameless: "does not say what its outputs stand for (LABEL_0, LABEL_1, ...); set `labels` beside the "
        "teacher's checkpoint, or id2label in its config.json",
        three: "has 3 outputs, the task 2 classes; choose a model trained on this task, or set data.labels",
        other: "knows ['bad', 'good'], the task has ['negative', 'positive']; set data.labels or the "
        "teacher's labels",
    }.items():
        assert refused(4, "distill", taught(folder)) == [f"teachers.large: {str(folder)!r} {line}"]
    assert heard("distill", taught(nameless, labels=["positive", "negative"])).code == 0


def with_another_word(folder: Path, *, enlarged: bool) -> Path:
    """Give the tokenizer a token of its own for a word of the texts; the model knows it if `enlarged`."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.add_tokens(["with the"]) == 1
    tokenizer.save_pretrained(folder)
    if enlarged:
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        model.resize_token_embeddings(len(tokenizer))
        model.save_pretrained(folder)
    return folder


def test_a_token_id_beyond_the_vocabulary(taught: Callable[..., Path], copied: Path) -> None:
    known = json.loads((copied / "config.json").read_text())["vocab_size"]
    recipe = taught(with_another_word(copied, enlarged=False))
    assert refused(4, "distill", recipe) == [
        f"teachers.large: token id {known} in a vocabulary of {known}; use the model's own tokenizer"
    ]


def test_another_tokenizer(taught: Callable[..., Path], copied: Path) -> None:
    """Hidden states are compared where both have the same token, and the share of these is printed."""
    recipe = taught(with_another_word(copied, enlarged=True))
    said = heard("distill", recipe, "--strategy", "dynamic-objective")
    assert said.code == 0, said
    assert "hidden states: compared with large on 99.6% of the student's tokens" in said.out


def test_more_tokens_than_positions(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    long = tmp_path / "long.csv"
    long.write_text("text,label\n" + "".join(f"{'a film ' * (40 + row)},{row % 2}\n" for row in range(20)))
    recipe = tiny_recipe({"data": {"source": str(long), "max_length": 128, "near_duplicates": 1.0}})
    assert refused(4, "distill", recipe, "--strategy", "none") == [
        "data.max_length: 128 tokens, but the model has 64 positions; lower it"
    ]


def test_layers_that_do_not_map(taught: Callable[..., Path], classifier: Path) -> None:
    recipe = taught(classifier)
    assert refused(4, "distill", recipe, "--set", "student.layers=5") == [
        "student.layers: 5 layers of a model that has 4; ask for 1 to 4"
    ]
    words = ("--strategy", "dynamic-objective", "--set", "strategy.objective.layer_map='2:9'")
    (line,) = refused(4, "distill", recipe, *words)
    assert line.startswith("strategy.objective.layer_map: ")
