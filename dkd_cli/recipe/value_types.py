"""The ranges of numbers and texts that the sections of a recipe share."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Lt, MinLen

Name = Annotated[str, MinLen(1)]
Count = Annotated[int, Ge(1)]
Weight = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Lt(1)]
