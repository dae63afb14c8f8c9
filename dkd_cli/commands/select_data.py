"""`dkd select-data`: score the training pool with a model, write the most informative part as a data file.

The pool is the transfer set, if the recipe has one: the labelled rows are few and stay. Else it is the
training split.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.output_math import tag_array
from dkd_cli.engine.method.outputs import OUTPUTS
from dkd_cli.engine.method.selection import Scored, informativeness, kept, rank
from dkd_cli.engine.runs.checkpoints import given_labels, teacher_source
from dkd_cli.errors import ModelError, RecipeError, SystemProblem
from dkd_cli.files import CellWriter, replacing, write_json
from dkd_cli.pipeline.predictions import asked
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.schema import Recipe
from dkd_cli.recipe.words import score_reads
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.terminal import Terminal

OTHERS = "entropy, margin, confidence or label-loss"


def select_data(
    recipe: Recipe,
    *,
    model: str | None,
    score: str,
    ratio: float | None,
    count: int | None,
    balanced: bool,
    output: Path | None,
    terminal: Terminal,
    typed: str,
) -> None:
    """Write the `ratio` or `count` most informative rows of the pool, and the score of each beside them.

    Args:
        recipe: names the data and, where `model` is None, the teacher that scores.
        model: a trained classifier (a student's folder, say); None: the recipe's largest teacher.
        score: one of the recipe's scores but `none`.
        ratio: the share to keep, in (0, 1]; exactly one of `ratio` and `count`.
        count: how many to keep.
        balanced: keep equally many of each class.
        output: a `.jsonl` file; None: in the recipe's folder, named after score and count.
        terminal: for progress, histogram and counts.
        typed: the recipe and overrides as the user typed them, for the next command's line.
    """
    if score == "none":
        raise RecipeError("--score", "'none' ranks nothing", f"choose {OTHERS}")
    if "teacher" in score_reads(score):
        problem = f"{score!r} compares a student with its teacher, and one model scores here"
        raise RecipeError("--score", problem, f"choose {OTHERS}")
    scorer = scoring_model(recipe, model, typed)
    quiet_libraries()
    workshop = Workshop(terminal)
    data = workshop.data(recipe)
    pool = pool_of(data)
    if balanced and KINDS[data.task.kind].by_word:
        raise RecipeError(
            "--balanced", "counts classes of texts, and these tags are of words", "leave it out"
        )
    if balanced and pool.labels is None:
        raise RecipeError("--balanced", f"the {pool.name} texts have no labels", "leave it out")
    size = count if count is not None else kept(ratio or 1.0, len(pool))
    if size > len(pool):
        raise RecipeError("--count", f"{size} of a pool of {len(pool)}", f"ask for 1 to {len(pool)}")
    path = output or Path(recipe.output_dir) / recipe.name / f"selected-{score}-{size}.jsonl"
    settings = {"model": scorer, "score": score, "size": size, "balanced": balanced, "pool": len(pool)}
    refuse_other(path, settings)
    values = scores(workshop, recipe, data, scorer, score)
    chosen = choose(rank(score, values).tolist(), size, pool.labels if balanced else None)
    with replacing(path) as staged, staged.open("w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(data, pool, chosen))
    with replacing(path.with_suffix(".scores.csv")) as staged, staged.open("w", encoding="utf-8") as handle:
        CellWriter(handle).rows(score_table(pool, values, set(chosen)))
    write_json(path.with_suffix(".summary.json"), settings | {"classes": class_counts(data, pool, chosen)})
    kind = "training examples" if data.transfer is None else "transfer texts"
    terminal.histogram(f"{score} of {len(pool)} {kind} (higher: chosen first)", values.tolist())
    counts = class_counts(data, pool, chosen)
    terminal.table(
        f"{len(chosen)} of {len(pool)} kept in {path}",
        ["class", "kept", "dropped"],
        [[name, figures["kept"], figures["dropped"]] for name, figures in counts.items()],
    )
    lost = [name for name, figures in counts.items() if not figures["kept"] and figures["dropped"]]
    if lost and data.label_names is not None:
        terminal.warn(
            f"no example of {', '.join(lost)} is kept, so no student can learn it; "
            "--balanced keeps some of each class"
        )
    terminal.say(f"next: {next_step(recipe, path, typed, pool.name)}")


def pool_of(data: TaskData) -> Split:
    """The rows to choose from."""
    return data.splits["train"] if data.transfer is None else data.transfer


def next_step(recipe: Recipe, path: Path, typed: str, pool: str) -> str:
    """The command that trains on the selection: under a name of its own, with the teachers that there are."""
    words = [f"data.{pool}={path}", f"name={recipe.name}-{path.stem}"]
    if recipe.data.augment.copies:
        words.append("data.augment.copies=0")
    if recipe.data.missing_labels == "transfer":
        words.append("data.missing_labels=drop")  # the pool holds these rows, and some were chosen
    if recipe.data.max_transfer is not None:
        words.append("data.max_transfer=null")
    words += [f"teachers.{name}.checkpoint={teacher_source(recipe, name)}" for name in recipe.teachers]
    return f"dkd distill{typed} " + " ".join(f"--set {shlex.quote(word)}" for word in words)


def scoring_model(recipe: Recipe, model: str | None, typed: str) -> str:
    """The model that scores: the one asked for, or the recipe's largest teacher."""
    if model is not None:
        return model
    if not recipe.teachers:
        raise RecipeError("--model", "the recipe has no teacher to score with", "name a trained classifier")
    name = tuple(recipe.teachers)[-1]
    source = teacher_source(recipe, name)
    if recipe.teachers[name].checkpoint is None and not Path(source).is_dir():
        remedy = f"make it with `dkd train-teacher{typed}`, or name a student with --model"
        raise ModelError(f"teachers.{name}", f"{source} does not exist yet", remedy)
    return source


def scores(workshop: Workshop, recipe: Recipe, data: TaskData, scorer: str, score: str) -> Tensor:
    """The informativeness of each row of the pool, [N]."""
    pool = pool_of(data)
    if pool.labels is None and "labels" in score_reads(score):
        raise RecipeError(
            "--score",
            f"{score!r} reads labels, which the {pool.name} texts lack",
            "choose entropy",
        )
    output = OUTPUTS[data.task.kind]
    if "probabilities" in score_reads(score) and not output.uncertainties:
        raise RecipeError(
            "--score",
            f"{score!r} reads class probabilities; this task has none",
            "choose label-loss or random",
        )
    torch.manual_seed(recipe.train.seed)
    known = given_labels(recipe, scorer)
    with workshop.terminal.progress(f"scoring with {scorer}", len(pool)) as advance:
        logits = asked(scorer, recipe, data, pool, advance, known, key="--model")
    labels = None
    if pool.labels is not None:
        by_word = KINDS[data.task.kind].by_word
        labels = torch.from_numpy(tag_array(pool.labels)) if by_word else torch.tensor(pool.labels)
    return informativeness(score, Scored(output=output, logits=logits, labels=labels))


def choose(ranked: Sequence[int], size: int, labels: Sequence[int | float] | None) -> list[int]:
    """The first `size` of a ranking or, given labels, as nearly equally many of each class as there are.

    A class that runs out leaves its places to the others.

    >>> choose([0, 1, 2, 3, 4], 2, None)
    [0, 1]
    >>> choose([0, 1, 2, 3, 4], 4, [7, 7, 7, 7, 8])
    [0, 1, 2, 4]
    """
    if labels is None:
        return list(ranked[:size])
    queues: dict[int | float, list[int]] = {}
    for row in ranked:
        queues.setdefault(labels[row], []).append(row)
    taken: list[int] = []
    depth = 0
    while len(taken) < size:
        layer = [queue[depth] for queue in queues.values() if depth < len(queue)]
        taken += layer[: size - len(taken)]
        depth += 1
    members = set(taken)
    return [row for row in ranked if row in members]


def refuse_other(path: Path, settings: dict[str, object]) -> None:
    """Never write over a selection that was made otherwise."""
    if path.suffix != ".jsonl":
        raise RecipeError("--output", f"{path} is no .jsonl file", "name one that ends in .jsonl")
    summary = path.with_suffix(".summary.json")
    if not path.exists():
        return
    try:
        before = json.loads(summary.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        before = {}
    if any(before.get(key) != value for key, value in settings.items()):
        raise SystemProblem(str(path), "holds another selection", "choose another --output")


def rows(data: TaskData, pool: Split, chosen: Sequence[int]) -> Iterator[dict[str, object]]:
    """The chosen examples under the recipe's own column names, so that `data.train` can name the file."""
    task = data.task
    for row in chosen:
        text = KINDS[task.kind].text_cell(pool.texts[row])
        record: dict[str, object] = {"example_id": pool.example_ids[row], task.text: text}
        if pool.text_pairs is not None and task.text_pair is not None:
            record[task.text_pair] = pool.text_pairs[row]
        if pool.labels is not None:
            record |= KINDS[task.kind].cells(pool.labels[row], data.label_names, task.label)
        yield record


def score_table(pool: Split, values: Tensor, chosen: set[int]) -> Iterator[tuple[object, ...]]:
    """`example_id,score,kept`, most informative first."""
    yield "example_id", "score", "kept"
    order = torch.argsort(values, descending=True, stable=True)
    for row, value in zip(order.tolist(), values[order].tolist(), strict=True):
        yield pool.example_ids[row], f"{value:.6g}", int(row in chosen)


def class_counts(data: TaskData, pool: Split, chosen: Sequence[int]) -> dict[str, dict[str, int]]:
    """Class name -> how many were kept and dropped; one line in all where labels are numbers or absent."""
    if pool.labels is None or data.label_names is None:
        return {"all": {"kept": len(chosen), "dropped": len(pool) - len(chosen)}}
    classes = [KINDS[data.task.kind].classes_of(label) for label in pool.labels]
    total = Counter(label for found in classes for label in found)
    taken = Counter(label for row in chosen for label in classes[row])
    return {
        name: {"kept": taken[index], "dropped": total[index] - taken[index]}
        for index, name in enumerate(data.label_names)
    }
