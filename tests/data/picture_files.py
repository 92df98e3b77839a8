"""Small spectrogram-like pictures, masks and broken files, written on the fly."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def picture(seed: int = 0, height: int = 32, width: int = 48) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """A grey image with a bright sweep, and its mask; mostly dark with noise, as spectrograms are."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    distances = abs(rows - height * 0.3 - columns * 0.3 * height / width)
    mask = (distances < max(3, height / 10)) & (columns > 4)
    return np.clip(rng.gamma(1.5, 12, mask.shape) + 180 * mask, 0, 255).astype(np.uint8), mask


def encoded(pixels: Pixels | Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(stream, kind)
    return stream.getvalue()


def mask_bytes(mask: npt.NDArray[np.bool_]) -> bytes:
    return encoded(np.where(mask, 255, 0).astype(np.uint8))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises a picture of any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(64))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def write_pair(
    split_folder: Path,
    name: str,
    image: bytes | None = None,
    mask: bytes | None = None,
    seed: int = 0,
) -> None:
    """Put `Images/<name>` and `Masks/<name>` into a split's folder; a good pair where nothing is given."""
    pixels, bird = picture(seed)
    for folder, content in (
        ("Images", encoded(pixels) if image is None else image),
        ("Masks", mask_bytes(bird) if mask is None else mask),
    ):
        (split_folder / folder).mkdir(parents=True, exist_ok=True)
        (split_folder / folder / name).write_bytes(content)


def write_many(root: Path, counts: Mapping[str, int], size: tuple[int, int], different: int) -> None:
    """A data set for measurements, so many pairs in each split's folder.

    Only so many `different` pairs are drawn; the others are copies under other names, since drawing one takes longer
    than decoding it.
    """
    drawn = []
    for seed in range(min(different, sum(counts.values()))):
        image, mask = picture(seed, *size)
        drawn.append((encoded(image), mask_bytes(mask)))
    number = 0
    for folder, count in counts.items():
        for _ in range(count):
            image_file, mask_file = drawn[number % len(drawn)]
            write_pair(root / folder, f"{number:05d}.png", image_file, mask_file)
            number += 1


def write_data_root(root: Path, train: int = 4, val: int = 2, test: int = 3) -> Path:
    """A whole data set: `train` recordings of one sample each, and so on, all pictures different."""
    seed = 0
    for folder, count in (("Train", train), ("Valid", val), ("Test", test)):
        for index in range(count):
            seed += 1
            write_pair(root / folder, f"{folder}{index}.png", seed=seed)
    return root
