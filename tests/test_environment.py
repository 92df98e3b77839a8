from __future__ import annotations

import getpass
import os
import platform
import socket
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
import torch

from benchbird import environment
from benchbird.environment import MACHINE_VARIABLE, capture_environment, describe_machine
from benchbird.records import Environment

CPU = torch.device("cpu")


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in texts(one)]
    return [value] if isinstance(value, str) else []


def test_no_host_no_user_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MACHINE_VARIABLE, raising=False)
    monkeypatch.setattr(socket, "gethostname", lambda: "the-host-name")
    monkeypatch.setattr(platform, "node", lambda: "the-host-name")
    monkeypatch.setenv("HOSTNAME", "the-host-name")
    found = texts(asdict(capture_environment(CPU)))
    secret = ["the-host-name", os.uname().nodename, str(Path.home()), os.getcwd(), platform.version()]
    assert [text for text in found for one in secret if one in text] == []
    assert getpass.getuser() not in found
    assert [text for text in found if text.startswith(("/", "~")) or "\\" in text] == []


def test_what_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MACHINE_VARIABLE, "laptop of the group")
    found = capture_environment(CPU)
    assert found.machine == "laptop of the group"
    assert found.device == "cpu"
    assert found.accelerator is None
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.threads == torch.get_num_threads()
    assert found.memory_bytes == psutil.virtual_memory().total
    assert found.python == platform.python_version()
    assert found.packages["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"benchbird", "torchvision", "numpy"} <= found.packages.keys()


def test_an_empty_label_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MACHINE_VARIABLE, "")
    assert capture_environment(CPU).machine is None


def test_the_processor_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(
        Path, "read_text", lambda _: "model\t\t: 17\nmodel name\t: A  Fast (TM) CPU\t@ 2GHz\nmodel name\t: B\n"
    )
    assert environment.cpu_model() == "A Fast (TM) CPU @ 2GHz"


def test_a_system_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: False)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "")
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert environment.cpu_model() == "unknown processor"
    assert environment.memory_bytes() == 0
    assert environment.available_cores() == 1


@pytest.mark.parametrize(
    ("label", "accelerator", "cores", "expected"),
    [
        (None, None, 1, "Some CPU, 1 core, 8 GiB"),
        ("mine", None, 2, "mine: Some CPU, 2 cores, 8 GiB"),
        (None, "Some GPU", 16, "Some GPU, 16 cores, 8 GiB"),
    ],
)
def test_a_machine_in_one_line(label: str | None, accelerator: str | None, cores: int, expected: str) -> None:
    assert (
        describe_machine(
            Environment(
                machine=label,
                device="cpu",
                cpu="Some CPU",
                cores=cores,
                threads=1,
                memory_bytes=8 * 2**30,
                accelerator=accelerator,
                accelerator_memory_bytes=None,
                os="Linux x86_64",
                python="3.11",
                packages={},
            )
        )
        == expected
    )
