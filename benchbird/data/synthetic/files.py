"""The embedded set as files in the public layout: images, masks, audio noisy and clean, and a manifest.

Everything is written under a temporary name beside the target and renamed at the end, so that a folder
with the target's name is always whole.
"""

from __future__ import annotations

import multiprocessing
import wave
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchbird.data.new_root import SPLIT_FOLDERS, new_data_root, write_manifest
from benchbird.data.synthetic.notes import FloatArray
from benchbird.data.synthetic.options import SPLITS, SyntheticOptions
from benchbird.data.synthetic.scenes import SyntheticSample, synthesize

_KINDS = ("Images", "Masks", "Raw_audios", "Denoised_audios")
MANIFEST_COLUMNS = (
    "name", "split", "recording", "channel", "voice", "noise", "distractor", "snr_db", "mask_fraction",
    "sample_rate", "seconds", "clipped", "codec_hz", "kind",
)  # fmt: skip
MIXED = "mixed"
"""Of the column `kind`: what lies in `Denoised_audios` is the voice itself (`data/sounds.py`)."""

Task = tuple[str, int]
"""A sample to make: split and index."""


def write_synthetic(
    root: Path,
    sizes: Mapping[str, int],
    options: SyntheticOptions | None = None,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the embedded set under `root`, whole or not at all.

    Args:
        root: folder to create; it may exist if it is empty.
        sizes: number of samples of each split (`train`, `val`, `test`); a split left out is empty.
        options: the data set's parameters, by default those of `SyntheticOptions()`.
        workers: processes that make samples, from 1 on; the files don't depend on it.
        progress: called with (samples written, samples in all) after each one.

    Returns:
        `root`.

    Raises:
        DataError: if `root` is a file or holds anything, or the disk refuses.
        ValueError: if `sizes` has an unknown split or a negative number.
    """
    for split, size in sizes.items():
        if split not in SPLITS or size < 0:
            raise ValueError(f"sizes: found {split!r}: {size!r}, expected 0 or more of {', '.join(SPLITS)}")
    tasks: list[Task] = [(split, index) for split in SPLITS for index in range(sizes.get(split, 0))]
    with new_data_root(root, _KINDS) as partial_root:
        _write_all(partial_root, tasks, options or SyntheticOptions(), workers, progress)
    return root


def _write_all(
    root: Path,
    tasks: list[Task],
    options: SyntheticOptions,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    rows = []
    for row in _rows(partial(_write_one, root, options), tasks, workers):
        rows.append(row)
        if progress is not None:
            progress(len(rows), len(tasks))
    write_manifest(root, MANIFEST_COLUMNS, rows)


def _rows(write: Callable[[Task], dict[str, str]], tasks: list[Task], workers: int) -> Iterator[dict[str, str]]:
    if workers <= 1 or len(tasks) < 2:
        yield from map(write, tasks)
        return
    # `spawn`: a forked child would inherit the locks of whatever threads the caller runs.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context) as pool:
        try:
            yield from pool.map(write, tasks, chunksize=4)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_one(root: Path, options: SyntheticOptions, task: Task) -> dict[str, str]:
    """Write one sample's four files; returns its row of the manifest."""
    split, index = task
    sample = synthesize(options, split, index)
    folder = root / SPLIT_FOLDERS[split]
    Image.fromarray(sample.image).save(folder / "Images" / f"{sample.sample_id}.png")
    mask = Image.fromarray(sample.mask.astype(np.uint8) * np.uint8(255))
    mask.save(folder / "Masks" / f"{sample.sample_id}.png")
    _write_wav(folder / "Raw_audios" / f"{sample.sample_id}.wav", sample.noisy, sample.sample_rate)
    _write_wav(folder / "Denoised_audios" / f"{sample.sample_id}.wav", sample.clean, sample.sample_rate)
    return _manifest_row(sample, split)


def _manifest_row(sample: SyntheticSample, split: str) -> dict[str, str]:
    return {
        "name": sample.sample_id,
        "split": SPLIT_FOLDERS[split],
        "recording": sample.recording_id,
        "mask_fraction": f"{sample.mask.mean():.4f}",
        "kind": MIXED,
        **sample.attributes,
    }


def _write_wav(path: Path, samples: FloatArray, sample_rate: int) -> None:
    """One channel of 16 bits; samples of a `SyntheticSample` are already on that grid, so nothing is lost."""
    levels = np.clip(np.round(np.asarray(samples, dtype=np.float64) * 32768.0), -32768, 32767)
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(sample_rate)
        stream.writeframes(levels.astype("<i2").tobytes())
