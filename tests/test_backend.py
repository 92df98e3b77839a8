from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest
import torch

from benchbird.backend import apply_protocol, autocast, check_flags, choose_device, current_flags, synchronize
from benchbird.errors import ProtocolViolation, UsageError
from benchbird.protocol import Protocol

CPU = torch.device("cpu")
PROTOCOL = Protocol()


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_default_device(None)
    torch.set_flush_denormal(False)
    torch.autograd.set_detect_anomaly(False)
    torch.set_autocast_enabled("cpu", False)
    torch.backends.cudnn.enabled = True
    setattr(torch.backends.mkldnn, "enabled", True)  # noqa: B010 - torch's stub calls it read-only
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = True
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = True
    apply_protocol(PROTOCOL, threads)
    torch.use_deterministic_algorithms(False)


def put(owner: object, name: str, value: object) -> Callable[[], None]:
    return lambda: setattr(owner, name, value)


MEDDLING: dict[str, tuple[Callable[[], object], str]] = {
    "dtype": (lambda: torch.set_default_dtype(torch.float64), "default dtype is torch.float64"),
    "device": (lambda: torch.set_default_device("meta"), "default device is meta"),
    "gradients": (lambda: torch.set_grad_enabled(False), "gradients enabled is False"),
    "nondeterministic": (
        lambda: torch.use_deterministic_algorithms(False),
        "deterministic algorithms is False",
    ),
    "warn only": (
        lambda: torch.use_deterministic_algorithms(True, warn_only=True),
        "deterministic algorithms warn only is True",
    ),
    "denormals": (lambda: torch.set_flush_denormal(True), "denormal numbers is False"),
    "precision": (lambda: torch.set_float32_matmul_precision("high"), "matmul.fp32_precision is tf32"),
    "tf32, old name": (put(torch.backends.cuda.matmul, "allow_tf32", True), "cuda.matmul.fp32_precision is tf32"),
    "tf32 of cudnn, old name": (put(torch.backends.cudnn, "allow_tf32", True), "cudnn.conv.fp32_precision is tf32"),
    "tf32": (put(torch.backends.cuda.matmul, "fp32_precision", "tf32"), "cuda.matmul.fp32_precision is tf32"),
    "cudnn conv": (put(torch.backends.cudnn.conv, "fp32_precision", "tf32"), "cudnn.conv"),  # type: ignore[attr-defined]
    "cudnn rnn": (put(torch.backends.cudnn.rnn, "fp32_precision", "tf32"), "cudnn.rnn"),
    "mkldnn matmul": (put(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"), "mkldnn.matmul"),  # type: ignore[attr-defined]
    "mkldnn conv": (put(torch.backends.mkldnn.conv, "fp32_precision", "bf16"), "mkldnn.conv"),  # type: ignore[attr-defined]
    "mkldnn rnn": (put(torch.backends.mkldnn.rnn, "fp32_precision", "bf16"), "mkldnn.rnn"),  # type: ignore[attr-defined]
    "no mkldnn": (put(torch.backends.mkldnn, "enabled", False), "mkldnn.enabled is False"),
    "no cudnn": (put(torch.backends.cudnn, "enabled", False), "cudnn.enabled is False"),
    "benchmark": (put(torch.backends.cudnn, "benchmark", True), "cudnn.benchmark is True"),
    "cudnn deterministic": (put(torch.backends.cudnn, "deterministic", False), "cudnn.deterministic is False"),
    "reduced fp16": (
        put(torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", False),
        "fp16_reduced",
    ),
    "reduced bf16": (
        put(torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", False),
        "bf16_reduced",
    ),
    "autocast": (lambda: torch.set_autocast_enabled("cpu", True), "autocast is True"),
    "threads": (lambda: torch.set_num_threads(3), "threads is 3"),
}


@pytest.mark.parametrize("case", MEDDLING)
def test_a_flipped_flag_is_found_and_named(case: str) -> None:
    flags = apply_protocol(PROTOCOL, threads=1)
    check_flags(flags)
    meddle, message = MEDDLING[case]
    meddle()
    with pytest.raises(ProtocolViolation, match=message) as caught:
        check_flags(flags)
    assert "the protocol set" in str(caught.value)


def test_every_flipped_flag_is_named_at_once() -> None:
    flags = apply_protocol(PROTOCOL)
    torch.backends.cudnn.benchmark = True
    torch.set_default_dtype(torch.float64)
    with pytest.raises(ProtocolViolation, match=r"default dtype.*; cudnn\.benchmark"):
        check_flags(flags)


def test_anomaly_detection_is_found() -> None:
    flags = apply_protocol(PROTOCOL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.autograd.set_detect_anomaly(True)
    with pytest.raises(ProtocolViolation, match="anomaly detection is True"):
        check_flags(flags)


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        (Protocol(precision="fp32"), {"cuda.matmul.fp32_precision": "ieee", "cudnn.conv.fp32_precision": "ieee"}),
        (Protocol(precision="tf32"), {"cuda.matmul.fp32_precision": "tf32", "cudnn.conv.fp32_precision": "tf32"}),
        (Protocol(precision="bf16"), {"cuda.matmul.fp32_precision": "ieee", "mkldnn.conv.fp32_precision": "ieee"}),
        (Protocol(deterministic=True), {"deterministic algorithms": True, "cudnn.benchmark": False}),
        (Protocol(deterministic=False), {"deterministic algorithms": False, "cudnn.deterministic": False}),
    ],
)
def test_the_protocol_decides(protocol: Protocol, expected: dict[str, object]) -> None:
    flags = apply_protocol(protocol)
    assert {name: flags[name] for name in expected} == expected
    check_flags(flags)


def test_one_protocol_after_another_leaves_nothing_of_the_first() -> None:
    first = apply_protocol(PROTOCOL, threads=1)
    for protocol in (Protocol(precision="tf32", deterministic=False), Protocol(precision="bf16"), PROTOCOL):
        last = apply_protocol(protocol, threads=1)
    assert last == first == current_flags()


def test_threads_are_set_or_left() -> None:
    assert apply_protocol(PROTOCOL, threads=2)["threads"] == 2
    assert apply_protocol(PROTOCOL)["threads"] == 2


def test_devices() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(UsageError, match=r"--device tpu: this machine offers .*cpu"):
        choose_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_device_that_is_not_there() -> None:
    assert choose_device("auto") == CPU
    with pytest.raises(UsageError, match="--device cuda: this machine offers cpu; choose"):
        choose_device("cuda")


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_holds_within_the_block_alone(precision: str, dtype: torch.dtype) -> None:
    flags = apply_protocol(PROTOCOL)
    layer = torch.nn.Linear(2, 2)
    with autocast(Protocol(precision=precision), CPU):  # type: ignore[arg-type]
        assert layer(torch.ones(1, 2)).dtype == dtype
    check_flags(flags)


def test_there_is_nothing_to_wait_for_on_a_cpu() -> None:
    synchronize(CPU)
