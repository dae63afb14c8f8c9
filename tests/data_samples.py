"""Small data sets for the tests of the data layer: files, folders in the hub's layout, and their sizes."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from dkd_cli.data.examples import TaskData
from dkd_cli.data.sources import load_task_data
from dkd_cli.recipe.schema import Data


def load(**data: Any) -> TaskData:
    return load_task_data(Data(**data))


def sentences(count: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [" ".join("".join(chance.sample(letters, 5)) for _ in range(6)) for _ in range(count)]


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    return [{"text": text, "label": ("no", "yes")[i % 2]} for i, text in enumerate(sentences(count, seed))]


def write_csv(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    with Path(name).open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return name


def write_parquet(path: Path, columns: Mapping[str, Any], names: Sequence[str] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(dict(columns))
    if names is not None:
        features: dict[str, Any] = {name: {"dtype": "string", "_type": "Value"} for name in columns}
        features["label"] = {"names": list(names), "_type": "ClassLabel"}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pyarrow.parquet.write_table(table, path)


def sizes(data: TaskData) -> dict[str, int]:
    return {name: len(split) for name, split in data.splits.items()}


def write_hub(
    folder: Path, config: str, splits: Mapping[str, Mapping[str, Any]], names: Sequence[str] | None = None
) -> str:
    """A data set of one configuration as the hub lays it out: parquet files, and a page that lists them."""
    files = ""
    for split, columns in splits.items():
        write_parquet(folder / config / f"{split}-00000-of-00001.parquet", columns, names)
        files += f"  - {{split: {split}, path: {config}/{split}-*}}\n"
    page = f"---\nconfigs:\n- config_name: {config}\n  data_files:\n{files}---\n"
    (folder / "README.md").write_text(page, encoding="utf-8")
    return str(folder)
