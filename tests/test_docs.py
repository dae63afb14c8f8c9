"""The pages say what is so: their commands parse, their recipes load, their links and names lead somewhere.

Nothing is trained: a command that would is run with `--dry-run`, in a folder with the recipes of its page.
A YAML block that begins with its file's name in a comment is a whole recipe; other YAML is a part of one.
Python below `<!-- run -->` runs; other Python has to compile.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import pytest
import typer
import yaml
from small import save_classifier
from test_architecture import MODULES, ORDER, ROOT

import dkd_cli
from dkd_cli.cli import app, run
from dkd_cli.recipe import schema, strategy_section
from dkd_cli.recipe.bundled import bundled_names
from dkd_cli.recipe.fields import known_paths
from dkd_cli.recipe.loader import load_recipe, parse_recipe

PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
    )
}
STUDENT = "checkpoints/quickstart/student-dynamic-objective-seed1"

FENCE = re.compile(
    r"(?:^<!-- *(?P<mark>[^\n]*?) *-->\n+)?^```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```$", re.M | re.S
)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
DRY = {"train-teacher", "distill", "select-data", "label"}
NEED_MODELS = ("evaluate", "compare", "export", "predict", "cascade", "push", "init", "shrink")
DATA_SUFFIXES = (
    ".safetensors",
    ".csv",
    ".tsv",
    ".conll",
    ".bio",
    ".json",
    ".jsonl",
    ".parquet",
    ".yaml",
    ".md",
    ".html",
    ".txt",
    ".bin",
    ".onnx",
    ".toml",
    ".py",
    ".svg",
)
FOREIGN = {"torch", "transformers", "ticket"}
"""Other packages, and the column of an example."""
CHOSEN = {"teachers": ["small", "large"], "strategy.teacher.weights": ["small", "large"]}


class Block(NamedTuple):
    """A fenced block and the comment above it."""

    page: str
    language: str
    mark: str
    body: str


def blocks(page: str) -> list[Block]:
    text = PAGES[page].read_text(encoding="utf-8")
    return [Block(page, m["language"], m["mark"] or "", m["body"]) for m in FENCE.finditer(text)]


def commands(page: str, program: str) -> list[str]:
    """The lines of the page's blocks that call `program`, also behind a pipe, continued lines joined.

    What a command says of the next one is such a line too.
    """
    lines = [line for block in blocks(page) for line in block.body.replace("\\\n", " ").splitlines()]
    lines = [re.sub(r"^(\$ )?(.* \| |next: )?", "", line.strip()) for line in lines]
    return [line for line in lines if line.startswith(f"{program} ")]


def launched(page: str) -> list[str]:
    """The commands of the page that torchrun or accelerate start, as one would type them for one process."""
    lines = [line for launcher in ("torchrun", "accelerate") for line in commands(page, launcher)]
    return [f"dkd {line.partition(' -m dkd_cli ')[2]}" for line in lines]


def quoted(page: str) -> list[str]:
    """The commands in the page's sentences."""
    return re.findall(r"`(dkd [^`\n]+)`", prose(page))


def prose(page: str) -> str:
    return FENCE.sub("", PAGES[page].read_text(encoding="utf-8"))


def recipe_file(block: Block) -> str | None:
    """The name of the file that a block holds whole."""
    named = re.match(r"# (\S+\.yaml)\n", block.body) if block.language == "yaml" else None
    return named[1] if named else None


EVERY_BLOCK = [block for page in PAGES for block in blocks(page)]
RECIPES = [block for block in EVERY_BLOCK if block.language == "yaml"]
PYTHON = [block for block in EVERY_BLOCK if block.language == "python"]
SNIPPETS = [block for block in PYTHON if block.mark == "run"]


def label(block: Block) -> str:
    return f"{block.page}:{block.mark or block.body.splitlines()[0]}"


def test_there_is_something_to_check() -> None:
    assert len(RECIPES) >= 4
    assert len(SNIPPETS) >= 2
    assert sum(len(commands(page, "dkd")) for page in PAGES) >= 20


