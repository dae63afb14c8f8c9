"""The command line: parse, load the recipe, call a command, and turn errors into lines and exit codes.

Knows no recipe key but those with an option of their own, and imports nothing heavy until a command runs.
"""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dkd_cli import __version__
from dkd_cli.errors import DkdError, Problems, RecipeError

# Typer carries its own copy of click in some versions: this is the one name of UsageError that holds in all.
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]

# Plain help: rich costs a third of the time in which `dkd --help` has to answer.
app = typer.Typer(name="dkd", rich_markup_mode=None, add_completion=False)
recipes_app = typer.Typer(rich_markup_mode=None)
app.add_typer(recipes_app, name="recipes")

RecipeName = Annotated[
    str | None,
    typer.Argument(metavar="RECIPE", help="A recipe file or a bundled recipe's name; else quickstart."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Set a key, as in train.epochs=2; repeatable."),
]
Seed = Annotated[str | None, typer.Option("--seed", metavar="N", help="The same as --set train.seed=N.")]
OutputDir = Annotated[
    str | None, typer.Option("--output-dir", metavar="FOLDER", help="The same as --set output_dir=FOLDER.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the resolved recipe and what would be written, then stop.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over where a run was begun or finished.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")]


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
    # Taken off the line by `run`, wherever it stands; declared for the help text.
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Turn a big text classifier into a small, fast one that keeps its quality.

    The three steps, here with the bundled recipe `quickstart`, one after the other in an empty folder:

    \b
        dkd train-teacher
        dkd distill --strategy dynamic-objective
        dkd evaluate checkpoints
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("train-teacher")
def train_teacher(
    recipe: RecipeName = None,
    overrides: Overrides = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Train this teacher only; repeatable. All of them if left out."),
    ] = None,
    seed: Seed = None,
    output_dir: OutputDir = None,
    fresh: Fresh = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune the recipe's teachers.

    Writes one folder for each, OUTPUT_DIR/NAME/teacher-..., which transformers can load as it stands. A
    teacher that is complete is left alone; one that was interrupted goes on where it stopped.

    \b
        dkd train-teacher
        dkd train-teacher glue-rte --teacher base --set train.batch_size=16
    """
    from dkd_cli.recipe.loader import load_recipe
    from dkd_cli.recipe.overrides import one_seed, options
    from dkd_cli.report.terminal import Terminal

    flags = options(("--output-dir", "output_dir", output_dir))
    loaded = load_recipe(recipe, [*(overrides or []), *flags, *one_seed(seed)])
    terminal = Terminal(quiet)
    if dry_run:
        from dkd_cli.commands.recipes import show_plan
        from dkd_cli.commands.train_teacher import chosen
        from dkd_cli.engine.checkpoints import teacher_folder

        names = chosen(loaded, tuple(teacher or ()))
        show_plan([loaded], [teacher_folder(loaded, name) for name in names], terminal)
        return
    from dkd_cli.commands.train_teacher import train_teacher

    typed = _typed(recipe, overrides, output_dir)
    train_teacher(loaded, only=tuple(teacher or ()), fresh=fresh, terminal=terminal, typed=typed)


@app.command()
def distill(
    recipe: RecipeName = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="none, static, dynamic-teacher, dynamic-data, dynamic-objective, or dynamic ones joined by "
            "commas; repeatable. The recipe's own if left out.",
        ),
    ] = None,
    overrides: Overrides = None,
    seed: Annotated[
        str | None,
        typer.Option(metavar="N[,N...]", help="One seed or several; a student is made with each."),
    ] = None,
    output_dir: OutputDir = None,
    fresh: Fresh = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train a small student with what its teachers know.

    Writes one folder for each strategy and seed, OUTPUT_DIR/NAME/student-STRATEGY-seedN, which transformers
    can load as it stands. The teachers come from `dkd train-teacher` or from elsewhere, as the recipe says.

    \b
        dkd distill --strategy dynamic-objective
        dkd distill --strategy static --strategy dynamic-teacher,dynamic-data --seed 1,2,3
    """
    from dkd_cli.recipe.loader import load_recipes
    from dkd_cli.recipe.overrides import options, seeds_and_strategies
    from dkd_cli.report.terminal import Terminal

    flags = options(("--output-dir", "output_dir", output_dir))
    variants = seeds_and_strategies(seed, strategy or [])
    loaded = load_recipes(recipe, [[*(overrides or []), *flags, *variant] for variant in variants])
    terminal = Terminal(quiet)
    if dry_run:
        from dkd_cli.commands.recipes import show_plan
        from dkd_cli.engine.checkpoints import student_folder

        show_plan(loaded, [student_folder(one) for one in loaded], terminal)
        return
    from dkd_cli.commands.distill import distill

    distill(loaded, fresh=fresh, terminal=terminal, typed=_typed(recipe, overrides, output_dir))


@app.command("select-data")
def select_data(
    recipe: RecipeName = None,
    overrides: Overrides = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="The classifier that scores; the recipe's largest teacher if left out."
        ),
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(metavar="SCORE", help="The same as --set strategy.data.score=SCORE, such as margin."),
    ] = None,
    ratio: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="The share to keep: the same as --set strategy.data.ratio=SHARE."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", help="How many to keep, instead of a share.")
    ] = None,
    balanced: Annotated[bool, typer.Option("--balanced", help="Keep equally many of each class.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The .jsonl file to write; in the recipe's folder if left out."),
    ] = None,
    seed: Seed = None,
    output_dir: OutputDir = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Pick the training examples that are worth distilling.

    Scores the training split with a trained model and writes the most informative part as a data file that a
    recipe can name as `data.train`, with the score of every example beside it.

    \b
        dkd select-data --ratio 0.1 --score margin
        dkd select-data --count 500 --balanced --output informative.jsonl
    """
    if ratio is not None and count is not None:
        raise RecipeError("--count", "contradicts --ratio", "give one of the two")
    if count is not None and count < 1:
        raise RecipeError("--count", f"must be 1 or more, not {count}", "say how many examples to keep")
    from dkd_cli.recipe.loader import load_recipe
    from dkd_cli.recipe.overrides import one_seed, options
    from dkd_cli.report.terminal import Terminal

    flags = options(
        ("--output-dir", "output_dir", output_dir),
        ("--score", "strategy.data.score", score),
        ("--ratio", "strategy.data.ratio", ratio),
    )
    loaded = load_recipe(recipe, [*(overrides or []), *flags, *one_seed(seed)])
    terminal = Terminal(quiet)
    if dry_run:
        from dkd_cli.commands.recipes import show_plan

        target = output if output is not None else Path(loaded.output_dir) / loaded.name
        show_plan([loaded], [target], terminal)
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
        typed=_typed(recipe, overrides, output_dir),
    )


@app.command()
def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Model folders, or folders with models below them."),
    ],
    recipe: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="Which data to use for models that were made elsewhere."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="The split; test if it has labels, else validation.")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write one model's predictions: index, tab, prediction."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where evaluation.json goes; the first PATH if left out."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Compare every model below the given folders in one table.

    Quality, how much of the teacher's is kept, size and speed, beside the majority-class baseline. Writes
    evaluation.json with every figure.

    \b
        dkd evaluate checkpoints
        dkd evaluate some-model --recipe glue-rte --predictions predictions.tsv
    """
    from dkd_cli.recipe.loader import load_recipe
    from dkd_cli.report.terminal import Terminal

    loaded = None if recipe is None else load_recipe(recipe)
    from dkd_cli.commands.evaluate import evaluate

    terminal = Terminal(quiet)
    evaluate(paths, recipe=loaded, split=split, predictions=predictions, output=output, terminal=terminal)


