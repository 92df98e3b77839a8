"""How fast and in how much memory `benchbird isolate` cleans a long recording, and what of it the audio side takes.

Trains AtrousSegNet for an epoch on a few samples of the embedded set, at 256², since speed doesn't depend on what it
has learnt. Makes a recording of so many minutes by repeating scenes of that set (16 kHz), cleans it by the real command
in a child process, and tells its time and peak memory. Then, in this process, the same without the network: reading,
pictures, shrinking, enlarging, inverse and writing.

    python tests/performance/isolate.py [--minutes 60] [--image-size 256]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchbird import backend
from benchbird.audio.new_recordings import write_recordings
from benchbird.audio.recordings import AudioFormat, Recording
from benchbird.data.synthetic.options import SyntheticOptions
from benchbird.data.synthetic.scenes import synthesize
from benchbird.isolation import isolate
from benchbird.listening import Windows, ask_model, listen
from benchbird.protocol import Protocol
from benchbird.restoration import RestoredModel, find_trial
from tests.performance_document import transcript

PROMISED_WHOLE, PROMISED_AUDIO = 20, 200
"""Times real time."""
PROMISED_BYTES = 2**30

RATE_HZ = 16_000
SCENES = 12

BENCHMARK = """\
name: isolate
data: {{name: synthetic, sizes: {{train: 4, val: 2, test: 2}}}}
protocol: {{image_size: {size}, batch_size: 2, epochs: 1}}
segmenters: [atrous_segnet]
seeds: [0]
"""


def train(folder: Path, size: int) -> Path:
    """The folder of a trial."""
    (folder / "isolate.yaml").write_text(BENCHMARK.format(size=size))
    command = [sys.executable, "-m", "benchbird", "run", "isolate.yaml", "--device", "cpu", "--cache", "cache"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    [record] = (folder / "results").rglob("record.json")
    return record.parent


def make_recording(path: Path, minutes: float) -> None:
    """Scenes of the embedded set one after the other, again and again."""
    options = SyntheticOptions(sample_rate=RATE_HZ)
    scenes = np.concatenate([synthesize(options, "test", index).noisy for index in range(SCENES)])[:, None]
    samples = round(60 * minutes * RATE_HZ)

    def parts() -> Iterator[tuple[np.ndarray]]:
        for start in range(0, samples, len(scenes)):
            yield (scenes[: samples - start].astype(np.float64),)

    form = AudioFormat(kind="WAV", encoding="PCM_16", rate_hz=RATE_HZ, channels=1)
    write_recordings([path], parts(), form, samples)


def clean_by_command(recording: Path, trial: Path, output: Path) -> tuple[float, int]:
    """Seconds and peak bytes of the command."""
    command = [sys.executable, "-m", "benchbird", "isolate", str(recording), "--trial", str(trial), "-o", str(output)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"isolate ended with exit code {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss * 1024


class Brightness(nn.Module):
    """Stands in for the network: its logits are the picture."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :1]


def clean_without_network(path: Path, output: Path, frames: int, size: int) -> float:
    """Seconds of everything but the network."""
    model = RestoredModel(network=Brightness(), device=torch.device("cpu"), flags=backend.current_flags())
    ask = ask_model(model, Protocol(image_size=size), RATE_HZ)
    started = time.perf_counter()
    with Recording(path) as recording:
        cleaned = isolate(listen(recording.blocks(), Windows(frames=frames), ask), "binary", 0.0)
        write_recordings([output], ((after,) for _, after in cleaned), recording.format, recording.declared_samples)
    return time.perf_counter() - started


def measure(minutes: float, size: int) -> int:
    """Measure, print, judge; the exit code."""
    seconds = 60 * minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trial = train(folder, size)
        frames = find_trial(trial).record.data.picture_frames
        assert frames is not None
        make_recording(folder / "long.wav", minutes)
        make_recording(folder / "short.wav", 0.05)
        start_s, _ = clean_by_command(folder / "short.wav", trial, folder / "short_clean.wav")
        whole_s, peak = clean_by_command(folder / "long.wav", trial, folder / "long_clean.wav")
        audio_s = clean_without_network(folder / "long.wav", folder / "audio.wav", frames, size)
    whole, audio = seconds / whole_s, seconds / audio_s
    print(f"{minutes:g} minutes at {RATE_HZ} Hz, AtrousSegNet at {size}×{size}, windows of {frames} frames")
    print(f"whole command: {whole_s:.1f} s, {whole:.1f} times real time; {start_s:.1f} s of it are its start")
    print(f"audio side alone: {audio_s:.1f} s, {audio:.0f} times real time")
    print(f"peak memory: {peak / 2**20:.0f} MiB")
    kept = [whole >= PROMISED_WHOLE, audio >= PROMISED_AUDIO, peak <= PROMISED_BYTES]
    words = [
        f"{what}: {'kept' if one else 'MISSED'}"
        for what, one in zip((f"{PROMISED_WHOLE} times", f"{PROMISED_AUDIO} times", "1 GiB"), kept, strict=True)
    ]
    print("promised: " + ", ".join(words))
    return 0 if all(kept) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--image-size", type=int, default=256)
    chosen = parser.parse_args()
    command = f"python tests/performance/isolate.py --minutes {chosen.minutes:g} --image-size {chosen.image_size}"
    with transcript(f"isolate {chosen.image_size}", command):
        return measure(chosen.minutes, chosen.image_size)


if __name__ == "__main__":
    sys.exit(main())
