"""What trials run on: a tiny random encoder, a few texts, a recipe, and a command line for each strategy.

A whole run takes about a second, so that hundreds can be killed.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

import yaml

NEUTRAL = (
    "the film story its actors music scene camera dialogue plot ending script audience director minute "
    "season novel costume stage chapter singer museum window river kitchen market evening journey garden"
)
TELLING = {
    "negative": "dull tedious clumsy boring awful shoddy dismal lifeless sloppy dreary hollow stale",
    "positive": "superb charming brilliant lovely graceful splendid joyful witty tender thrilling vivid",
}
ROWS = 80
MORE = "more.txt"
"""The transfer set, a text a line."""
WORDS = 14
EPOCHS = 3
BATCH = 8

SUBJECTS: dict[str, tuple[str, ...]] = {
    "train-teacher": (),
    "none": ("--strategy", "none"),
    "static": ("--strategy", "static"),
    "teacher-hard": ("--strategy", "dynamic-teacher", "--set", "strategy.teacher.mode=hard"),
    "teacher-soft": ("--strategy", "dynamic-teacher", "--set", "strategy.teacher.mode=soft"),
    "data-all": ("--strategy", "dynamic-data"),
    "data-selected": ("--strategy", "dynamic-data", "--set", "strategy.data.backward=selected"),
    "data-random": ("--strategy", "dynamic-data", "--set", "strategy.data.score=random"),
    "data-weighted": ("--strategy", "dynamic-data", "--set", "strategy.data.keep=weighted"),
    "objective": ("--strategy", "dynamic-objective"),
    "mixture": (
        "--strategy",
        "dynamic-data",
        "--set",
        "data.transfer={more}",
        "--set",
        "data.augment.copies=2",
    ),
}
"""What is trained: the teacher, or a student by each strategy; one of them also on texts without labels."""


@dataclass(frozen=True)
class Setting:
    """Where it all is; nothing in it is written to by a trial."""

    folder: Path

    @property
    def teachers_recipe(self) -> Path:
        """Makes both teachers."""
        return self.folder / "teachers.yaml"

    @property
    def students_recipe(self) -> Path:
        """Has both teachers made."""
        return self.folder / "students.yaml"

    def teacher(self, name: str) -> Path:
        """A finished folder, once `train-teacher` has run with the output below `folder`."""
        return self.folder / "out" / "soak" / f"teacher-{name}"

    def words(self, subject: str, output: Path) -> tuple[str, ...]:
        """The command line that trains a subject."""
        if subject == "train-teacher":
            start = ["train-teacher", str(self.teachers_recipe), "--teacher", "large"]
        else:
            start = ["distill", str(self.students_recipe)]
        options = [word.format(more=self.folder / MORE) for word in SUBJECTS[subject]]
        return *start, *options, "--output-dir", str(output), "--quiet"


def make_setting(folder: Path) -> Setting:
    """Write everything but the teachers."""
    folder.mkdir(parents=True, exist_ok=True)
    setting = Setting(folder)
    _write_texts(folder / "texts.jsonl", seed=0)
    _write_texts(folder / MORE, seed=1)
    _write_encoder(folder / "encoder")
    small, large = {"layers": 1}, {"layers": 2}
    made = {name: {"checkpoint": str(setting.teacher(name))} for name in ("small", "large")}
    for path, teachers in (
        (setting.teachers_recipe, {"small": small, "large": large}),
        (setting.students_recipe, made),
    ):
        recipe = {
            "name": "soak",
            "model": str(folder / "encoder"),
            "output_dir": str(folder / "out"),
            "data": {
                "source": str(folder / "texts.jsonl"),
                "validation_share": 0.2,
                "test_share": 0.0,
                "max_length": 16,
            },
            "teachers": teachers,
            "student": {"layers": 1},
            "train": {
                "epochs": EPOCHS,
                "batch_size": BATCH,
                "learning_rate": 3e-3,
                "precision": "fp32",
                # No divisor of an epoch: a kill comes in the middle of a line, too.
                "log_every": 5,
            },
        }
        path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return setting


def _write_texts(path: Path, seed: int) -> None:
    dice = random.Random(seed)
    with path.open("w", encoding="utf-8") as handle:
        for row in range(ROWS):
            label = ("negative", "positive")[row % 2]
            words = dice.sample(TELLING[label].split(), 3) + dice.sample(
                NEUTRAL.split(), dice.randint(2, WORDS - 5)
            )
            dice.shuffle(words)
            record = {"text": " ".join(words), "label": label}
            handle.write((json.dumps(record) if path.suffix == ".jsonl" else record["text"]) + "\n")


def _write_encoder(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = [*special, *NEUTRAL.split(), *" ".join(TELLING.values()).split()]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32, **named).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