@recipes_app.callback(invoke_without_command=True)
def recipes(context: typer.Context) -> None:
    """List, show, copy and check recipes."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@recipes_app.command("list")
def list_() -> None:
    """List the bundled recipes with their models and data."""
    from dkd_cli.commands.recipes import list_recipes
    from dkd_cli.report.terminal import Terminal

    list_recipes(Terminal())


@recipes_app.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="A bundled recipe.")]) -> None:
    """Print a bundled recipe as it is written.

    \b
        dkd recipes show quickstart
    """
    from dkd_cli.commands.recipes import show_recipe

    show_recipe(name)


@recipes_app.command()
def copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A bundled recipe.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The file to write; NAME.yaml if left out.")
    ] = None,
) -> None:
    """Copy a bundled recipe to a file of your own.

    A file that is there already is never overwritten.

    \b
        dkd recipes copy quickstart mine.yaml
    """
    from dkd_cli.commands.recipes import copy_recipe
    from dkd_cli.report.terminal import Terminal

    copy_recipe(name, file, Terminal())


@recipes_app.command()
def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Recipe files or bundled names.")],
) -> None:
    """Check recipes without running them.

    Prints OK, or every problem with its line.

    \b
        dkd recipes check mine.yaml
    """
    from dkd_cli.commands.recipes import check_recipes
    from dkd_cli.report.terminal import Terminal

    check_recipes(files, Terminal())


def _typed(recipe: str | None, overrides: list[str] | None, output_dir: str | None) -> str:
    """What a next command has to repeat, with a space before it: the recipe and how it was changed."""
    words = [] if recipe is None else [recipe]
    words += [word for item in overrides or [] for word in ("--set", item)]
    words += [] if output_dir is None else ["--output-dir", output_dir]
    return "".join(f" {shlex.quote(word)}" for word in words)


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code; an error is one line (or several) on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        code = app([word for word in words if word != "--debug"], prog_name="dkd", standalone_mode=False)
    except (Problems, DkdError) as error:
        _report(error.errors if isinstance(error, Problems) else [error], debug)
        sys.exit(error.exit_code)
    except USAGE_ERROR as error:
        _report([_usage(error)], debug)
        sys.exit(RecipeError.exit_code)
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        problem = f"unexpected {type(error).__name__}: {error}"
        _report([DkdError("dkd", problem, "run it again with --debug and report what it prints")], debug)
        sys.exit(DkdError.exit_code)
    if code == 130:
        print("dkd: interrupted", file=sys.stderr)
    sys.exit(code or 0)


def _usage(error: Exception) -> RecipeError:
    context: typer.Context | None = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "dkd"
    message: str = error.format_message()  # type: ignore[attr-defined]
    return RecipeError(command, message.rstrip("."), f"see `{command} --help`")


def _report(errors: Sequence[DkdError], debug: bool) -> None:
    from dkd_cli.recipe.written import one_line

    if debug:
        traceback.print_exc()
    for error in errors:
        print(one_line(f"dkd: error: {error}"), file=sys.stderr)
