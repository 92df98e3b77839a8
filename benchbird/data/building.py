"""Write a prepared split: decode, shrink and store each sample, then put the whole folder in place at once.

Owns how a prepared folder comes to be, also with several runs at it. Its format is `prepared.py`'s.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import secrets
import shutil
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from benchbird.contract import AnySample
from benchbird.data.contents import UNREADABLE, SampleIdentity
from benchbird.data.faults import DataFault, os_reason, printable
from benchbird.data.oracle import oracle_counts
from benchbird.data.pairs import Pair, load_pair
from benchbird.data.prepared import (
    FORMAT_VERSION,
    IMAGES_NAME,
    INDEX_NAME,
    MASKS_NAME,
    NATIVE_MASKS_NAME,
    NotWhole,
    PreparedSplit,
    index_digest,
    load_verified,
    pack_native_mask,
)
from benchbird.data.resize import rule_name, shrink
from benchbird.data.workers import Workers
from benchbird.durable import TEMPORARY_SUFFIX, file_sha256, sync_folder
from benchbird.errors import DataError
from benchbird.processes import is_alive, this_host
from benchbird.protocol import Resize
from benchbird.records import Counts


@dataclass(frozen=True, kw_only=True)
class BuildOrder:
    """What is to be prepared.

    Attributes:
        split: `train`, `val` or `test`.
        samples: in the order in which they are stored.
        identities: of the samples, in the same order.
        image_size: side in pixels.
        resize: the protocol's rule.
        folder: where the result belongs.
        native_masks: whether exact masks are kept beside.
    """

    split: str
    samples: Sequence[AnySample]
    identities: Sequence[SampleIdentity]
    image_size: int
    resize: Resize
    folder: Path
    native_masks: bool


@dataclass(frozen=True, eq=False)
class ShrunkSample:
    """One sample at protocol size, as a worker sends it.

    Attributes:
        image: uint8 `(C, S, S)`.
        mask: uint8 `(S, S)`, in 255ths.
        native_size: (height, width).
        native_mask: packed and compressed, or None.
        ceiling: counts of the oracle at native size.
        attributes: those known only once the sample was made.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    native_size: tuple[int, int]
    native_mask: bytes | None
    ceiling: Counts
    attributes: Mapping[str, str]


def shrink_sample(
    sample: AnySample, *, image_size: int, resize: Resize, native_masks: bool
) -> ShrunkSample | tuple[DataFault, ...]:
    """Load and shrink one sample, or say all that is wrong with it."""
    pair = load_pair(sample)
    if not isinstance(pair, Pair):
        return pair
    image, mask = shrink(pair.image, pair.mask, image_size, resize)
    return ShrunkSample(
        image=image,
        mask=mask,
        native_size=(pair.mask.shape[0], pair.mask.shape[1]),
        native_mask=pack_native_mask(pair.mask) if native_masks else None,
        ceiling=oracle_counts(mask, pair.mask),
        attributes=pair.attributes,
    )


def build_split(order: BuildOrder, workers: Workers, *, progress: bool = True) -> PreparedSplit | tuple[DataFault, ...]:
    """Prepare one split, or name every bad file and leave nothing behind.

    Args:
        order: what is to be prepared.
        workers: that decode and shrink.
        progress: show a bar on stderr where that is a terminal.

    Raises:
        DataError: the disk refuses, or a worker was killed.
    """
    to_size = partial(shrink_sample, image_size=order.image_size, resize=order.resize, native_masks=order.native_masks)
    results = workers.map_ordered(to_size, order.samples, description=f"prepare {order.split}", progress=progress)
    faults: list[DataFault] = []
    with _disk_errors(order.folder), _partial_folder(order.folder) as partial_folder:
        with closing(_Writer(order, partial_folder)) as writer, closing(results):
            for position, result in enumerate(results):
                if not isinstance(result, ShrunkSample):
                    faults += result
                elif order.identities[position].content_sha256 == UNREADABLE:
                    faults.append(DataFault(order.identities[position].sample_id, "changed while it was read"))
                elif not faults:
                    writer.add(position, result)
            if faults:
                return tuple(faults)
            writer.finish()
        return _put_in_place(partial_folder, order.folder)


