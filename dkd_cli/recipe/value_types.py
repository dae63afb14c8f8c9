"""The ranges of numbers and texts that the sections of a recipe share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt, MinLen
from pydantic import Discriminator, Tag

Name = Annotated[str, MinLen(1)]
Count = Annotated[int, Ge(1)]
Weight = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Lt(1)]


def _form(value: Any) -> str:
    return "word" if isinstance(value, str) else "named"


ClassWeights = Annotated[
    Annotated[Literal["balanced"], Tag("word")] | Annotated[Mapping[str, Weight], Tag("named")],
    Discriminator(_form),
]
