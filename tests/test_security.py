"""What docs/security.md promises: no foreign code, no network when told so, no way out of the folder."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import contents, heard, refused
from conftest import ROOT, TinyRecipe, tiny_rows
from small import LABELS, save_classifier
from test_architecture import MODULES, parse

from dkd_cli.engine.models.models import load_tokenizer
from dkd_cli.engine.runs.checkpoints import student_folder, teacher_folder
from dkd_cli.errors import DataError, DkdError
from dkd_cli.files import replacing, write_text
from dkd_cli.reading.locate import package_path
from dkd_cli.recipe.loader import load_points
from soak.watch import watched

NONE = ("--strategy", "none")
NETWORK_WATCH = """
import sys
sys.path.insert(0, sys.argv[1])
from soak.watch import watched
from dkd_cli.cli import run
with watched() as touched:
    try:
        run(sys.argv[2:])
    except SystemExit as end:
        print(end.code, touched.network, touched.processes)
"""


# Code ----------------------------------------------------------------------------------------------------


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def dangerous(tree: ast.Module) -> list[str]:
    """Calls that run text as code or start a process, and loading of a model that does not say no to code."""
    banned = {
        "eval",
        "exec",
        "compile",
        "__import__",
        "os.system",
        "os.popen",
        "yaml.load",
        "yaml.unsafe_load",
    }
    found = [name for name, _ in calls(tree) if name in banned or name.split(".")[0] in ("subprocess", "pty")]
    for name, call in calls(tree):
        owner, _, method = name.rpartition(".")
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        loads = owner.startswith("Auto") and method in ("from_pretrained", "from_config")
        if loads and keywords.get("trust_remote_code") != "False":
            found.append(f"{name} without trust_remote_code=False")
        if (
            loads
            and "Model" in owner
            and method == "from_pretrained"
            and keywords.get("use_safetensors") != "True"
        ):
            found.append(f"{name} without use_safetensors=True")
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return found + [name for name in imported if name in ("subprocess", "pty", "code")]


@pytest.mark.parametrize("module", MODULES)
def test_nothing_runs_text_as_code_or_starts_a_process(module: str) -> None:
    assert dangerous(parse(module)) == []


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "import subprocess\n",
        "subprocess.run(command)",
        "yaml.load(text, Loader)",
        "AutoConfig.from_pretrained(path)",
        "AutoModel.from_pretrained(path, trust_remote_code=False)",
        "AutoTokenizer.from_pretrained(path, trust_remote_code=asked)",
    ],
)
def test_such_a_call_is_found(source: str) -> None:
    assert dangerous(ast.parse(source)) != []


def test_models_are_loaded_somewhere() -> None:
    """Else the checks above would hold of nothing."""
    names = [name for module in MODULES for name, _ in calls(parse(module)) if name.startswith("Auto")]
    assert len(names) >= 3


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system ['touch ran']", "!!python/name:os.system", "!x y"]
)
def test_a_tag_of_yaml_makes_nothing(tag: str, workdir: Path) -> None:
    Path("r.yaml").write_text(f"name: x\nmodel: m\ndata: {{source: s}}\ndescription: {tag}\n")
    with watched() as touched:
        lines = refused(2, "recipes", "check", "r.yaml")
    assert "is not supported; remove it" in lines[0]
    assert (touched.files, touched.processes, [path.name for path in workdir.iterdir()]) == (
        [],
        [],
        ["r.yaml"],
    )


def test_code_beside_a_known_architecture_is_left_alone(
    tmp_path: Path, tiny_encoder: Path, tiny_recipe: TinyRecipe, workdir: Path
) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "model"))
    for name, mapped in {
        "config.json": {"AutoConfig": "own.C", "AutoModelForSequenceClassification": "own.M"},
        "tokenizer_config.json": {"AutoTokenizer": ["own.T", None]},
    }.items():
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": mapped}))
    (folder / "own.py").write_text("import pathlib\npathlib.Path('ran').touch()\n")
    said = heard("distill", tiny_recipe({"model": str(folder), "train": {"max_steps": 1}}), *NONE)
    assert (said.code, list(workdir.iterdir())) == (0, [])


def test_a_tokenizer_of_its_own_code_is_refused(tmp_path: Path, tiny_encoder: Path, workdir: Path) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "model"))
    (folder / "tokenizer.json").unlink()
    mapped = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(mapped))
    (folder / "own.py").write_text("import pathlib\npathlib.Path('ran').touch()\n")
    with pytest.raises(DkdError, match=r"code of its own|no tokenizer|cannot be loaded"):
        load_tokenizer(str(folder), "model")
    assert list(workdir.iterdir()) == []


def test_a_script_beside_data_is_not_run(tiny_recipe: TinyRecipe, workdir: Path) -> None:
    folder = workdir / "scripted"
    folder.mkdir()
    for name in ("scripted.py", "__init__.py"):
        (folder / name).write_text("import pathlib\npathlib.Path('ran').touch()\n")
    assert refused(3, "distill", tiny_recipe({"data": {"source": "./scripted"}}), *NONE, beside=workdir)
    assert list(workdir.iterdir()) == [folder]


def test_a_package_is_not_imported_to_find_its_files(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = workdir / "some_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "a.csv").write_text("text,label\n")
    (workdir / "secret.csv").write_text("text,label\n")
    monkeypatch.syspath_prepend(str(workdir))
    assert package_path("pkg://some_package/a.csv") == package / "a.csv"
    for path in ("../secret.csv", "x/../../secret.csv", "..\\secret.csv"):
        with pytest.raises(DataError, match="the path leaves the package"):
            package_path(f"pkg://some_package/{path}")


# Network -------------------------------------------------------------------------------------------------


def test_offline_asks_nobody(tiny_recipe: TinyRecipe, workdir: Path) -> None:
    """Neither for what is here nor for what is not."""
    with watched() as touched:
        assert (
            heard("train-teacher", tiny_recipe({"train": {"max_steps": 1}}), "--teacher", "small").code == 0
        )
        assert refused(4, "distill", tiny_recipe({"model": "nobody/nothing"}, "m.yaml"), *NONE)
        assert refused(3, "distill", tiny_recipe({"data": {"source": "nobody/nothing"}}, "d.yaml"), *NONE)
    assert (touched.network, touched.processes) == ([], [])


def test_what_is_local_asks_nobody_though_the_network_is_allowed(tiny_recipe: TinyRecipe) -> None:
    recipe = tiny_recipe({"train": {"max_steps": 1}})
    online = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", NETWORK_WATCH, str(ROOT), "distill", str(recipe), *NONE, "--quiet"],
        env=online | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["0 [] []"], done


# Folders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["..", ".", "a/b", "/etc", "a\\b", "", "x" * 101, "a b", "é", "a\n", "~", "$HOME"]
)
@pytest.mark.parametrize("key", ["name", "teachers"])
def test_a_name_that_leads_elsewhere(name: str, key: str, workdir: Path) -> None:
    named = (
        f"name: {json.dumps(name)}\n"
        if key == "name"
        else f"name: x\nteachers: {{{json.dumps(name)}: {{}}}}\n"
    )
    Path("r.yaml").write_text(f"{named}model: m\ndata: {{source: s}}\n", encoding="utf-8")
    with watched() as touched:
        (line,) = refused(2, "distill", "r.yaml")
    assert line.startswith("r.yaml:")
    assert touched.files == []


@pytest.mark.parametrize("value", ["../../up", "/etc", "..", "a/../b", "x" * 400, "\u202e", "a\0b"])
def test_a_swept_value_leads_nowhere(value: str, workdir: Path) -> None:
    Path("r.yaml").write_text(
        f"name: x\nmodel: m\ndata: {{source: s}}\nsweep: {{model: [m, {json.dumps(value)}]}}\n",
        encoding="utf-8",
    )
    for point in load_points("r.yaml"):
        for folder in (student_folder(point), teacher_folder(point, "large")):
            assert folder.parent == Path("checkpoints/x")
            assert len(os.fsencode(folder.name)) < 255
            assert folder.name.isprintable()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder outside the output folder that looks like a run's."""
    folder = tmp_path / "elsewhere"
    (folder / "checkpoint-5").mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    return folder


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
@pytest.mark.parametrize("linked", ["tiny", "tiny/student-none-seed1", "tiny/.student-none-seed1"])
def test_a_link_out_of_the_output_folder_is_refused(
    linked: str, fresh: tuple[str, ...], elsewhere: Path, tiny_recipe: TinyRecipe
) -> None:
    recipe = tiny_recipe()
    link = recipe.parent / "checkpoints" / linked
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    assert refused(5, "distill", recipe, *NONE, *fresh, beside=elsewhere) == [
        f"{link}: is a symbolic link, which could lead out of the output folder; remove it, or name its "
        "target with --output-dir"
    ]
    assert set(contents(elsewhere)) == {str(elsewhere / "thesis.txt")}


