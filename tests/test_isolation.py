"""Recordings go through windows without a seam, whatever blocks they come in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from benchbird import backend
from benchbird.audio.stft import HOP_SAMPLES, WINDOW_SAMPLES, frame_count, one_sided_istft, one_sided_stft, render
from benchbird.batches import ResidentSplit
from benchbird.contract import Sample
from benchbird.data.cache import prepare_splits
from benchbird.errors import Diverged
from benchbird.isolation import MaskKind, isolate
from benchbird.listening import AskLogits, Windows, ask_model, listen
from benchbird.protocol import Protocol, Resize
from benchbird.restoration import RestoredModel

Audio = npt.NDArray[np.float64]


def noise(samples: int, channels: int = 1, seed: int = 0) -> Audio:
    return np.random.default_rng(seed).normal(0.0, 0.1, (samples, channels))


def in_blocks(audio: Audio, size: int) -> Iterator[Audio]:
    for start in range(0, len(audio), size):
        yield audio[start : start + size]


def keep_all(spectra: Sequence[npt.NDArray[Any]]) -> Sequence[npt.NDArray[np.float32]]:
    return [np.ones(one.shape, dtype=np.float32) for one in spectra]


def by_loudness(spectra: Sequence[npt.NDArray[Any]]) -> Sequence[npt.NDArray[np.float32]]:
    """Logits that depend on the window as a whole, as a network's do."""
    return [(np.abs(one) - np.abs(one).mean()).astype(np.float32) for one in spectra]


