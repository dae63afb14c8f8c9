"""The teachers: frozen, asked by rows, each text answered once.

Not a module and never an attribute of the student: teachers stay in eval mode and out of every checkpoint.
A teacher's answer to a text is a constant, so it is kept: logits in memory and, where there is a cache, on
disk for all later runs; hidden states on disk alone. Rows that read the same are one text.

Hidden states are rounded to bf16 before their first use, as they are kept, so that a run that computes them
and one that finds them learn from the same numbers. Without a cache they are computed again when they are
asked for again, in other batches: in fp32 on a CPU to the same bits, elsewhere up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator
from dkd_cli.engine.cache.entries import Cache, CacheEntry
from dkd_cli.engine.cache.fingerprint import inputs_read
from dkd_cli.engine.cache.rows import CachedRows, Slots
from dkd_cli.engine.cache.shards import Array, row_keys
from dkd_cli.engine.machine.memory import in_halves
from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.machine.processes import ALONE, Processes
from dkd_cli.engine.models.inference import model_inputs
from dkd_cli.engine.models.models import Model, positions
from dkd_cli.engine.models.padding import looks_for_padding
from dkd_cli.engine.models.word_logits import answered
from dkd_cli.engine.teachers.batches import passes
from dkd_cli.engine.teachers.matching import Common
from dkd_cli.engine.teachers.word_rows import WordRows
from dkd_cli.errors import NumericError
from dkd_cli.recipe.words import NO_WORD

FLOAT32 = np.dtype("<f4")
BFLOAT16 = np.dtype("<i2")
"""Its bits: NumPy has no such number."""


@dataclass(frozen=True)
class Cached:
    """Cache entries of a teacher's outputs, and the facts that decide them."""

    cache: Cache
    name: str
    """For people."""
    facts: Mapping[str, Any]
    """As `fingerprint.fingerprint` gives them."""


@dataclass
class FrozenTeacher:
    """One frozen classifier and the training split in its own tokens."""

    model: Model
    encoded: EncodedSplit
    collator: PaddingCollator
    layers: Sequence[int] = ()
    """The layers that `hidden_states` gives, 0 the embeddings."""
    positions: Literal["all", "first"] = "all"
    """Positions of its hidden states: every token's, or only the first token's."""
    cached: Cached | None = None
    """None: nothing is kept on disk."""
    shown: str = "hidden states"
    """Kind of its layers (`attention.show_attention`), under which they are cached."""
    common: Common | None = None
    """Its positions that are the student's; None: all of them, in the same order."""
    most_tokens: int | None = field(init=False)
    """That its positions allow; None: as many as one likes."""
    _answers: dict[str, TeacherOutputs] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.model.requires_grad_(False).eval()
        self.most_tokens = positions(self.model)

    def answers(self, compute: Compute) -> TeacherOutputs:
        """Cached outputs so far, in this precision."""
        if compute.name not in self._answers:
            self._answers[compute.name] = TeacherOutputs(self, compute)
        return self._answers[compute.name]


@dataclass
class RecordedTeacher:
    """A teacher that is a file: it has answered everything beforehand, and has no hidden states."""

    answers: Tensor
    """[N, C]."""


