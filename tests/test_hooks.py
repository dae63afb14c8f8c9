"""The list of Trainer's private parts is complete; a version without them fails in a line."""

from __future__ import annotations

import ast
import inspect
import tomllib
from pathlib import Path

import pytest
import transformers
from packaging.requirements import Requirement
from packaging.version import Version

from dkd_cli.engine.training import hooks, resumable, trainer
from dkd_cli.errors import SystemProblem

SOURCE = inspect.getsource(inspect.getmodule(transformers.Trainer) or transformers)


def private_names() -> tuple[set[str], set[str]]:
    """(defined, read) names with one underscore in the two files that subclass Trainer."""
    defined: set[str] = set()
    read: set[str] = set()
    for module in (trainer, resumable):
        for node in ast.walk(ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("_"):
                defined.add(node.name)
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                read.add(node.attr)
    return defined, read


def test_the_lists_are_those_that_the_code_builds_on() -> None:
    defined, read = private_names()
    of_trainer = {name for name in defined | read if hasattr(transformers.Trainer, name)}
    methods = {name for name in of_trainer if not name.startswith("__")}
    assert {name for name in methods if name in defined} == set(hooks.OVERRIDDEN)
    assert methods - defined == set(hooks.CALLED)
    attributes = {name for name in read - methods - defined if f"self.{name} " in SOURCE}
    assert attributes == set(hooks.ATTRIBUTES)


def test_this_version_is_within_the_declared_range() -> None:
    hooks.check_trainer()
    declared = Path(__file__).parent.parent / "pyproject.toml"
    project = tomllib.loads(declared.read_text(encoding="utf-8"))["project"]
    wanted = next(one for one in map(Requirement, project["dependencies"]) if one.name == "transformers")
    assert Version(transformers.__version__) in wanted.specifier
    assert Version("5.2.0") not in wanted.specifier
    assert Version("6.0.0") not in wanted.specifier


def test_a_version_without_them_fails_in_a_line() -> None:
    class Older:
        _evaluate = _get_grad_norm = _load_rng_state = None

    with pytest.raises(SystemProblem, match=r"has no Trainer\._maybe_log_save_evaluate"):
        hooks.check_trainer(Older)
