"""Identity, duplicates, cuts and caps depend on what examples say, not on where they stand."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dkd_cli.data.splits import Part, cap, cap_training, cut, make_part, without_duplicates, without_empty
from dkd_cli.errors import DataError, RecipeError
from dkd_cli.reading.tables import Table

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
    made = cut(whole, {"test": 0.1, "validation": 0.3}, 0, 0.7)
    splits = made.splits
    assert (made.alike, made.moved) == (0, 0)
    assert {name: round(len(split) / 2000, 1) for name, split in splits.items()} == {
        "test": 0.1,
        "validation": 0.3,
        "rest": 0.6,
    }
    assert sorted(id_ for split in splits.values() for id_ in split.example_ids) == sorted(whole.example_ids)
    other = cut(whole, {"test": 0.1, "validation": 0.3}, 1, 0.7).splits
    assert set(other["test"].example_ids) != set(splits["test"].example_ids)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_near_duplicates_never_straddle_and_order_does_not_matter(seed: int) -> None:
    chance = random.Random(seed)
    originals = sentences(40, seed)
    variants = [f"RT @x: {text.upper()}!! https://t.co/{i}" for i, text in enumerate(originals)]
    shortened = [text.rsplit(" ", 1)[0] for text in originals]
    texts = originals + variants + shortened
    made = cut(part(texts), SHARES, seed, 0.7)
    splits, alike = made.splits, made.alike
    assert alike == len(texts)
    side = {text: name for name, split in splits.items() for text in split.texts}
    for copies in zip(originals, variants, shortened, strict=True):
        assert len({side[text] for text in copies}) == 1
    chance.shuffle(texts)
    again = cut(part(texts), SHARES, seed, 0.7).splits
    assert side == {text: name for name, split in again.items() for text in split.texts}


def test_other_rows_do_not_move_a_text() -> None:
    texts = sentences(300)
    few = cut(part(texts[:150]), SHARES, 0, 0.7).splits
    all_ = cut(part(texts), SHARES, 0, 0.7).splits
    for name in few:
        assert set(few[name].texts) <= set(all_[name].texts)


def test_pairs_are_compared_as_a_whole() -> None:
    texts, pairs = ["the same question"] * 60, sentences(60)
    made = cut(part(texts, None, pairs), SHARES, 0, 0.7)
    splits, alike = made.splits, made.alike
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


# --- rare classes ----------------------------------------------------------------------------------------


def rare(common: int, rows_of_rare: int, classes: int, seed: int = 0) -> Part:
    """Two common classes, and more of a few rows each."""
    labels = [i % 2 for i in range(common)] + [2 + i // rows_of_rare for i in range(rows_of_rare * classes)]
    return part(sentences(len(labels), seed), labels)


def classes(split: Part) -> set[float]:
    return set(split.labels or ())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 4), count=st.integers(1, 6))
def test_no_class_is_missing_from_the_rest(seed: int, rows: int, count: int) -> None:
    whole = rare(60, rows, count)
    made = cut(whole, SHARES, seed, 0.7)
    assert classes(made.splits["rest"]) == classes(whole)
    before = cut(whole, SHARES, seed, 0.7, keep_classes=False)
    lost = classes(whole) - classes(before.splits["rest"])
    assert made.moved == len(lost), "one example of each, and no other"
    if not lost:
        assert made == before, "a cut that loses no class stays as it was"
    for name in SHARES:
        assert set(made.splits[name].example_ids) <= set(before.splits[name].example_ids)


def test_the_rescue_follows_the_texts_not_their_order() -> None:
    whole = rare(40, 2, 5)
    back = whole.take(list(range(len(whole)))[::-1])
    for seed in range(20):
        made, again = cut(whole, SHARES, seed, 0.7), cut(back, SHARES, seed, 0.7)
        for name, split in made.splits.items():
            assert set(split.example_ids) == set(again.splits[name].example_ids)


def test_near_duplicates_are_rescued_together() -> None:
    (text,) = sentences(1, 9)
    whole = part([*sentences(60), text, f"RT @x: {text}!"], [i % 2 for i in range(60)] + [2, 2])
    for seed in range(20):
        assert list(cut(whole, SHARES, seed, 0.7).splits["rest"].labels or ()).count(2) == 2


def test_numbers_are_no_classes() -> None:
    whole = part(sentences(50), [float(i) for i in range(50)])  # type: ignore[arg-type]
    assert cut(whole, SHARES, 0, 0.7).moved == 0
    assert cap_training(whole, 10, 0) == cap(whole, 10, 0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), most=st.integers(8, 70))
def test_a_cap_keeps_every_class(seed: int, most: int) -> None:
    whole = rare(60, 2, 6)
    capped, plain = cap_training(whole, most, seed), cap(whole, most, seed)
    assert classes(capped) == classes(whole)
    assert len(capped) == min(most, len(whole))
    if classes(plain) == classes(whole):
        assert capped == plain, "a cap that loses no class stays as it was"
    swapped = set(plain.example_ids) - set(capped.example_ids)
    assert len(swapped) == len(classes(whole) - classes(plain))


def test_a_cap_below_the_number_of_classes() -> None:
    with pytest.raises(RecipeError, match=r"^data\.max_train: 7 examples cannot hold 8 classes; raise it"):
        cap_training(rare(60, 2, 6), 7, 0)
