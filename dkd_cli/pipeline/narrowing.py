"""A student after it was cut from an encoder: its feed-forward layers narrowed, its vocabulary cut."""

from __future__ import annotations

from dkd_cli.engine.models.embeddings import cut_vocabulary
from dkd_cli.engine.models.feed_forward import narrow
from dkd_cli.engine.models.models import LoadedModel
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.rules import parse_vocabulary
from dkd_cli.recipe.schema import Recipe


def narrowed(workshop: Workshop, recipe: Recipe, student: LoadedModel) -> LoadedModel:
    """The student with the `student.vocabulary` and `student.ffn` of its recipe.

    Args:
        workshop: tokenises the training texts, and tells what was done.
        recipe: a point.
        student: is changed.

    Raises:
        ModelError: for an architecture or a tokenizer that cannot be narrowed.
    """
    wanted = recipe.student
    if wanted.vocabulary is None and wanted.ffn is None:
        return student
    train = workshop.splits(recipe, student.tokenizer)
    if wanted.ffn is not None:
        kept = narrow(student.model, train.train, train.collator, wanted.ffn, "student.ffn")
        kind = f"feed-forward layers of {wanted.ffn} neurons"
        workshop.terminal.say(f"student: {kind}, which keep {kept:.1%} of their outputs' variance")
        if kept < 1 and wanted.learning_rate is None:
            # An update of Adam's changes each weight as much as before, and a layer of fewer weights less.
            workshop.terminal.say(
                "  narrow layers learn more slowly: try student.learning_rate at up to twice that of "
                "train.learning_rate"
            )
    if wanted.vocabulary is not None:
        size = parse_vocabulary(wanted.vocabulary)
        before = len(student.tokenizer)
        key = "student.vocabulary"
        student = cut_vocabulary(student, train.train, None if size == "used" else size, key)
        workshop.terminal.say(f"student: {len(student.tokenizer):,} of {before:,} tokens")
    return student
