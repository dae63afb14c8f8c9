"""Keys of a recipe that its kind of output refuses."""

from __future__ import annotations

import pytest

from dkd_cli.errors import DkdError, Problems
from dkd_cli.recipe.loader import parse_recipe
from dkd_cli.recipe.words import KIND_WORDS

RECIPE = "name: unit\nmodel: m\ndata: {source: s, kind: tokens}\nteachers: {small: {layers: 2}, large: {}}\n"
VALUES = {
    "data.text_pair": "other",
    "data.unlabelled": "true",
    "data.missing_labels": "drop",
    "data.unseen_labels": "count-as-wrong",
    "data.transfer": "[a.txt]",
    "data.augment.copies": "1",
    "student.family": "static",
    "teachers.*.probabilities": "a.jsonl",
    "teachers.*.endpoint": "http://localhost",
}


def test_every_kind_takes_its_defaults() -> None:
    for kind in KIND_WORDS:
        parse_recipe(RECIPE.replace("tokens", kind), "r.yaml")


@pytest.mark.parametrize("key", KIND_WORDS["tokens"].refused)
def test_a_key_that_means_nothing_for_words_is_refused_with_its_reason(key: str) -> None:
    place = key.replace("*", "large")
    with pytest.raises((DkdError, Problems)) as caught:
        parse_recipe(RECIPE, "r.yaml", [f"{place}={VALUES[key]}"])
    assert f"{KIND_WORDS['tokens'].refused[key]} (data.kind: tokens); remove it" in str(caught.value)
    assert place in str(caught.value)