def cleaned(
    audio: Audio, frames: int, ask: AskLogits, block: int = 1000, mask: MaskKind = "binary"
) -> tuple[Audio, Audio]:
    parts = list(isolate(listen(in_blocks(audio, block), Windows(frames=frames), ask), mask, 0.0))
    empty = np.zeros((0, audio.shape[1]))
    return np.concatenate([empty, *(before for before, _ in parts)]), np.concatenate(
        [empty, *(after for _, after in parts)]
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9000), st.integers(1, 3), st.sampled_from([4, 16, 33]), st.sampled_from([1, 63, 64, 1000, 10_000])
)
def test_a_mask_of_ones_gives_the_recording_back(samples: int, channels: int, frames: int, block: int) -> None:
    audio = noise(samples, channels, seed=samples)
    before, after = cleaned(audio, frames, keep_all, max(block, samples // 50))
    if samples < WINDOW_SAMPLES:
        assert len(before) == len(after) == 0
        return
    np.testing.assert_array_equal(before, audio)
    np.testing.assert_allclose(after, audio, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(128, 6000), st.sampled_from([8, 21]), st.integers(30, 3000), st.sampled_from(["binary", "soft"]))
def test_what_comes_out_does_not_depend_on_the_blocks(samples: int, frames: int, block: int, mask: MaskKind) -> None:
    audio = noise(samples, 2, seed=block)
    _, in_one = cleaned(audio, frames, by_loudness, samples, mask)
    _, in_many = cleaned(audio, frames, by_loudness, block, mask)
    np.testing.assert_allclose(in_many, in_one, atol=1e-12)


@pytest.mark.parametrize("mask", ["binary", "soft"])
def test_a_recording_of_one_window_is_the_masked_spectrum_inverted(mask: MaskKind) -> None:
    audio = noise(50 * HOP_SAMPLES + WINDOW_SAMPLES)
    spectrum = one_sided_stft(audio[:, 0])
    [logits] = by_loudness([spectrum])
    share = logits > 0 if mask == "binary" else 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = one_sided_istft(share * spectrum, len(audio))
    _, after = cleaned(audio, 200, by_loudness, mask=mask)
    # Of the last half frame's samples, a frame more is known, filled with silence.
    np.testing.assert_allclose(after[:-HOP_SAMPLES, 0], expected[:-HOP_SAMPLES], atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 5), st.integers(0, 3), st.integers(0, 700))
def test_a_part_that_begins_with_a_window_comes_out_as_in_the_whole(windows: int, skipped: int, more: int) -> None:
    plan = Windows(frames=40)
    audio = noise((skipped + windows + 4) * plan.step * HOP_SAMPLES + more, seed=more)
    _, whole = cleaned(audio, plan.frames, by_loudness)
    start = skipped * plan.step * HOP_SAMPLES
    part = audio[start : start + (windows + 2) * plan.step * HOP_SAMPLES]
    _, alone = cleaned(part, plan.frames, by_loudness)
    edge = plan.frames * HOP_SAMPLES + WINDOW_SAMPLES
    np.testing.assert_array_equal(alone[edge : -2 * edge], whole[start:][edge : len(alone) - 2 * edge])


def test_windows_are_where_they_are_said_to_be() -> None:
    plan = Windows(frames=40)
    asked: list[Audio] = []

    def ask(spectra: Sequence[npt.NDArray[Any]]) -> Sequence[npt.NDArray[np.float32]]:
        asked.append(np.abs(spectra[0]))
        return keep_all(spectra)

    audio = noise(110 * HOP_SAMPLES + WINDOW_SAMPLES)
    frames = frame_count(len(audio))
    cleaned(audio, plan.frames, ask)
    all_frames = np.abs(one_sided_stft(audio[:, 0]))
    assert (plan.overlap, plan.step) == (5, 35)
    starts = [0, 35, 70, frames - 40]
    assert len(asked) == len(starts)
    for found, start in zip(asked, starts, strict=True):
        np.testing.assert_allclose(found, all_frames[:, start : start + 40], atol=1e-12)


def test_where_windows_overlap_one_fades_into_the_next() -> None:
    plan, level = Windows(frames=40), iter([0.0, 1.0, 1.0, 1.0])

    def ask(spectra: Sequence[npt.NDArray[Any]]) -> Sequence[npt.NDArray[np.float32]]:
        value = next(level)
        return [np.full(one.shape, 60 * (value - 0.5), dtype=np.float32) for one in spectra]

    audio = np.ones((74 * HOP_SAMPLES + WINDOW_SAMPLES, 1))
    _, after = cleaned(audio, plan.frames, ask, mask="soft")
    kept = after[:, 0]
    inside = kept[35 * HOP_SAMPLES : 41 * HOP_SAMPLES : HOP_SAMPLES]
    assert (np.diff(inside) > 0).all()
    assert kept[: 34 * HOP_SAMPLES].max() < 1e-9 and kept[42 * HOP_SAMPLES :].min() > 1 - 1e-9


def test_channels_are_masked_by_themselves() -> None:
    audio = np.concatenate([noise(5000, seed=1), 10 * noise(5000, seed=2)], axis=1)
    _, both = cleaned(audio, 30, by_loudness)
    for channel in range(2):
        _, alone = cleaned(audio[:, channel : channel + 1], 30, by_loudness)
        np.testing.assert_array_equal(both[:, channel], alone[:, 0])


class Seen(nn.Module):
    """Keeps what it was given; its logits are the picture's brightness."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.images = images.clone()
        return images[:, :1]


@pytest.mark.parametrize("resize", ["area", "bicubic"])
def test_a_window_is_seen_as_a_picture_of_the_training_is(tmp_path: Path, resize: Resize) -> None:
    audio = noise(300 * HOP_SAMPLES + WINDOW_SAMPLES)[:, 0]
    picture = render(audio)
    Image.fromarray(picture).save(tmp_path / "image.png")
    Image.fromarray(np.zeros_like(picture)).save(tmp_path / "mask.png")
    sample = Sample(sample_id="a", recording_id="a", image=tmp_path / "image.png", mask=tmp_path / "mask.png")
    protocol = Protocol(image_size=32, resize=resize)
    prepared = prepare_splits({"test": (sample,)}, 32, tmp_path / "cache", resize=resize, workers=1)
    cpu = torch.device("cpu")
    expected = ResidentSplit(prepared.splits["test"], protocol, cpu).pictures(torch.tensor([0]))

    seen = Seen()
    model = RestoredModel(network=seen, device=cpu, flags=backend.current_flags())
    [logits] = ask_model(model, protocol, 16_000)([one_sided_stft(audio)])
    assert torch.equal(seen.images, expected)
    # The logits, enlarged as for scores at native size; a frequency has the mean of its two rows.
    large = nn.functional.interpolate(expected[:, :1], size=picture.shape, mode="bilinear", align_corners=False)[0, 0]
    np.testing.assert_array_equal(logits[0], large[511])
    np.testing.assert_array_equal(logits[512], large[1023])
    np.testing.assert_allclose(logits[1:-1], (large[512:1023] + large[:511].flip(0)) / 2, atol=1e-6)


def test_logits_that_are_no_numbers_are_refused() -> None:
    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, :1] * float("nan")

    model = RestoredModel(network=Broken(), device=torch.device("cpu"), flags=backend.current_flags())
    ask = ask_model(model, Protocol(image_size=16), 16_000)
    with pytest.raises(Diverged, match="not all finite"):
        ask([one_sided_stft(noise(2000)[:, 0])])


def test_fades_of_neighbours_never_vanish_together() -> None:
    for frames in (1, 2, 3, 4, 7, 40, 1249):
        plan = Windows(frames=frames)
        weights = np.zeros(4 * frames)
        for start in range(0, 3 * frames, plan.step):
            weights[start : start + frames] += plan.fade(frames)
        assert weights[: 3 * frames].min() > 0