class _Writer:
    """The open files of a folder under construction; plain writes, since a full disk kills a memory map."""

    def __init__(self, order: BuildOrder, folder: Path) -> None:
        self.order = order
        self.folder = folder
        self.entries: list[dict[str, Any]] = []
        self.ceiling = Counts(0, 0, 0, 0)
        self.channels = 1
        self._images = _start_array(folder / IMAGES_NAME)
        self._masks = _start_array(folder / MASKS_NAME)
        self._native = (folder / NATIVE_MASKS_NAME).open("w+b") if order.native_masks else None

    def add(self, position: int, sample: ShrunkSample) -> None:
        """Append the sample at `position` of the order."""
        source, identity = self.order.samples[position], self.order.identities[position]
        entry: dict[str, Any] = {
            "id": identity.sample_id,
            "recording": identity.recording_id,
            "attributes": {**source.attributes, **sample.attributes},
            "content": identity.content_sha256,
            "native": list(sample.native_size),
        }
        if self.channels < len(sample.image):
            self._widen(len(sample.image))
        image = np.broadcast_to(sample.image, (self.channels, *sample.image.shape[1:]))
        self._images.write(image.tobytes())
        self._masks.write(sample.mask.tobytes())
        if self._native is not None and sample.native_mask is not None:
            entry["place"] = [self._native.tell(), len(sample.native_mask)]
            self._native.write(sample.native_mask)
        self.ceiling += sample.ceiling
        self.entries.append(entry)

    def finish(self) -> None:
        """Write headers and index, and make everything durable."""
        n, size = len(self.entries), self.order.image_size
        self._images.seek(0)
        self._images.write(_npy_header((n, self.channels, size, size)))
        self._masks.seek(0)
        self._masks.write(_npy_header((n, size, size)))
        files, hashes = {}, {}
        for stream in (self._images, self._masks, self._native):
            if stream is not None:
                stream.flush()
                os.fsync(stream.fileno())
                path = Path(stream.name)
                hashes[path.name] = file_sha256(path)
                files[path.name] = {"bytes": path.stat().st_size, "sha256": hashes[path.name]}
        pixels = hashes[IMAGES_NAME] + hashes[MASKS_NAME]
        index = {
            "format": FORMAT_VERSION,
            "resize": rule_name(self.order.resize),
            "split": self.order.split,
            "image_size": size,
            "channels": self.channels,
            "native_masks": self._native is not None,
            "files": files,
            "pixels_sha256": hashlib.sha256(pixels.encode()).hexdigest(),
            "ceiling": dataclasses.asdict(self.ceiling),
            "samples": self.entries,
        }
        index["index_sha256"] = index_digest(index)
        with (self.folder / INDEX_NAME).open("x", encoding="utf-8") as index_stream:
            # ASCII, since a path may hold bytes that no encoding knows.
            json.dump(index, index_stream)
            index_stream.flush()
            os.fsync(index_stream.fileno())
        sync_folder(self.folder)

    def close(self) -> None:
        """Give the files back, whatever happened."""
        for stream in (self._images, self._masks, self._native):
            if stream is not None:
                # Closing writes what is left, and on a full disk that fails again.
                with suppress(OSError):
                    stream.close()

    def _widen(self, channels: int) -> None:
        """Start the image file again with more channels: the first picture in colour has come."""
        size = self.order.image_size
        narrow, path = self._images, self.folder / IMAGES_NAME
        narrow.seek(_HEADER_BYTES)
        path.unlink()
        self._images = _start_array(path)
        with narrow:
            for _ in self.entries:
                one = np.frombuffer(narrow.read(size * size), dtype=np.uint8)
                self._images.write(np.tile(one, channels).tobytes())
        self.channels = channels


_HEADER_BYTES = 128


def _start_array(path: Path) -> BinaryIO:
    stream = path.open("w+b")
    stream.write(bytes(_HEADER_BYTES))
    return stream


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """Header of a uint8 `.npy` file, always 128 bytes, so that it can be written last and hashed anywhere."""
    text = repr({"descr": "|u1", "fortran_order": False, "shape": shape})
    length = _HEADER_BYTES - len(np.lib.format.magic(1, 0)) - 2
    return np.lib.format.magic(1, 0) + struct.pack("<H", length) + text.ljust(length - 1).encode() + b"\n"


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{printable(folder)}: could not write the prepared data: {os_reason(error)}; make room, or "
            "choose another cache folder with --cache DIR or BENCHBIRD_CACHE, then run again"
        ) from error


@contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` that disappears unless it is put in place; clears away dead ones."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder.parent)
    name = f".{folder.name}.{this_host()}.{os.getpid()}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
    partial_folder = folder.parent / name
    partial_folder.mkdir()
    try:
        yield partial_folder
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)


def _put_in_place(partial_folder: Path, folder: Path) -> PreparedSplit:
    """Rename a finished folder to its own name; if another run was first, use that one's."""
    for _ in range(3):
        try:
            partial_folder.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            sync_folder(folder.parent)
            return load_verified(folder)
        try:
            return load_verified(folder)
        except NotWhole:
            # What is there is damaged: out of the way with it, by a rename, so that nobody sees half of it.
            damaged = partial_folder.with_name(f".damaged.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
            with suppress(FileNotFoundError):
                folder.rename(damaged)
            shutil.rmtree(damaged, ignore_errors=True)
    raise DataError(f"{printable(folder)}: other runs keep replacing it; run again")


def _remove_abandoned(parent: Path) -> None:
    """Remove partial folders whose run is dead: on this machine by process, on others after a week.

    Containers of one host name don't see one another's processes, so that a folder which is written to stays.
    """
    for folder in parent.glob(f".*{TEMPORARY_SUFFIX}"):
        with suppress(OSError, ValueError):
            host, process = folder.name.split(".")[2:4]
            untouched_s = time.time() - max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
            is_dead = host == this_host() and not is_alive(int(process)) and untouched_s > _WRITING_S
            if is_dead or untouched_s > _ABANDONED_S:
                shutil.rmtree(folder, ignore_errors=True)


_ABANDONED_S = 7 * 86_400.0
_WRITING_S = 600.0
"""Whoever prepares data writes all the time."""
