"""The data set `birdsound`: BirdSoundsDenoising (doi 10.5281/zenodo.7191406) and what is laid out like it.

Owns its spec. Which files belong to it is `layouts.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchbird.contract import DatasetSpec, Sample, Splits, hookimpl
from benchbird.data.faults import data_error, printable
from benchbird.data.layouts import Layout, find_layout, find_test_split
from benchbird.errors import DataError

BENCHBIRD_API = 1


def find(root: Path | None, options: Mapping[str, Any]) -> Splits:
    """The pairs of image and mask of a data root, in the order of their ids.

    Args:
        root: holds `Train`, `Valid` and `Test` in any known spelling, each with `Images` and `Masks`.
        options: `recording_pattern`, a regular expression with a group `recording`, or None.

    Raises:
        DataError: everything that is wrong by name, in one error.
    """
    if root is None:
        raise DataError("data.root is empty; the data set birdsound needs a folder with Train, Valid and Test")
    layout = _sound(find_layout(root, options.get("recording_pattern")))
    return {split.name: split.samples for split in layout.splits}


def find_test(root: Path, recording_pattern: str | None) -> tuple[Sample, ...]:
    """The pairs to test on: those of a data root's `Test`, or all of a folder with `Images` and `Masks` itself.

    Args:
        root: the folder.
        recording_pattern: regular expression with a group `recording`, or None.

    Raises:
        DataError: everything that is wrong by name, in one error.
    """
    (split,) = _sound(find_test_split(root, recording_pattern)).splits
    return split.samples


def _sound(layout: Layout) -> Layout:
    if layout.faults:
        raise data_error(
            f"{printable(layout.root)}: the data set can't be used as it is",
            layout.faults,
            f"mend or remove them; `benchbird data check {printable(layout.root)}` lists everything that is wrong",
        )
    return layout


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
