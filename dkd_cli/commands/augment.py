"""`dkd augment`: show the augmented copies of a recipe's training texts, or write all of them to a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from dkd_cli.data.sources import load_task_data
from dkd_cli.data.tasks import resolve_task
from dkd_cli.errors import RecipeError
from dkd_cli.files import replacing
from dkd_cli.pipeline.augmentation import augmented
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.schema import Recipe, labelled_data
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.terminal import Terminal


def augment(recipe: Recipe, *, show: int | None, output: Path | None, terminal: Terminal) -> None:
    """Make the copies that `data.augment` asks for, before duplicates are dropped.

    Args:
        recipe: names texts, encoder and settings.
        show: print the copies of so many training texts, and make no others.
        output: a jsonl file for all copies; None: none is written.
        terminal: for texts and counts.

    Raises:
        RecipeError: if the recipe asks for no copies.
    """
    if not recipe.data.augment.copies:
        remedy = "set it, as in --set 'data.augment={copies: 20}'"
        raise RecipeError("data.augment.copies", "is 0: there is nothing to make", remedy)
    quiet_libraries()
    train = load_task_data(labelled_data(recipe.data)).splits["train"]
    if show is not None:
        train = train.take(range(min(show, len(train))), train.name)
    with closing(Workshop(terminal)) as workshop:
        if show is not None:
            for row in range(len(train)):
                one = train.take([row], train.name)
                terminal.say(_shown(one.texts[0], one.text_pairs[0] if one.text_pairs else None))
                for text, pair in rows(*augmented(one, recipe, workshop.cache, terminal.progress)):
                    terminal.say(f"  {_shown(text, pair)}")
            return
        texts, pairs = augmented(train, recipe, workshop.cache, terminal.progress)
    terminal.say(f"{len(texts):,} copies of {len(train):,} training texts")
    if output is not None:
        write(output, texts, pairs, recipe)
        terminal.say(f"written to {output}; data.transfer can name it")


def rows(texts: list[str], pairs: list[str] | None) -> Iterator[tuple[str, str | None]]:
    """Each text with its second text, if there are any."""
    if pairs is None:
        yield from ((text, None) for text in texts)
    else:
        yield from zip(texts, pairs, strict=True)


def write(path: Path, texts: list[str], pairs: list[str] | None, recipe: Recipe) -> None:
    """Write the copies under the recipe's own column names."""
    task = resolve_task(recipe.data)
    with replacing(path) as staged, staged.open("w", encoding="utf-8") as handle:
        for text, pair in rows(texts, pairs):
            record = {task.text: text}
            if pair is not None and task.text_pair is not None:
                record[task.text_pair] = pair
            handle.write(json.dumps(record, ensure_ascii=False) + "\n")


def _shown(text: str, pair: str | None) -> str:
    return text if pair is None else f"{text} | {pair}"
