from __future__ import annotations

import pytest
import torch

from benchbird import precisions
from benchbird.precisions import (
    Precision,
    cpu_bf16_support,
    default_precisions,
    describe_bf16,
    emulation_warning,
    hardware_precisions,
    precision_fault,
)

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


@pytest.mark.parametrize(
    ("cpuinfo", "names"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 avx512f\n", ()),
        ("flags\t\t: fpu avx512_bf16 sse\n", ("avx512_bf16",)),
        ("flags : avx512_bf16 amx_bf16 amx_tile\nflags : fpu\n", ("avx512_bf16", "amx_bf16")),
        ("Features\t: fp asimd bf16 i8mm\n", ("Arm bf16",)),
        ("flags : avx512_bf16_not\n", ()),
        ("", ()),
    ],
)
def test_bf16_of_a_processor_is_read_from_its_flags(cpuinfo: str, names: tuple[str, ...]) -> None:
    assert cpu_bf16_support(cpuinfo) == names


@pytest.fixture
def bf16(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    support: tuple[str, ...] = request.param
    monkeypatch.setattr(precisions, "cpu_bf16_support", lambda: support)


@pytest.mark.parametrize(
    ("bf16", "protocol", "expected"),
    [
        ((), "fp32", ("fp32",)),
        ((), "bf16", ("bf16", "fp32")),
        ((), "tf32", ("fp32",)),
        (("amx_bf16",), "fp32", ("fp32", "bf16")),
        (("amx_bf16",), "tf32", ("fp32", "bf16")),
    ],
    indirect=["bf16"],
)
@pytest.mark.usefixtures("bf16")
def test_a_cpu_gets_the_protocols_precision_and_what_it_has(
    protocol: Precision, expected: tuple[Precision, ...]
) -> None:
    assert default_precisions(protocol, CPU) == expected


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), ("tf32", "fp32", "bf16")), ((8, 0), ("tf32", "fp32", "bf16"))]
)
def test_a_gpu_with_tensor_cores_for_them_gets_all_three(
    capability: tuple[int, int], expected: tuple[Precision, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert default_precisions("tf32", CUDA) == expected
    assert emulation_warning(expected, CUDA) is None


def test_an_older_gpu_gets_fp32_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert hardware_precisions(CUDA) == ("fp32",)
    assert "emulated" in (emulation_warning(["bf16"], CUDA) or "")
    assert "not in hardware" in describe_bf16(CUDA)


@pytest.mark.parametrize("bf16", [()], indirect=True)
@pytest.mark.usefixtures("bf16")
def test_bf16_without_instructions_is_allowed_with_a_warning() -> None:
    assert precision_fault(["bf16"], CPU) is None
    assert "processor has no instructions" in (emulation_warning(["fp32", "bf16"], CPU) or "")
    assert emulation_warning(["fp32"], CPU) is None
    assert "emulation only" in describe_bf16(CPU)


@pytest.mark.parametrize("bf16", [("avx512_bf16", "amx_bf16")], indirect=True)
@pytest.mark.usefixtures("bf16")
def test_bf16_with_instructions_is_named() -> None:
    assert emulation_warning(["fp32", "bf16"], CPU) is None
    assert "bf16 by avx512_bf16 and amx_bf16" in describe_bf16(CPU)


@pytest.mark.parametrize("device", [CPU, MPS])
def test_tf32_is_cudas_alone(device: torch.device) -> None:
    fault = precision_fault(["fp32", "tf32"], device)
    assert fault is not None and "found tf32" in fault and "expected fp32 or bf16" in fault
    assert precision_fault(["tf32"], CUDA) is None
