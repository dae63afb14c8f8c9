"""Commands: parse, load the recipe (with its sweep), call one function each.

Knows only the recipe keys that have their own options, and imports nothing heavy until a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dkd_cli import launch
from dkd_cli.cli import completion
from dkd_cli.cli.augment import augment
from dkd_cli.cli.cache import cache_app
from dkd_cli.cli.compare import compare
from dkd_cli.cli.deploy import cascade, export, predict
from dkd_cli.cli.init import init
from dkd_cli.cli.label import label
from dkd_cli.cli.options import (
    DryRun,
    Fresh,
    NoCache,
    OutputDir,
    Overrides,
    Quiet,
    RecipeName,
    Seed,
    Seeds,
    Sweeps,
    typed_again,
)
from dkd_cli.cli.panels import DEPLOY, HOUSEKEEPING, TRAIN, UNDERSTAND, Panels
from dkd_cli.cli.push import push
from dkd_cli.cli.recipes import recipes_app
from dkd_cli.cli.shrink import shrink
from dkd_cli.errors import RecipeError
from dkd_cli.version import __version__

# Plain help: rich costs a third of the time in which `dkd --help` has to answer.
app = typer.Typer(name="dkd", rich_markup_mode=None, cls=Panels)
app.add_typer(recipes_app, name="recipes", rich_help_panel=HOUSEKEEPING)
app.add_typer(cache_app, name="cache", rich_help_panel=HOUSEKEEPING)
app.command(rich_help_panel=TRAIN)(init)
app.command(rich_help_panel=TRAIN)(augment)
app.command(rich_help_panel=TRAIN)(label)
app.command(rich_help_panel=UNDERSTAND)(compare)
app.command(rich_help_panel=DEPLOY)(shrink)
app.command(rich_help_panel=DEPLOY)(export)
app.command(rich_help_panel=DEPLOY)(cascade)
app.command(rich_help_panel=DEPLOY)(predict)
app.command(rich_help_panel=DEPLOY)(push)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dkd {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    # Removed from the arguments by `run`, at any position; declared for the help text.
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Distil a large text classifier into a small, fast one that keeps its quality.

    The three steps with the bundled recipe `quickstart`, in an empty folder:

    \b
        dkd train-teacher
        dkd distill --strategy dynamic-objective
        dkd evaluate checkpoints
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
    if launch.processes() > 1 and context.invoked_subcommand == "compare":
        raise RecipeError(
            "dkd compare", "trains its students in one process", "start it without torchrun or accelerate"
        )
    if context.invoked_subcommand not in ("train-teacher", "distill") and not launch.leads():
        # The other commands need one process: the results of each example are counted once.
        raise typer.Exit


@app.command("train-teacher", rich_help_panel=TRAIN)
def train_teacher(
    recipe: RecipeName = None,
    overrides: Overrides = None,
    sweeps: Sweeps = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Train only this teacher; repeatable. Default: all of them."),
    ] = None,
    seed: Seeds = None,
    output_dir: OutputDir = None,
    fresh: Fresh = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune the recipe's teachers.

    Writes one folder for each, OUTPUT_DIR/NAME/teacher-..., in the format of transformers. A complete teacher
    is left alone; an interrupted one resumes.

    Of the recipe's sweep, only keys that change teachers are used here (model, data, teachers); values of
    --sweep and --seed on this command line are all used.

    \b
        dkd train-teacher
        dkd train-teacher glue-rte --teacher base --set train.batch_size=16
        dkd train-teacher glue-rte --sweep 'data.config=[rte,wnli]'
    """
    from dkd_cli.recipe.loader import load_points
    from dkd_cli.recipe.overrides import options, seeds_and_strategies
    from dkd_cli.recipe.schema import decides_teachers
    from dkd_cli.report.terminal import Terminal

    flags = options(("--output-dir", "output_dir", output_dir))
    pinned, varied = seeds_and_strategies(seed, [])
    points = load_points(
        recipe,
        [*(overrides or []), *flags, *pinned],
        [*(sweeps or []), *varied],
        keep=decides_teachers,
    )
    terminal = Terminal(quiet)
    only = tuple(teacher or ())
    if dry_run:
        from dkd_cli.commands.recipes import show_plan
        from dkd_cli.engine.runs.checkpoints import progress_of
        from dkd_cli.pipeline.teacher import teachers_to_make

        runs = teachers_to_make(points, only)
        there = {run.folder: progress_of(run.folder, run.recipe, "teacher", run.name) for run in runs}
        show_plan(points, there, terminal)
        return
    from dkd_cli.commands.train_teacher import train_teacher

    typed = typed_again(recipe, overrides, sweeps, output_dir)
    train_teacher(points, only=only, fresh=fresh, terminal=terminal, typed=typed)


