"""Notes on splits: classes with a single example, and texts that stand in several splits.

Knows nothing about files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dkd_cli.data.splits import Part
from dkd_cli.data.stratified import ClassesOf
from dkd_cli.reading.tables import MOST_PROBLEMS
from dkd_cli.wording import counted

POOL, TRAIN, VALIDATION, TEST = "pool", "train", "validation", "test"


def single_examples(names: Sequence[str], parts: Mapping[str, Part], classes_of: ClassesOf) -> list[str]:
    """Note the classes that have one example in all splits together, if it is trained on."""
    found = {
        name: [one for label in part.labels or () for one in classes_of(label)]
        for name, part in parts.items()
    }
    counts = Counter(label for classes in found.values() for label in classes)
    single = [names[label] for label in sorted(set(found[TRAIN])) if counts[label] == 1]
    if not single:
        return []
    count = f"{len(single):,} of {len(names):,} classes"
    return [f"{count} with a single example, in train and never scored: {_listed(single)}"]


def unscored(names: Sequence[str] | None, parts: Mapping[str, Part], classes_of: ClassesOf) -> list[str]:
    """Note the classes that are trained on and that validation or test lacks, unless they have one example.

    Such a split can score well, in macro F1 also, whatever becomes of these classes.
    """
    found = {
        name: Counter(one for label in part.labels or () for one in classes_of(label))
        for name, part in parts.items()
    }
    total = sum(found.values(), Counter[int]())
    notes = []
    for name, counts in found.items():
        if names is None or name == TRAIN or not counts:
            continue
        lacking = [names[one] for one in sorted(found[TRAIN]) if one not in counts and total[one] > 1]
        if lacking:
            count = f"{len(lacking):,} of {len(names):,} classes"
            notes.append(f"{name} has no example of {count}, on which it tells nothing: {_listed(lacking)}")
    return notes


def _listed(classes: Sequence[str]) -> str:
    return ", ".join(classes[:MOST_PROBLEMS]) + (", ..." if len(classes) > MOST_PROBLEMS else "")


def overlaps(parts: Mapping[str, Part]) -> list[str]:
    """Count the examples that an evaluation split repeats, of those it is to be new to; they flatter it."""
    whole = {name: part.whole_texts() for name, part in parts.items()}
    notes = []
    for name, texts in whole.items():
        evaluated = set(texts)
        if name != TRAIN and (shared := sum(text in evaluated for text in whole[TRAIN])):
            notes.append(f"{counted(shared, 'training text')} also in {name}: its scores may be too high")
        picked = whole.get(name.replace(TEST, VALIDATION), ()) if name.startswith(TEST) else ()
        if shared := sum(text in evaluated for text in picked):
            notes.append(
                f"{counted(shared, 'validation text')} also in {name}, on which checkpoints are picked"
            )
    return notes
