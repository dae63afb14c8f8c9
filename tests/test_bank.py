"""TeacherBank: each text once, always in eval mode, on disk or not the same; and teachers that are files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from damage import flip
from small import CPU, LABELS, encoded, save_classifier, split, task_data
from torch import Tensor

from dkd_cli.data.encoding import PaddingCollator, encode
from dkd_cli.data.examples import Split
from dkd_cli.engine.cache import rows as cached_rows
from dkd_cli.engine.cache.entries import Cache
from dkd_cli.engine.cache.fingerprint import fingerprint
from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.method.given import PROBABILITY_FLOOR, probability_logits
from dkd_cli.engine.models.models import load_classifier
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.engine.teachers.bank import (
    NO_TEACHERS,
    Cached,
    FrozenTeacher,
    RecordedTeacher,
    TeacherBank,
)
from dkd_cli.errors import NumericError

ALL = torch.arange(48)
TEXTS = list(task_data().splits["train"].texts)
PLACE = torch.tensor([TEXTS.index(text) for text in TEXTS])
"""For each row the first one with its text: some are equally short."""
DISTINCT = len(set(TEXTS))
UNLIKE = PLACE.unique()
"""The first row of each text."""
LAYERS = (0, 2, 4)

Make = Callable[..., FrozenTeacher]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A classifier whose dropout would change everything, were it on."""
    made = tmp_path_factory.mktemp("teacher")
    return save_classifier(
        made, tiny_encoder, LABELS, hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5
    )


@pytest.fixture
def teacher(folder: Path) -> Make:
    def load(
        layers: tuple[int, ...] = (),
        positions: Literal["all", "first"] = "all",
        cache: Cache | None = None,
        texts: Split | None = None,
    ) -> FrozenTeacher:
        data = task_data()
        tokens, collator = encoded(folder, texts or data.splits["train"])
        model = load_classifier(str(folder), data).model
        cached = None
        if cache is not None:
            cached = Cached(cache, "large", fingerprint(model, str(folder), "teachers.large", [0, 1], cache))
        return FrozenTeacher(model, tokens, collator, layers, positions, cached)

    return load


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty one in which a warning is an error."""
    return Cache(tmp_path / "cache", 10**9, pytest.fail)


def by_hand(teacher: FrozenTeacher, row: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Logits [C] and all layers [L, H] of one row, computed alone."""
    ids = torch.tensor(list(teacher.encoded[row]["input_ids"]))[None]
    with torch.no_grad():
        output = teacher.model.eval()(input_ids=ids, output_hidden_states=True)
    return output.logits[0], tuple(layer[0] for layer in output.hidden_states)


