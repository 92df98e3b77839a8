"""Whether this machine is fit to run benchmarks: software, devices, memory, folders, plugins, clock, load.

Owns what is asked and what is too little. It mends nothing, sends nothing, and leaves nothing behind; torch is
imported where it is asked.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Literal

from benchbird.environment import available_cores, cpu_model, memory_bytes
from benchbird.errors import BenchbirdError, UsageError
from benchbird.folder_probes import FolderProbe, probe_folder
from benchbird.machine_load import LoadMeter

Verdict = Literal["ok", "notice", "wrong"]

DISTRIBUTION = "benchbird"
LITTLE_ROOM_BYTES = 5 * 10**9
NO_ROOM_BYTES = 200 * 10**6
LITTLE_MEMORY_BYTES = 2 * 2**30
NO_MEMORY_BYTES = 2**29
CLOCK_TOLERANCE_S = 2.0
BUSY_SHARE = 0.1
"""Of the cores: what others may use before timings suffer."""

LOAD_S = 0.5
"""How long others are listened to."""

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*>=\s*([0-9.]+)\s*$")


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: of what was checked.
        verdict: `notice` for what runs and deserves a look, `wrong` for what doesn't run.
        found: one sentence.
        mend: what to do about it; empty where it is ok.
    """

    name: str
    verdict: Verdict
    found: str
    mend: str = ""


def diagnose(*, results: Path, cache: Path, data: Path | None) -> Iterator[Check]:
    """Every check, in turn.

    Args:
        results: the results folder; it needn't be there.
        cache: the cache folder; it needn't be there.
        data: a data root, or None.
    """
    yield _guarded("python", check_python)
    yield _guarded("packages", check_packages)
    yield _guarded("torch", check_torch)
    yield _guarded("gpu", check_gpus)
    yield _guarded("processor", check_processor)
    yield _guarded("compiler", check_compiler)
    yield _guarded("memory", check_memory)
    places = (("results", results), ("cache", cache), ("temporary", Path(tempfile.gettempdir())))
    for name, folder in places:
        yield check_folder(name, folder, probe_folder(folder))
    yield check_clock(probe_folder(results).clock_ahead_s)
    yield from check_plugins()
    if data is not None:
        yield check_data(data)
    yield _guarded("load", check_load)


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """A check that can't be carried out is an answer too, and the others go on."""
    try:
        return check()
    except Exception as error:
        reason = str(error).strip().splitlines()
        return Check(name, "wrong", f"could not be checked: {type(error).__name__}: {reason[0] if reason else ''}",
                     f"install what `pip check` and `pip show {DISTRIBUTION}` say is missing")  # fmt: skip


def check_python() -> Check:
    """The interpreter, against what the distribution asks for."""
    least = str(metadata(DISTRIBUTION)["Requires-Python"] or "").removeprefix(">=")
    found = f"{platform.python_version()} ({platform.python_implementation()}), at least {least}"
    if _numbers(platform.python_version()) < _numbers(least):
        return Check("python", "wrong", found, f"make an environment with Python {least} or newer")
    return Check("python", "ok", found)


def check_packages() -> Check:
    """Every package that benchbird needs, against the least version that it needs."""
    least = {match[1]: match[2] for line in requires(DISTRIBUTION) or () if (match := _REQUIREMENT.match(line))}
    faults = []
    for name, minimum in sorted(least.items()):
        try:
            installed = version(name)
        except PackageNotFoundError:
            faults.append(f"{name} is missing (at least {minimum})")
            continue
        if _numbers(installed) < _numbers(minimum):
            faults.append(f"{name} {installed} (at least {minimum})")
    if faults:
        return Check("packages", "wrong", "; ".join(faults), f"pip install --upgrade {DISTRIBUTION}")
    shown = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "numpy") if name in least)
    return Check("packages", "ok", f"{DISTRIBUTION} {version(DISTRIBUTION)}, {len(least)} packages as needed; {shown}")


def _numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: `2.14.1+cpu` is (2, 14, 1)."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:  # 3.0 is no less than 3.0.0
        numbers.pop()
    return tuple(numbers)


def check_torch() -> Check:
    """Whether torch computes at all, and with how many threads."""
    import torch

    answer = float((torch.ones(2, 3) @ torch.ones(3, 2)).sum())
    if answer != 12:
        return Check("torch", "wrong", f"a product of ones came to {answer}, expected 12", "install torch anew")
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    return Check("torch", "ok", f"{torch.__version__} ({build}), computes with {torch.get_num_threads()} threads")