class TeacherOutputs:
    """Cached outputs of one teacher in one precision, for U distinct texts in N rows."""

    def __init__(self, teacher: FrozenTeacher, compute: Compute) -> None:
        inputs = inputs_read(teacher.model, list(teacher.encoded.columns))
        columns = [teacher.encoded.columns[name] for name in inputs]
        words = teacher.encoded.columns.get("words")
        if words is not None:  # the same tokens may be of other words
            inputs, columns = ["words", *inputs], [[[len(row), *row] for row in words], *columns]
        keys = row_keys(columns)
        keys, place = np.unique(keys, return_inverse=True)
        self.place: Slots = place
        """[N], the text that a row is."""
        self.slots = torch.from_numpy(place).to(compute.device)
        """[N], likewise, where the arithmetic happens."""
        classes = teacher.model.config.num_labels
        self.words: WordRows | None = None
        """None where a text has one row of logits."""
        if words is not None:
            sizes = np.ones(len(keys), dtype=np.int64)
            np.maximum.at(sizes, place, [len(row) for row in words])
            self.words = WordRows(torch.from_numpy(sizes).to(compute.device))
        rows = len(keys) if self.words is None else self.words.total
        self.logits = torch.full((rows, classes), float("nan"), device=compute.device)
        """[U, C], or of words those of all texts in turn; texts not answered yet are not numbers."""
        self.unanswered = len(keys)
        self.computed = np.zeros(len(keys), dtype=bool)
        """[U], whether the run at hand computed it."""
        settled: dict[str, Any] = {
            "inputs": inputs,
            "padding": teacher.collator.side,
            "precision": compute.name,
            "device": compute.device.type,
        }
        if looks_for_padding(teacher.model):
            settled["padding_token"] = teacher.collator.padding["input_ids"]
        aligned = {"layers": list(teacher.layers), "positions": teacher.positions}
        width = len(teacher.layers) * teacher.model.config.hidden_size
        self.on_disk = CachedRows(keys, classes, FLOAT32, _entry(teacher, settled | {"kept": "logits"}))
        self.hidden = CachedRows(
            keys,
            width,
            BFLOAT16,
            _entry(teacher, settled | {"kept": teacher.shown} | aligned) if teacher.layers else None,
        )
        self._fill()

    def refresh(self) -> None:
        """Take over the logits that other processes have written meanwhile."""
        if self.on_disk.refresh():
            self._fill()

    def _fill(self) -> None:
        stored = self.on_disk.stored()
        new = stored[self.unknown(torch.from_numpy(stored)).numpy(force=True)]
        if len(new) and self.words is None:
            self.logits[new] = torch.from_numpy(self.on_disk.singles(new)).to(self.logits.device)
        elif len(new) and self.words is not None:
            values = torch.from_numpy(np.concatenate(self.on_disk.rows(new)))
            self.logits[self.words.places(torch.from_numpy(new))] = values.to(self.logits.device)
        self.unanswered -= len(new)

    def unknown(self, slots: Tensor) -> Tensor:
        """Mask of the texts without logits, [n] -> [n]."""
        first = slots if self.words is None else self.words.first[slots]
        return self.logits[first, 0].isnan()

    def read(self, slots: Tensor) -> Tensor:
        """The logits of some texts, [n, C]; of words [n, W, C], filled up with `NO_WORD`."""
        return self.logits[slots] if self.words is None else self.words.read(self.logits, slots)

    def unanswered_rows(self, rows: Sequence[int]) -> list[int]:
        """The first row of each text among these that has no logits yet."""
        lacking = self.unknown(self.slots[list(rows)]).tolist()
        first: dict[int, int] = {}
        for row, lacks in zip(rows, lacking, strict=True):
            if lacks:
                first.setdefault(int(self.place[row]), row)
        return list(first.values())

    def put_logits(self, rows: Sequence[int], logits: Tensor) -> None:
        """Take over new logits, [n, C]; those that are known already stay, so that a text has one answer."""
        slots = self.slots[list(rows)]
        new = self.unknown(slots)
        self.unanswered -= int(new.sum())
        if self.words is None:
            self.logits[slots[new]] = logits[new]
            values = logits[new].numpy(force=True)
            self.on_disk.put({slot: values[i : i + 1] for i, slot in enumerate(slots[new].tolist())})
            return
        sizes = self.words.sizes[slots[new]].tolist()
        own = [one[:size] for one, size in zip(logits[new], sizes, strict=True)]
        if own:
            self.logits[self.words.places(slots[new])] = torch.cat(own)
        texts = zip(slots[new].tolist(), own, strict=True)
        self.on_disk.put({slot: one.numpy(force=True) for slot, one in texts})