def test_logits_are_the_models_own_whatever_the_batch(teacher: Make) -> None:
    one = teacher()
    bank = TeacherBank({"large": one}, CPU)
    rows = torch.tensor([7, 0, 33, 8])
    assert len({one.encoded.lengths[row] for row in rows.tolist()}) > 2, "rows of several lengths"
    expected = torch.stack([by_hand(one, row)[0] for row in rows.tolist()])
    torch.testing.assert_close(bank.logits("large", rows), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(bank.logits("large", rows.flip(0)), expected.flip(0), rtol=1e-5, atol=1e-5)


def test_an_answer_has_the_same_bits_whatever_stands_beside_it(teacher: Make) -> None:
    one = TeacherBank({"large": teacher(LAYERS)}, CPU)
    together, states = one.logits("large", UNLIKE), one.hidden_states("large", UNLIKE)
    for at, row in enumerate(UNLIKE):
        alone = TeacherBank({"large": teacher(LAYERS)}, CPU)
        assert torch.equal(alone.logits("large", row[None])[0], together[at])
        for ours, theirs in zip(alone.hidden_states("large", row[None]), states, strict=True):
            assert torch.equal(ours[0], theirs[at, : ours.size(1)])


def test_in_bf16_an_answer_is_the_same_within_the_tolerance(pretrained: str) -> None:
    """What docs/performance.md says of it."""
    built = build_classifier(pretrained, task_data(), layers=6, seed=1, key="a test")
    tokens = encode(split("train", 0, 32), built.tokenizer, 16)
    found = []
    for size in (1, 7, 32):
        one = FrozenTeacher(built.model, tokens, PaddingCollator(built.tokenizer), (2, 4, 6))
        bank = TeacherBank({"large": one}, Compute(CPU.device, torch.bfloat16, "the tests"))
        logits, states = [], []
        for rows in torch.arange(32).split(size):
            logits.append(bank.logits("large", rows))
            layers = torch.stack(bank.hidden_states("large", rows), dim=1).float()
            states += [layers[at, :, : tokens.lengths[row]] for at, row in enumerate(rows.tolist())]
        found.append((torch.cat(logits), states))
    (expected, as_expected), *others = found
    for logits, states in others:
        assert (logits - expected).abs().max() < 0.02 * expected.abs().max()
        for ours, theirs in zip(states, as_expected, strict=True):
            assert ((ours - theirs).norm(dim=(1, 2)) < 0.02 * theirs.norm(dim=(1, 2))).all()


def test_hidden_states_are_written_before_logits(
    teacher: Make, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the two leaves no logits whose hidden states would be asked for in another batch."""
    monkeypatch.setattr(cached_rows, "FLUSH_ROWS", 1)
    bank = TeacherBank({"large": teacher(LAYERS, cache=cache)}, CPU)
    written: list[int] = []
    write = cached_rows.write_shard

    def told(*args: Any) -> None:
        written.append(args[5])
        write(*args)

    monkeypatch.setattr(cached_rows, "write_shard", told)
    bank.logits("large", UNLIKE[:3])
    assert written == [len(LAYERS) * 32, 2], "the width of hidden states, then that of logits"


def test_each_row_is_computed_once(teacher: Make) -> None:
    one = teacher()
    computed: list[int] = []
    one.model.register_forward_hook(lambda module, args, output: computed.append(len(output.logits)))
    bank = TeacherBank({"large": one, "other": teacher()}, CPU)
    bank.logits("large", torch.tensor([1, 2, 3]))
    bank.logits("large", torch.tensor([3, 1]))
    assert bank.queries["large"] == 3
    bank.logits("large", torch.tensor([4, 2, 5]))
    assert bank.queries["large"] == 5
    bank.logits("large", ALL)
    assert bank.queries["large"] == DISTINCT
    passes = len(computed)
    bank.logits("large", ALL)
    assert len(computed) == passes
    assert bank.queries["other"] == 0


def test_answers_outlive_the_run(teacher: Make) -> None:
    one = teacher(LAYERS)
    first = TeacherBank({"large": one}, CPU)
    logits, states = first.logits("large", ALL), first.hidden_states("large", ALL)
    second = TeacherBank({"large": one}, CPU)
    assert torch.equal(second.logits("large", ALL), logits)
    for ours, theirs in zip(second.hidden_states("large", ALL), states, strict=True):
        assert torch.equal(ours, theirs)
    assert second.queries == {"large": 0}


def test_logits_and_hidden_states_come_from_one_pass(teacher: Make) -> None:
    bank = TeacherBank({"large": teacher(LAYERS)}, CPU)
    bank.logits("large", ALL[:8])
    bank.hidden_states("large", ALL[:8])
    assert bank.queries["large"] == 8


def test_hidden_states_are_the_models_own_and_padded_with_zeros(teacher: Make) -> None:
    one = teacher(LAYERS)
    rows = [7, 0, 33, 8]
    lengths = [one.encoded.lengths[row] for row in rows]
    found = TeacherBank({"large": one}, CPU).hidden_states("large", torch.tensor(rows))
    assert len(found) == len(LAYERS)
    for layer, states in zip(LAYERS, found, strict=True):
        assert states.shape == (4, max(lengths), 32)
        for place, row in enumerate(rows):
            alone = by_hand(one, row)[1][layer]
            # bf16 keeps eight digits of a number in base two
            torch.testing.assert_close(states[place, : lengths[place]].float(), alone, rtol=2**-8, atol=1e-5)
            assert states[place, lengths[place] :].eq(0).all()


@pytest.mark.parametrize("kept_on_disk", [False, True])
def test_of_the_first_position_nothing_else_is_kept(teacher: Make, cache: Cache, kept_on_disk: bool) -> None:
    everything = TeacherBank({"large": teacher(LAYERS)}, CPU).hidden_states("large", ALL)
    bank = TeacherBank({"large": teacher(LAYERS, "first", cache if kept_on_disk else None)}, CPU)
    for _ in range(2):
        found = bank.hidden_states("large", ALL)
        bank.flush()
        assert [states.shape for states in found] == [(48, 1, 32)] * len(LAYERS)
        for one, layer in zip(found, everything, strict=True):
            assert torch.equal(one, layer[:, :1])


def test_hidden_states_are_kept_on_disk_or_not_at_all(teacher: Make, cache: Cache) -> None:
    with_cache, bare = teacher(LAYERS, cache=cache), teacher(LAYERS)
    banks = [TeacherBank({"large": one}, CPU) for one in (with_cache, bare)]
    for rows in (UNLIKE[:8], UNLIKE[20:28], UNLIKE[:8], UNLIKE[4:12]):
        kept, again = (bank.hidden_states("large", rows) for bank in banks)
        for one, other in zip(kept, again, strict=True):
            torch.testing.assert_close(one.float(), other.float(), rtol=2**-7, atol=1e-6)
    assert [bank.queries["large"] for bank in banks] == [20, 32]


# On disk -------------------------------------------------------------------------------------------------


def ask(bank: TeacherBank, batches: list[Tensor]) -> list[Tensor]:
    """Logits and hidden states of some batches."""
    found = []
    with bank.kept():
        for rows in batches:
            found += [bank.logits("large", rows), *bank.hidden_states("large", rows)]
            bank.flush()
    return found


@pytest.mark.parametrize("flush_bytes", [1, 20_000, 2**25])
def test_another_process_finds_the_same_bits_and_asks_nothing(
    teacher: Make, cache: Cache, monkeypatch: pytest.MonkeyPatch, flush_bytes: int
) -> None:
    monkeypatch.setattr(cached_rows, "FLUSH_BYTES", flush_bytes)
    batches = [ALL[20:28], ALL[:8], ALL[24:40]]
    cold = TeacherBank({"large": teacher(LAYERS, cache=cache)}, CPU)
    first = ask(cold, batches)
    warm = TeacherBank({"large": teacher(LAYERS, cache=cache)}, CPU)
    for one, other in zip(first, ask(warm, batches), strict=True):
        assert torch.equal(one, other)
    distinct = len(set(PLACE[torch.cat(batches)].tolist()))
    assert cold.tally() == ({"large": distinct}, {"large": 0})
    assert warm.tally() == ({"large": 0}, {"large": distinct})
    assert [(entry.rows, entry.hits) for entry in cache.entries()] == [(distinct, distinct)] * 2


def test_without_the_cache_the_first_answers_are_the_same_bits(teacher: Make, cache: Cache) -> None:
    batches = [UNLIKE[20:28], UNLIKE[:8], UNLIKE[28:40]]
    first, second = (
        ask(TeacherBank({"large": teacher(LAYERS, cache=one)}, CPU), batches) for one in (cache, None)
    )
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


def test_a_text_is_found_in_another_split_and_order(teacher: Make, cache: Cache) -> None:
    with (bank := TeacherBank({"large": teacher(cache=cache)}, CPU)).kept():
        whole = bank.logits("large", ALL)
    part = split("train", 0, 30)
    rows = list(range(29, 9, -1))
    turned = replace(
        part,
        texts=[part.texts[row] for row in rows],
        labels=[1] * len(rows),
        example_ids=[f"other-{row}" for row in rows],
    )
    other = TeacherBank({"large": teacher(cache=cache, texts=turned)}, CPU)
    assert torch.equal(other.logits("large", torch.arange(20)), whole[rows])
    assert other.queries == {"large": 0}


def test_logits_are_shared_whatever_layers_are_aligned(teacher: Make, cache: Cache) -> None:
    with (bank := TeacherBank({"large": teacher(LAYERS, cache=cache)}, CPU)).kept():
        bank.hidden_states("large", ALL)
    plain = TeacherBank({"large": teacher(cache=cache)}, CPU)
    plain.logits("large", ALL)
    assert plain.queries == {"large": 0}
    other = TeacherBank({"large": teacher((0, 1), cache=cache)}, CPU)
    assert torch.equal(other.logits("large", ALL), plain.logits("large", ALL))
    assert other.queries == {"large": 0}
    other.hidden_states("large", ALL)
    assert other.queries == {"large": DISTINCT}


def test_two_at_work_share_as_they_go(teacher: Make, cache: Cache) -> None:
    one, other = (TeacherBank({"large": teacher(LAYERS, cache=cache)}, CPU) for _ in range(2))
    found = ask(one, [ALL[:16]])
    for mine, theirs in zip(found, ask(other, [ALL[:16]]), strict=True):
        assert torch.equal(mine, theirs)
    assert other.queries == {"large": 0}


def test_what_differs_in_precision_is_not_mixed(teacher: Make, cache: Cache) -> None:
    one = teacher(cache=cache)
    half = Compute(CPU.device, torch.bfloat16, "the tests")
    with (bank := TeacherBank({"large": one}, CPU)).kept():
        exact = bank.logits("large", ALL)
    with (bank := TeacherBank({"large": one}, half)).kept():
        rounded = bank.logits("large", ALL)
    assert bank.queries == {"large": DISTINCT}
    assert not torch.equal(exact, rounded)
    assert {entry.facts["precision"] for entry in cache.entries()} == {"fp32", "bf16"}


def test_a_damaged_shard_is_computed_again(teacher: Make, tmp_path: Path) -> None:
    said: list[str] = []
    cache = Cache(tmp_path / "cache", 10**9, said.append)
    first = ask(TeacherBank({"large": teacher(LAYERS, cache=cache)}, CPU), [ALL[:16]])
    shards = sorted(cache.root.glob("*/*.shard"))
    for shard in shards:
        flip(shard, -40)  # in the payload
    bank = TeacherBank({"large": teacher(LAYERS, cache=cache)}, CPU)
    for one, other in zip(first, ask(bank, [ALL[:16]]), strict=True):
        assert torch.equal(one, other)
    assert len(shards) == len(said) == 2
    assert all("does not match its checksum" in line for line in said)
    assert bank.queries == {"large": len(set(PLACE[:16].tolist()))}


def test_dropout_is_off_even_for_a_teacher_that_was_in_training(folder: Path) -> None:
    data = task_data()
    model = load_classifier(str(folder), data).model
    model.train().requires_grad_(True)
    one = FrozenTeacher(model, *encoded(folder, data.splits["train"]))
    assert model.config.hidden_dropout_prob == 0.5
    assert not any(module.training for module in model.modules())
    assert not any(weight.requires_grad for weight in model.parameters())
    answers = TeacherBank({"large": one}, CPU).logits("large", ALL)
    fresh = FrozenTeacher(load_classifier(str(folder), data).model, *encoded(folder, data.splits["train"]))
    torch.testing.assert_close(answers, TeacherBank({"large": fresh}, CPU).logits("large", ALL))
    assert not answers.requires_grad


def test_what_a_caller_does_to_an_answer_stays_with_the_caller(teacher: Make) -> None:
    bank = TeacherBank({"large": teacher()}, CPU)
    before = bank.logits("large", ALL).clone()
    bank.logits("large", ALL).zero_()
    assert torch.equal(bank.logits("large", ALL), before)


def test_a_bank_is_no_module() -> None:
    assert not isinstance(NO_TEACHERS, torch.nn.Module)
    assert NO_TEACHERS.queries == {}


@pytest.mark.parametrize("ask", ["logits", "hidden_states"])
def test_broken_weights_name_the_example(teacher: Make, ask: str) -> None:
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


def test_a_file_answers_beside_a_model_and_is_never_queried(teacher: Make) -> None:
    answers = torch.randn(48, 2, generator=torch.Generator().manual_seed(4))
    rows = torch.tensor([5, 0, 47, 5])
    both = TeacherBank({"llm": RecordedTeacher(answers), "large": teacher(LAYERS)}, CPU)
    assert torch.equal(both.logits("llm", rows), answers[rows])
    alone = TeacherBank({"large": teacher(LAYERS)}, CPU)
    assert torch.equal(both.logits("large", rows), alone.logits("large", rows))
    assert both.queries == {"llm": 0, "large": 3}
    assert both.tally()[1] == {"llm": 0, "large": 0}
    for ours, theirs in zip(
        both.hidden_states("large", rows), alone.hidden_states("large", rows), strict=True
    ):
        assert torch.equal(ours, theirs)