def check_gpus(driver: Path = Path("/proc/driver/nvidia/version")) -> Check:
    """CUDA devices and MPS, or why the driver that is here is of no use."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        is_available = torch.cuda.is_available()
    if is_available:
        return _check_cuda_devices()
    if torch.backends.mps.is_available():
        return Check("gpu", "ok", "Apple GPU (MPS)")
    if not driver.exists():
        return Check("gpu", "ok", "none: trials compute on the processor (profile `cpu`)")
    if torch.version.cuda is None:
        return Check("gpu", "notice", "an NVIDIA driver is here, and a torch without CUDA", "install a torch with CUDA")
    words = " ".join(str(caught[0].message).split()) if caught else "torch finds no device"
    mend = "update the NVIDIA driver" if "too old" in words else "see whether `nvidia-smi` lists a GPU"
    variable = os.environ.get("CUDA_VISIBLE_DEVICES")
    if variable is not None:
        mend += f"; CUDA_VISIBLE_DEVICES is {variable!r}"
    return Check("gpu", "wrong", f"an NVIDIA driver is here, and CUDA can't be used: {words[:300]}", mend)


def _check_cuda_devices() -> Check:
    import torch

    told, unfit = [], []
    made_for = [int(match[1]) for one in torch.cuda.get_arch_list() if (match := re.search(r"_(\d+)", one))]
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        told.append(f"{properties.name} ({properties.total_memory / 2**30:.0f} GiB)")
        if made_for and properties.major * 10 + properties.minor < min(made_for):
            unfit.append(properties.name)
    if unfit:
        return Check("gpu", "wrong", f"{', '.join(unfit)}: too old for this build of torch",
                     "run with --device cpu, or install a torch that is built for it")  # fmt: skip
    return Check("gpu", "ok", f"{', '.join(told)}; CUDA {torch.version.cuda}")


def check_processor() -> Check:
    """Model, cores, and the instructions that torch computes with."""
    import torch

    from benchbird.precisions import describe_bf16

    cores = available_cores()
    capability = torch.backends.cpu.get_cpu_capability()
    found = f"{cpu_model()}, {cores} core{'s' * (cores != 1)}, {describe_bf16(torch.device('cpu'))}"
    if capability == "DEFAULT" and platform.machine() in ("x86_64", "AMD64"):
        mend = "choose a machine with AVX2: this one is several times slower"
        if os.environ.get("ATEN_CPU_CAPABILITY"):
            mend = "unset ATEN_CPU_CAPABILITY"
        return Check("processor", "notice", f"{found}; no AVX2", mend)
    return Check("processor", "ok", found)


def check_compiler() -> Check:
    """What `protocol.compile: true` needs on a processor."""
    from benchbird.compilation import check_machine
    from benchbird.protocol import Protocol

    try:
        check_machine("cpu", Protocol(compile=True))
    except UsageError:
        return Check("compiler", "notice", "no g++ or clang++, which protocol.compile: true needs on a processor",
                     "install one (Debian, Ubuntu: `sudo apt-get install g++`), if you mean to use that")  # fmt: skip
    names = (os.environ.get("CXX", "g++"), "clang++")
    return Check("compiler", "ok", f"{next(filter(None, map(shutil.which, names)))}, for protocol.compile")


def check_memory() -> Check:
    """Main memory, and what of it is free."""
    total, available = memory_bytes(), available_memory_bytes()
    limit = memory_limit_bytes()
    if limit is not None and limit < total:
        total = limit
    if available is None:
        return Check("memory", "ok", f"{_gib(total)} in all")
    found = f"{_gib(min(available, total))} free of {_gib(total)}"
    if available < LITTLE_MEMORY_BYTES:
        verdict: Verdict = "wrong" if available < NO_MEMORY_BYTES else "notice"
        return Check("memory", verdict, found, "end other programs, or choose a smaller protocol.batch_size")
    return Check("memory", "ok", found)


def available_memory_bytes(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """What programs can still get without swapping; None where the system doesn't tell."""
    try:
        match = re.search(r"^MemAvailable:\s*(\d+) kB", meminfo.read_text(), re.MULTILINE)
    except OSError:
        return None
    return 1024 * int(match[1]) if match else None


