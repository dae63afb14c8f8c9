"""Loss terms: pure functions that return one value per example, [B, C] -> [B].

Weights and means belong to the strategy. The exception is `dynamic_kd_loss`, the plug-in for other training
loops. Needs nothing but torch.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from dkd_cli.engine.method.labels import by_label
from dkd_cli.engine.method.uncertainty import entropy


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy with the gold class: -log softmax(z)[y].

    Args:
        logits: [B, C].
        labels: [B], class ids.

    Returns:
        [B], in nats.

    >>> cross_entropy(torch.tensor([[0.0, 0.0], [2.0, 2.0]]), torch.tensor([0, 1]))
    tensor([0.6931, 0.6931])
    """
    return F.cross_entropy(logits.float(), labels, reduction="none")


def binary_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of several labels: the mean over labels of -w log σ(z) where one holds, else -log σ(-z).

    Args:
        logits: [B, C].
        labels: [B, C], 1 or 0.
        weights: w, [C]; None: 1.

    Returns:
        [B], in nats per label.

    >>> binary_cross_entropy(torch.tensor([[0.0, 0.0]]), torch.tensor([[1, 0]]))
    tensor([0.6931])
    """
    targets = labels.float()
    return F.binary_cross_entropy_with_logits(
        logits.float(), targets, reduction="none", pos_weight=weights
    ).mean(dim=-1)


def squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Squared error of a predicted number: (z - y)².

    Args:
        logits: [B, 1].
        labels: [B], numbers.

    Returns:
        [B], in squared units of the label.

    >>> squared_error(torch.tensor([[2.5], [1.0]]), torch.tensor([2.0, 1.0]))
    tensor([0.2500, 0.0000])
    """
    return (logits.squeeze(-1).float() - labels.float()).square()


def kd_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """KL divergence (KD-KL): T² Σ_c q_c (log q_c - log p_c), with q and p the softened teacher and student
    (Hinton et al., 2015).

    Args:
        student_logits: [B, C].
        teacher_logits: [B, C].
        temperature: T > 0; the factor T² keeps the gradient's size independent of it.

    Returns:
        [B], in nats times T².

    >>> logits = torch.tensor([[1.0, 2.0, 3.0]])
    >>> kd_kl(logits, logits, temperature=5.0)
    tensor([0.])
    """
    student = F.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.float() / temperature, dim=-1)
    return F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=-1) * temperature**2


