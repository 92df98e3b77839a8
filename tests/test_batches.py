"""What the loss and the scores see of stored pixels, wherever those are kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchbird import batches
from benchbird.batches import ResidentSplit
from benchbird.data.prepared import PreparedSplit, load_split
from benchbird.protocol import Protocol
from tests.small_bench import make_bench
from tests.split_factory import memory_split
from tests.study_factory import make_small_plan

CPU = torch.device("cpu")
ACCELERATOR = torch.device("cpu", 0)
"""Stands for a device that is not the host: torch computes there as well, and tells it from `CPU`."""

INDEX = torch.tensor([5, 0, 5, 3])


def colour_split() -> PreparedSplit:
    split = memory_split("train", 6)
    colours = np.random.default_rng(0).integers(0, 256, (6, 3, 16, 16), dtype=np.uint8)
    object.__setattr__(split, "images", colours)
    object.__setattr__(split, "masks", colours[:, 0])
    return split


def assert_batches_are_right(resident: ResidentSplit, split: PreparedSplit, protocol: Protocol) -> None:
    """Against the plainest way there is, to the bit."""
    chosen = INDEX.numpy()
    pixels = torch.tensor(np.array(split.images)[chosen]).to(torch.float32)
    pictures = ((pixels / 255.0 - 0.5) / 0.5).expand(-1, 3, -1, -1)
    masks = torch.tensor(np.array(split.masks)[chosen])[:, None]
    layout = torch.channels_last if protocol.channels_last else torch.contiguous_format
    assert torch.equal(resident.pictures(INDEX), pictures)
    assert resident.pictures(INDEX).is_contiguous(memory_format=layout)
    expected = masks.to(torch.float32) / 255.0 if protocol.mask_target == "fraction" else (masks >= 128).float()
    assert torch.equal(resident.targets(INDEX), expected)
    assert torch.equal(resident.references(INDEX), masks >= 128)


PROTOCOLS = [
    Protocol(image_size=16),
    Protocol(image_size=16, mask_target="fraction"),
    Protocol(image_size=16, channels_last=True),
]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=["binary", "fraction", "channels_last"])
@pytest.mark.parametrize("kind", ["grey", "colour"])
@pytest.mark.parametrize("copied_bytes", [0, 2**27], ids=["in place", "copied"])
@pytest.mark.parametrize("device", [CPU, ACCELERATOR], ids=["at home", "staged"])
def test_batches_are_the_same_wherever_the_pixels_are(
    protocol: Protocol, kind: str, copied_bytes: int, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged: list[tuple[int, ...]] = []

    def host_memory(shape: tuple[int, ...]) -> torch.Tensor:
        staged.append(shape)
        return torch.empty(shape, dtype=torch.uint8)

    monkeypatch.setattr(batches, "COPIED_BYTES", copied_bytes)
    monkeypatch.setattr(batches, "_home", lambda size_bytes, device: CPU)
    monkeypatch.setattr(batches, "_page_locked", host_memory)
    split = memory_split("train", 6) if kind == "grey" else colour_split()
    resident = ResidentSplit(split, protocol, device)
    assert len(resident) == 6 and resident.home == CPU
    assert_batches_are_right(resident, split, protocol)
    assert set(staged) == (set() if device == CPU else {(4, split.images.shape[1], 16, 16), (4, 1, 16, 16)})


def file_backed(address: int) -> bool:
    """Whether memory of this process is mapped from a file."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        extent, _, _, _, inode, *_ = line.split()
        start, end = (int(one, 16) for one in extent.split("-"))
        if start <= address < end:
            return int(inode) != 0
    raise AssertionError("not mapped at all")


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="only Linux tells what memory is mapped from")
def test_a_large_split_stays_in_the_pages_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchbird.runner import prepare

    bench = make_bench(tmp_path / "bench")
    prepared, _ = prepare(make_small_plan(bench), bench.folder / "cache")
    split = load_split(prepared.splits["train"].folder)
    size_bytes = split.images.nbytes + split.masks.nbytes
    for limit, is_copied in ((size_bytes, True), (size_bytes - 1, False)):
        monkeypatch.setattr(batches, "COPIED_BYTES", limit)
        resident = ResidentSplit(split, PROTOCOLS[0], CPU)
        for tensor in (resident.images, resident.masks):
            assert file_backed(tensor.data_ptr()) != is_copied
        assert_batches_are_right(resident, split, PROTOCOLS[0])


@pytest.mark.parametrize(("size_bytes", "home"), [(400, "cuda"), (500, "cuda"), (501, "cpu")])
def test_a_split_lives_on_the_device_if_it_takes_half_of_what_is_free_at_most(
    size_bytes: int, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def free_and_total(device: torch.device) -> tuple[int, int]:
        assert device == torch.device("cuda:1")
        return 1000, 5000

    monkeypatch.setattr(torch.cuda, "mem_get_info", free_and_total)
    assert batches._home(size_bytes, torch.device("cuda:1")).type == home
    assert batches._home(10**15, CPU) == CPU


def test_what_is_staged_is_page_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(torch, "empty", lambda shape, **options: asked.update(options))
    batches._page_locked((2, 1, 4, 4))
    assert asked == {"dtype": torch.uint8, "pin_memory": True}


@pytest.mark.parametrize("resize", ["area", "bicubic"])
def test_soft_targets_are_255ths_and_every_value_is_cut_at_one_half(resize: str) -> None:
    split = memory_split("train", 1)
    object.__setattr__(split, "masks", np.arange(256, dtype=np.uint8).reshape(1, 16, 16))
    everything = torch.tensor([0])
    soft = ResidentSplit(split, Protocol(resize=resize, mask_target="fraction"), CPU)  # type: ignore[arg-type]
    hard = ResidentSplit(split, Protocol(resize=resize), CPU)  # type: ignore[arg-type]
    values = soft.targets(everything).flatten()
    torch.testing.assert_close(values, torch.arange(256) / 255)
    for split_ in (soft, hard):
        assert torch.equal(split_.references(everything).flatten(), values > 0.5)
    assert torch.equal(hard.targets(everything).flatten(), (values > 0.5).float())
