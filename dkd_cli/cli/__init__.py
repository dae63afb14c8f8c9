"""Command line: parse, load the recipe, call a command. No logic, and nothing heavy is imported."""

from dkd_cli.cli.app import app
from dkd_cli.cli.exits import run

__all__ = ["app", "run"]
