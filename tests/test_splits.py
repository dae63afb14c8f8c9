"""Identity, duplicates, cuts and caps depend on what examples say, not on where they stand."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dkd_cli.data.splits import Part, cap, cut, make_part, without_duplicates, without_empty
from dkd_cli.data.tables import Table
from dkd_cli.errors import DataError

SHARES = {"test": 0.2, "validation": 0.2}


def part(
    texts: Sequence[str], labels: Sequence[int] | None = None, pairs: Sequence[str] | None = None
) -> Part:
    table = Table("a.csv", {"text": texts}, range(2, len(texts) + 2))
    return make_part(table, texts, pairs, labels)


def sentences(count: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [" ".join("".join(chance.sample(letters, 6)) for _ in range(8)) for _ in range(count)]


def test_example_ids_are_stable_values() -> None:
    first = part(["a", "b"]).example_ids
    assert first == part(["b", "a"]).example_ids[::-1]
    assert all(len(id_) == 16 and int(id_, 16) >= 0 for id_ in first)
    assert first[0] == "40f89e395b66422f", "another value would orphan every cache"


def test_example_ids_tell_repeated_and_paired_texts_apart() -> None:
    assert len(set(part(["a", "a", "a"], [0, 1, 0]).example_ids)) == 3
    assert len(set(part(["a", "a"], None, ["b", "c"]).example_ids)) == 2
    assert part(["a b"], None, ["c"]).example_ids != part(["a"], None, ["b c"]).example_ids


def test_example_ids_of_one_text_follow_its_labels() -> None:
    there, back = part(["a", "a"], [0, 1]), part(["a", "a"], [1, 0])
    assert there.example_ids == back.example_ids[::-1]


def test_duplicates() -> None:
    left, dropped, contradicting = without_duplicates(part(["a", "b", "a", "a", "c"], [0, 0, 0, 1, 0]))
    assert (list(left.texts), left.labels) == (["a", "b", "a", "c"], [0, 0, 1, 0])
    assert (dropped, contradicting) == (1, 1)
    assert left.example_ids == part(left.texts, [0, 0, 1, 0]).example_ids
    assert [left.table.where(row) for row in left.rows] == ["a.csv:2", "a.csv:3", "a.csv:5", "a.csv:6"]


@pytest.mark.parametrize(("drop", "size"), [(True, 199), (False, 200)])
def test_few_empty_texts_are_counted(drop: bool, size: int) -> None:
    left, empty = without_empty(part([*sentences(199), " \t"]), drop)
    assert (len(left), empty) == (size, 1)


def test_many_empty_texts_are_an_error() -> None:
    with pytest.raises(DataError, match=r"^a\.csv:4: the text is empty, as 2 of 4 are"):
        without_empty(part(["a", "b", "", " "]), True)
    with pytest.raises(DataError, match=r"^a\.csv:3: "):
        without_empty(part(["a", "b"], None, ["c", ""]), True)


def test_shares_and_seed() -> None:
    whole = part(sentences(2000))
    splits, alike = cut(whole, {"test": 0.1, "validation": 0.3}, 0, 0.7)
    assert alike == 0
    assert {name: round(len(split) / 2000, 1) for name, split in splits.items()} == {
        "test": 0.1,
        "validation": 0.3,
        "rest": 0.6,
    }
    assert sorted(id_ for split in splits.values() for id_ in split.example_ids) == sorted(whole.example_ids)
    other, _ = cut(whole, {"test": 0.1, "validation": 0.3}, 1, 0.7)
    assert set(other["test"].example_ids) != set(splits["test"].example_ids)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_near_duplicates_never_straddle_and_order_does_not_matter(seed: int) -> None:
    chance = random.Random(seed)
    originals = sentences(40, seed)
    variants = [f"RT @x: {text.upper()}!! https://t.co/{i}" for i, text in enumerate(originals)]
    shortened = [text.rsplit(" ", 1)[0] for text in originals]
    texts = originals + variants + shortened
    splits, alike = cut(part(texts), SHARES, seed, 0.7)
    assert alike == len(texts)
    side = {text: name for name, split in splits.items() for text in split.texts}
    for copies in zip(originals, variants, shortened, strict=True):
        assert len({side[text] for text in copies}) == 1
    chance.shuffle(texts)
    again, _ = cut(part(texts), SHARES, seed, 0.7)
    assert side == {text: name for name, split in again.items() for text in split.texts}


def test_other_rows_do_not_move_a_text() -> None:
    texts = sentences(300)
    few, _ = cut(part(texts[:150]), SHARES, 0, 0.7)
    all_, _ = cut(part(texts), SHARES, 0, 0.7)
    for name in few:
        assert set(few[name].texts) <= set(all_[name].texts)


def test_pairs_are_compared_as_a_whole() -> None:
    texts, pairs = ["the same question"] * 60, sentences(60)
    splits, alike = cut(part(texts, None, pairs), SHARES, 0, 0.7)
    assert alike == 0
    assert all(len(split) for split in splits.values())


def test_cap_keeps_the_same_examples_in_any_order() -> None:
    texts = sentences(50)
    kept = cap(part(texts), 10, 0)
    assert set(kept.texts) == set(cap(part(texts[::-1]), 10, 0).texts)
    assert set(kept.texts) < set(cap(part(texts), 20, 0).texts), "a larger cap only adds"
    assert list(kept.texts) == [text for text in texts if text in set(kept.texts)]
    assert set(kept.texts) != set(cap(part(texts), 10, 1).texts)
    assert len(cap(part(texts), None, 0)) == len(cap(part(texts), 99, 0)) == 50
