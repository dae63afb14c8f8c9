"""A stand-in for a hosted model within the test process, and a recipe that asks it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from conftest import TinyRecipe, tiny_rows

from benchmarks.endpoint import Stand, served

KEY = "sk-a-secret-of-the-tests"


def labels() -> dict[str, Mapping[str, float]]:
    """The oracle of the tiny texts: the label has 0.9."""
    other = {"negative": "positive", "positive": "negative"}
    return {text: {label: 0.9, other[label]: 0.1} for text, label in tiny_rows()}


@contextmanager
def standing(**settings: Any) -> Iterator[tuple[str, Stand]]:
    """A server on a free port: its base URL, and its settings and counts."""
    known = labels()
    stand = Stand(settings.pop("oracle", lambda text: known.get(text, {})), **settings)
    with served(stand) as url:
        yield url, stand


def asking_recipe(tiny_recipe: TinyRecipe, url: str, **asking: Any) -> Path:
    """A recipe of unlabelled training texts, whose one teacher is behind an endpoint."""
    path = tiny_recipe({"data": {"unlabelled": True, "labels": ["negative", "positive"]}})
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    recipe["teachers"] = {
        "llm": {
            "endpoint": url,
            "model": "stand-in",
            "key_env": "DKD_TEST_KEY",
            "price": {"input": 1.0, "output": 2.0},
            "asking": {"timeout": 5.0, **asking},
        }
    }
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path
