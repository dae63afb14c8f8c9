"""The shape of the package, read off its source: who imports whom, what is imported when, what is banned."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "dkd_cli").rglob("*.py"))
}
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# A module imports only from an earlier line; two layers in one line do not import each other.
ORDER = (
    {"version", "errors"},
    {"launch"},
    {"files", "stopping", "wording"},
    {"manifests"},
    {"recipe"},
    {"reading"},
    {"data"},
    {"engine.machine"},
    {"engine.models", "engine.method"},
    {"engine.cache", "engine.runs"},
    {"engine.teachers"},
    {"engine.deploy"},
    {"engine.training"},
    {"evaluation"},
    {"report"},
    {"labelling"},
    {"pipeline"},
    {"comparison"},
    {"shrinking"},
    {"commands"},
    {"api"},
    {"cli"},
    {"__main__"},
)
HEAVY = {"torch", "transformers", "datasets", "accelerate", "sklearn"}
LIGHT_MODULES = [
    name
    for name in MODULES
    if name
    in {
        "dkd_cli",
        *(f"dkd_cli.{base}" for base in ("__main__", "errors", "launch", "files", "stopping", "wording")),
    }
    or name.startswith(("dkd_cli.cli", "dkd_cli.recipe"))
]
PLUG_IN_MODULES = (
    "dkd_cli.engine.method.labels",
    "dkd_cli.engine.method.losses",
    "dkd_cli.engine.method.uncertainty",
)
PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
MAX_LINES = 400


def imported(node: ast.AST, module: str) -> list[str]:
    """The absolute names an import statement may load; none for any other node.

    `from a import b` counts as `a.b`, for `b` may be a module.
    """
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        package = module.split(".")
        if MODULES.get(module, Path()).name != "__init__.py":
            package = package[:-1]
        package = package[: len(package) - node.level + 1] if node.level else []
        source = ".".join([*package, *([node.module] if node.module else [])])
        return [f"{source}.{alias.name}" for alias in node.names]
    return []


def all_imports(tree: ast.Module, module: str) -> Iterator[str]:
    """Every import, also those inside functions and those for type checkers only."""
    for node in ast.walk(tree):
        yield from imported(node, module)


def imports_on_import(tree: ast.AST, module: str) -> Iterator[str]:
    """The imports that happen when the module itself is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield from imported(node, module)
        yield from imports_on_import(node, module)


def layer(module: str) -> tuple[int, str] | None:
    """Its place in ORDER and its name there; None for the empty `dkd_cli.engine` and for everything foreign.

    The package itself stands above everything: its `__init__` hands on the public functions.
    """
    parts = module.split(".")
    if parts[0] != "dkd_cli" or module == "dkd_cli.engine":
        return None
    for place, names in enumerate(ORDER):
        for name in (".".join(parts[1:3]), *parts[1:2]):
            if name in names:
                return place, name
    return len(ORDER), "dkd_cli"


