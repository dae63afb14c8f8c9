"""`dkd cascade`: choose when a small model passes a text on to a larger one, and keep it as cascade.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dkd_cli.evaluation.cascade_choice import CascadeTarget
from dkd_cli.evaluation.cascade_file import NAME, Cascade, MeasuredCascade, write_cascade
from dkd_cli.pipeline.cascades import Cascading, cascade_place
from dkd_cli.recipe.schema import Recipe
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.tables import Column
from dkd_cli.report.terminal import Terminal


def cascade(
    models: Sequence[str],
    *,
    wanted: CascadeTarget,
    recipe: Recipe | None,
    split: str | None,
    output: Path | None,
    terminal: Terminal,
) -> Cascade:
    """Choose a cascade's threshold on the validation split, write it and say what it comes to.

    Args:
        models: the cheapest first; the last one answers what the others are unsure of.
        wanted: what is to be kept of the last model.
        recipe: which data the models are for; None: as the first one's recipe says.
        split: another split to measure the cascade on; None: none.
        output: the file; None: cascade.json in the first model's folder.
        terminal: for progress and the table.

    Raises:
        RecipeError, DataError, ModelError: as `Cascading`.
    """
    quiet_libraries()
    path = output or cascade_place(models[0]) / NAME
    cascading = Cascading(models, recipe, terminal)
    chosen = cascading.fit(wanted)
    write_cascade(path, chosen)
    found = [chosen.validation]
    if split is not None:
        found.append(cascading.measure(chosen, split))
    show(chosen, found, terminal)
    terminal.say(f"{path}: {promise(chosen)}")
    others = "".join(f" --else {model}" for model in models[1:])
    terminal.say(f"next: dkd predict {models[0]}{others}" if output is None else f"next: dkd predict {path}")
    return chosen


def show(chosen: Cascade, found: Sequence[MeasuredCascade], terminal: Terminal) -> None:
    """Print a row for each split: who answers how much, and how well."""
    columns = [
        Column("split"),
        Column("rows"),
        *(Column(f"{place}: {Path(step.model).name}") for place, step in enumerate(chosen.steps, start=1)),
        Column("agreement"),
        Column("accuracy"),
        Column("of the last model"),
    ]
    rows = [
        [
            one.split,
            one.rows,
            *(f"{share:.1%}" for share in one.answered),
            f"{one.agreement:.1%}",
            *((None, None) if one.accuracy is None else (f"{value:.4f}" for value in one.accuracy)),
        ]
        for one in found
    ]
    terminal.table("share of texts that each model answers", columns, rows)


def promise(chosen: Cascade) -> str:
    """Describe the goal and what is kept."""
    last = Path(chosen.steps[-1].model).name
    if chosen.max_uncertainty is None:
        return f"{last} answers everything: no other model keeps what was asked for even where it is surest"
    sure = f"uncertainty up to {chosen.max_uncertainty:g}"
    if chosen.measure == "agreement":
        kept = f"at least {chosen.bound:.1%} agreement with {last} ({chosen.wanted:.1%} asked for)"
    else:
        kept = f"at most {chosen.bound:.1%} of texts lost against {last} ({chosen.wanted:.1%} asked for)"
    return f"{sure}; {kept}, with {chosen.confidence:.0%} confidence"
