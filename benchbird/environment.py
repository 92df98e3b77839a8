"""What machine and software a trial ran on, fit to be published.

Owns what is recorded; it never records a path, a user or a host name.
"""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from benchbird.records import Environment

if TYPE_CHECKING:
    import torch

MACHINE_VARIABLE = "BENCHBIRD_MACHINE"
"""Environment variable with the label that the machine's owner gives it."""

PACKAGES = (
    "benchbird", "torch", "torchvision", "timm", "segmentation-models-pytorch", "numpy", "scipy", "pillow",
)  # fmt: skip


def available_cores() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def capture_environment(device: torch.device) -> Environment:
    """Describe this machine and its software as `device` would be used now."""
    import torch

    accelerator = None
    accelerator_memory = None
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        accelerator, accelerator_memory = properties.name, properties.total_memory
    elif device.type == "mps":
        accelerator = "Apple GPU"
    return Environment(
        machine=os.environ.get(MACHINE_VARIABLE) or None,
        device=device.type,
        cpu=cpu_model(),
        cores=available_cores(),
        threads=torch.get_num_threads(),
        memory_bytes=memory_bytes(),
        accelerator=accelerator,
        accelerator_memory_bytes=accelerator_memory,
        os=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        packages={name: installed for name in PACKAGES if (installed := _version(name)) is not None},
    )


def describe_machine(environment: Environment) -> str:
    """One line for a title: label, accelerator or processor, cores, memory."""
    hardware = environment.accelerator or environment.cpu
    cores = f"{environment.cores} core" + ("s" if environment.cores != 1 else "")
    facts = f"{hardware}, {cores}, {environment.memory_bytes / 2**30:.0f} GiB"
    return f"{environment.machine}: {facts}" if environment.machine else facts


def cpu_model() -> str:
    """Marketing name of the processor, as far as the system tells."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        match = re.search(r"^model name\s*:\s*(.+)$", information.read_text(), re.MULTILINE)
        if match:
            return " ".join(match.group(1).split())
    return platform.processor() or platform.machine() or "unknown processor"


def memory_bytes() -> int:
    """Main memory of the machine in bytes; 0 where the system doesn't tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