def memory_limit_bytes(limit: Path = Path("/sys/fs/cgroup/memory.max")) -> int | None:
    """What this container may use; None where nothing limits it."""
    try:
        text = limit.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def check_folder(name: str, folder: Path, probe: FolderProbe) -> Check:
    """Whether trials, prepared data or temporary files can be kept in a folder."""
    option = {"results": "--results DIR", "cache": "--cache DIR or BENCHBIRD_CACHE", "temporary": "TMPDIR"}[name]
    is_there = probe.folder == Path(os.path.abspath(folder))
    where = f"{folder}" if is_there else f"{folder} (not there yet; {probe.folder} is)"
    if probe.refusal:
        return Check(name, "wrong", f"{where}: can't be written to: {probe.refusal}", f"choose another by {option}")
    room = "room unknown" if probe.free_bytes is None else f"{probe.free_bytes / 1e9:.1f} GB free"
    if probe.free_bytes is not None and probe.free_bytes < LITTLE_ROOM_BYTES:
        verdict: Verdict = "wrong" if probe.free_bytes < NO_ROOM_BYTES else "notice"
        return Check(name, verdict, f"{where}: {room}", f"make room, or choose another by {option}")
    if name == "results" and not probe.has_links:
        return Check(name, "notice", f"{where}: {room}, no hard links, so a claim isn't whole at once",
                     f"let no two runs share this folder, or choose another by {option}")  # fmt: skip
    links = ", hard links" if probe.has_links else ""
    return Check(name, "ok", f"{where}: writable, {room}{links}")


def check_clock(ahead_s: float | None) -> Check:
    """This machine's clock, against its own files' times and the moment benchbird was installed."""
    newest = max(path.stat().st_mtime for path in Path(__file__).parent.glob("*.py"))
    if newest - time.time() > CLOCK_TOLERANCE_S:
        return Check("clock", "wrong", "it is earlier than the moment at which benchbird was installed",
                     "set it: what is recorded of trials would bear wrong times")  # fmt: skip
    if ahead_s is not None and abs(ahead_s) > CLOCK_TOLERANCE_S:
        side = "ahead of" if ahead_s > 0 else "behind"
        return Check("clock", "notice", f"the results folder's is {abs(ahead_s):.0f} s {side} this machine's",
                     "set both by NTP; claims don't rely on it, ages in `benchbird status` do")  # fmt: skip
    return Check("clock", "ok", f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, and files agree")


def check_plugins() -> Iterator[Check]:
    """One check for all plugins that load, and one for each that doesn't."""
    from benchbird.registry import load_registry

    mend = "mend it, or uninstall the package that it is from"
    try:
        registry = load_registry()
    except BenchbirdError as error:
        yield Check("plugins", "wrong", str(error), mend)
        return
    segmenters = f"{len(registry.segmenters)} segmenters, {len(registry.datasets)} data sets"
    if registry.segmenters and registry.datasets:
        yield Check("plugins", "ok", f"{len(registry.plugins)} load: {segmenters}, {len(registry.reporters)} reporters")
    else:
        yield Check("plugins", "wrong", f"{len(registry.plugins)} load: {segmenters}", f"install {DISTRIBUTION} anew")
    for warning in registry.warnings:
        yield Check("plugin", "wrong", warning.removesuffix("; mend or remove the plugin"), mend)


def check_data(root: Path) -> Check:
    """A data root by its folders and names; no picture is opened."""
    from benchbird.data.layouts import find_layout, find_single_split, holds_one_split

    mend = f"`benchbird data check {root}` lists all of it"
    try:
        layout = find_single_split(root) if holds_one_split(root) else find_layout(root)
    except BenchbirdError as error:
        return Check("data", "wrong", str(error), "name the folder that holds Train, Valid and Test")
    counts = ", ".join(f"{len(split.samples)} {split.name}" for split in layout.splits)
    if layout.faults:
        more = f" and {len(layout.faults) - 1} more" if len(layout.faults) > 1 else ""
        return Check("data", "wrong", f"{layout.faults[0]}{more}", mend)
    empty = [split.name for split in layout.splits if not split.samples]
    if empty:
        return Check("data", "wrong", f"{root}: no pair in {' and '.join(empty)}", mend)
    return Check("data", "ok", f"{root}: {counts} pairs by name (`benchbird data check` opens them)")


def check_load(meter: Callable[[], LoadMeter] = LoadMeter, wait: Callable[[float], None] = time.sleep) -> Check:
    """What other processes use of this machine now."""
    measured = meter()
    wait(LOAD_S)
    others, cores = measured.others_cores(), available_cores()
    if others is None:
        return Check("load", "ok", "this system doesn't tell what other processes use")
    found = f"other processes use {others:.1f} of {cores} core{'s' * (cores != 1)}"
    if others > BUSY_SHARE * cores:
        return Check("load", "notice", found, "wait for them before you measure: scores don't suffer, timings do")
    return Check("load", "ok", found)


def _gib(size_bytes: float) -> str:
    return f"{size_bytes / 2**30:.1f} GiB"