def test_links_in_a_working_folder_are_removed_and_not_followed(
    elsewhere: Path, tiny_recipe: TinyRecipe
) -> None:
    recipe = tiny_recipe({"train": {"max_steps": 1}})
    working = recipe.parent / "checkpoints/tiny/.student-none-seed1"
    working.mkdir(parents=True)
    for name in ("finished", "checkpoint-7", "begun"):
        (working / name).symlink_to(elsewhere)
    (working / "notes.txt").symlink_to(elsewhere / "thesis.txt")
    assert heard("distill", recipe, *NONE, "--fresh").code == 0
    assert (elsewhere / "thesis.txt").read_text() == "years of work"
    assert (elsewhere / "checkpoint-5").is_dir()
    assert not working.exists()


def test_the_output_folder_itself_may_be_a_link(elsewhere: Path, tiny_recipe: TinyRecipe) -> None:
    recipe = tiny_recipe({"train": {"max_steps": 1}})
    (recipe.parent / "checkpoints").symlink_to(elsewhere)
    assert heard("distill", recipe, *NONE).code == 0
    assert (elsewhere / "tiny/student-none-seed1/model.safetensors").is_file()


def test_a_temporary_name_cannot_be_foreseen(tmp_path: Path) -> None:
    """A link that is planted under it would be written through."""
    names = set()
    for _ in range(20):
        with replacing(tmp_path / "out.json") as staged:
            staged.write_text("x")
        names.add(staged.name)
    assert len(names) == 20
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out.json").symlink_to(tmp_path / "mine")
    write_text(tmp_path / "out.json", "new")
    assert ((tmp_path / "mine").read_text(), (tmp_path / "out.json").is_symlink()) == ("mine", False)


