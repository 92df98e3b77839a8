"""A prepared split on disk, as a child process reads it: memory-mapped arrays and their index.

Owns the format of a prepared folder and when it counts as whole. `building.py` writes it.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchbird.data.contents import SampleIdentity
from benchbird.data.faults import os_reason, printable
from benchbird.durable import file_sha256
from benchbird.errors import DataError
from benchbird.records import Counts

FORMAT_VERSION = 2
INDEX_NAME = "index.json"
IMAGES_NAME = "images.npy"
MASKS_NAME = "masks.npy"
NATIVE_MASKS_NAME = "native_masks.bin"


class NotWhole(DataError):
    """A prepared folder is missing, incomplete or damaged; it is built again."""


@dataclass(frozen=True, eq=False)
class PreparedSplit:
    """One split at protocol size, in the order of its sample ids.

    Attributes:
        name: `train`, `val` or `test`.
        folder: where it lies.
        sample_ids: N names.
        recording_ids: N names.
        attributes: N mappings, the manifest's other columns or what the generator says.
        content_hashes: N SHA-256 of the samples' sources (`SampleIdentity.content_sha256`).
        images: uint8 `(N, C, S, S)`, C 1 where every image is grey, else 3; memory-mapped, read-only.
        masks: uint8 `(N, S, S)`, in 255ths the area fraction of bird, or the grey that a bicubic filter leaves;
            a value of 128 or more is bird; memory-mapped, read-only.
        native_sizes: N pairs (height, width) in pixels, before shrinking.
        ceiling: counts at native size of an oracle that holds the exact mask (`oracle.oracle_counts`).
        pixels_sha256: of `images` and `masks` together.
    """

    name: str
    folder: Path
    sample_ids: tuple[str, ...]
    recording_ids: tuple[str, ...]
    attributes: tuple[Mapping[str, str], ...]
    content_hashes: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]
    native_sizes: tuple[tuple[int, int], ...]
    ceiling: Counts
    pixels_sha256: str
    _native_places: Sequence[tuple[int, int]] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.sample_ids)

    @property
    def identities(self) -> tuple[SampleIdentity, ...]:
        """What `identity.data_digest` needs of each sample."""
        return tuple(map(SampleIdentity, self.sample_ids, self.recording_ids, self.content_hashes))

    @property
    def ceiling_iou(self) -> float | None:
        """Pooled IoU of the oracle at native size; None where no mask has any bird."""
        union = self.ceiling.tp + self.ceiling.fp + self.ceiling.fn
        return self.ceiling.tp / union if union else None

    def native_mask(self, index: int) -> npt.NDArray[np.bool_]:
        """The exact mask of a sample, bool `(H, W)`.

        Raises:
            ValueError: the split keeps no native masks; only val and test do.
            NotWhole: the file has changed since it was checked.
        """
        if self._native_places is None:
            raise ValueError(f"the split {self.name} keeps no native masks")
        offset, length = self._native_places[index]
        height, width = self.native_sizes[index]
        path = self.folder / NATIVE_MASKS_NAME
        try:
            with path.open("rb") as stream:
                stream.seek(offset)
                packed = np.frombuffer(zlib.decompress(stream.read(length)), dtype=np.uint8)
            if len(packed) != (height * width + 7) // 8:
                raise ValueError(f"{len(packed)} bytes of bits for {width}x{height} pixels")
            bits = np.unpackbits(packed, count=height * width)
        except (OSError, zlib.error, ValueError) as error:
            raise NotWhole(f"{printable(path)}: damaged at byte {offset}: {error}; run again") from error
        return bits.reshape(height, width).view(np.bool_)


def pack_native_mask(mask: npt.NDArray[np.bool_]) -> bytes:
    """A mask as `native_mask` reads it: bits, rows first, compressed."""
    return zlib.compress(np.packbits(mask).tobytes(), level=1)


def index_digest(index: Mapping[str, Any]) -> str:
    """SHA-256 of an index without its own digest."""
    content = {key: value for key, value in index.items() if key != "index_sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def load_split(folder: Path) -> PreparedSplit:
    """Map a prepared split into memory; quick: sizes and the index are checked, the pixels aren't.

    Raises:
        NotWhole: the folder isn't there, is incomplete, or its index is damaged.
    """
    index = _read_index(folder)
    try:
        return _from_index(folder, index)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise NotWhole(f"{printable(folder)}: not a whole prepared split: {error}") from error


def load_verified(folder: Path) -> PreparedSplit:
    """`load_split` after every byte has been compared with its SHA-256.

    Raises:
        NotWhole: as `load_split`, or a file is damaged.
    """
    split = load_split(folder)
    for name, expected in _read_index(folder)["files"].items():
        if file_sha256(folder / name) != expected["sha256"]:
            raise NotWhole(f"{printable(folder / name)}: damaged: its content has changed since it was written")
    return split


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX_NAME
    try:
        index = json.loads(path.read_bytes())
    except OSError as error:
        raise NotWhole(f"{printable(path)}: {os_reason(error)}") from error
    except ValueError as error:
        raise NotWhole(f"{printable(path)}: damaged: {error}") from error
    if not isinstance(index, dict) or index.get("index_sha256") != index_digest(index):
        raise NotWhole(f"{printable(path)}: damaged: its content has changed since it was written")
    if index["format"] != FORMAT_VERSION:
        raise NotWhole(f"{printable(path)}: format {index['format']}, expected {FORMAT_VERSION}")
    return index


def _from_index(folder: Path, index: dict[str, Any]) -> PreparedSplit:
    samples = index["samples"]
    n, channels, size = len(samples), index["channels"], index["image_size"]
    for name, expected in index["files"].items():
        if (found := (folder / name).stat().st_size) != expected["bytes"]:
            raise ValueError(f"{name} has {found} bytes, expected {expected['bytes']}")
    images = _map(folder / IMAGES_NAME, (n, channels, size, size))
    masks = _map(folder / MASKS_NAME, (n, size, size))
    return PreparedSplit(
        name=index["split"],
        folder=folder,
        sample_ids=tuple(sample["id"] for sample in samples),
        recording_ids=tuple(sample["recording"] for sample in samples),
        attributes=tuple(sample["attributes"] for sample in samples),
        content_hashes=tuple(sample["content"] for sample in samples),
        images=images,
        masks=masks,
        native_sizes=tuple((height, width) for height, width in (sample["native"] for sample in samples)),
        ceiling=Counts(**index["ceiling"]),
        pixels_sha256=index["pixels_sha256"],
        _native_places=[tuple(sample["place"]) for sample in samples] if index["native_masks"] else None,
    )


def _map(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    array: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.dtype != np.uint8 or array.shape != shape:
        raise ValueError(f"{path.name} holds {array.dtype} {array.shape}, expected uint8 {shape}")
    return array
