"""Data sets of the hub, folders in its layout, and what `datasets` saved to disk.

Knows nothing about single files, tasks or labels.
"""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path
from typing import Any

from dkd_cli.errors import DataError, reason
from dkd_cli.reading.readers import PACKED, class_names, file_suffix, read_table, unknown_format
from dkd_cli.reading.tables import Table

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
SPLIT_FILES: dict[str, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
SECONDS_FOR_THE_HUB = 10
STRICT = (".csv", ".tsv", ".json", ".jsonl", ".xlsx", ".conll", ".bio")


def load_hub_splits(source: str, config: str | None, label: str, encoding: str | None) -> dict[str, Table]:
    """Load every split of a hub data set or of a local folder.

    A folder with files such as `train.csv` and `dev.csv` is read by the strict readers, one that
    `DatasetDict.save_to_disk` wrote by `datasets.load_from_disk`; any other goes through
    `datasets.load_dataset`, which runs no code of the data set.

    Raises:
        DataError: there is no such data set, folder or configuration, or it is broken.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        if (folder / "dataset_dict.json").is_file():
            return {name: _table(split, f"{source} {name} split") for name, split in _saved(source).items()}
        if config is None and (files := _split_files(folder)):
            return {name: read_table(path, str(path), label, encoding) for name, path in files.items()}
    elif folder.is_file():
        raise unknown_format(source, folder)
    elif folder.is_absolute() or source.startswith((".", "~")) or not HUB_ID.fullmatch(source):
        raise DataError(
            source,
            "there is no such file or folder",
            "check the path; it is relative to the working directory",
        )
    if not folder.is_dir():
        return _load(source, config, cache=None)
    # The shared cache knows a folder by its last name and its page: it would answer with what an older state
    # of the folder held, or with another folder of that name.
    with tempfile.TemporaryDirectory(prefix="dkd-") as cache:
        return _load(str(folder), config, cache)


def is_saved_split(reference: str) -> bool:
    """Return whether it is a folder that `Dataset.save_to_disk` wrote: one table, without splits."""
    folder = Path(reference).expanduser()
    return (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()


def read_saved_split(reference: str) -> Table:
    """Read what `Dataset.save_to_disk` wrote.

    Raises:
        DataError: it is broken.
    """
    return _table(_saved(reference), reference)


def _saved(reference: str) -> Any:
    from datasets import load_from_disk

    try:
        return load_from_disk(str(Path(reference).expanduser()))
    except Exception as error:  # a dozen unrelated types, from the system's to Arrow's
        problem = f"cannot be loaded ({reason(error)})"
        raise DataError(reference, problem, "save the data set again with save_to_disk") from error


def _table(dataset: Any, place: str) -> Table:
    columns = {column: dataset[column][:] for column in dataset.column_names}
    return Table(place, columns, class_names=class_names(dataset.features))


def _split_files(folder: Path) -> dict[str, Path]:
    return {
        split: path
        for split, stems in SPLIT_FILES.items()
        for path in sorted(folder.iterdir())
        if file_suffix(path.name) in STRICT and _stem(path) in stems
    }


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(PACKED)).stem


@functools.cache
def hub_answers() -> bool:
    """Return whether the hub can be reached; if not, its library would retry for 30 seconds per file."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=SECONDS_FOR_THE_HUB)
    except Exception:  # its client raises what it likes; a file that is missing is then an error
        return False
    return True


def _load(source: str, config: str | None, cache: str | None) -> dict[str, Table]:
    """Read a data set whole; `cache` is None for one of the hub, whose own cache knows its revision."""
    # Importing it takes a second, which a plain file need not pay.
    from datasets import DatasetDict, disable_progress_bars, load_dataset
    from datasets import config as settings

    disable_progress_bars()
    if cache is None and not hub_answers():
        settings.HF_HUB_OFFLINE = True  # what was downloaded is found all the same
    try:
        loaded = load_dataset(source, config, cache_dir=cache)
    except Exception as error:  # a dozen unrelated types, down to those of the HTTP client
        named = f"{source} ({config})" if config else source
        told = " ".join(str(error).split())
        remedy = "no such folder is here, and a hub id needs the network or an earlier download"
        if "onfig" in told:
            remedy = "set data.config to one of the configurations named"
        elif cache is not None:
            remedy = "name a file, or a folder with files such as train.csv"
        raise DataError(named, f"cannot be loaded: {told[:300]}", remedy) from error
    assert isinstance(loaded, DatasetDict)
    tables = {}
    for name, dataset in loaded.items():
        if cache is not None and dataset.info.builder_name == "csv":
            raise DataError(
                source,
                "its csv files would be read leniently",
                "name each file in data.train, data.validation and data.test",
            )
        tables[str(name)] = _table(dataset, f"{source} {name} split")
    return tables