def kd_mse(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Squared error of logits (KD-MSE): the mean over classes of (z_s - z_t)², the default of the published
    scripts.

    Args:
        student_logits: [B, C].
        teacher_logits: [B, C].

    Returns:
        [B], in squared logits.

    >>> kd_mse(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]))
    tensor([2.])
    """
    return (student_logits.float() - teacher_logits.float()).square().mean(dim=-1)


def standardised(logits: Tensor) -> Tensor:
    """Z-scores of each example's logits: (z - mean z) / sd z, with the population sd.

    Sun et al. (2024), logit standardisation: the softened logits have no scale or offset of their own. Equal
    logits give zeros.

    Args:
        logits: [B, C] with C >= 3; with two classes only their order would remain.

    Returns:
        [B, C] float32, dimensionless.

    >>> standardised(torch.tensor([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]]))
    tensor([[-1.2247,  0.0000,  1.2247],
            [ 0.0000,  0.0000,  0.0000]])
    """
    centred = logits.float() - logits.float().mean(dim=-1, keepdim=True)
    # Bounded inside the root, whose gradient at 0 is not finite.
    return centred / centred.square().mean(dim=-1, keepdim=True).clamp(min=1e-12).sqrt()


def kd_decoupled(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    temperature: float,
    target_weight: float,
    others_weight: float,
) -> Tensor:
    """Decoupled KD (DKD): T² (α KL(b_t ‖ b_s) + β KL(q̂_t ‖ q̂_s)).

    Zhao et al. (2022), equation 7: b is the target class against all others together (TCKD), q̂ the
    distribution among the others (NCKD). Plain KD is α = 1 and β = 1 - q_target of the teacher.

    Args:
        student_logits: [B, C] with C >= 3: two classes leave one other, and NCKD is 0.
        teacher_logits: [B, C].
        labels: [B], the target classes.
        temperature: T > 0.
        target_weight: α.
        others_weight: β.

    Returns:
        [B], in nats times T².

    >>> student, teacher = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[9.0, 1.0, 0.0]])
    >>> kd_decoupled(student, teacher, torch.tensor([0]), 1.0, target_weight=0.0, others_weight=1.0)
    tensor([0.1109])
    """
    target = F.one_hot(labels, student_logits.size(-1)).bool()

    def parts(logits: Tensor) -> tuple[Tensor, Tensor]:
        scaled = logits.float() / temperature
        log_p = F.log_softmax(scaled, dim=-1)
        others = log_p[~target].view(len(labels), -1)
        together = others.logsumexp(dim=-1)
        return torch.stack([log_p[target], together], dim=-1), others - together[:, None]

    (student_binary, student_others), (teacher_binary, teacher_others) = (
        parts(student_logits),
        parts(teacher_logits),
    )
    by_target = F.kl_div(student_binary, teacher_binary, reduction="none", log_target=True).sum(dim=-1)
    among_others = F.kl_div(student_others, teacher_others, reduction="none", log_target=True).sum(dim=-1)
    return temperature**2 * (target_weight * by_target + others_weight * among_others)


def kd_correlation(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float,
    inter_weight: float,
    intra_weight: float,
) -> Tensor:
    """Correlation loss (DIST): T² (β (1 - ρ of each example's probabilities) + γ (1 - mean over classes of ρ
    over the batch)).

    Huang et al. (2022), inter-class and intra-class relations; ρ is Pearson's correlation, of the softened
    student with the softened teacher. 1 - ρ is half the squared distance of the two, centred and of length 1,
    so both terms are sums over examples: each gets β ½ Σ_c (a_ic - b_ic)² of its row, and of the columns
    γ (B/C) ½ Σ_c (a'_ic - b'_ic)², whose mean over the batch is the second term.

    Args:
        student_logits: [B, C]. The batch is these rows: those that one teacher teaches in one forward pass of
            one process. A single row has no columns to compare: its second term is 0.
        teacher_logits: [B, C].
        temperature: T > 0.
        inter_weight: β. Two classes correlate perfectly or not at all: without gradient.
        intra_weight: γ.

    Returns:
        [B], dimensionless, times T².

    >>> student, teacher = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[0.0, 2.0, 1.0]])
    >>> kd_correlation(student, teacher, 1.0, inter_weight=1.0, intra_weight=1.0)
    tensor([1.8671])
    """
    student = F.softmax(student_logits.float() / temperature, dim=-1)
    teacher = F.softmax(teacher_logits.float() / temperature, dim=-1)
    rows, classes = student.shape
    inter = (_unit(student, dim=-1) - _unit(teacher, dim=-1)).square().sum(dim=-1) / 2
    intra = (_unit(student, dim=0) - _unit(teacher, dim=0)).square().sum(dim=-1) / 2 * (rows / classes)
    return temperature**2 * (inter_weight * inter + intra_weight * intra)


def _unit(values: Tensor, dim: int) -> Tensor:
    """Centre and normalise to length 1 along one dimension."""
    # Smaller variation counts as constant: the gradient of a direction grows as its length shrinks.
    return F.normalize(values - values.mean(dim=dim, keepdim=True), dim=dim, eps=1e-4)


def kd_jensen_shannon(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float, beta: float
) -> Tensor:
    """Generalised Jensen-Shannon divergence (JSD): T² (β KL(q ‖ m) + (1 - β) KL(p ‖ m)), m = β q + (1 - β) p,
    q and p softened as above.

    Agarwal et al. (2024), generalised knowledge distillation. At most T² log 2, however wrong the student is.
    Divided by β, it tends to KL(q ‖ p) as β falls to 0.

    Args:
        student_logits: [B, C].
        teacher_logits: [B, C].
        temperature: T > 0.
        beta: in (0, 1); ½ is the Jensen-Shannon divergence.

    Returns:
        [B], in nats times T².

    >>> kd_jensen_shannon(torch.tensor([[0.0, 99.0]]), torch.tensor([[99.0, 0.0]]), 1.0, beta=0.5)
    tensor([0.6931])
    """
    student = F.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.float() / temperature, dim=-1)
    middle = torch.logaddexp(teacher + math.log(beta), student + math.log1p(-beta))
    far = F.kl_div(middle, teacher, reduction="none", log_target=True).sum(dim=-1)
    near = F.kl_div(middle, student, reduction="none", log_target=True).sum(dim=-1)
    return temperature**2 * (beta * far + (1.0 - beta) * near)


def kd_interpolated(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float, teacher_share: float
) -> Tensor:
    """Interpolated KD (TAID): KD-KL against a target between the two models, softmax of (1 - t) z_s + t z_t,
    with z_s detached.

    Shing et al. (2025), time-dependent intermediate distribution. t = 1 is KD-KL, t = 0 teaches nothing.

    Args:
        student_logits: [B, C].
        teacher_logits: [B, C].
        temperature: T > 0, for both sides.
        teacher_share: t in [0, 1].

    Returns:
        [B], in nats times T².

    >>> student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    >>> kd_interpolated(student, teacher, 1.0, teacher_share=0.5), kd_kl(student, teacher / 2, 1.0)
    (tensor([0.1109]), tensor([0.1109]))
    """
    # Detached: the target must not be moved towards the student.
    target = torch.lerp(student_logits.detach().float(), teacher_logits.float(), teacher_share)
    return kd_kl(student_logits, target, temperature)


def dynamic_kd_loss(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, multi_label: bool = False
) -> Tensor:
    """Plug-in loss: KD-KL weighted by the student's normalised entropy, mean over the batch.

    mean_i u_i · KD-KL_i, with u detached. Add it to the loss on the labels in any training loop.

    Args:
        student_logits: [B, C] with C >= 2.
        teacher_logits: [B, C].
        temperature: softens both sides.
        multi_label: each logit is a label of its own: both factors are means over labels.

    Returns:
        A scalar, in nats times T².

    >>> sure, unsure = torch.tensor([[1000.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> dynamic_kd_loss(sure, unsure), dynamic_kd_loss(unsure, torch.tensor([[1.0, 0.0]]))
    (tensor(0.), tensor(0.1109))
    """
    if multi_label:
        divergence = by_label(partial(kd_kl, temperature=temperature))(student_logits, teacher_logits)
        return (divergence * by_label(entropy)(student_logits)).mean()
    uncertainty = entropy(student_logits)
    return (kd_kl(student_logits, teacher_logits, temperature) * uncertainty).mean()
