from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import time
import types
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchbird import diagnosis, registry
from benchbird.diagnosis import (
    Check,
    _guarded,
    available_memory_bytes,
    check_clock,
    check_compiler,
    check_data,
    check_folder,
    check_gpus,
    check_load,
    check_memory,
    check_packages,
    check_plugins,
    check_processor,
    check_python,
    check_torch,
    diagnose,
    memory_limit_bytes,
)
from benchbird.errors import PluginError
from benchbird.folder_probes import FolderProbe, probe_folder
from benchbird.machine_load import LoadMeter
from tests.small_bench import write_birds


def test_this_machine_has_no_fault_and_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_birds(tmp_path / "birds", {"Train": 2, "Valid": 2, "Test": 2})
    before = set(tmp_path.rglob("*"))
    checks = list(diagnose(results=tmp_path / "results", cache=tmp_path / "cache", data=tmp_path / "birds"))
    assert [check for check in checks if check.verdict == "wrong"] == []
    assert set(tmp_path.rglob("*")) == before
    names = [check.name for check in checks]
    assert names == ["python", "packages", "torch", "gpu", "processor", "compiler", "memory", "results", "cache",
                     "temporary", "clock", "plugins", "data", "load"]  # fmt: skip
    assert all(check.found for check in checks)
    assert all(check.mend for check in checks if check.verdict != "ok")


def test_the_packages_are_those_of_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_packages().verdict == "ok"
    needed = ["torch>=99.1", "numpy>=2", "no_such_package>=1.0", "soundfile>=99; extra == 'audio'", "odd~=1"]
    monkeypatch.setattr(diagnosis, "requires", lambda _: needed)
    check = check_packages()
    assert check.verdict == "wrong"
    installed = importlib.metadata.version("torch")
    assert check.found == f"no_such_package is missing (at least 1.0); torch {installed} (at least 99.1)"


@pytest.mark.parametrize(
    ("installed", "least", "is_older"),
    [("2.14.1+cpu", "2.14", False), ("2.9", "2.14", True), ("3", "3.0.0", False), ("3.0.0", "3", False),
     ("2.0.0rc1", "2.0", False), ("", "1", True)],
)  # fmt: skip
def test_versions_are_compared_as_numbers(installed: str, least: str, is_older: bool) -> None:
    assert (diagnosis._numbers(installed) < diagnosis._numbers(least)) is is_older


def test_an_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_python().verdict == "ok"
    monkeypatch.setattr(platform, "python_version", lambda: "3.9.20")
    check = check_python()
    assert check.verdict == "wrong"
    assert "Python 3.11 or newer" in check.mend


def test_a_check_that_breaks_is_an_answer() -> None:
    def fail() -> Check:
        raise ImportError("libtorch.so: cannot open\nmore")

    check = _guarded("torch", fail)
    assert (check.verdict, check.found) == ("wrong", "could not be checked: ImportError: libtorch.so: cannot open")


def test_torch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_torch().verdict == "ok"
    monkeypatch.setattr(torch, "ones", torch.zeros)
    assert check_torch().verdict == "wrong"


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("no_gpu")
def test_no_gpu_is_fine(tmp_path: Path) -> None:
    assert check_gpus(tmp_path / "absent") == Check(
        "gpu", "ok", "none: trials compute on the processor (profile `cpu`)"
    )