# Commands ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_command_works(page: str, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it but what lies behind the command line of those that need a trained model."""
    for name in NEED_MODELS:
        monkeypatch.setattr(f"dkd_cli.commands.{name}.{name}", lambda *_, **__: None)
    # The pages' data files are not there.
    monkeypatch.setattr("dkd_cli.pipeline.checking.check_recipe", lambda *_: None)
    names = set(bundled_names())
    for block in blocks(page):
        if name := recipe_file(block):
            (workdir / name).write_text(block.body, encoding="utf-8")
            names.add(load_recipe(name).name)
    whole = [line for line in quoted(page) if not re.search(r"[A-Z]{3}|…|dkd [a-z-]+$", line)]
    for line in [*commands(page, "dkd"), *launched(page), *whole]:
        words = shlex.split(line, comments=True)[1:]
        with pytest.raises(SystemExit) as caught:
            run([*words, "--dry-run"] if words[0] in DRY else words)
        assert caught.value.code == 0, line
        assert [word for word in words if word.startswith("checkpoints/") and not made(word, names)] == []


def made(path: str, names: set[str]) -> bool:
    """Whether a recipe of one of these names makes a folder of this name."""
    _, recipe, *model = path.rstrip("/").split("/")
    strategy = "|".join(schema.STRATEGIES)
    return recipe in names and all(
        re.fullmatch(rf"teacher-\w+|student-({strategy})-seed\d+(-onnx(-int8)?)?", name) for name in model
    )


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_a_sentence_is_one(page: str) -> None:
    group: Any = typer.main.get_command(app)
    for line in quoted(page):
        words = shlex.split(line)[1:]
        place = group
        while words and words[0] in getattr(place, "commands", {}):
            place = place.commands[words.pop(0)]
        assert place is not group or words in (["--help"], ["--version"], ["--install-completion"]), line
        known = {name for option in place.params for name in option.opts}
        assert [word for word in words if word.startswith("-") and word not in known | {"--help"}] == [], line


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_exists(page: str) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)
    for line in (*commands(page, "make"), *re.findall(r"`(make [^`]+)`", prose(page))):
        assert line.split()[1] in targets, line


# Recipes and snippets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", RECIPES, ids=label)
def test_every_yaml_block_is_a_recipe_or_a_part_of_one(block: Block) -> None:
    text = block.body
    if recipe_file(block) is None:
        missing = {"name": "part", "model": "unused", "data": {"source": "unused.csv"}}
        text += "".join(
            yaml.safe_dump({key: value}) for key, value in missing.items() if key not in yaml.safe_load(text)
        )
    parse_recipe(text, block.page)


@pytest.mark.parametrize("block", SNIPPETS, ids=label)
def test_every_marked_snippet_runs(block: Block, workdir: Path, tiny_encoder: Path) -> None:
    save_classifier(workdir / STUDENT, tiny_encoder, ("negative", "neutral", "positive"))
    exec(compile(block.body, block.page, "exec"), {"__name__": "snippet"})


@pytest.mark.parametrize("block", PYTHON, ids=label)
def test_every_python_block_compiles_and_imports_what_there_is(block: Block) -> None:
    for node in ast.walk(ast.parse(block.body)):
        if isinstance(node, ast.ImportFrom) and node.module == "dkd_cli":
            assert {name.name for name in node.names} <= set(dkd_cli.__all__)


# Links ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_resolves(page: str) -> None:
    for match in LINK.finditer(prose(page)):
        target, _, anchor = match["target"].partition("#")
        if "://" in target:
            continue
        path = (PAGES[page].parent / target).resolve() if target else PAGES[page]
        assert path.is_relative_to(ROOT), match[0]
        assert path.exists(), match[0]
        if anchor:
            assert anchor in anchors(path), match[0]


@cache
def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# Names ---------------------------------------------------------------------------------------------------


