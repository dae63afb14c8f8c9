"""Where hidden states meet: which are refused, and projections that leave no trace and disturb nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from small import CPU, LABELS, encoded, random_classifier, save_classifier, task_data
from torch.nn.parallel import DistributedDataParallel

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator, TokenRows
from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.models.models import Model, load_classifier
from dkd_cli.engine.teachers.alignment import PLACE, Projection, attached, check_alignable, make_projections
from dkd_cli.engine.teachers.bank import FrozenTeacher
from dkd_cli.errors import ModelError

IDS = torch.tensor([[2, 7, 8, 9, 3]])


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Callable[..., FrozenTeacher]:
    """`teacher(width, positions)`: a classifier of that many hidden dimensions."""

    def load(width: int = 32, positions: Literal["all", "first"] = "all") -> FrozenTeacher:
        folder = random_classifier(tmp_path_factory.mktemp("teacher"), tiny_encoder, width)
        data = task_data()
        model = load_classifier(str(folder), data).model
        return FrozenTeacher(model, *encoded(folder, data.splits["train"]), (0, 4), positions)

    return load


@pytest.fixture
def student(tmp_path: Path, tiny_encoder: Path) -> Model:
    """Of 32 hidden dimensions, without dropout."""
    none: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    folder = save_classifier(tmp_path / "student", tiny_encoder, LABELS, **none)
    return load_classifier(str(folder), task_data()).model.requires_grad_(True)


# What is refused -----------------------------------------------------------------------------------------


def tokens_of(ids: list[int], like: FrozenTeacher) -> EncodedSplit:
    return EncodedSplit(like.encoded.split, {"input_ids": TokenRows.join([ids] * len(like.encoded))}, 0)


def test_all_positions_want_the_same_tokens_and_the_first_does_not(
    teacher: Callable[..., FrozenTeacher],
) -> None:
    whole, first = teacher(48), teacher(48, "first")
    check_alignable(whole.encoded, whole.collator, whole, "large")
    other = tokens_of([1], whole)
    with pytest.raises(ModelError, match=r"tokens differ.*positions=first") as caught:
        check_alignable(other, whole.collator, whole, "large")
    assert caught.value.place == "teachers.large"
    check_alignable(other, first.collator, first, "large")


@pytest.mark.parametrize("positions", ["all", "first"])
@pytest.mark.parametrize("side", ["teacher", "student"])
def test_padding_on_the_left_is_refused(
    teacher: Callable[..., FrozenTeacher], tiny_encoder: Path, positions: str, side: str
) -> None:
    """There the first position of a padded row is no token."""
    one = teacher(32, positions)
    _, own = encoded(tiny_encoder, one.encoded.split)
    check_alignable(one.encoded, own, one, "large")
    wrong: PaddingCollator = {"teacher": one.collator, "student": own}[side]
    wrong.side = "left"
    with pytest.raises(ModelError, match="pads on the left") as caught:
        check_alignable(one.encoded, own, one, "large")
    assert caught.value.place == {"teacher": "teachers.large", "student": "student"}[side]


# Projections ---------------------------------------------------------------------------------------------


def test_each_teacher_of_another_width_has_one_projection(
    teacher: Callable[..., FrozenTeacher], student: Model
) -> None:
    teachers = {"a": teacher(48), "b": teacher(32), "c": teacher(48)}
    before = torch.get_rng_state()
    made = make_projections(student, teachers, 1, CPU)
    assert torch.equal(torch.get_rng_state(), before), "the student's own random numbers stay"
    assert {name: tuple(one.weight.shape) for name, one in made.items()} == {"a": (48, 32), "c": (48, 32)}
    weights = {name: one.weight.detach() for name, one in made.items()}
    again, other = make_projections(student, teachers, 1, CPU), make_projections(student, teachers, 2, CPU)
    assert all(torch.equal(again[name].weight, weight) for name, weight in weights.items())
    assert not torch.equal(weights["a"], weights["c"])
    assert not any(torch.equal(other[name].weight, weight) for name, weight in weights.items())
    bound = 32**-0.5
    assert all(0.9 * bound < weight.abs().max() <= bound for weight in weights.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_projection_multiplies_in_the_runs_precision_and_trains(dtype: torch.dtype) -> None:
    projection = Projection(torch.randn(5, 3), Compute(torch.device("cpu"), dtype, "the tests"))
    states = torch.randn(2, 4, 3)
    found = projection(states)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), states @ projection.weight.T, rtol=2e-2, atol=2e-2)
    found.float().square().sum().backward()
    assert projection.weight.grad is not None
    assert projection.weight.grad.dtype == torch.float32
    assert projection.weight.grad.abs().sum() > 0


def projections(*names: str) -> dict[str, Projection]:
    return {name: Projection(torch.randn(48, 32), CPU) for name in names}


def test_a_projection_is_part_of_the_student_until_training_ends(student: Model) -> None:
    names, parameters = set(student.state_dict()), len(list(student.parameters()))
    hooks = dict(student._forward_hooks)
    # Names that a module has as attributes, and one with a dot: any teacher's name will do.
    made = projections("train", "weight", "v1.0")
    expected = student.train()(input_ids=IDS).logits

    def train(*, ends: bool) -> None:
        with attached(student, made):
            assert set(student.state_dict()) - names == {f"{PLACE}.{place}.weight" for place in range(3)}
            assert len(list(student.parameters())) == parameters + 3
            assert torch.equal(student(input_ids=IDS).logits, expected)
            if not ends:
                raise KeyboardInterrupt

    train(ends=True)
    with pytest.raises(KeyboardInterrupt):
        train(ends=False)
    assert set(student.state_dict()) == names
    assert not hasattr(student, PLACE)
    assert dict(student._forward_hooks) == hooks


def test_without_projections_the_student_is_left_alone(student: Model) -> None:
    names, hooks = list(student.state_dict()), dict(student._forward_hooks)
    with attached(student, {}):
        assert list(student.state_dict()) == names
        assert dict(student._forward_hooks) == hooks


@pytest.mark.parametrize("find_unused", [True, False])
def test_data_parallel_training_takes_a_projection_that_some_batch_leaves_out(
    student: Model, tmp_path: Path, find_unused: bool
) -> None:
    made = projections("small", "large")
    student.train()
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1
    )
    try:
        with attached(student, made):
            parallel = DistributedDataParallel(student, find_unused_parameters=find_unused)
            for used in (["large"], ["small", "large"], []):
                output = parallel(input_ids=IDS, output_hidden_states=True)
                loss = output.logits.square().sum()
                for name in used:
                    loss = loss + made[name](output.hidden_states[-1]).square().mean()
                student.zero_grad()
                loss.backward()
                for name, projection in made.items():
                    assert projection.weight.grad is not None
                    assert bool(projection.weight.grad.any()) == (name in used)
    finally:
        torch.distributed.destroy_process_group()
