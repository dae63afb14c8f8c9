"""Kinds of teacher that a recipe can name, and their properties.

How a kind is loaded is in `pipeline/loaded_teachers.py`, `LOADERS`, by the same names.
"""

from __future__ import annotations

from dataclasses import dataclass

from dkd_cli.recipe.schema import Teacher


@dataclass(frozen=True, kw_only=True)
class TeacherKind:
    """Properties of a kind of teacher, known before one is loaded."""

    name: str
    """The key under `teachers.<name>` that chooses it; `trained` where there is none."""
    noun: str
    """For messages."""
    trained_here: bool
    """True if `dkd train-teacher` trains it."""
    is_model: bool
    """True if it has weights: then it has hidden states, and students can be built from its layers."""
    contradicts: tuple[str, ...] = ()
    """Keys of the same teacher that are meaningless for this kind."""


TRAINED = TeacherKind(
    name="trained", noun="a model that `dkd train-teacher` makes", trained_here=True, is_model=True
)
TEACHER_KINDS: dict[str, TeacherKind] = {
    kind.name: kind
    for kind in (
        TeacherKind(name="checkpoint", noun="a trained model", trained_here=False, is_model=True),
        TeacherKind(
            name="probabilities",
            noun="a file of probabilities",
            trained_here=False,
            is_model=False,
            contradicts=("model", "layers", "checkpoint"),
        ),
        TeacherKind(
            name="endpoint",
            noun="an endpoint that `dkd label` queries",
            trained_here=False,
            is_model=False,
            contradicts=("layers", "checkpoint", "probabilities", "labels"),
        ),
        TRAINED,
    )
}


def made_elsewhere(teacher: Teacher) -> str | None:
    """The path, hub id or address of a teacher that dkd does not train."""
    kind = kind_of(teacher)
    return None if kind.trained_here else str(getattr(teacher, kind.name))


def kind_of(teacher: Teacher) -> TeacherKind:
    """The kind that a teacher's keys choose."""
    chosen = [kind for kind in TEACHER_KINDS.values() if getattr(teacher, kind.name, None) is not None]
    # Two at once contradict each other, which the rules refuse by the last one's `contradicts`.
    return chosen[-1] if chosen else TRAINED
