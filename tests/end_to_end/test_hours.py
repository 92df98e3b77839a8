"""A recording of an hour, through the real command: in constant memory, and the same as its parts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchbird.audio.stft import HOP_SAMPLES, WINDOW_SAMPLES, frame_count
from benchbird.listening import Windows
from tests.finished_bench import trial_folder
from tests.small_bench import Bench

RATE_HZ = 8000
HOUR_S = 3600
WINDOW_S = 4
MOST_BYTES = 2**30


def isolate(bench: Bench, recording: Path, output: Path) -> int:
    """Clean a recording; peak bytes of the command."""
    command = bench.command(
        "isolate", str(recording), "--trial", str(trial_folder(bench.results, "atrous_segnet")), "--device", "cpu",
        "--window", str(WINDOW_S), "-o", str(output),
    )  # fmt: skip
    process = subprocess.Popen(command, cwd=bench.folder, env=bench.environment(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.slow
def test_an_hour_takes_no_more_memory_than_a_minute_and_has_no_seam(finished: Bench, tmp_path: Path) -> None:
    minute = np.random.default_rng(0).normal(0.0, 0.01, 60 * RATE_HZ)
    minute[20 * RATE_HZ : 30 * RATE_HZ] *= 20.0
    with soundfile.SoundFile(tmp_path / "hour.wav", "w", RATE_HZ, 1) as hour:
        for _ in range(HOUR_S // 60):
            hour.write(minute)
    whole = soundfile.read(tmp_path / "hour.wav")[0]
    windows = Windows(frames=frame_count(WINDOW_S * RATE_HZ))
    start = 100 * windows.step * HOP_SAMPLES  # where a window begins
    soundfile.write(tmp_path / "part.wav", whole[start : start + 10 * 60 * RATE_HZ], RATE_HZ)

    hour_bytes = isolate(finished, tmp_path / "hour.wav", tmp_path / "hour_clean.wav")
    part_bytes = isolate(finished, tmp_path / "part.wav", tmp_path / "part_clean.wav")
    assert hour_bytes <= MOST_BYTES
    assert hour_bytes - part_bytes < 50 * 2**20, "memory grows with the recording"
    cleaned, part = (soundfile.read(tmp_path / f"{name}_clean.wav")[0] for name in ("hour", "part"))
    assert len(cleaned) == len(whole)
    assert 0.001 < np.mean(cleaned != 0) < 0.999
    edge = windows.frames * HOP_SAMPLES + WINDOW_SAMPLES
    inner = slice(edge, len(part) - 2 * edge)
    np.testing.assert_array_equal(part[inner], cleaned[start:][: len(part)][inner])
