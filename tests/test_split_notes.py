"""Notes on splits: which classes a split cannot tell about."""

from __future__ import annotations

from pathlib import Path

from data_samples import load


def test_classes_that_a_split_cannot_tell_about_are_named(workdir: Path) -> None:
    rows = [
        f"text number {row} of {name},{name}"
        for name, most in (("a", 9), ("b", 9), ("c", 3))
        for row in range(most)
    ]
    Path("train.csv").write_text("\n".join(["text,label", *rows, "the only one,d"]))
    some = [row.replace("text", "other") for row in rows if row.endswith((",a", ",b"))]
    Path("validation.csv").write_text("\n".join(["text,label", *some]))
    Path("test.csv").write_text("\n".join(["text,label", *(row.replace("text", "third") for row in rows)]))
    notes = load(train="train.csv", validation="validation.csv", test="test.csv").notes
    assert "validation has no example of 1 of 4 classes, on which it tells nothing: c" in notes
    assert "1 of 4 classes with a single example, in train and never scored: d" in notes
    assert not [note for note in notes if note.startswith("test has no example")]
