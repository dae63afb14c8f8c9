"""What `auto` comes to on each kind of hardware, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from dkd_cli.engine.machine.precision import decide
from dkd_cli.errors import SystemProblem


@dataclass(frozen=True)
class Hardware:
    """What torch would say of a machine."""

    gpu: bool = False
    gpu_bf16: bool = False
    amx: bool = False
    avx512_bf16: bool = False

    def pretend(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: self.gpu)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: self.gpu_bf16)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: self.amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: self.avx512_bf16)


@pytest.mark.parametrize(
    ("hardware", "device", "name"),
    [
        (Hardware(), "cpu", "fp32"),
        (Hardware(amx=True), "cpu", "bf16"),
        (Hardware(avx512_bf16=True), "cpu", "bf16"),
        (Hardware(gpu=True, gpu_bf16=True), "cuda", "bf16"),
        (Hardware(gpu=True, amx=True), "cuda", "fp16"),
    ],
)
def test_auto(hardware: Hardware, device: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hardware.pretend(monkeypatch)
    found = decide("auto")
    assert (found.device.type, found.name) == (device, name)
    assert str(found).startswith(device)
    assert name in str(found)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_cpu_does_what_it_is_asked(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Hardware().pretend(monkeypatch)
    assert decide(precision).name == precision


@pytest.mark.parametrize(
    ("hardware", "precision"), [(Hardware(amx=True), "fp16"), (Hardware(gpu=True), "bf16")]
)
def test_what_the_hardware_lacks_is_refused(
    hardware: Hardware, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware.pretend(monkeypatch)
    with pytest.raises(SystemProblem, match=precision) as caught:
        decide(precision)
    assert (caught.value.place, caught.value.exit_code) == ("train.precision", 5)


@pytest.mark.parametrize(("precision", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_widens_nothing_but_matrix_products(
    precision: str, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    Hardware().pretend(monkeypatch)
    compute = decide(precision)
    with compute.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected
        assert (torch.ones(2) + torch.ones(2)).dtype == torch.float32
