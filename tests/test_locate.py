"""`pkg://` references: found without importing, refused when they leave the package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dkd_cli.errors import DataError, DkdError, ModelError
from dkd_cli.reading.locate import package_path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package that must not be imported."""
    folder = tmp_path / "unimportable_package"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "data" / "rows.csv").write_text("text,label\n")
    (tmp_path / "secret.csv").write_text("x\n")
    (tmp_path / "lone_module.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder.name


def test_finds_files_and_folders_without_importing(package: str, tmp_path: Path) -> None:
    assert package_path(f"pkg://{package}/data/rows.csv") == tmp_path / package / "data" / "rows.csv"
    assert package_path(f"pkg://{package}/data").is_dir()
    assert package not in sys.modules


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("pkg://{package}/../secret.csv", "leaves the package"),
        ("pkg://{package}/data/nothing.csv", "no such path"),
        ("pkg://no_such_package/rows.csv", "pip install no-such-package"),
        ("pkg://{package}.data/rows.csv", "top-level package"),
        ("pkg://", "top-level package"),
        ("pkg:///etc/passwd", "top-level package"),
        ("pkg://lone_module/rows.csv", "without a folder"),
        ("{package}/data/rows.csv", "pkg://package/path"),
    ],
)
def test_refuses(package: str, reference: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        package_path(reference.format(package=package))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [DataError, ModelError])
def test_raises_what_the_caller_asks_for(error: type[DkdError]) -> None:
    with pytest.raises(error):
        package_path("pkg://no_such_package/rows.csv", error)
