"""Files inside installed Python packages, named `pkg://package/path` and found without importing anything.

Knows nothing about what such a file holds.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from dkd_cli.errors import DataError, DkdError

PREFIX = "pkg://"


def file_path(reference: str) -> Path:
    """The file that a recipe names: `pkg://package/path`, or a path.

    Raises:
        DataError: as `package_path` does.
    """
    return package_path(reference) if reference.startswith(PREFIX) else Path(reference).expanduser()


def local_path(name: str, error: type[DkdError] = DataError) -> Path:
    """Resolve a folder, a file or `pkg://package/path` to a path, which need not exist.

    Raises:
        error: as `package_path`.
    """
    return package_path(name, error) if name.startswith(PREFIX) else Path(name).expanduser()


def package_path(reference: str, error: type[DkdError] = DataError) -> Path:
    """Find the file or folder that `pkg://package/path` names.

    Only the package's top-level name is looked up, so no code of the package runs.

    Raises:
        error: the reference is malformed, leaves the package, or names something that is not there.
    """
    package, *inside = PurePosixPath(reference.removeprefix(PREFIX)).parts or ("",)
    if not package.isidentifier() or not reference.startswith(PREFIX):
        raise error(reference, "not of the form pkg://package/path", "name an importable top-level package")
    if ".." in inside or "\\" in reference or "\0" in reference:
        raise error(reference, "the path leaves the package", "name a path below the package, without `..`")
    try:
        spec = find_spec(package)
    except ValueError:  # a module in sys.modules that was made by hand has no spec
        spec = None
    if spec is None:
        raise error(
            reference,
            f"the package {package!r} is not installed",
            f"pip install {package.replace('_', '-')}",
        )
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    for folder in folders:
        path = folder.joinpath(*inside)
        if path.exists():
            return path
    where = str(folders[0]) if folders else f"{package!r}, a module without a folder"
    raise error(reference, f"there is no such path in {where}", "check the path and the package's version")
