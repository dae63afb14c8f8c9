"""Layer maps: the teacher layer that each student layer learns from. Layer 0 is the embedding layer."""

from __future__ import annotations

from dkd_cli.errors import ModelError
from dkd_cli.recipe.rules import parse_layer_map

KEY = "strategy.objective.layer_map"


def spread(few: int, many: int) -> list[int]:
    """Places 0 to `few`, spread evenly over 0 to `many`, a half rounded up.

    >>> spread(3, 4)
    [0, 1, 3, 4]
    """
    # In whole numbers: Python's own rounding to even would send 0.5 and 1.5 to 0 and 2.
    return [(2 * place * many + few) // (2 * few) for place in range(few + 1)]


def layer_pairs(layer_map: str, student_layers: int, teacher_layers: int) -> list[tuple[int, int]]:
    """Settle a recipe's layer map for two depths, as (student, teacher) pairs.

    `uniform` spreads the student's layers evenly over the teacher's (rounded to the nearest), `last` aligns
    the last two alone; explicit pairs are checked. Of a student without layers both words align the token
    vectors with the teacher's last layer.

    Raises:
        ModelError: for a layer that is not there, or `uniform` with a student deeper than its teacher.

    >>> layer_pairs("uniform", 3, 6)
    [(0, 0), (1, 2), (2, 4), (3, 6)]
    >>> layer_pairs("last", 3, 6)
    [(3, 6)]
    >>> layer_pairs("uniform", 0, 6)
    [(0, 6)]
    """
    settled = parse_layer_map(layer_map)
    if settled == "last" or (settled == "uniform" and student_layers == 0):
        return [(student_layers, teacher_layers)]
    if settled == "uniform":
        if student_layers > teacher_layers:
            raise ModelError(
                KEY,
                f"a student of {student_layers} layers has no uniform map onto a teacher of {teacher_layers}",
                "give pairs such as '0:0, 2:1', or a smaller student",
            )
        return list(enumerate(spread(student_layers, teacher_layers)))
    for student, teacher in settled:
        if student > student_layers or teacher > teacher_layers:
            raise ModelError(
                KEY,
                f"the pair {student}:{teacher} is beyond a student of {student_layers} and a teacher of "
                f"{teacher_layers} layers",
                f"use student layers 0 to {student_layers} and teacher layers 0 to {teacher_layers}",
            )
    return list(settled)