# Terminal ------------------------------------------------------------------------------------------------

ESCAPES = "\x1b]0;owned\x07\x1b[31m\u202e\x9b2J"


def printed(*words: str | Path) -> str:
    said = heard(*words)
    text = said.out + said.err
    assert text.replace("\n", "").isprintable(), text
    return text


def tell_by_name(recipe: TinyRecipe) -> str:
    return printed("distill", recipe({"description": ESCAPES, "data": {"source": f"{ESCAPES}.csv"}}), *NONE)


def tell_by_dry_run(recipe: TinyRecipe) -> str:
    return printed("distill", recipe({"description": ESCAPES, "model": ESCAPES}), *NONE, "--dry-run")


def tell_by_override(recipe: TinyRecipe) -> str:
    return printed("distill", recipe(), "--set", f"train.{ESCAPES}={ESCAPES}", "--strategy", ESCAPES)


def tell_by_option(recipe: TinyRecipe) -> str:
    return printed("distill", ESCAPES) + printed("distill", f"--{ESCAPES}") + printed(ESCAPES)


def tell_by_label(recipe: TinyRecipe) -> str:
    Path("a.csv").write_text(f"text,label\na,yes\nb,{ESCAPES}\n", encoding="utf-8")
    return printed("distill", recipe({"data": {"source": "a.csv", "labels": ["yes", "no"]}}), *NONE)


def tell_by_column(recipe: TinyRecipe) -> str:
    Path("a.csv").write_text(f"{ESCAPES},label\na,yes\n", encoding="utf-8")
    return printed("distill", recipe({"data": {"source": "a.csv"}}), *NONE, "--debug")


@pytest.mark.parametrize(
    "tell", [tell_by_name, tell_by_dry_run, tell_by_override, tell_by_option, tell_by_label, tell_by_column]
)
def test_what_is_quoted_commands_no_terminal(
    tell: Callable[[TinyRecipe], str], tiny_recipe: TinyRecipe, workdir: Path
) -> None:
    assert "owned" in tell(tiny_recipe)


def test_class_names_command_no_terminal_in_tables(
    tmp_path: Path, tiny_encoder: Path, tiny_recipe: TinyRecipe
) -> None:
    data = tmp_path / "a.csv"
    lines = [f'{text},"{label}{ESCAPES}"' for text, label in tiny_rows()]
    data.write_text("text,label\n" + "\n".join(lines), encoding="utf-8")
    names = tuple(f"{label}{ESCAPES}" for label in LABELS)
    teacher = save_classifier(tmp_path / "teacher", tiny_encoder, names)
    recipe = tiny_recipe({"data": {"source": str(data)}, "teachers": {"large": {"checkpoint": str(teacher)}}})
    words = ("select-data", recipe, "--count", "9", "--output", tmp_path / "out.jsonl")
    assert "owned" in printed(*words)
    assert "owned" in printed("evaluate", teacher, "--recipe", recipe, "--output", tmp_path)
