"""`dkd recipes` and `--dry-run`: listing, showing, copying and checking recipes. Runs nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from dkd_cli.errors import RecipeError, collect, raise_all
from dkd_cli.recipe.bundled import bundled_names, bundled_path
from dkd_cli.recipe.loader import dump_recipe, load_points, load_recipe
from dkd_cli.recipe.schema import Recipe
from dkd_cli.report.terminal import Terminal


def list_recipes(terminal: Terminal) -> None:
    """Print a table of the bundled recipes."""
    rows = []
    for name in bundled_names():
        recipe = load_recipe(name)
        data = " ".join(filter(None, (recipe.data.source or recipe.data.train, recipe.data.config)))
        rows.append((name, recipe.description, recipe.model, data))
    terminal.table("bundled recipes", ("name", "description", "model", "data"), rows)
    terminal.say("dkd recipes copy NAME starts one of your own")


def show_recipe(name: str) -> None:
    """Print a bundled recipe as it is written, whatever else is silent."""
    sys.stdout.write(bundled_path(name).read_text(encoding="utf-8"))


def copy_recipe(name: str, target: Path | None, terminal: Terminal) -> None:
    """Write a bundled recipe to `target` (default: its name with `.yaml`, here); never over a file."""
    text = bundled_path(name).read_text(encoding="utf-8")
    target = Path(f"{name}.yaml") if target is None else target
    try:
        with target.open("x", encoding="utf-8") as handle:
            handle.write(text)
    except FileExistsError:
        raise RecipeError(str(target), "is there already", f"name another file or remove {target}") from None
    except OSError as error:
        raise RecipeError(
            str(target), f"cannot be written ({error.strerror})", "name a file in a folder that exists"
        ) from None
    terminal.say(f"wrote {target}; edit it, then: dkd recipes check {target}")


def check_recipes(
    references: Sequence[str], overrides: Sequence[str], *, data: bool, terminal: Terminal
) -> None:
    """Check each recipe and print which are right; raises every problem of all of them together.

    Args:
        references: files and bundled names.
        overrides: `key=value` items, for each of them.
        data: whether the data and the configurations of models are read too.
        terminal: for what is found.
    """

    def check(reference: str) -> None:
        points = load_points(reference, overrides, [])
        if data:
            # Only here: reading texts and models takes libraries that plain checks need not pay for.
            from dkd_cli.pipeline.checking import check_recipe
            from dkd_cli.report.noise import quiet_libraries

            quiet_libraries()
            check_recipe(points, terminal)
        terminal.say(f"{reference}: OK")

    raise_all(collect([partial(check, reference) for reference in references]))


def show_plan(points: Sequence[Recipe], targets: Mapping[Path, str], terminal: Terminal) -> None:
    """Print, for `--dry-run`, the resolved recipe (a sweep's first point) and the folders to be written.

    Args:
        points: resolved recipes.
        targets: the folders, each with what is there, as `checkpoints.progress_of` describes it.
        terminal: for the lines.
    """
    terminal.say(dump_recipe(points[0]).rstrip("\n") + "\n")
    if len(targets) != 1:
        terminal.say(f"{len(targets)} runs:" if targets else "nothing to train")
    for target, there in targets.items():
        terminal.say(f"would write {target}{f' ({there})' if there else ''}")