def _entry(teacher: FrozenTeacher, facts: Mapping[str, Any]) -> CacheEntry | None:
    if teacher.cached is None:
        return None
    return teacher.cached.cache.attach(teacher.cached.name, {**teacher.cached.facts, **facts})


class TeacherBank:
    """All teachers of a run; `queries` counts the rows each of them really computed."""

    def __init__(self, teachers: Mapping[str, FrozenTeacher | RecordedTeacher], compute: Compute) -> None:
        self._compute = compute
        self._models: dict[str, FrozenTeacher] = {}
        self._answers: dict[str, TeacherOutputs] = {}
        self._recorded: dict[str, Tensor] = {}
        self._asked: dict[str, Queried] = {}
        self.queries = dict.fromkeys(teachers, 0)
        for name, teacher in teachers.items():
            if isinstance(teacher, RecordedTeacher):
                self._recorded[name] = teacher.answers.to(compute.device)
                continue
            teacher.model.to(compute.device)
            self._models[name] = teacher
            known = self._answers[name] = teacher.answers(compute)
            known.refresh()
            known.computed[:] = False
            self._asked[name] = Queried.nothing(known)

    def logits(self, name: str, rows: Tensor) -> Tensor:
        """The teacher's logits for rows of the training split, [n] -> [n, C] float32, of words [n, W, C].

        Raises:
            NumericError: for an answer that is not finite, naming the example.
        """
        rows = rows.to(self._compute.device)
        if name in self._recorded:
            return self._recorded[name][rows]
        known = self._answers[name]
        slots = known.slots[rows]
        self._asked[name].logits[slots] = True
        # Once all is answered nothing is looked at any more, and the device is not waited for.
        if known.unanswered and bool(known.unknown(slots).any()):
            known.refresh()
            self._answer(name, known.unanswered_rows(rows.tolist()))
        return known.read(slots)

    def hidden_states(self, name: str, rows: Tensor) -> list[Tensor]:
        """The teacher's aligned layers for rows of the training split; it must be a model.

        Returns:
            One tensor a layer, [n, L', H] bfloat16, L' the longest of these rows, padded with zeros; L' is 1
            where the teacher's `positions` is `first`. Where student and teacher differ in tokens, positions
            are the student's, and 0 where `common` is.
        """
        teacher, known = self._models[name], self._answers[name]
        places = rows.numpy(force=True)
        slots = known.place[places]
        self._asked[name].hidden[slots] = True
        lacking = known.hidden.lacking(slots)
        if lacking:
            first = dict(zip(slots[::-1].tolist(), places[::-1].tolist(), strict=True))
            self._answer(name, [first[slot] for slot in lacking])
        gathered = torch.from_numpy(known.hidden.gather(slots)).to(self._compute.device)
        states = gathered.view(torch.bfloat16).reshape(*gathered.shape[:2], len(teacher.layers), -1)
        if teacher.common is not None:
            where = teacher.common.batch(places).to(self._compute.device)
            states = states[torch.arange(len(where))[:, None], where.clamp(min=0)]
            states[where < 0] = 0
        return list(states.unbind(dim=2))

    def common(self, name: str, rows: Tensor) -> Tensor | None:
        """Mask of positions with the same token in teacher and student, [n] rows -> [n, L']; None: all."""
        teacher = self._models[name]
        if teacher.common is None:
            return None
        return (teacher.common.batch(rows.numpy(force=True)) >= 0).to(self._compute.device)

    def _answer(self, name: str, rows: list[int]) -> None:
        in_halves(partial(self._compute_rows, name), rows, f"teachers.{name}")

    @torch.no_grad()
    def _compute_rows(self, name: str, rows: list[int]) -> None:
        """Run the teacher on these rows, and keep its logits and the hidden states of aligned layers."""
        if not rows:
            return
        teacher, known = self._models[name], self._answers[name]
        logits: dict[int, Tensor] = {}
        states: dict[int, Array] = {}
        lengths = teacher.encoded.lengths
        for one in passes(rows, lengths, teacher.most_tokens, self._compute):
            batch = teacher.collator([teacher.encoded[row] for row in one.rows], one.length)
            with self._compute.autocast():
                output = teacher.model(
                    **model_inputs(teacher.model, batch, self._compute.device),
                    output_hidden_states=bool(teacher.layers),
                )
            logits |= zip(one.rows, answered(output.logits.float(), batch), strict=True)
            if teacher.layers:
                states |= zip(one.rows, aligned_states(teacher, one.rows, output.hidden_states), strict=True)
        self.queries[name] += len(rows)
        known.computed[known.place[rows]] = True
        answers = pad_sequence([logits[row] for row in rows], batch_first=True, padding_value=NO_WORD)
        bad = (~answers.isfinite()).flatten(1).any(dim=-1).nonzero().flatten()
        if bad.numel():
            example = teacher.encoded.split.example_ids[rows[int(bad[0])]]
            raise NumericError(
                f"teachers.{name}", f"its logits on example {example} are not finite", "train it again"
            )
        # Logits last, as in `flush`: who finds logits on disk finds the hidden states of the same pass. Else
        # a run that goes on after a kill could ask for these in another batch, which may round otherwise.
        if teacher.layers:
            known.hidden.put({int(known.place[row]): values for row, values in states.items()})
        known.put_logits(rows, answers)

    def tally(self, peers: Processes = ALONE) -> tuple[dict[str, int], dict[str, int]]:
        """Count each teacher's queries and cache hits, over all processes of the run.

        A query is a row that was computed; a hit is a text asked for whose answer was there before the run.
        """
        queries, hits = {}, {}
        for name, here in self.queries.items():
            queries[name], hits[name] = sum(peers.all(here)), 0
            if name in self._answers:
                known, asked = self._answers[name], self._asked[name]
                all_asked = peers.all(asked.logits.numpy(force=True) | asked.hidden)
                computed = np.logical_or.reduce(peers.all(known.computed))
                hits[name] = int((np.logical_or.reduce(all_asked) & ~computed).sum())
        return queries, hits

    def flush(self) -> None:
        """Write what waits in memory, so that a run which is killed after this finds it again."""
        for known in self._answers.values():
            known.hidden.flush()
            known.on_disk.flush()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """For the time of a run: however it ends, what waits is written then, and the hits are counted."""
        try:
            yield
        finally:
            self._finish()

    def _finish(self) -> None:
        for name, known in self._answers.items():
            asked = self._asked[name]
            known.hidden.finish(int((asked.hidden & ~known.computed).sum()))
            known.on_disk.finish(int((asked.logits.numpy(force=True) & ~known.computed).sum()))


