"""The data set `birdsound`: BirdSoundsDenoising (doi 10.5281/zenodo.7191406) and what is laid out like it.

Owns its spec. Which files belong to it is `layouts.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchbird.contract import DatasetSpec, Sample, Splits, hookimpl
from benchbird.data.faults import data_error, printable
from benchbird.data.layouts import Layout, find_layout, find_test_split
from benchbird.errors import DataError

BENCHBIRD_API = 1

_SHOWN_FAULTS = 10

logger = logging.getLogger(__name__)


def find(root: Path | None, options: Mapping[str, Any]) -> Splits:
    """The pairs of image and mask of a data root, in the order of their ids.

    Args:
        root: holds `Train`, `Valid` and `Test` in any known spelling, each with `Images` and `Masks`.
        options: `recording_pattern`, a regular expression with a group `recording`, or None; `allow_links`, to
            follow links that leave the root; `skip_bad`, to leave out samples with a file that can't be used.

    Raises:
        DataError: everything that is wrong by name, in one error.
    """
    if root is None:
        raise DataError("data.root is empty; the data set birdsound needs a folder with Train, Valid and Test")
    layout = find_layout(root, options.get("recording_pattern"), allow_links=bool(options.get("allow_links")))
    _require_sound(layout, skip_bad=bool(options.get("skip_bad")))
    return {split.name: split.samples for split in layout.splits}


def find_test(root: Path, recording_pattern: str | None, *, allow_links: bool = False) -> tuple[Sample, ...]:
    """The pairs to test on: those of a data root's `Test`, or all of a folder with `Images` and `Masks` itself.

    Args:
        root: the folder.
        recording_pattern: regular expression with a group `recording`, or None.
        allow_links: follow links that leave the folder.

    Raises:
        DataError: everything that is wrong by name, in one error.
    """
    layout = find_test_split(root, recording_pattern, allow_links=allow_links)
    _require_sound(layout)
    (split,) = layout.splits
    return split.samples


def _require_sound(layout: Layout, *, skip_bad: bool = False) -> None:
    faults = layout.structure if skip_bad else layout.faults
    if faults:
        raise data_error(
            f"{printable(layout.root)}: the data set can't be used as it is",
            faults,
            f"mend or remove them, or set data.skip_bad: true; "
            f"`benchbird data check {printable(layout.root)}` lists everything that is wrong",
        )
    for fault in layout.faults[:_SHOWN_FAULTS]:
        logger.warning("left out (data.skip_bad): %s", fault)
    if len(layout.faults) > _SHOWN_FAULTS:
        logger.warning("left out too: %d more; `benchbird data check` lists them", len(layout.faults) - _SHOWN_FAULTS)


@hookimpl
def benchbird_datasets() -> Iterable[DatasetSpec]:
    """The data set of real recordings."""
    return (
        DatasetSpec(
            name="birdsound",
            find=find,
            summary="Spectrogram images with painted masks in Train, Valid and Test, pairs by name.",
            source="doi:10.5281/zenodo.7191406",
        ),
    )