def edges(sources: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """For each module the modules that it imports, also inside functions."""
    found = {}
    for module, tree in sources.items():
        names = set()
        for name in all_imports(tree, module):
            while name and name not in sources:
                name = name.rpartition(".")[0]
            names.add(name)
        found[module] = names - {"", module}
    return found


def circles(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """The groups of modules that import each other, directly or through others."""
    reach = {module: set(names) for module, names in graph.items()}
    for through in graph:
        for names in reach.values():
            if through in names:
                names |= reach[through]
    groups = {frozenset({*(o for o in reach[m] if m in reach.get(o, ())), m}) for m in graph if m in reach[m]}
    return [set(group) for group in groups]


def upward_imports(tree: ast.Module, module: str) -> list[str]:
    own = layer(module)
    if own is None:
        return []
    places = {name: layer(name) for name in all_imports(tree, module)}
    return [name for name, at in places.items() if at and at[1] != own[1] and at[0] >= own[0]]


def banned(tree: ast.Module, module: str) -> list[str]:
    """What would run code that came with a model or a file."""
    found = [name for name in all_imports(tree, module) if name.split(".")[0] in PICKLES]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        for name in ("trust_remote_code", "allow_pickle"):
            if keywords.get(name, "False") != "False":
                found.append(f"{name}={keywords[name]}")
        if ast.unparse(call.func) == "torch.load" and keywords.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
    return found + [name for name in all_imports(tree, module) if name == "torch.load"]


def parse(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `script` in a fresh interpreter that finds the package and stands in an empty folder."""
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_module_belongs_to_a_layer() -> None:
    assert MODULES
    outside = [
        name
        for name in MODULES
        if name != "dkd_cli.engine" and layer(name) in (None, (len(ORDER), "dkd_cli"))
    ]
    assert outside == ["dkd_cli"]


def test_engine_has_rooms_and_no_module_of_its_own() -> None:
    assert sorted(path.name for path in (ROOT / "dkd_cli" / "engine").glob("*.py")) == ["__init__.py"]
    assert MODULES["dkd_cli.engine"].read_text(encoding="utf-8") == ""


def test_no_modules_import_each_other() -> None:
    assert circles(edges({module: parse(module) for module in MODULES})) == []


def test_a_circle_is_found_also_through_a_third_and_inside_a_function() -> None:
    sources = {
        "dkd_cli.a": "from dkd_cli.b import f",
        "dkd_cli.b": "from dkd_cli import c",
        "dkd_cli.c": "def g():\n    import dkd_cli.a",
        "dkd_cli.d": "import dkd_cli.a",
    }
    found = circles(edges({name: ast.parse(source) for name, source in sources.items()}))
    assert found == [{"dkd_cli.a", "dkd_cli.b", "dkd_cli.c"}]


COMMANDS = [name for name in MODULES if name.startswith("dkd_cli.commands.")]


@pytest.mark.parametrize("module", COMMANDS)
def test_no_command_imports_another(module: str) -> None:
    assert [name for name in all_imports(parse(module), module) if name.startswith("dkd_cli.commands.")] == []


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("dkd_cli.engine.method.")])
def test_the_method_knows_no_model(module: str) -> None:
    recipe = ("recipe.hidden_weight.", "recipe.schema.", "recipe.strategy_section.", "recipe.words.")
    allowed = ("engine.method.", "engine.machine.processes.", *recipe, "errors.")
    names = [name for name in all_imports(parse(module), module) if name.startswith("dkd_cli.")]
    assert [name for name in names if not name.removeprefix("dkd_cli.").startswith(allowed)] == []


@pytest.mark.parametrize("module", MODULES)
def test_no_layer_imports_upward(module: str) -> None:
    assert upward_imports(parse(module), module) == []


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("dkd_cli.engine.training.trainer", "from dkd_cli.report.terminal import Terminal", 1),
        ("dkd_cli.engine.training.trainer", "def f():\n    import dkd_cli.commands.distill", 1),
        ("dkd_cli.engine.training.trainer", "from ...evaluation import metrics", 1),
        ("dkd_cli.engine.training.trainer", "from dkd_cli.data.examples import Split", 0),
        ("dkd_cli.engine.method.strategies", "from .losses import kd_kl\nfrom dkd_cli import launch", 0),
        ("dkd_cli.engine.runs.checkpoints", "from dkd_cli import __version__", 1),
        ("dkd_cli.engine.models.students", "from dkd_cli.engine.method.losses import kd_kl", 1),
        ("dkd_cli.engine.teachers.bank", "from dkd_cli.engine.models.models import depth", 0),
        ("dkd_cli.engine.method.pool", "from dkd_cli.engine.models.models import Model", 1),
        ("dkd_cli.evaluation.metrics", "from dkd_cli import report", 1),
        ("dkd_cli.files", "from dkd_cli.errors import SystemProblem", 0),
        ("dkd_cli.errors", "from dkd_cli.recipe.schema import Recipe", 1),
    ],
)
def test_an_upward_import_is_found(module: str, source: str, found: int) -> None:
    assert len(upward_imports(ast.parse(source), module)) == found


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_the_recipe_and_the_command_line_import_nothing_heavy(module: str) -> None:
    assert HEAVY.isdisjoint(name.split(".")[0] for name in imports_on_import(parse(module), module))


def test_nor_does_anything_they_import(tmp_path: Path) -> None:
    modules = [name for name in LIGHT_MODULES if name != "dkd_cli.__main__"]
    script = f"import sys, {', '.join(modules)}\nprint(sorted({HEAVY!r} & set(sys.modules)))"
    done = run(script, tmp_path)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("module", PLUG_IN_MODULES)
def test_losses_and_uncertainty_need_nothing_but_torch(module: str) -> None:
    allowed = {*sys.stdlib_module_names, "torch"}
    names = [name for name in all_imports(parse(module), module) if name.split(".")[0] not in allowed]
    assert [name for name in names if not name.startswith(PLUG_IN_MODULES)] == []


def test_the_plug_in_works_where_only_torch_is_installed(tmp_path: Path) -> None:
    absent = "accelerate annotated_types datasets pydantic rich sklearn tokenizers transformers typer yaml"
    done = run(
        f"import sys\nsys.modules.update(dict.fromkeys({absent!r}.split()))\n"
        "import torch\nfrom dkd_cli import dynamic_kd_loss\n"
        "student = torch.zeros(2, 3, requires_grad=True)\n"
        "dynamic_kd_loss(student, torch.eye(2, 3)).backward()\n"
        "print(student.grad.abs().sum() > 0, dynamic_kd_loss(student, student).item())",
        tmp_path,
    )
    assert done.stdout == "tensor(True) 0.0\n", done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_nothing_that_came_with_a_file_is_executed(module: str) -> None:
    assert banned(parse(module), module) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", 1),
        ("from joblib import load", 1),
        ("import torch\ntorch.load(path)", 1),
        ("import torch\ntorch.load(path, weights_only=False)", 1),
        ("import torch\ntorch.load(path, weights_only=True)", 0),
        ("from torch import load", 1),
        ("AutoModel.from_pretrained(path, trust_remote_code=True)", 1),
        ("AutoModel.from_pretrained(path, trust_remote_code=asked)", 1),
        ("AutoModel.from_pretrained(path, trust_remote_code=False)", 0),
    ],
)
def test_executing_what_came_with_a_file_is_found(source: str, found: int) -> None:
    assert len(banned(ast.parse(source), "dkd_cli.engine.models.models")) == found


@pytest.mark.parametrize("path", [*MODULES.values(), *TESTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_asks_to_be_two(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_docstrings_begin_with_a_verb_or_a_noun_that_one_would_search_for() -> None:
    wrong = re.compile(r"(What|How|Which|Whether|Who|Whose|Where)\b")
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    begun = [
        f"{module}:{getattr(node, 'lineno', 1)}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, kinds) and wrong.match(ast.get_docstring(node) or "")
    ]
    assert begun == []
