"""One step of every strategy: equivalences, which rows the teachers are asked for, and no NaN anywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from small import seen
from steps import ALL_PLANS, CLASSES, LAYERS, WIDTH, Oracle, resolved, step, student_of
from torch import Tensor
from torch.nn import functional as F

from dkd_cli.data.examples import NO_LABEL
from dkd_cli.engine.method.distillation import StepLoss, StudentOutput, distillation_step
from dkd_cli.engine.method.hidden_losses import hidden_directions
from dkd_cli.engine.method.losses import kd_mse
from dkd_cli.engine.method.selection import select
from dkd_cli.engine.method.uncertainty import entropy
from dkd_cli.recipe.strategy_section import DataSelection, Objective, TeacherAdoption


@pytest.mark.parametrize("size", [0.0, 1.0, 1e3])
@pytest.mark.parametrize("batch", [1, 2, 3, 8])
@pytest.mark.parametrize("name", ALL_PLANS)
def test_every_batch_gives_numbers(name: str, batch: int, size: float) -> None:
    loss, student, _ = step(ALL_PLANS[name], torch.arange(batch), size=size)
    assert loss.total.isfinite()
    assert all(term.isfinite() and not term.requires_grad for term in loss.terms.values())
    loss.total.backward()
    for tensor in (student.logits, *student.hidden_states):
        assert tensor.grad is None or tensor.grad.isfinite().all()


@pytest.mark.parametrize("name", ALL_PLANS)
def test_the_loss_is_the_weighted_sum_of_its_terms(name: str) -> None:
    plan = ALL_PLANS[name]
    loss, _, _ = step(plan)
    whole = plan.objective.ce_weight * loss.terms["ce"]
    if plan.teachers:
        whole = whole + plan.objective.kd_weight * loss.terms["kd"]
    if plan.hidden_weight > 0:
        whole = whole + plan.hidden_weight * loss.terms["pt"]
    torch.testing.assert_close(loss.total.detach(), whole)


def test_none_is_plain_cross_entropy() -> None:
    loss, student, oracle = step(resolved("none"))
    torch.testing.assert_close(loss.total, F.cross_entropy(student.logits, torch.arange(8) % CLASSES))
    assert set(loss.terms) == {"ce"}
    assert oracle.asked == {"small": [], "large": []}


def test_static_is_the_mean_over_the_batch_of_the_large_teacher() -> None:
    objective = Objective(kd_weight=2.0, ce_weight=0.5, hidden_weight=3.0)
    loss, student, oracle = step(resolved("static", objective=objective))
    rows = torch.arange(8)
    kd = kd_mse(student.logits, oracle.logits("large", rows)).mean()
    pt = hidden_directions(
        student.hidden_states[:2], oracle.hidden_states("large", rows), student.mask
    ).mean()
    ce = F.cross_entropy(student.logits, rows % CLASSES)
    torch.testing.assert_close(loss.total, 0.5 * ce + 2.0 * kd + 3.0 * pt)
    assert oracle.asked["small"] == []


LOGITS = Objective(hidden_weight=0.0)
IDENTITIES = {
    "ratio 1": resolved("dynamic-data", data=DataSelection(ratio=1.0), objective=LOGITS),
    "score none": resolved("dynamic-data", data=DataSelection(score="none", ratio=0.1), objective=LOGITS),
    "constant teacher weights": resolved(
        "dynamic-teacher",
        adoption=TeacherAdoption(mode="static", weights={"small": 0.0, "large": 1.0}),
        objective=LOGITS,
    ),
    "fixed objective": resolved("dynamic-objective", objective=Objective(mode="fixed", hidden_weight=0.0)),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_an_axis_that_stands_still_is_static(name: str) -> None:
    expected, reference, _ = step(resolved("static", objective=LOGITS))
    found, student, oracle = step(IDENTITIES[name])
    expected.total.backward()
    found.total.backward()
    assert found.total == expected.total
    assert reference.logits.grad is not None
    assert student.logits.grad is not None
    assert torch.equal(student.logits.grad, reference.logits.grad)
    assert oracle.asked["small"] == []


@pytest.mark.parametrize("mode", ["soft", "soft-instance"])
def test_a_student_without_doubts_learns_from_the_large_teacher_alone(mode: Any) -> None:
    found, _, _ = step(resolved("dynamic-teacher", adoption=TeacherAdoption(mode=mode)), size=1e4)
    static, _, _ = step(resolved("static"), size=1e4)
    torch.testing.assert_close(found.total, static.total)


def test_soft_and_soft_instance_agree_on_a_batch_of_one() -> None:
    totals = [
        step(resolved("dynamic-teacher", adoption=TeacherAdoption(mode=mode)), torch.tensor([5]))[0].total
        for mode in ("soft", "soft-instance")
    ]
    torch.testing.assert_close(*totals)


def test_teachers_are_asked_for_the_selected_rows_alone() -> None:
    rows = torch.tensor([11, 3, 7, 0, 9, 4, 2, 8])
    plan = resolved(
        "dynamic-data,dynamic-teacher,dynamic-objective",
        data=DataSelection(score="entropy", ratio=0.5),
        adoption=TeacherAdoption(mode="hard"),
    )
    loss, student, oracle = step(plan, rows)
    order = entropy(student.logits).argsort(descending=True)
    unsure, surer = rows[order[:2]].tolist(), rows[order[2:4]].tolist()
    assert set(oracle.asked["small"]) == set(unsure)
    assert set(oracle.asked["large"]) == set(surer)
    assert loss.terms["share-selected"] == 0.5
    assert loss.terms["share-small"] == loss.terms["share-large"] == 0.25
    loss.total.backward()
    assert student.hidden_states[0].grad is not None
    reached = student.hidden_states[0].grad.abs().sum(dim=(1, 2)) > 0
    assert set(rows[reached].tolist()) == set(unsure + surer)


def test_a_weight_of_0_asks_nobody() -> None:
    objective = Objective(kd_weight=0.0, hidden_weight=0.0)
    _, _, oracle = step(resolved("dynamic-teacher", objective=objective))
    assert oracle.asked == {"small": [], "large": []}


def test_without_labels_the_teachers_teach_alone() -> None:
    loss, _, oracle = step(resolved("static", objective=LOGITS), labelled=False)
    assert "ce" not in loss.terms
    assert loss.total == loss.terms["kd"] > 0
    assert oracle.asked["large"] == list(range(8))


def test_hard_labels_are_the_teachers_predictions_and_all_that_is_learnt() -> None:
    plan = replace(resolved("none"), teachers=("large",), hard=True)
    loss, student, oracle = step(plan, labelled=False)
    assert set(loss.terms) == {"ce"}
    assert oracle.asked == {"small": [], "large": list(range(8))}
    predicted = oracle.logits("large", torch.arange(8)).argmax(dim=1)
    torch.testing.assert_close(loss.total, F.cross_entropy(student.logits, predicted))


@pytest.mark.parametrize("mode", ["uncertainty", "uncertainty-r"])
def test_the_weights_of_the_objective_are_logged_and_do_not_train(mode: Any) -> None:
    loss, student, oracle = step(resolved("dynamic-objective", objective=Objective(mode=mode, ce_weight=0)))
    doubt = entropy(student.logits)
    terms = loss.terms
    torch.testing.assert_close(terms["uncertainty"], doubt.mean())
    torch.testing.assert_close(terms["kl-weight"] + terms["pt-weight"], torch.tensor(1.0))
    torch.testing.assert_close(terms["pt-weight" if mode == "uncertainty" else "kl-weight"], doubt.mean())
    share = 1 - doubt if mode == "uncertainty" else doubt
    by_hand = (share * kd_mse(student.logits, oracle.logits("large", torch.arange(8)))).mean()
    (expected,) = torch.autograd.grad(by_hand, student.logits)
    (found,) = torch.autograd.grad(loss.total, student.logits)
    torch.testing.assert_close(found, expected)


def test_the_order_of_the_batch_does_not_matter() -> None:
    rows = torch.tensor([4, 1, 7, 3, 0, 6])
    for name, plan in ALL_PLANS.items():
        if "random" not in name:
            one, other = step(plan, rows)[0], step(plan, rows.flip(0))[0]
            torch.testing.assert_close(one.total, other.total, msg=name)


# Examples that count more than others --------------------------------------------------------------------


def test_the_weights_of_a_pool_weigh_every_term() -> None:
    """And the shares are those of the pool, of which 6 in 12 were chosen."""
    plan, rows, oracle = resolved("static", objective=Objective(hidden_weight=3.0)), torch.arange(6), Oracle()
    weights = torch.tensor([2.0, 0.5, 1.0, 1.5, 0.25, 0.75])
    student = replace(student_of(rows, oracle), weights=weights, pool=12)
    found = distillation_step(plan, student, rows % CLASSES, rows, oracle, LAYERS).terms
    each = [step(plan, row[None])[0].terms for row in rows]
    for name in ("ce", "kd", "pt"):
        by_hand = (weights * torch.stack([terms[name] for terms in each])).mean()
        torch.testing.assert_close(found[name], by_hand, msg=name)
    assert found["share-selected"] == found["share-large"] == 0.5


def test_a_weighted_draw_in_a_batch_estimates_kd_and_leaves_the_labels_alone() -> None:
    """The mean of 500 draws is within 4 standard errors of KD on the whole batch."""
    everything = step(resolved("static"))[0].terms
    drawn = resolved("dynamic-data", data=DataSelection(score="entropy", ratio=0.25, keep="weighted"))
    torch.manual_seed(0)
    found = [step(drawn)[0].terms for _ in range(500)]
    assert all(torch.equal(terms["ce"], everything["ce"]) for terms in found)
    kd = torch.stack([terms["kd"] for terms in found])
    assert kd.std() > 0
    assert kd.mean().item() == pytest.approx(everything["kd"].item(), abs=4 * kd.std().item() / 500**0.5)


def test_a_selection_scaled_by_its_ratio_has_the_ratio_of_the_weight() -> None:
    data = DataSelection(ratio=0.25, scale="ratio")
    objective = Objective(hidden_weight=2.0)
    found = step(resolved("dynamic-data", data=data, objective=objective))[0].terms
    whole = step(resolved("dynamic-data", data=replace(data, scale="mean"), objective=objective))[0].terms
    assert torch.equal(found["ce"], whole["ce"])
    for term in ("kd", "pt"):
        torch.testing.assert_close(found[term], 0.25 * whole[term])


def test_llkd_asks_the_teacher_about_the_whole_batch() -> None:
    loss, _, oracle = step(
        resolved("dynamic-data", data=DataSelection(score="llkd", ratio=0.25), objective=LOGITS)
    )
    assert oracle.asked["large"][:8] == list(range(8))
    assert len(oracle.asked["large"]) == 8 + 2
    assert loss.terms["share-selected"] == 0.25


# More than two teachers ----------------------------------------------------------------------------------

THREE = ("small", "medium", "large")


def by_three(mode: Any, size: float) -> tuple[StepLoss, StudentOutput, Oracle]:
    plan = resolved(
        "dynamic-teacher",
        adoption=TeacherAdoption(mode=mode),
        objective=Objective(ce_weight=0, hidden_weight=2.0),
        teachers=THREE,
    )
    oracle, rows = Oracle(THREE), torch.arange(9)
    student = student_of(rows, oracle, size)
    found = distillation_step(plan, student, None, rows, oracle, {name: [0, 1] for name in THREE})
    return found, student, oracle


def taught(student: StudentOutput, oracle: Oracle, name: str, rows: Tensor) -> Tensor:
    """KD + 2 PT of each of the rows, [n]."""
    aligned = oracle.hidden_states(name, rows)
    length = aligned[0].size(1)
    own = [layer[rows, :length] for layer in student.hidden_states[:2]]
    pt = hidden_directions(own, aligned, student.mask[rows, :length])
    return kd_mse(student.logits[rows], oracle.logits(name, rows)) + 2.0 * pt


def test_three_teachers_share_the_ranking_in_thirds() -> None:
    found, student, oracle = by_three("hard", 1.0)
    asked = {name: set(rows) for name, rows in oracle.asked.items()}
    parts = entropy(student.logits).argsort(descending=True).split(3)
    assert asked == {name: set(part.tolist()) for name, part in zip(THREE, parts, strict=True)}
    expected = [taught(student, oracle, name, part).mean() for name, part in zip(THREE, parts, strict=True)]
    torch.testing.assert_close(found.total, torch.stack(expected).sum())
    assert [round(found.terms[f"share-{name}"].item(), 4) for name in THREE] == [0.3333] * 3


@pytest.mark.parametrize("size", [0.1, 1.0, 4.0])
def test_soft_weighs_the_two_nearest_of_three_teachers(size: float) -> None:
    found, student, oracle = by_three("soft", size)
    doubt = entropy(student.logits).mean().item()
    unsure = doubt > 0.5
    weights = (2 * doubt - 1, 2 - 2 * doubt, 0.0) if unsure else (0.0, 2 * doubt, 1 - 2 * doubt)
    assert sum(weights) == pytest.approx(1)
    assert unsure == (size < 4)
    terms = [taught(student, oracle, name, torch.arange(9)).mean() for name in THREE]
    expected = sum(weight * term for weight, term in zip(weights, terms, strict=True))
    torch.testing.assert_close(found.total, expected)


# Where hidden states meet --------------------------------------------------------------------------------


class FirstAlone(Oracle):
    """As a bank whose teachers have `positions: first`."""

    def common(self, name: str, rows: Tensor) -> None:
        return None

    def hidden_states(self, name: str, rows: Tensor) -> list[Tensor]:
        return [layer[:, :1] for layer in super().hidden_states(name, rows)]


def test_the_first_position_alone_is_compared_where_the_teacher_gives_no_other() -> None:
    rows, oracle = torch.arange(8), FirstAlone()
    student = student_of(rows, oracle)
    plan = resolved("static", objective=Objective(hidden_weight=3.0))
    loss = distillation_step(plan, student, rows % CLASSES, rows, oracle, LAYERS)
    own = [layer[:, 0] for layer in student.hidden_states[:2]]
    other = [layer[:, 0] for layer in oracle.hidden_states("large", rows)]
    gaps = [
        (F.normalize(mine, dim=-1) - F.normalize(theirs, dim=-1)).square().sum(dim=-1).mean()
        for mine, theirs in zip(own, other, strict=True)
    ]
    torch.testing.assert_close(loss.terms["pt"], torch.stack(gaps).sum().detach())
    loss.total.backward()
    for layer in student.hidden_states[:2]:
        assert layer.grad is not None
        assert layer.grad[:, 1:].eq(0).all()


def test_a_teacher_of_another_width_is_met_through_its_projection() -> None:
    rows, oracle = torch.arange(8), Oracle(width=WIDTH + 3)
    student = student_of(rows, oracle)
    plan = resolved(
        "dynamic-teacher", adoption=TeacherAdoption(mode="soft"), objective=Objective(hidden_weight=1.0)
    )
    made = torch.Generator().manual_seed(6)
    weights = {name: torch.randn(WIDTH + 3, WIDTH, generator=made) for name in LAYERS}
    projections = {name: lambda states, weight=weight: states @ weight.T for name, weight in weights.items()}
    loss = distillation_step(plan, student, rows % CLASSES, rows, oracle, LAYERS, projections)
    doubt = entropy(student.logits).mean()
    expected = [
        hidden_directions(
            [layer @ weights[name].T for layer in student.hidden_states[:2]],
            oracle.hidden_states(name, rows),
            student.mask,
        ).mean()
        for name in ("small", "large")
    ]
    torch.testing.assert_close(loss.terms["pt"], (doubt * expected[0] + (1 - doubt) * expected[1]).detach())


# Rows without a label ------------------------------------------------------------------------------------


def mixed_step(plan: Any, labelled: Tensor, rows: Tensor | None = None) -> tuple[StepLoss, StudentOutput]:
    """A step whose rows without a label hold an id that is none: reading it would fail."""
    rows = torch.arange(8) if rows is None else rows
    oracle = Oracle()
    student = replace(student_of(rows, oracle), labelled=labelled)
    labels = torch.where(labelled, rows % CLASSES, torch.full_like(rows, NO_LABEL))
    return distillation_step(plan, student, labels, rows, oracle, LAYERS), student


SOME = torch.tensor([True, False, False, True, False, True, False, False])


@pytest.mark.parametrize(
    "name", [name for name, plan in ALL_PLANS.items() if plan.objective.kd_loss != "decoupled"]
)
@pytest.mark.parametrize("labelled", [SOME, SOME & False, SOME | True])
def test_every_plan_takes_rows_without_labels(name: str, labelled: Tensor) -> None:
    loss, student = mixed_step(ALL_PLANS[name], labelled)
    loss.total.backward()
    assert loss.total.isfinite()
    assert student.logits.grad is not None
    assert student.logits.grad.isfinite().all()


def test_labels_are_a_mean_over_the_labelled_rows_and_the_teacher_teaches_all() -> None:
    plan = resolved("static", objective=Objective(ce_weight=0.5, hidden_weight=0.0))
    loss, student = mixed_step(plan, SOME)
    rows = torch.arange(8)
    ce = F.cross_entropy(student.logits[SOME], (rows % CLASSES)[SOME])
    kd = kd_mse(student.logits, Oracle().logits("large", rows)).mean()
    torch.testing.assert_close(loss.total, 0.5 * ce + kd)
    torch.testing.assert_close(mixed_step(plan, SOME & False)[0].total, kd)


@pytest.mark.parametrize(
    "name", [name for name, plan in ALL_PLANS.items() if plan.objective.kd_loss != "decoupled"]
)
def test_a_mask_that_leaves_out_nothing_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    whole, _ = mixed_step(ALL_PLANS[name], SOME | True)
    torch.manual_seed(0)
    plain, _, _ = step(ALL_PLANS[name])
    torch.testing.assert_close(whole.total, plain.total)


@pytest.mark.parametrize("score", ["label-loss", "label-loss-r", "label-loss-b"])
def test_rows_without_labels_rank_last_by_a_score_that_reads_labels(score: Any) -> None:
    logits, labels = torch.randn(8, CLASSES), torch.where(SOME, 1, NO_LABEL)
    order = select(DataSelection(score=score, ratio=0.99), seen(logits, labels, labelled=SOME))
    alone = select(DataSelection(score=score, ratio=0.99), seen(logits[SOME], labels[SOME]))
    assert order[:2].tolist() == SOME.nonzero().flatten()[alone].tolist()
    assert bool(SOME[order[2]])
    assert not SOME[order[3:]].any()
