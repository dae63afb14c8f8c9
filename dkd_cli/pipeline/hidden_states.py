"""Hidden states where a recipe leaves them open: learnt if they are to be had, and are not too many."""

from __future__ import annotations

from dataclasses import replace

from dkd_cli.engine.models.models import LoadedModel, depth
from dkd_cli.engine.models.trial import check_hidden_states
from dkd_cli.engine.runs.disk_space import size
from dkd_cli.errors import ModelError
from dkd_cli.pipeline.loaded_teachers import LoadedTeachers
from dkd_cli.pipeline.planned import StudentRun
from dkd_cli.pipeline.workshop import Splits, Workshop
from dkd_cli.recipe.hidden_weight import left_open
from dkd_cli.recipe.rules import parse_layer_map

MOST_BYTES = 4 * 10**9
"""Of a teacher's hidden states in the cache, unless the recipe asks for them."""


def settled(
    workshop: Workshop, loaded: LoadedTeachers, run: StudentRun, student: LoadedModel, splits: Splits
) -> StudentRun:
    """Return the run; without hidden states where it could do without, and would have to.

    Args:
        workshop: tells the reason.
        loaded: the teachers of the command.
        run: the student's, resolved.
        student: built.
        splits: in its tokens.
    """
    if not run.plan.aligns or not left_open(run.recipe):
        return run
    try:
        _check(run, student, splits)
    except ModelError as error:
        why = f"hidden states are not compared: {error.problem}; {error.remedy}"
        workshop.once(workshop.terminal.say, why)
        loaded.leave_hidden_states(run)
        return replace(run, plan=replace(run.plan, objective=replace(run.plan.objective, hidden_weight=0.0)))
    return run


def _check(run: StudentRun, student: LoadedModel, splits: Splits) -> None:
    """Raise a ModelError that names the reason. Teachers are layers of the student's own encoder."""
    objective, remedy = run.plan.objective, "strategy.objective.hidden_weight asks for them all the same"
    if splits.collator.side != "right":
        problem = f"texts are padded on the {splits.collator.side}"
        raise ModelError("student", problem, "set strategy.objective.hidden_weight to 0")
    layers = depth(student.model)
    if not run.plan.relates:
        check_hidden_states(student.model, student.tokenizer, layers, "student")
    layer_map = parse_layer_map(objective.layer_map)
    compared = len(layer_map) if isinstance(layer_map, tuple) else layers + 1 if layer_map == "uniform" else 1
    ids = splits.train.columns["input_ids"]
    places = len(ids) if objective.positions == "first" else sum(map(len, ids))
    needed = 2 * places * compared * int(student.model.config.hidden_size)
    if needed > MOST_BYTES:
        raise ModelError("student", f"a teacher's would take {size(needed)} in the cache", remedy)
