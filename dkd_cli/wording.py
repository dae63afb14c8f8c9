"""Wording of numbers in messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, which has a regular plural.

    >>> counted(1, "seed"), counted(1200, "row"), counted(2, "strategy"), counted(0, "class")
    ('1 seed', '1,200 rows', '2 strategies', '0 classes')
    """
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        noun = f"{noun[:-1]}ie"
    elif noun.endswith(("s", "x", "ch", "sh")):
        noun += "e"
    return f"{number:,} {noun}s"
