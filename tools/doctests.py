"""Extension of griffe: shows the doctests of docstrings as code on the documentation site."""

from __future__ import annotations

from typing import Any

import griffe

from tools.site import fenced


class Doctests(griffe.Extension):
    """Rewrites each docstring as it is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Fence the doctests of one object."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
