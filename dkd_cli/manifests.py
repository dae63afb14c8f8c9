"""Folders that are whole or absent, and can be told from damaged ones.

A folder is staged under a hidden name, every file of it is hashed into a manifest that is written last, all
of it is synced, and only then it gets its name. Knows nothing of what is in the files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError

from dkd_cli.errors import SystemProblem, reason
from dkd_cli.files import rename, sync_file, sync_folder, write_json

MANIFEST = "dkd-manifest.json"
STAGED = ".staged-"


class Listed(NamedTuple):
    """Entry of a manifest: size and digest of a file."""

    bytes: int
    sha256: str


@contextmanager
def staged(final: Path, but: Collection[str] = ()) -> Iterator[Path]:
    """Yield an empty folder beside `final`; on success it is sealed and gets that name, which must be free.

    The files named in `but` may change later.

    Raises:
        SystemProblem: where it cannot be written, such as on a full disk; nothing is left of it then.
    """
    folder = final.with_name(f"{STAGED}{final.name}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with writing(final):
            folder.mkdir(parents=True)
            yield folder
            seal(folder, but)
            rename(folder, final)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system, safetensors, torch and tokenizers raise on a full disk into one error.

    Raises:
        SystemProblem: names `path`.
    """
    try:
        yield
    except Exception as error:
        # Tokenizers has no exception of its own for what the system answered.
        by_tokenizers = type(error) is Exception and "(os error " in str(error)
        if not by_tokenizers and not isinstance(error, (OSError, SafetensorError, RuntimeError)):
            raise
        raise SystemProblem(
            str(path),
            f"cannot be written ({reason(error)})",
            "make room or choose another --output-dir; what was saved before is whole",
        ) from error


def seal(folder: Path, but: Collection[str] = ()) -> None:
    """Hash and sync every file of a folder, the manifest last; those named in `but` may change later."""
    files = {}
    for path in _files(folder):
        sync_file(path)
        if path.name in but:
            continue
        files[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    for inner in filter(Path.is_dir, folder.rglob("*")):
        sync_folder(inner)
    write_json(folder / MANIFEST, {"files": files})


def damage(folder: Path) -> str | None:
    """Why a folder is not what its manifest says, in words that follow its name; None for one that is.

    Files that the manifest does not name are not looked at.
    """
    if not (folder / MANIFEST).is_file():
        return f"has no {MANIFEST}"
    try:
        for name, listed in read_manifest(folder).items():
            path = folder / name
            if not path.is_file():
                return f"lacks {name}"
            if Listed(path.stat().st_size, sha256(path)) != listed:
                return f"has a damaged {name}"
    except (OSError, ValueError):
        return f"has a damaged {MANIFEST}"
    return None


def read_manifest(folder: Path) -> dict[str, Listed]:
    """Read the entries of a sealed folder's manifest, by file name.

    Raises:
        OSError, ValueError: where there is no manifest, or what is there is none.
    """
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    try:
        return {name: Listed(one["bytes"], one["sha256"]) for name, one in content["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / MANIFEST} is not what dkd writes") from error


def sha256(path: Path) -> str:
    """The digest that `sha256sum` prints."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
