"""What an installed dkd-cli consists of, read from the wheel itself."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import dkd_cli

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("hatchling") is None:
        # `make test` installs it; who runs pytest alone may not have it.
        pytest.skip("needs hatchling, a part of the extra `dev`")
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_recipe_is_inside(contents: set[str]) -> None:
    recipes = {path.relative_to(ROOT).as_posix() for path in (ROOT / "recipes").rglob("*.yaml")}
    assert recipes
    assert {f"dkd_cli/{recipe}" for recipe in recipes} <= contents


def test_every_module_is_inside(contents: set[str]) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "dkd_cli").rglob("*.py")}
    assert modules <= contents
    assert "dkd_cli/py.typed" in contents, "without it type checkers ignore the annotations"


def test_nothing_else_is_inside(contents: set[str]) -> None:
    information = f"dkd_cli-{dkd_cli.__version__}.dist-info"
    assert {name.split("/")[0] for name in contents} == {"dkd_cli", information}
    suffixes = {Path(name).suffix for name in contents if name.startswith("dkd_cli/")}
    assert suffixes == {".py", ".typed", ".yaml", ".html", ".css"}


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    information = f"dkd_cli-{dkd_cli.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{information}/METADATA").decode()
        entry_points = archive.read(f"{information}/entry_points.txt").decode()
        assert f"{information}/licenses/LICENSE" in archive.namelist()
    assert f"Version: {dkd_cli.__version__}\n" in metadata
    assert "Requires-Python: >=3.11\n" in metadata
    assert "dkd = dkd_cli.__main__:main" in entry_points