@app.command(rich_help_panel=TRAIN)
def distill(
    recipe: RecipeName = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.strategies,
            help="none, static, dynamic-teacher, dynamic-data, dynamic-objective, or dynamic ones joined by "
            "commas; repeatable. The recipe's own if left out.",
        ),
    ] = None,
    overrides: Overrides = None,
    sweeps: Sweeps = None,
    seed: Seeds = None,
    output_dir: OutputDir = None,
    fresh: Fresh = False,
    no_cache: NoCache = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train a small student on labels and teachers.

    Writes one folder for each strategy, seed and other swept value, OUTPUT_DIR/NAME/student-STRATEGY-seedN,
    in the format of transformers. Teachers come from `dkd train-teacher` or from elsewhere, as the recipe
    says.

    \b
        dkd distill --strategy dynamic-objective
        dkd distill --strategy static --strategy dynamic-teacher,dynamic-data --seed 1,2,3
        dkd distill --strategy dynamic-data --sweep 'strategy.data.ratio=[0.1,0.3,0.5]'
    """
    from dkd_cli.recipe.loader import load_points
    from dkd_cli.recipe.overrides import options, seeds_and_strategies
    from dkd_cli.report.terminal import Terminal

    flags = options(("--output-dir", "output_dir", output_dir))
    pinned, varied = seeds_and_strategies(seed, strategy or [])
    points = load_points(recipe, [*(overrides or []), *flags, *pinned], [*(sweeps or []), *varied])
    terminal = Terminal(quiet)
    if dry_run:
        from dkd_cli.commands.recipes import show_plan
        from dkd_cli.engine.runs.checkpoints import progress_of, student_folder

        runs = {student_folder(point): point for point in points}
        there = {
            folder: progress_of(folder, point, "student", point.strategy.name)
            for folder, point in runs.items()
        }
        show_plan(points, there, terminal)
        return
    from dkd_cli.commands.distill import distill

    typed = typed_again(recipe, overrides, sweeps, output_dir)
    distill(points, fresh=fresh, terminal=terminal, typed=typed, cached=not no_cache)


@app.command("select-data", rich_help_panel=TRAIN)
def select_data(
    recipe: RecipeName = None,
    overrides: Overrides = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="The classifier that scores. Default: the recipe's largest teacher."
        ),
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(metavar="SCORE", help="The same as --set strategy.data.score=SCORE, such as margin."),
    ] = None,
    ratio: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="The share to keep; the same as --set strategy.data.ratio=SHARE."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", help="The number to keep, instead of a share.")
    ] = None,
    balanced: Annotated[bool, typer.Option("--balanced", help="Keep equally many of each class.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The .jsonl file to write. Default: in the recipe's folder."),
    ] = None,
    seed: Seed = None,
    output_dir: OutputDir = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Select the most informative training examples.

    Scores the training split with a trained model and writes the most informative examples to a data file,
    which a recipe can use as `data.train`, and the score of every example to a second file.

    \b
        dkd select-data --ratio 0.1 --score margin
        dkd select-data --count 500 --balanced --output informative.jsonl
    """
    if ratio is not None and count is not None:
        raise RecipeError("--count", "contradicts --ratio", "give one of the two")
    if count is not None and count < 1:
        raise RecipeError("--count", f"must be 1 or more, not {count}", "give the number of examples to keep")
    from dkd_cli.recipe.loader import load_points
    from dkd_cli.recipe.overrides import one_seed, options
    from dkd_cli.recipe.schema import decides_teachers
    from dkd_cli.report.terminal import Terminal

    flags = options(
        ("--output-dir", "output_dir", output_dir),
        ("--score", "strategy.data.score", score),
        ("--ratio", "strategy.data.ratio", ratio),
    )
    # Sweeps of students are ignored; if teachers are swept, one must be chosen to score.
    points = load_points(recipe, [*(overrides or []), *flags, *one_seed(seed)], keep=decides_teachers)
    loaded = points[0]
    if len(points) > 1:
        keys = ", ".join(loaded.sweep)
        raise RecipeError("sweep", f"{keys} has several values", "choose one with --set KEY=VALUE")
    terminal = Terminal(quiet)
    if dry_run:
        from dkd_cli.commands.recipes import show_plan

        target = output if output is not None else Path(loaded.output_dir) / loaded.name
        show_plan([loaded], {target: "there already" if target.exists() else ""}, terminal)
        return
    from dkd_cli.commands.select_data import select_data

    select_data(
        loaded,
        model=model,
        score=loaded.strategy.data.score,
        ratio=loaded.strategy.data.ratio if count is None else None,
        count=count,
        balanced=balanced,
        output=output,
        terminal=terminal,
        typed=typed_again(recipe, overrides, None, output_dir),
    )


@app.command(rich_help_panel=UNDERSTAND)
def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Model folders, or folders with models below them.",
            autocompletion=completion.models,
        ),
    ],
    recipe: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="The recipe whose data is used for models made elsewhere."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The split to score. Default: test if it has labels, else validation."
        ),
    ] = None,
    predictions: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Output for one model's predictions: a file, or a folder (an existing one or a name ending "
            "in /) for test_results_TASK.txt of every test split.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The folder for both files. Default: the first PATH."),
    ] = None,
    no_timing: Annotated[
        bool, typer.Option("--no-timing", help="Compute scores only; skip speed, memory and cost.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Compare every model below the given folders in one table.

    Shows quality, share of the teacher's quality, size and speed next to the majority-class baseline, then
    the classes, calibration and cascade of the best student.

    Writes report.html, one file to read and to send; evaluation.json with every figure; and calibration.json
    with a temperature, fitted on validation, into each model folder.

    \b
        dkd evaluate checkpoints
        dkd evaluate some-model --recipe glue-rte --predictions predictions.tsv
    """
    from dkd_cli.recipe.loader import load_recipe
    from dkd_cli.report.terminal import Terminal

    loaded = None if recipe is None else load_recipe(recipe)
    from dkd_cli.commands.evaluate import evaluate

    terminal = Terminal(quiet)
    evaluate(
        paths,
        recipe=loaded,
        split=split,
        predictions=predictions,
        output=output,
        timing=not no_timing,
        terminal=terminal,
    )