def aligned_states(teacher: FrozenTeacher, rows: list[int], hidden_states: Sequence[Tensor]) -> list[Array]:
    """The aligned layers side by side, unpadded: for each row [its length or 1, layers * H], bf16 bits."""
    reach = 1 if teacher.positions == "first" else None
    aligned = [hidden_states[layer][:, :reach].bfloat16() for layer in teacher.layers]
    stacked = torch.cat(aligned, dim=2).view(torch.int16).numpy(force=True)
    # Copied: a view would hold the whole batch, padding included, for as long as one row waits.
    return [stacked[i, : reach or teacher.encoded.lengths[row]].copy() for i, row in enumerate(rows)]


@dataclass(frozen=True)
class Queried:
    """Texts for which a run queried one teacher."""

    logits: Tensor
    """[U], true or false, where the arithmetic happens."""
    hidden: NDArray[np.bool_]
    """[U]."""

    @classmethod
    def nothing(cls, known: TeacherOutputs) -> Queried:
        """Before the first question."""
        return cls(
            torch.zeros(len(known.computed), dtype=torch.bool, device=known.logits.device),
            known.computed & False,
        )


NO_TEACHERS = TeacherBank({}, Compute(torch.device("cpu"), torch.float32, "never asked"))
"""For fine-tuning on the labels alone."""
