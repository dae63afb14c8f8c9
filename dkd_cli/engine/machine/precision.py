"""Device and precision of a run, decided once and reported in one line."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch

from dkd_cli.engine.machine import products  # noqa: F401  before anything is multiplied
from dkd_cli.errors import SystemProblem


@dataclass(frozen=True)
class Compute:
    """A device and the number format of matrix products."""

    device: torch.device
    dtype: torch.dtype
    reason: str

    @property
    def name(self) -> str:
        """`fp32`, `bf16` or `fp16`."""
        return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.dtype]

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context for a forward pass; does nothing in fp32."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def __str__(self) -> str:
        cores = f", {torch.get_num_threads()} threads" if self.device.type == "cpu" else ""
        return f"{self.device.type}{cores}, {self.name} ({self.reason})"


def overflows_bf16(error: Exception) -> bool:
    """Return whether an architecture's own code fails under bf16, such as DeBERTa's mask of float32."""
    return isinstance(error, RuntimeError) and "to type c10::BFloat16 without overflow" in str(error)


def decide(precision: str) -> Compute:
    """Choose the device and resolve `auto`; refuse formats that the hardware lacks.

    Args:
        precision: `auto`, `fp32`, `bf16` or `fp16`, as in the recipe.

    Raises:
        SystemProblem: for fp16 without a GPU, or bf16 on a GPU without it.
    """
    if torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
        fast_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        device = torch.device("cpu")
        fast_bf16 = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    if precision == "fp16" and device.type == "cpu":
        raise SystemProblem(
            "train.precision", "fp16 needs a GPU and there is none", "choose auto, fp32 or bf16"
        )
    if precision == "bf16" and device.type == "cuda" and not fast_bf16:
        raise SystemProblem("train.precision", "this GPU has no bf16", "choose auto or fp16")
    if precision != "auto":
        named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        return Compute(device, named[precision], "as asked for")
    if fast_bf16:
        return Compute(device, torch.bfloat16, "the hardware multiplies it fast")
    if device.type == "cuda":
        return Compute(device, torch.float16, "this GPU has no bf16")
    return Compute(device, torch.float32, "this CPU has no fast bf16")
