"""The plan's estimate: arithmetic on a probe's speeds, and a probe that survives broken segmenters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from benchbird.config.choices import SegmenterChoice
from benchbird.estimate import ProbeRequest, Speed, probe, trial_seconds
from benchbird.plan import identify_segmenter
from benchbird.protocol import Protocol
from benchbird.registry import load_registry


@pytest.fixture(autouse=True)
def _restore_flags() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


def test_seconds_grow_with_epochs_steps_and_images() -> None:
    speed = Speed(label="unet", step_s=0.5, image_s=0.1)

    def seconds(epochs: int, steps: int, n_val: int, n_test: int) -> float:
        return trial_seconds(speed, Protocol(), epochs=epochs, steps=steps, n_val=n_val, n_test=n_test)

    base = seconds(10, 20, 30, 40)
    assert seconds(20, 20, 30, 40) - base == pytest.approx(10 * (20 * 0.5 + 30 * 0.1))
    assert seconds(10, 40, 30, 40) - base == pytest.approx(10 * 20 * 0.5)
    assert seconds(10, 20, 30, 80) > base
    floor = Speed(label="threshold", step_s=0.0, image_s=0.001)
    assert trial_seconds(floor, Protocol(), epochs=128, steps=62, n_val=200, n_test=300) < 20


def test_a_probe_reports_the_machine_speeds_and_what_cannot_be_built(tmp_path: Path) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text(
        "from benchbird import SegmenterSpec, hookimpl\nBENCHBIRD_API = 1\n"
        "def build():\n    raise RuntimeError('no weights in /some/where/file.pth')\n"
        "@hookimpl\ndef benchbird_segmenters():\n    return [SegmenterSpec(name='broken', build=build)]\n"
    )
    registry = load_registry((plugin,), groups={"segmenters"})
    choices = [
        SegmenterChoice(name="broken", label="broken", options={}),
        SegmenterChoice(name="atrous_segnet", label="small", options={"base_channels": 2}),
        SegmenterChoice(name="threshold", label="threshold", options={}),
    ]
    events: list[Mapping[str, Any]] = []
    request = ProbeRequest(
        protocol=Protocol(image_size=16, batch_size=4),
        segmenters=tuple(identify_segmenter(choice, registry) for choice in choices),
        plugin_files=(plugin,),
        device="cpu",
        threads=1,
    )
    probe(request, events.append)
    assert [event["event"] for event in events] == ["environment", "unusable", "speed", "speed"]
    assert events[1]["reason"] == "RuntimeError: no weights in file.pth (broken.py:4)"
    assert events[2]["label"] == "small"
    assert events[2]["step_s"] > 0
    assert events[3]["step_s"] == 0
    assert events[3]["image_s"] > 0
