"""The ladder of `dkd shrink`: students from the smallest to the largest, as changes of a recipe's `student`.

A kind of student is one entry of `LADDER`. Knows neither data nor weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dkd_cli.engine.models.exports import Quantization
from dkd_cli.recipe.rules import check, parse_take
from dkd_cli.recipe.schema import Recipe
from dkd_cli.recipe.student_kinds import SCHEDULE
from dkd_cli.recipe.teacher_kinds import kind_of

Export = tuple[str, Quantization | None]
SERVED: Mapping[str, tuple[Export, ...]] = {
    "encoder": (("onnx", "int8"), ("onnx", None)),
    "static": (("numpy", "int8"), ("numpy", "fp16")),
}
"""The exports of each `student.family`, the smallest first: the next one is for students that int8 costs too
much."""


@dataclass(frozen=True)
class Rung:
    """A kind of student."""

    name: str
    student: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the recipe's `student`."""
    vocabulary: str | None = "used"
    """`student.vocabulary`, unless the recipe has its own."""
    ffn_share: float | None = None
    """Feed-forward layers of this share of the encoder's width."""

    @property
    def family(self) -> str:
        """`student.family`."""
        return str(self.student.get("family", "encoder"))

    @property
    def layers(self) -> int:
        """Of an encoder."""
        return int(self.student.get("layers", 0))


LADDER: tuple[Rung, ...] = (
    Rung("static-bag", {"family": "static", "convolutions": ()}),
    # Vectors of words that no training text has are worth their room, and 128 of their dimensions are enough.
    Rung("static", {"family": "static", "convolutions": (3,), "dimensions": 128}, vocabulary=None),
    Rung("1-layer", {"layers": 1}),
    Rung("2-layers-narrow", {"layers": 2}, ffn_share=1 / 3),
    Rung("2-layers", {"layers": 2}),
    Rung("3-layers", {"layers": 3}),
    Rung("6-layers", {"layers": 6}),
)
"""From the smallest; those as deep as the teacher are left out."""


def climbable(teacher_layers: int) -> list[Rung]:
    """The rungs below a teacher of so many layers."""
    return [rung for rung in LADDER if rung.layers < teacher_layers]


@dataclass(frozen=True)
class Widths:
    """Of the encoder that students are cut from; None: its configuration does not say."""

    hidden: int | None
    ffn: int | None
    """Of its feed-forward layers."""


def rung_recipe(
    base: Recipe, rung: Rung, folder: Path, teachers: Mapping[str, str], widths: Widths
) -> Recipe:
    """The recipe of a rung: an ordinary run, in a folder of its own below `folder`.

    Args:
        base: the recipe that is shrunk.
        rung: the student.
        folder: of all rungs.
        teachers: the folder of each teacher that `dkd train-teacher` trains.
        widths: `ffn_share` is a share of them, and vectors of fewer dimensions keep all.
    """
    own = base.student
    kept = {key: getattr(own, key) for key in SCHEDULE} if own.family == rung.family else {}
    whole = isinstance(parse_take(own.take), str)
    student = replace(
        own,
        **{
            "family": "encoder",
            "layers": None,
            "take": own.take if whole else "first",
            "vocabulary": own.vocabulary or rung.vocabulary,
            "ffn": _ffn(rung, widths),
            **dict.fromkeys(SCHEDULE),
            **kept,
            **rung.student,
            "dimensions": _dimensions(rung, widths),
        },
    )
    made = {
        name: teacher if not kind_of(teacher).trained_here else replace(teacher, checkpoint=teachers[name])
        for name, teacher in base.teachers.items()
    }
    return replace(
        base,
        name=rung.name,
        output_dir=str(folder),
        teachers=made,
        student=student,
        sweep={},
    )


def _ffn(rung: Rung, widths: Widths) -> int | None:
    if rung.ffn_share is None or widths.ffn is None:
        return None
    return max(1, round(rung.ffn_share * widths.ffn))


def _dimensions(rung: Rung, widths: Widths) -> int | None:
    wanted: int | None = rung.student.get("dimensions")
    return wanted if wanted is None or widths.hidden is None or wanted < widths.hidden else None


def problems_of(recipe: Recipe) -> Sequence[str]:
    """Contradictions in a rung's recipe, a line each."""
    return [f"{key} {problem}" for key, problem, _ in check(recipe)]
