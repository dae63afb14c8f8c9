"""The list of commands in `dkd --help`, by what they are for.

Plain text: rich, which typer draws its own panels with, costs a third of the time of `dkd --help`.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

TRAIN, UNDERSTAND, DEPLOY, HOUSEKEEPING = "Train", "Understand", "Deploy", "Housekeeping"
PANELS = (TRAIN, UNDERSTAND, DEPLOY, HOUSEKEEPING)


class Panels(TyperGroup):
    """A group that lists its commands under the headings of `PANELS`, in the order of the program."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the lists."""
        listed: dict[str, list[tuple[str, str]]] = {panel: [] for panel in PANELS}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            panel = getattr(command, "rich_help_panel", None)
            listed.setdefault(panel if isinstance(panel, str) else HOUSEKEEPING, []).append(
                (name, command.get_short_help_str(formatter.width - 24))
            )
        for panel, rows in listed.items():
            if rows:
                with formatter.section(panel):
                    formatter.write_dl(rows)
