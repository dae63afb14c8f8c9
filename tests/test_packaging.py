"""What an installed dkd-cli consists of, read from the wheel itself."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tarfile
import venv
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
    return built(ROOT, tmp_path_factory.mktemp("dist"), "wheel")


def built(source: Path, folder: Path, target: str) -> Path:
    """A wheel or a source archive of the project in `source`, as an index would get it."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
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


def test_the_source_archive_builds_the_same_wheel(
    contents: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(built(ROOT, folder, "sdist")) as archive:
        archive.extractall(folder, filter="data")
    (source,) = (path for path in folder.iterdir() if path.is_dir())
    again = built(source, tmp_path_factory.mktemp("again"), "wheel")
    with zipfile.ZipFile(again) as archive_of_wheel:
        assert set(archive_of_wheel.namelist()) == contents


@pytest.mark.slow
def test_it_runs_where_nothing_but_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, with the dependencies of this one and outside the checkout."""
    if importlib.util.find_spec("pip") is None:
        # An environment made by another tool, such as uv, may have none.
        pytest.skip("needs pip")
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    (packages,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    borrowed = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "borrowed.pth").write_text("\n".join(borrowed))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index", "--no-deps"]
    # Elsewhere too: the checkout, where it is on the path of this process, must not count as installed.
    there = {"cwd": tmp_path, "env": {"PATH": os.environ["PATH"]}, "text": True, "capture_output": True}
    done = subprocess.run([*pip, "--ignore-installed", str(wheel)], check=False, **there)
    assert done.returncode == 0, done.stderr
    dkd = packages.parents[2] / "bin" / "dkd"
    where = [str(python), "-c", "import dkd_cli; print(dkd_cli.__file__)"]
    assert subprocess.run(where, check=True, **there).stdout.startswith(str(packages))
    said = subprocess.run([dkd, "--help"], check=False, **there)
    assert (said.returncode, "train-teacher" in said.stdout) == (0, True), said.stderr
    said = subprocess.run([dkd, "train-teacher", "--dry-run"], check=False, **there)
    assert said.returncode == 0, said.stderr
    assert "would write checkpoints/quickstart/teacher-large" in said.stdout