@pytest.mark.usefixtures("no_gpu")
def test_a_driver_without_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "version"
    driver.write_text("")
    assert check_gpus(driver).verdict == "wrong"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES is ''" in check_gpus(driver).mend

    def old() -> bool:
        warnings.warn("The NVIDIA driver on your system is\ntoo old (found version 11040)", stacklevel=2)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", old)
    check = check_gpus(driver)
    assert "too old (found version 11040)" in check.found
    assert check.mend.startswith("update the NVIDIA driver")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert check_gpus(driver).verdict == "notice"


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(("major", "verdict"), [(9, "ok"), (6, "wrong")])
def test_cuda_devices(major: int, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90a", "compute_90"])
    properties = types.SimpleNamespace(name="Some GPU", total_memory=80 * 2**30, major=major, minor=0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    check = check_gpus()
    assert check.verdict == verdict
    if verdict == "ok":
        assert check.found == "Some GPU (80 GiB), Some GPU (80 GiB); CUDA 13.0"


def test_a_processor_without_avx2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    check = check_processor()
    assert (check.verdict, check.mend) == ("notice", "unset ATEN_CPU_CAPABILITY")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert check_processor().verdict == "ok"


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == "clang++" else None)
    assert check_compiler() == Check("compiler", "ok", "/usr/bin/clang++, for protocol.compile")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    check = check_compiler()
    assert check.verdict == "notice"
    assert "apt-get install g++" in check.mend


@pytest.mark.parametrize(("available", "verdict"), [(4 * 2**30, "ok"), (2**30, "notice"), (2**28, "wrong")])
def test_memory(available: int, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "available_memory_bytes", lambda: available)
    monkeypatch.setattr(diagnosis, "memory_limit_bytes", lambda: 8 * 2**30)
    check = check_memory()
    assert check.verdict == verdict
    assert check.found == f"{available / 2**30:.1f} GiB free of 8.0 GiB"


def test_what_the_system_tells_of_memory(tmp_path: Path) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:   24 kB\nMemAvailable:       12 kB\n")
    assert available_memory_bytes(told) == 12 * 1024
    assert available_memory_bytes(tmp_path / "absent") is None
    told.write_text("max\n")
    assert memory_limit_bytes(told) is None
    told.write_text("8192\n")
    assert memory_limit_bytes(told) == 8192


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        (lambda probe: probe, "ok", "writable"),
        (lambda probe: replace(probe, refusal="Permission denied"), "wrong", "can't be written to: Permission denied"),
        (lambda probe: replace(probe, free_bytes=10**9), "notice", "1.0 GB free"),
        (lambda probe: replace(probe, free_bytes=10**8), "wrong", "0.1 GB free"),
        (lambda probe: replace(probe, has_links=False), "notice", "no hard links"),
    ],
)
def test_a_results_folder(
    change: Callable[[FolderProbe], FolderProbe], verdict: str, words: str, tmp_path: Path
) -> None:
    probe = replace(probe_folder(tmp_path), free_bytes=10**11)
    check = check_folder("results", tmp_path, change(probe))
    assert check.verdict == verdict
    assert words in check.found
    assert verdict == "ok" or "--results DIR" in check.mend


def test_a_folder_that_is_not_there_yet_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    probe = replace(probe_folder(folder), free_bytes=10**11)
    assert check_folder("cache", folder, probe).found.startswith(f"{folder} (not there yet; {tmp_path} is)")


@pytest.mark.parametrize(("ahead_s", "verdict"), [(None, "ok"), (0.5, "ok"), (60, "notice"), (-60, "notice")])
def test_the_clock_of_the_results(ahead_s: float | None, verdict: str) -> None:
    assert check_clock(ahead_s).verdict == verdict


def test_a_clock_before_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert check_clock(0).verdict == "wrong"


def test_plugins_that_fail_to_load_are_told_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = registry.load_registry()
    broken = replace(
        whole,
        warnings=("entry point a: failed to load: ImportError: x; mend or remove the plugin", "entry point b: no API"),
    )
    monkeypatch.setattr(registry, "load_registry", lambda: broken)
    checks = list(check_plugins())
    assert [check.verdict for check in checks] == ["ok", "wrong", "wrong"]
    assert checks[1].found == "entry point a: failed to load: ImportError: x"
    monkeypatch.setattr(registry, "load_registry", lambda: replace(whole, segmenters={}))
    assert [check.verdict for check in check_plugins()] == ["wrong"]

    def clash() -> registry.Registry:
        raise PluginError("two plugins offer the name 'unet'")

    monkeypatch.setattr(registry, "load_registry", clash)
    assert [check.found for check in check_plugins()] == ["two plugins offer the name 'unet'"]


def test_a_data_root(tmp_path: Path) -> None:
    root = tmp_path / "birds"
    assert check_data(root).verdict == "wrong"
    write_birds(root, {"Train": 3, "Valid": 2, "Test": 1})
    good = check_data(root)
    assert good.verdict == "ok"
    assert "3 train, 2 val, 1 test pairs by name" in good.found
    assert check_data(root / "Train").verdict == "ok"
    for mask in sorted((root / "Train" / "Masks").iterdir())[:2]:
        os.unlink(mask)
    bad = check_data(root)
    assert bad.verdict == "wrong"
    assert bad.found.endswith("and 1 more")
    assert "benchbird data check" in bad.mend


@pytest.mark.parametrize(("busy_s", "verdict"), [((0.0, 0.0), "ok"), ((0.0, 500.0), "notice"), ((None, None), "ok")])
def test_other_processes(busy_s: tuple[float | None, float | None], verdict: str) -> None:
    readings = iter(busy_s)
    clock = iter((0.0, 1.0))

    def meter() -> LoadMeter:
        return LoadMeter(lambda: next(readings), lambda: 0.0, lambda: next(clock), lambda: None)

    waited: list[float] = []
    check = check_load(meter, waited.append)
    assert check.verdict == verdict
    assert waited == [diagnosis.LOAD_S]
