"""What is measured on: texts, a pretrained encoder, teachers, and recipes that name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from dkd_cli.data.encoding import EncodedSplit, length_grouped_order
from dkd_cli.data.sources import load_task_data
from dkd_cli.engine.models.models import load_config, locate_model
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.recipe.loader import load_recipe
from dkd_cli.recipe.schema import Data, Recipe

GLUE = Path("../shared/data/glue")
SEEDS = range(1, 33)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """All that the measurements share."""

    folder: Path
    """Temporary: models, recipes, caches and runs go there."""
    data: Mapping[str, Mapping[str, Any]]
    """The recipe's `data` section for `rte` (long texts) and `sst2` (short ones)."""
    described: str
    """Where the texts come from."""
    device: torch.device
    model: str
    """What students are cut from."""
    student_layers: int
    teachers: Mapping[str, str]
    """Folders of classifiers for `rte`, from small to large."""
    single: str
    """The teacher where there is one: as wide as the student."""
    scorer: str
    """A classifier for `sst2`."""
    batch_size: int
    max_length: int

    def recipe(self, name: str, task: str, strategy: str, **changes: Any) -> Path:
        """Write a recipe; `changes` are dotted keys with `__` for the dot, such as `train__dropout=0`."""
        both = strategy == "dynamic-teacher"
        teachers = {
            one: {"checkpoint": path}
            for one, path in self.teachers.items()
            if task == "rte" and (both or one == self.single)
        }
        tree: dict[str, Any] = {
            "name": name,
            "model": self.model,
            "output_dir": str(self.folder / "runs"),
            "data": {**self.data[task], "max_length": self.max_length},
            "teachers": teachers,
            "student": {"layers": self.student_layers},
            "strategy": {"name": strategy},
            "train": {
                "epochs": 3,
                "batch_size": self.batch_size,
                "learning_rate": 2e-5,
                "dropout": 0.1,
            },
        }
        for dotted, value in changes.items():
            *sections, key = dotted.split("__")
            node = tree
            for section in sections:
                node = node.setdefault(section, {})
            node[key] = value
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
        return path

    def load(self, *args: Any, **changes: Any) -> Recipe:
        """`recipe`, loaded."""
        return load_recipe(str(self.recipe(*args, **changes)))


def make_setting(
    folder: Path, data: Path | None, device: torch.device, *, model: str, batch_size: int, max_length: int
) -> Setting:
    """Find the texts, and build teachers: on a CPU out of `model`, on a GPU BERT's own sizes, at random."""
    sections, described = find_data(data)
    layers = int(load_config(model, "--model").num_hidden_layers)
    parts = {"small": max(1, 2 * layers // 3), "large": layers}
    student, single, source = max(1, layers // 2), "large", model
    sources = dict.fromkeys(parts, model)
    if device.type == "cuda":
        sources = {
            "small": _random_bert(folder / "base", model),
            "large": _random_bert(folder / "large", model),
        }
        parts, student, single, source = {"small": 12, "large": 24}, 6, "small", sources["small"]
    teachers = {
        name: _classifier(sources[name], parts[name], sections["rte"], folder / f"teacher-{name}")
        for name in parts
    }
    scorer = _classifier(sources[single], parts[single], sections["sst2"], folder / "scorer")
    return Setting(
        folder=folder,
        data=sections,
        described=described,
        device=device,
        model=source,
        student_layers=student,
        teachers=teachers,
        single=single,
        scorer=scorer,
        batch_size=batch_size,
        max_length=max_length,
    )


def find_data(folder: Path | None) -> tuple[dict[str, dict[str, Any]], str]:
    """The `data` sections of RTE and SST-2, or stand-ins, and what they are."""
    if folder is None and GLUE.is_dir():
        folder = GLUE
    if folder is not None:
        source = str(folder.resolve())
        return {
            task: {"source": source, "config": task} for task in ("rte", "sst2")
        }, f"RTE and SST-2, {folder}"
    quickstart: dict[str, Any] = {
        key: value
        for key in ("source", "encoding", "text", "label", "labels")
        if (value := getattr(load_recipe("quickstart").data, key)) is not None
    }
    quickstart["labels"] = list(quickstart["labels"])
    described = (
        "the quickstart's tweets in place of RTE (2,490 of them) and SST-2: the bars are not for these"
    )
    return {"rte": quickstart | {"max_train": 2490}, "sst2": quickstart}, described


def telling_seed(encoded: EncodedSplit, batch_size: int, batches: int) -> int:
    """A seed whose first batches (the very first left out) are on the average as long as all batches are."""

    def longest(seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        order = length_grouped_order(encoded.lengths, batch_size, seed, 0)
        whole = len(order) // batch_size * batch_size
        lengths = encoded.lengths[order[:whole]].reshape(-1, batch_size)
        found: np.ndarray[Any, np.dtype[np.float64]] = lengths.max(axis=1).astype(float)
        return found

    def distance(seed: int) -> float:
        lengths = longest(seed)
        return abs(float(lengths[1 : 1 + batches].mean() - lengths.mean()))

    if len(encoded) < (batches + 1) * batch_size:
        raise SystemExit(f"{len(encoded)} rows are too few for {batches + 1} batches of {batch_size}")
    return min(SEEDS, key=distance)


def _classifier(source: str, layers: int, section: Mapping[str, Any], folder: Path) -> str:
    """The first layers under a head that was never trained: its answers cost what good ones do."""
    data = load_task_data(Data(**_typed(section)))
    built = build_classifier(source, data, layers=layers, seed=1, key="--model")
    built.model.save_pretrained(folder)
    built.tokenizer.save_pretrained(folder)
    return str(folder)


def _typed(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in section.items()}


def _random_bert(folder: Path, model: str) -> str:
    """BERT of the size that the folder's name says, with random weights and the tokenizer of `model`."""
    sizes: dict[str, int] = {}
    if folder.name == "large":
        sizes = {
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
        }
    tokenizer = AutoTokenizer.from_pretrained(locate_model(model, "--model"))
    torch.manual_seed(1)
    BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
