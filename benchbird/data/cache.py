"""The uint8 cache: every split decoded and shrunk once, found again by content, memory-mapped.

Owns the cache folder and which prepared folder belongs to which data. How one is written is `building.py`,
what it holds `prepared.py`.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbird.contract import AnySample, Splits
from benchbird.data.building import BuildOrder, build_split
from benchbird.data.contents import SampleIdentity, identify_splits
from benchbird.data.faults import DataFault, data_error, printable
from benchbird.data.prepared import (
    FORMAT_VERSION,
    NotWhole,
    PreparedSplit,
    load_split,
    load_verified,
)
from benchbird.data.resize import rule_name
from benchbird.data.workers import Workers
from benchbird.errors import DataError
from benchbird.protocol import Resize, canonical_digest

__all__ = [
    "PreparedData",
    "PreparedSplit",
    "folder_size_bytes",
    "load_split",
    "prepare_splits",
    "prepared_already",
]

SPLITS_WITH_NATIVE_MASKS = ("val", "test")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PreparedData:
    """All splits of a data set at protocol size.

    Attributes:
        splits: `train`, `val` and `test`.
        content_sha256: of the prepared pixels of all splits.
        built: splits that were prepared now; the others were in the cache.
    """

    splits: Mapping[str, PreparedSplit]
    content_sha256: str
    built: tuple[str, ...]

    @property
    def identities(self) -> dict[str, tuple[SampleIdentity, ...]]:
        """What `identity.data_digest` needs."""
        return {name: split.identities for name, split in self.splits.items()}


def folder_size_bytes(folder: Path) -> int:
    """Bytes of all files under a folder; 0 where there is none. Files that vanish meanwhile don't count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return total


def prepare_splits(
    splits: Splits,
    image_size: int,
    cache_folder: Path,
    *,
    resize: Resize = "area",
    workers: int | None = None,
    progress: bool = True,
) -> PreparedData:
    """Bring every split to protocol size, from the cache where it is there, and check every byte.

    Args:
        splits: from `DatasetSpec.find`, after subsets were drawn.
        image_size: side in pixels.
        cache_folder: see `cache_folder`; safe for several runs at once.
        resize: the protocol's rule.
        workers: processes, this one among them; None for one a core.
        progress: show a bar on stderr where that is a terminal.

    Raises:
        DataError: files that can't be used, all in one error; an empty split; a cache that can't be written.
    """
    if empty := [name for name, samples in splits.items() if not samples]:
        raise DataError(f"no samples in the split {' and '.join(empty)}; expected at least one in each")
    prepared: dict[str, PreparedSplit] = {}
    faults: list[DataFault] = []
    built = []
    orders = _orders(splits, image_size, cache_folder, resize=resize, progress=progress)
    with Workers(workers) as shared:
        for order in orders:
            try:
                prepared[order.split] = load_verified(order.folder)
                continue
            except NotWhole as error:
                if order.folder.exists():
                    logger.warning("%s; it is built again", error)
            result = build_split(order, shared, progress=progress)
            if isinstance(result, PreparedSplit):
                prepared[order.split] = result
                built.append(order.split)
            else:
                faults += result
    if faults:
        count = len({fault.path for fault in faults})
        raise data_error(
            f"{count} file{'s' if count > 1 else ''} can't be used",
            faults,
            "mend or remove them, or set data.skip_bad: true; "
            "`benchbird data check ROOT` lists everything that is wrong",
        )
    pixels = "".join(split.pixels_sha256 for _, split in sorted(prepared.items()))
    return PreparedData(
        splits=prepared,
        content_sha256=hashlib.sha256(pixels.encode()).hexdigest(),
        built=tuple(built),
    )


def prepared_already(
    splits: Splits,
    image_size: int,
    cache_folder: Path,
    *,
    resize: Resize = "area",
    progress: bool = True,
) -> dict[str, bool]:
    """Which splits are in the cache, by a quick look; files are hashed where they are not remembered."""
    found = {}
    for order in _orders(splits, image_size, cache_folder, resize=resize, progress=progress):
        try:
            load_split(order.folder)
            found[order.split] = True
        except NotWhole:
            found[order.split] = False
    return found


def _orders(splits: Splits, image_size: int, cache_folder: Path, *, resize: Resize, progress: bool) -> list[BuildOrder]:
    if cache_folder.exists() and not cache_folder.is_dir():
        raise DataError(f"{printable(cache_folder)}: the cache must be a folder, found a file")
    identities = identify_splits(splits, cache_folder, progress=progress)
    orders = []
    for name, samples in splits.items():
        has_native_masks = name in SPLITS_WITH_NATIVE_MASKS
        key = _key(samples, identities[name], name, image_size, resize)
        orders.append(
            BuildOrder(
                split=name,
                samples=samples,
                identities=identities[name],
                image_size=image_size,
                resize=resize,
                folder=cache_folder / "prepared" / f"{name}-{image_size}-{key}",
                native_masks=has_native_masks,
            )
        )
    return orders


def _key(
    samples: Sequence[AnySample],
    identities: Sequence[SampleIdentity],
    split: str,
    image_size: int,
    resize: Resize,
) -> str:
    """Name of a prepared folder: changes with everything that is stored in it, not with where files lie."""
    return canonical_digest(
        {
            "format": FORMAT_VERSION,
            "resize": rule_name(resize),
            "image_size": image_size,
            "split": split,
            "samples": [
                [one.sample_id, one.recording_id, one.content_sha256, sorted(sample.attributes.items())]
                for one, sample in zip(identities, samples, strict=True)
            ],
        }
    )
