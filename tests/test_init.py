"""`dkd init`: ten files of different shapes, what it says of them, and a recipe that runs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas
import pytest
from command_line import Said, heard, refused
from conftest import NEGATIVE, NEUTRAL, POSITIVE

from dkd_cli.commands import init as command
from dkd_cli.commands.init import Wishes
from dkd_cli.data.sources import load_task_data
from dkd_cli.recipe.loader import load_recipe
from dkd_cli.report.terminal import Terminal

ROWS = 240
QUEUES = ["billing", "delivery", "login", "praise"]


@pytest.fixture
def made(workdir: Path, tiny_encoder: Path) -> Callable[..., Said]:
    """`made(file, *words)`: `dkd init`, with the tiny encoder."""
    return lambda file, *words: heard("init", file, "--model", tiny_encoder, *words)


def data(name: str) -> dict[str, Any]:
    """The columns that a recipe names."""
    found = load_recipe(name).data
    return {"text": found.text, "text_pair": found.text_pair, "label": found.label, "kind": found.kind}


def frame(**columns: Sequence[Any]) -> pandas.DataFrame:
    return pandas.DataFrame(columns)


def sentences(count: int, seed: int = 0) -> list[str]:
    """Texts of words that the tiny encoder knows."""
    chance = random.Random(seed)
    words = f"{NEUTRAL} {POSITIVE} {NEGATIVE}".split()
    return [" ".join(chance.sample(words, 9)) for _ in range(count)]


TEXTS = sentences(ROWS)
LABELS = [QUEUES[i % 4] for i in range(ROWS)]


def plain() -> str:
    frame(text=TEXTS, label=LABELS).to_csv("plain.csv", index=False)
    return "plain.csv"


def quoted() -> str:
    mails = [f'Hello,\n{text}, a "film"' for text in TEXTS]
    frame(id=range(ROWS), queue=LABELS, body=mails).to_csv("quoted.csv", index=False)
    return "quoted.csv"


def semicolons() -> str:
    found = frame(nummer=range(ROWS), nachricht=[f"{text}; a film" for text in TEXTS], topic=LABELS)
    found.to_csv("semicolons.csv", sep=";", index=False, encoding="cp1252")
    return "semicolons.csv"


def marked() -> str:
    frame(message=TEXTS, is_spam=[i % 3 == 0 for i in range(ROWS)]).to_csv(
        "marked.csv", index=False, encoding="utf-16"
    )
    return "marked.csv"


def many() -> str:
    chance = random.Random(0)
    frame(
        ticket_id=[f"T-{i:05}" for i in range(ROWS)],
        created=[f"2024-01-{i % 28 + 1:02} 10:{i % 60:02}:00" for i in range(ROWS)],
        email=[f"user{i % 50}@example.org" for i in range(ROWS)],
        priority=[chance.choice(["low", "high"]) for _ in range(ROWS)],
        language=[chance.choice(["en", "de"]) for _ in range(ROWS)],
        subject=[" ".join(text.split()[:3]) for text in TEXTS],
        body=[f"{text} {other}" for text, other in zip(TEXTS, sentences(ROWS, 2), strict=True)],
        agent=[f"agent {i % 7}" for i in range(ROWS)],
        queue=LABELS,
        minutes=[chance.randint(1, 5000) for _ in range(ROWS)],
        url=[f"https://example.org/{i}" for i in range(ROWS)],
        internal_note=[None] * ROWS,
    ).to_csv("many.csv", index=False)
    return "many.csv"


def pairs() -> str:
    frame(pairID=range(ROWS), premise=TEXTS, hypothesis=sentences(ROWS, 1), gold_label=LABELS).to_csv(
        "pairs.tsv", index=False, sep="\t"
    )
    return "pairs.tsv"


def regression() -> str:
    scores = [f"{i % 51 / 10:.1f}".replace(".", ",") for i in range(ROWS)]
    frame(sentence1=TEXTS, sentence2=sentences(ROWS, 1), similarity=scores).to_csv(
        "regression.csv", index=False, sep=";"
    )
    return "regression.csv"


def gaps() -> str:
    labels = [None if i % 3 == 0 else LABELS[i] for i in range(ROWS)]
    frame(text=[*TEXTS[:-2], TEXTS[0], ""], category=labels).to_csv("gaps.csv", index=False)
    return "gaps.csv"


def stars() -> str:
    found = frame(
        review=TEXTS,
        stars=[float(i % 5 + 1) for i in range(ROWS)],
        product=[f"P{i % 9}" for i in range(ROWS)],
    )
    found.to_csv("stars.csv.gz", index=True)
    return "stars.csv.gz"


RIGHT = [
    (plain, "text", None, "label", None),
    (quoted, "body", None, "queue", None),
    (semicolons, "nachricht", None, "topic", None),
    (marked, "message", None, "is_spam", None),
    (many, "body", None, "queue", None),
    (pairs, "premise", "hypothesis", "gold_label", None),
    (regression, "sentence1", "sentence2", "similarity", "regression"),
    (gaps, "text", None, "category", None),
    (stars, "review", None, "stars", None),
]


@pytest.mark.parametrize(
    ("write", "text", "pair", "label", "kind"), RIGHT, ids=[case[0].__name__ for case in RIGHT]
)
def test_nine_files_are_read_right(
    made: Callable[..., Said],
    write: Callable[[], str],
    text: str,
    pair: str | None,
    label: str,
    kind: str | None,
) -> None:
    file = write()
    recipe = f"{file.partition('.')[0]}.yaml"
    said = made(file)
    assert said.code == 0, said
    # The tiny encoder knows few words; that is all there is to warn of.
    assert all("language: " in line for line in said.err.splitlines()), said
    assert said.out.splitlines()[-1] == f"next: dkd compare {recipe} --strategy static --seeds 1"
    assert data(recipe) == {"text": text, "text_pair": pair, "label": label, "kind": kind}
    assert len(Path(recipe).read_text().splitlines()) < 25
    loaded = load_task_data(load_recipe(recipe).data)
    assert sum(map(len, loaded.all_splits())) >= ROWS - 3


def doubtful() -> str:
    teams = [("red", "blue", "green")[i % 3] for i in range(ROWS)]
    frame(text=TEXTS, team=teams, region=LABELS).to_csv("doubtful.csv", index=False)
    return "doubtful.csv"


def test_the_tenth_is_asked_about(made: Callable[..., Said], workdir: Path, tiny_encoder: Path) -> None:
    file = doubtful()
    assert refused(2, "init", file) == [
        "--label: several columns may hold the label: team, region; name one with --label"
    ]
    assert not Path("doubtful.yaml").exists()
    asked: list[tuple[str, Sequence[str]]] = []

    def ask(question: str, choices: Sequence[str]) -> str:
        asked.append((question, choices))
        return "region"

    wishes = Wishes(model=str(tiny_encoder))
    command.init(file, wishes, output=None, ask=ask, terminal=Terminal(quiet=True))
    assert asked == [("Which column has the label?", ["team", "region"])]
    assert data("doubtful.yaml")["label"] == "region"
    assert made(file, "--yes", "--output", "team.yaml").code == 0
    assert data("team.yaml")["label"] == "team"
    assert made(file, "--label", "region", "--output", "region.yaml").code == 0
    assert data("region.yaml")["label"] == "region"


def test_what_it_says(made: Callable[..., Said]) -> None:
    said = made(gaps()).out.splitlines()
    assert said[0] == "gaps.csv: 240 rows, 2 columns: text, category"
    for line in (
        "  text: text; label: category",
        "  classes: billing 40, delivery 40, login 40, praise 40",
        "  1 empty text",
        "  80 rows without a label, whose texts the teacher will label",
        "  train: 80 rows without a label moved to the transfer set",
    ):
        assert line in said, said
    assert any(line.startswith("  tokens: half of the texts have at most ") for line in said)
    assert load_recipe("gaps.yaml").data.missing_labels == "transfer"
    few = [*["common"] * 200, *["rare"] * 40]
    frame(text=TEXTS, label=few).to_csv("few.csv", index=False)
    said = made("few.csv").out.splitlines()
    assert "  the largest class has 5.0 times as many rows as the smallest" in said
    assert load_recipe("few.yaml").train.metric == "macro_f1"


def test_settings_follow_size_and_length(made: Callable[..., Said]) -> None:
    frame(text=[" ".join([text] * 4) for text in TEXTS], label=LABELS).to_csv("long.csv", index=False)
    assert made("long.csv").code == 0
    assert made(plain()).code == 0
    assert load_recipe("long.yaml").data.max_length > load_recipe("plain.yaml").data.max_length
    texts = sentences(3000)
    frame(text=texts, label=[QUEUES[i % 4] for i in range(3000)]).to_csv("more.csv", index=False)
    assert made("more.csv").code == 0
    assert load_recipe("more.yaml").train.epochs < load_recipe("plain.yaml").train.epochs


def test_a_script_that_the_encoder_does_not_know(made: Callable[..., Said]) -> None:
    words = ["добрый", "день", "где", "мой", "заказ", "спасибо", "большое", "когда", "он", "придёт"]
    chance = random.Random(0)
    texts = [" ".join(chance.choices(words, k=8)) + f" {i}" for i in range(ROWS)]
    frame(text=texts, label=LABELS).to_csv("russian.csv", index=False)
    said = made("russian.csv")
    assert said.code == 0
    assert "of the tokens are unknown to the encoder ([UNK])" in said.err


@pytest.mark.parametrize(
    ("content", "words", "code", "line"),
    [
        ("text,label\na,b,c\n", [], 3, "a.csv:2: 3 columns where the header has 2; "),
        (
            "id,n\n" + "".join(f"{i},{i}\n" for i in range(50)),
            [],
            2,
            "--text: no column reads like the text: id, n; ",
        ),
        (
            "text,label\na b c,x\n",
            ["--label", "queue"],
            3,
            "a.csv: there is no column 'queue'; name one of: text, label",
        ),
        ("text,label\na b c,x\n", ["--output", "no/a.yaml", "--label", "label"], 3, "a.csv: "),
    ],
)
def test_what_is_wrong(
    workdir: Path, tiny_encoder: Path, content: str, words: list[str], code: int, line: str
) -> None:
    Path("a.csv").write_text(content)
    lines = refused(code, "init", "a.csv", "--model", tiny_encoder, *words)
    assert lines[0].startswith(line), lines
    assert not Path("a.yaml").exists()


def test_a_recipe_is_never_overwritten(made: Callable[..., Said], workdir: Path) -> None:
    Path("plain.yaml").write_text("mine")
    assert refused(2, "init", plain()) == [
        "plain.yaml: is there already; name another file with --output, or remove it"
    ]
    assert Path("plain.yaml").read_text() == "mine"
    assert refused(3, "init", "gone.csv") == [
        "gone.csv: there is no such file; check the path; it is relative to the working directory"
    ]


def test_the_encoder_is_one_that_is_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "is_at_hand", lambda model: True)
    assert command.encoder(None)[0] == command.HUB_ENCODER
    assert command.encoder("mine") == ("mine", "")
    monkeypatch.setattr(command, "is_at_hand", lambda model: False)
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    assert command.encoder(None) == (command.HUB_ENCODER, "from the hub, which is out of reach now")
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: object())
    assert command.encoder(None) == (
        command.PACKAGED_ENCODER,
        f"the hub is out of reach; this is {command.HUB_ENCODER}",
    )