@cache
def names_in(path: Path) -> set[str]:
    """What a module defines at its top level."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


STEMS = {path.stem for path in MODULES.values() if path.stem != "__init__"}
KEYS = set(known_paths(schema.Recipe, CHOSEN))
SECTIONS = {key.partition(".")[0] for key in KEYS if "." in key}


def problem(word: str) -> str | None:
    """What is wrong with a word in code style that names a test, a file, a function or a recipe key."""
    test = re.fullmatch(r"(test_\w+\.py)::(test_\w+)", word)
    if test:
        path = ROOT / "tests" / test[1]
        return None if path.exists() and test[2] in names_in(path) else "no such test"
    if re.fullmatch(r"[\w/]+\.py", word):
        places = (ROOT / word, ROOT / "dkd_cli" / word)
        return None if any(place.exists() for place in places) else "no such file"
    dotted = re.fullmatch(r"([a-z]\w*)\.([\w.<>-]+)(?:[:=] ?.+)?", word)
    if dotted is None or word.endswith(DATA_SUFFIXES) or dotted[1] in FOREIGN:
        return None
    if dotted[1] not in STEMS | SECTIONS:
        return "no such module and no such section of a recipe"
    head, tail = dotted[1], dotted[2]
    is_name = any(tail in names_in(path) for path in MODULES.values() if path.stem == head)
    is_key = f"{head}.{tail}".replace("<name>", "large") in KEYS
    return None if is_name or is_key else "no such function and no such recipe key"


@pytest.mark.parametrize("page", PAGES)
def test_every_name_in_code_style_exists(page: str) -> None:
    words = re.findall(r"`([^`\n]+)`", prose(page))
    assert [(word, wrong) for word in words if (wrong := problem(word))] == []


@pytest.mark.parametrize(
    ("word", "wrong"),
    [
        ("losses.kd_kl", False),
        ("losses.kd_kll", True),
        ("strategy.teacher.mode: hard", False),
        ("strategy.teacher.modus: hard", True),
        ("bank.TeacherBank", False),
        ("teachers.<name>.labels", False),
        ("bank.Bank", True),
        ("peers.Share", True),
        ("torch.load", False),
        ("engine/method/losses.py", False),
        ("engine/loses.py", True),
        ("test_docs.py::test_a_wrong_name_is_found", False),
        ("test_docs.py::test_nothing", True),
        ("train.csv", False),
    ],
)
def test_a_wrong_name_is_found(word: str, wrong: bool) -> None:
    assert (problem(word) is not None) == wrong


# What a page must have -----------------------------------------------------------------------------------


def literals(section: type) -> Iterator[str]:
    """The words that the keys of a section choose from."""
    for hint in get_type_hints(section).values():
        yield from (word for word in get_args(hint) if isinstance(word, str))


@pytest.mark.parametrize(
    "section", [strategy_section.TeacherAdoption, strategy_section.DataSelection, strategy_section.Objective]
)
def test_the_strategies_page_names_every_mode(section: type) -> None:
    words = re.findall(r"`([^`\n]+)`", prose("docs/strategies.md"))
    chosen = set(literals(section))
    assert chosen
    assert {
        word for word in chosen if word not in words and not any(w.endswith(f": {word}") for w in words)
    } == set()


def test_the_strategies_page_names_every_strategy_and_key() -> None:
    page = prose("docs/strategies.md")
    keys = known_paths(schema.Recipe, {})
    axes = [key for key in keys if key.startswith("strategy.") and not key.endswith(".name")]
    assert [word for word in (*schema.STRATEGIES, *axes) if f"`{word}" not in page] == []


def tree() -> Mapping[str, str]:
    """Path -> the meaning of its folder, of the tree in docs/architecture.md.

    A line that ends a folder's name with `/` gives its meaning; the lines below it list its modules.
    """
    body = next(b.body for b in blocks("docs/architecture.md") if b.body.startswith("dkd_cli/"))
    found: dict[str, str] = {}
    folders: list[tuple[str, str]] = []
    for line in body.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, _, meaning = line.strip().partition(" ")
        if name.endswith("/"):
            folders[depth:] = [(name, meaning.strip())]
            continue
        for module in line.strip().rstrip(",").split(", "):
            path = "".join(folder for folder, _ in folders[:depth]) + f"{module}.py"
            assert path not in found, f"{path} stands twice"
            found[path] = folders[depth - 1][1]
    return found


def test_the_tree_is_the_house() -> None:
    shown = tree()
    modules = {path.relative_to(ROOT).as_posix() for path in MODULES.values() if path.stat().st_size}
    assert set(shown) == modules
    assert [path for path, meaning in shown.items() if path.count("/") > 1 and not meaning] == []


def test_the_layers_are_those_that_are_held() -> None:
    body = next(b.body for b in blocks("docs/architecture.md") if b.body.startswith("version"))
    shown = tuple(set(place.strip().split(", ")) for place in body.replace("\n", " ").split("→"))
    assert shown == ORDER
