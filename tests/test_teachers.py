"""TeacherBank: each row once, always in eval mode, cached or not the same; and teachers that are files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from small import CPU, LABELS, encoded, save_classifier, task_data
from torch import Tensor

from dkd_cli.engine.models import load_classifier
from dkd_cli.engine.teachers import (
    NO_TEACHERS,
    PROBABILITY_FLOOR,
    Recorded,
    Teacher,
    TeacherBank,
    probability_logits,
)
from dkd_cli.errors import NumericError

ALL = torch.arange(48)
LAYERS = (0, 2, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A classifier whose dropout would change everything, were it on."""
    made = tmp_path_factory.mktemp("teacher")
    return save_classifier(
        made, tiny_encoder, LABELS, hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5
    )


@pytest.fixture
def teacher(folder: Path) -> Callable[..., Teacher]:
    def load(layers: tuple[int, ...] = (), positions: Literal["all", "first"] = "all") -> Teacher:
        data = task_data()
        tokens, collator = encoded(folder, data.splits["train"])
        return Teacher(load_classifier(str(folder), data).model, tokens, collator, layers, positions)

    return load


def by_hand(teacher: Teacher, row: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Logits [C] and all layers [L, H] of one row, computed alone."""
    ids = torch.tensor([teacher.encoded[row]["input_ids"]])
    with torch.no_grad():
        output = teacher.model.eval()(input_ids=ids, output_hidden_states=True)
    return output.logits[0], tuple(layer[0] for layer in output.hidden_states)


def test_logits_are_the_models_own_whatever_the_batch(teacher: Callable[..., Teacher]) -> None:
    one = teacher()
    bank = TeacherBank({"large": one}, CPU)
    rows = torch.tensor([7, 0, 33, 8])
    assert len({one.encoded.lengths[row] for row in rows.tolist()}) > 2, "rows of several lengths"
    expected = torch.stack([by_hand(one, row)[0] for row in rows.tolist()])
    torch.testing.assert_close(bank.logits("large", rows), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(bank.logits("large", rows.flip(0)), expected.flip(0), rtol=1e-5, atol=1e-5)


def test_each_row_is_computed_once(teacher: Callable[..., Teacher]) -> None:
    one = teacher()
    computed: list[int] = []
    one.model.register_forward_hook(lambda module, args, output: computed.append(len(output.logits)))
    bank = TeacherBank({"large": one, "other": teacher()}, CPU)
    bank.logits("large", torch.tensor([1, 2, 3]))
    bank.logits("large", torch.tensor([3, 1]))
    assert computed == [3]
    bank.logits("large", torch.tensor([4, 2, 5]))
    assert computed == [3, 2]
    bank.logits("large", ALL)
    assert sum(computed) == bank.queries["large"] == len(ALL)
    assert bank.queries["other"] == 0


def test_answers_outlive_the_run(teacher: Callable[..., Teacher]) -> None:
    one = teacher(LAYERS)
    first = TeacherBank({"large": one}, CPU)
    logits, states = first.logits("large", ALL), first.hidden_states("large", ALL)
    second = TeacherBank({"large": one}, CPU)
    assert torch.equal(second.logits("large", ALL), logits)
    for ours, theirs in zip(second.hidden_states("large", ALL), states, strict=True):
        assert torch.equal(ours, theirs)
    assert second.queries == {"large": 0}


def test_logits_and_hidden_states_come_from_one_pass(teacher: Callable[..., Teacher]) -> None:
    bank = TeacherBank({"large": teacher(LAYERS)}, CPU)
    bank.logits("large", ALL[:8])
    bank.hidden_states("large", ALL[:8])
    assert bank.queries["large"] == 8


def test_hidden_states_are_the_models_own_and_padded_with_zeros(teacher: Callable[..., Teacher]) -> None:
    one = teacher(LAYERS)
    rows = [7, 0, 33, 8]
    lengths = [one.encoded.lengths[row] for row in rows]
    found = TeacherBank({"large": one}, CPU).hidden_states("large", torch.tensor(rows))
    assert len(found) == len(LAYERS)
    for layer, states in zip(LAYERS, found, strict=True):
        assert states.shape == (4, max(lengths), 32)
        for place, row in enumerate(rows):
            alone = by_hand(one, row)[1][layer]
            torch.testing.assert_close(states[place, : lengths[place]], alone, rtol=1e-5, atol=1e-5)
            assert states[place, lengths[place] :].eq(0).all()


@pytest.mark.parametrize("room", [0, 2**20])
def test_of_the_first_position_nothing_else_is_kept(teacher: Callable[..., Teacher], room: int) -> None:
    whole, first = teacher(LAYERS), teacher(LAYERS, "first")
    everything = TeacherBank({"large": whole}, CPU).hidden_states("large", ALL)
    bank = TeacherBank({"large": first}, CPU, hidden_bytes=room)
    for _ in range(2):
        found = bank.hidden_states("large", ALL)
        assert [states.shape for states in found] == [(48, 1, 32)] * len(LAYERS)
        for one, layer in zip(found, everything, strict=True):
            assert torch.equal(one, layer[:, :1])
    assert {state.shape for state in first.hidden.values()} <= {(len(LAYERS), 1, 32)}
    assert len(first.hidden) == (48 if room else 0)


@pytest.mark.parametrize("room", [0, 20_000])
def test_without_room_hidden_states_are_computed_again(teacher: Callable[..., Teacher], room: int) -> None:
    cached, bare = TeacherBank({"large": teacher(LAYERS)}, CPU), teacher(LAYERS)
    tight = TeacherBank({"large": bare}, CPU, hidden_bytes=room)
    for rows in (ALL[:8], ALL[20:28], ALL[:8]):
        pairs = zip(cached.hidden_states("large", rows), tight.hidden_states("large", rows), strict=True)
        for kept, again in pairs:
            torch.testing.assert_close(kept, again, rtol=1e-5, atol=1e-5)
    assert cached.queries["large"] == 16
    assert tight.queries["large"] == 24 if room == 0 else 16 < tight.queries["large"] < 24
    assert sum(state.nbytes for state in bare.hidden.values()) <= room


def test_the_room_is_not_granted_anew_to_each_run(teacher: Callable[..., Teacher]) -> None:
    one = teacher(LAYERS)
    for _ in range(3):
        TeacherBank({"large": one}, CPU, hidden_bytes=20_000).hidden_states("large", ALL)
    assert 0 < sum(state.nbytes for state in one.hidden.values()) <= 20_000


def test_dropout_is_off_even_for_a_teacher_that_was_in_training(folder: Path) -> None:
    data = task_data()
    model = load_classifier(str(folder), data).model
    model.train().requires_grad_(True)
    one = Teacher(model, *encoded(folder, data.splits["train"]))
    assert model.config.hidden_dropout_prob == 0.5
    assert not any(module.training for module in model.modules())
    assert not any(weight.requires_grad for weight in model.parameters())
    answers = TeacherBank({"large": one}, CPU).logits("large", ALL)
    fresh = Teacher(load_classifier(str(folder), data).model, *encoded(folder, data.splits["train"]))
    torch.testing.assert_close(answers, TeacherBank({"large": fresh}, CPU).logits("large", ALL))
    assert not answers.requires_grad


def test_what_a_caller_does_to_an_answer_stays_with_the_caller(teacher: Callable[..., Teacher]) -> None:
    bank = TeacherBank({"large": teacher()}, CPU)
    before = bank.logits("large", ALL).clone()
    bank.logits("large", ALL).zero_()
    assert torch.equal(bank.logits("large", ALL), before)


def test_a_bank_is_no_module() -> None:
    assert not isinstance(NO_TEACHERS, torch.nn.Module)
    assert NO_TEACHERS.queries == {}


@pytest.mark.parametrize("ask", ["logits", "hidden_states"])
def test_broken_weights_name_the_example(teacher: Callable[..., Teacher], ask: str) -> None:
    one = teacher(LAYERS)
    word = one.encoded[5]["input_ids"][1]
    one.model.get_input_embeddings().weight[word] = float("nan")
    broken = [row for row in range(48) if word in one.encoded[row]["input_ids"]]
    bank = TeacherBank({"large": one}, CPU)
    with pytest.raises(NumericError, match=rf"row-{broken[0]}\b") as caught:
        getattr(bank, ask)("large", ALL)
    assert caught.value.place == "teachers.large"
    sound = next(row for row in range(48) if row not in broken)
    assert bank.logits("large", torch.tensor([sound])).isfinite().all()


# Teachers that are files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 50])
def test_the_softmax_of_the_logits_is_what_the_file_says(classes: int) -> None:
    drawn = torch.rand(20, classes, generator=torch.Generator().manual_seed(3)) + 0.1
    probabilities = drawn / drawn.sum(dim=-1, keepdim=True)
    logits = probability_logits(probabilities)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits.softmax(dim=-1), probabilities)
    torch.testing.assert_close(logits.mean(dim=-1), torch.zeros(20), rtol=0, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 50])
def test_a_bare_label_gives_finite_logits(classes: int) -> None:
    logits = probability_logits(torch.eye(classes))
    assert logits.isfinite().all()
    assert logits.argmax(dim=-1).tolist() == list(range(classes))
    gap = (logits[0, 0] - logits[0, 1:]).unique()
    torch.testing.assert_close(gap, torch.tensor([1 / PROBABILITY_FLOOR]).log(), rtol=1e-5, atol=0)


def test_a_file_answers_beside_a_model_and_is_never_queried(teacher: Callable[..., Teacher]) -> None:
    answers = torch.randn(48, 2, generator=torch.Generator().manual_seed(4))
    rows = torch.tensor([5, 0, 47, 5])
    both = TeacherBank({"llm": Recorded(answers), "large": teacher(LAYERS)}, CPU)
    assert torch.equal(both.logits("llm", rows), answers[rows])
    alone = TeacherBank({"large": teacher(LAYERS)}, CPU)
    assert torch.equal(both.logits("large", rows), alone.logits("large", rows))
    assert both.queries == {"llm": 0, "large": 4}
    for ours, theirs in zip(
        both.hidden_states("large", rows), alone.hidden_states("large", rows), strict=True
    ):
        assert torch.equal(ours, theirs)
