"""Architectures of every kind, from training to prediction: they work and agree, or one line refuses them.

Each is built tiny at random, trained as a teacher and distilled by the command line, and queried in batches
of one and of many. Every axis and both exports are tried with some.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from architectures import ARCHITECTURES, POSITIONS, save_architecture
from command_line import Said, heard, serious
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from dkd_cli.data.encoding import PaddingCollator, encode
from dkd_cli.data.examples import Split
from dkd_cli.engine.models.inference import predict_logits
from dkd_cli.engine.models.models import check_fit, limits, load_trained
from dkd_cli.errors import ModelError

REFUSED = {
    "canine": "cannot be used with texts of",
    "convbert": "change with the padding beside it",
    "funnel": "cannot be used with texts of",
    "fnet": "change with the padding beside it",
    "nystromformer": "cannot be used with texts of",
    "reformer": "cannot be used with texts of",
}
"""What cannot be used: CANINE has no table of tokens, FNet ignores the attention mask, ConvBERT's windows
reach into the padding, Funnel needs three tokens, and Nyströmformer and Reformer multiples of a number."""
PAIRED = ("bart", "mbart", "t5", "mt5")
"""Without a vector for each token and layer."""
AXES = ("dynamic-teacher", "dynamic-data", "dynamic-objective")
LONG_WAY = ("bert", "gpt2", "bart")
SLOW = (
    "camembert",
    "xlm-roberta",
    "convbert",
    "xlm",
    "qwen2",
    "mistral",
    "gemma",
    "falcon",
    "mpt",
    "mt5",
    "mbart",
)
"""Close relatives of the others."""
TEXTS = (
    "the film",
    "",
    "remove the [SEP] from my name",
    "a [MASK] and a [CLS] and [PAD]",
    "the film a story its actors with music scene and camera about dialogue plot",
    "a",
    "wonderful " + "story film " * 30,
)


def one_line(said: Said) -> str:
    """The error of a command that refused: one line in the house's form, no surprise."""
    (line,) = [line for line in said.err.splitlines() if line.startswith("dkd: error: ")]
    assert said.code in (2, 3, 4), said
    assert "unexpected" not in said.err
    assert "Traceback" not in said.err + said.out
    return line


def uncut(err: str) -> str:
    """Stderr without warnings of cut texts: some tokenizers read the tiny vocabulary letter by letter."""
    return "".join(line for line in err.splitlines(keepends=True) if " is cut at " not in line)


def recipe(folder: Path, source: Path, name: str, teachers: dict[str, Any] | None = None) -> Path:
    """Two updates on 32 texts; a teacher as deep as the source, students of one layer."""
    settings: dict[str, Any] = {
        "name": name,
        "model": str(source),
        "output_dir": str(folder / "out"),
        "data": {"source": str(folder / "tiny.csv"), "validation_share": 0.2, "max_length": 24},
        "teachers": teachers or {"large": {}},
        "student": {"layers": 1},
        "train": {"max_steps": 2, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32"},
    }
    path = folder / f"recipe-{len(settings['teachers'])}.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def probabilities(model: Path, batch_size: int, texts: Path) -> np.ndarray:
    """[N, 2] as `dkd predict` prints them."""
    said = heard("predict", model, texts, "--batch-size", str(batch_size), "--all-probabilities")
    assert said.code == 0, said.err
    return np.array([line.split(",")[-2:] for line in said.out.splitlines()[1:]], dtype=float)


def few_rows(tiny_csv: Path, folder: Path) -> None:
    """Write `tiny.csv` with the first 40 texts."""
    with tiny_csv.open(encoding="utf-8") as source, (folder / "tiny.csv").open("w") as target:
        csv.writer(target).writerows(list(csv.reader(source))[:41])


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in ARCHITECTURES]
)
def test_trained_distilled_and_queried(name: str, tiny_csv: Path, texts: Path, tmp_path: Path) -> None:
    few_rows(tiny_csv, tmp_path)
    asked = recipe(tmp_path, save_architecture(tmp_path / "base", name), name)
    said = heard("train-teacher", asked)
    if name in REFUSED:
        assert REFUSED[name] in one_line(said)
        return
    assert (said.code, uncut(serious(said.err))) == (0, ""), said.err
    said = heard("distill", asked, "--strategy", "static")
    assert (said.code, uncut(serious(said.err))) == (0, ""), said.err
    made = tmp_path / "out" / name
    for model in (made / "teacher-large", made / "student-static-seed1"):
        assert np.allclose(probabilities(model, 1, texts), probabilities(model, 32, texts), atol=2e-6)
    if name in LONG_WAY:
        two = {part: {"checkpoint": str(made / "teacher-large")} for part in ("one", "two")}
        asked = recipe(tmp_path, tmp_path / "base", name, two)
        for strategy in AXES:
            said = heard("distill", asked, "--strategy", strategy)
            if name in PAIRED and strategy == "dynamic-objective":
                assert "does not show a vector for each token and layer" in one_line(said)
            else:
                assert (said.code, serious(said.err)) == (0, ""), said.err


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW))
        for name in ARCHITECTURES
        if name not in REFUSED
    ],
)
def test_a_text_as_long_as_the_positions(name: str, tmp_path: Path) -> None:
    """Alone and next to a short one; three times as long where there is no limit."""
    source = save_architecture(tmp_path / "base", name)
    for one in (AutoModelForSequenceClassification, AutoTokenizer):
        one.from_pretrained(source).save_pretrained(tmp_path / "model")
    loaded = load_trained(str(tmp_path / "model"), name)
    model, tokenizer = loaded.model.eval(), loaded.tokenizer
    longest = limits(model).positions
    length = longest or 3 * POSITIONS
    split = Split("long", ["film story " * length, "the film"], None, None, ["long", "short"])
    encoded, collator = encode(split, tokenizer, length), PaddingCollator(tokenizer)
    assert max(encoded.lengths) == length
    check_fit(model, [encoded], length, "model")
    alone, both = (
        predict_logits(model, encoded, collator, batch_size=size, precision="fp32") for size in (1, 2)
    )
    assert np.allclose(alone, both, atol=1e-5)
    if longest is not None:
        with pytest.raises(ModelError, match=f"has {longest} positions"):
            check_fit(model, [encoded], length + 1, "model")


@pytest.mark.parametrize("name", ["gpt2", pytest.param("bart", marks=pytest.mark.slow)])
def test_exports_predict_what_the_model_does(name: str, tiny_csv: Path, texts: Path, tmp_path: Path) -> None:
    few_rows(tiny_csv, tmp_path)
    assert (
        heard("train-teacher", recipe(tmp_path, save_architecture(tmp_path / "base", name), name)).code == 0
    )
    model = tmp_path / "out" / name / "teacher-large"
    # Tracing takes the time: of the larger graph, the one that is deployed.
    kinds = {"": (), "-int8": ("--quantize", "int8")} if name == "gpt2" else {"-int8": ("--quantize", "int8")}
    for suffix, words in kinds.items():
        said = heard("export", model, "--max-loss", "100", *words)
        assert said.code == 0, said.err
        made = model.with_name(f"{model.name}-onnx{suffix}")
        expected, found = probabilities(model, 32, texts), probabilities(made, 32, texts)
        assert np.allclose(found, expected, atol=0.05 if suffix else 1e-5)
        assert np.allclose(found, probabilities(made, 1, texts), atol=1e-4)
