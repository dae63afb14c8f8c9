"""The generated page says what the schema says."""

from __future__ import annotations

from dataclasses import is_dataclass
from pathlib import Path

import pytest

from dkd_cli.recipe import schema
from dkd_cli.recipe.fields import hints, known_paths
from dkd_cli.recipe.reference import field_docs, reference_markdown

PAGE = Path(__file__).resolve().parent.parent / "docs" / "recipe-reference.md"
SECTIONS = [
    item
    for item in vars(schema).values()
    if isinstance(item, type) and is_dataclass(item) and item.__module__ == schema.__name__
]


def test_the_page_is_up_to_date() -> None:
    remedy = "run: python -m dkd_cli.recipe.reference > docs/recipe-reference.md"
    assert PAGE.read_text(encoding="utf-8") == reference_markdown(), remedy


def test_every_section_and_key_is_on_it() -> None:
    page = reference_markdown()
    for dotted in known_paths(schema.Recipe, {}):
        assert f"| `{dotted.rpartition('.')[2]}` |" in page
    assert "## `teachers.<name>`" in page
    assert "## `strategy.objective`" in page


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_value_has_its_meaning_below_it(section: type) -> None:
    docs = field_docs(section)
    missing = [key for key, hint in hints(section).items() if key not in docs and not is_dataclass(hint)]
    assert missing == []
