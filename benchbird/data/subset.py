"""Which samples take part: a subset drawn by recording, and recordings that are in two splits.

Owns the draw and the check for leaks. It reads nothing.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbird.contract import AnySample, Splits
from benchbird.data.contents import UNREADABLE, SampleIdentity
from benchbird.data.faults import printable
from benchbird.errors import DataError


@dataclass(frozen=True)
class Shortage:
    """A split with fewer samples than were asked for; all of them are used."""

    split: str
    asked: int
    available: int

    def __str__(self) -> str:
        return f"split {self.split}: asked for {self.asked} samples, using all {self.available} that there are"


def draw_subset(
    splits: Splits, sizes: Mapping[str, int | None], subset_seed: int
) -> tuple[dict[str, tuple[AnySample, ...]], tuple[Shortage, ...]]:
    """Draw as many samples of each split as asked for, whole recordings first.

    Recordings are taken in the order of SHA-256 of (seed, split, recording id); the last one is cut, in the
    order of its sample ids, so that the size is met exactly. A larger draw contains every smaller one.

    Args:
        splits: all samples.
        sizes: split → number of samples; None or absent for all.
        subset_seed: another seed draws other recordings.

    Returns:
        The drawn samples of each split in the order of their ids, and the splits that had too few.
    """
    drawn: dict[str, tuple[AnySample, ...]] = {}
    shortages = []
    for split, samples in splits.items():
        size = sizes.get(split)
        if size is not None and size > len(samples):
            shortages.append(Shortage(split, size, len(samples)))
        ordered = _in_drawing_order(samples, split, subset_seed)
        drawn[split] = tuple(sorted(ordered[:size], key=lambda sample: sample.sample_id))
    return drawn, tuple(shortages)


def _in_drawing_order(samples: Sequence[AnySample], split: str, subset_seed: int) -> list[AnySample]:
    def place(sample: AnySample) -> tuple[str, str, str]:
        text = "\x1f".join((str(subset_seed), split, sample.recording_id))
        return hashlib.sha256(text.encode()).hexdigest(), sample.recording_id, sample.sample_id

    return sorted(samples, key=place)


def leaks(splits: Splits) -> dict[str, tuple[str, ...]]:
    """Recordings that are in more than one split, with those splits; sorted by recording."""
    found: dict[str, list[str]] = defaultdict(list)
    for split, samples in splits.items():
        for recording in {sample.recording_id for sample in samples}:
            found[recording].append(split)
    return {recording: tuple(found[recording]) for recording in sorted(found) if len(found[recording]) > 1}


def check_leaks(splits: Splits, *, allow: bool) -> int:
    """The number of recordings in more than one split.

    Raises:
        DataError: there are any and they aren't allowed; lists them all.
    """
    found = leaks(splits)
    if found and not allow:
        lines = [f"  {printable(recording)}: {', '.join(names)}" for recording, names in found.items()]
        raise DataError(
            f"{len(found)} recording{'s are' if len(found) > 1 else ' is'} in more than one split:\n"
            + "\n".join(lines)
            + "\na test on what was trained on proves nothing; move each recording to one split, "
            "or set data.allow_leaks: true"
        )
    return len(found)


def check_further_leaks(
    name: str, further: Sequence[SampleIdentity], study: Mapping[str, Sequence[SampleIdentity]], *, allow: bool
) -> int:
    """The number of recordings of a further test set that a study trains or selects on.

    A recording counts by its id, and by any sample with the same content under whatever name.

    Args:
        name: of the further set, for the message.
        further: its samples.
        study: the study's splits; `test` is none that models see.
        allow: whether there may be any.

    Raises:
        DataError: there are any and they aren't allowed; lists them all.
    """
    found: dict[str, str] = {}
    for split in ("train", "val"):
        recordings = {one.recording_id for one in study.get(split, ())}
        contents = {one.content_sha256: one.sample_id for one in study.get(split, ())}
        contents.pop(UNREADABLE, None)
        for one in further:
            if one.recording_id in recordings:
                found[one.recording_id] = split
            elif one.content_sha256 in contents:
                same = f"{split}, as {printable(contents[one.content_sha256])}"
                found.setdefault(one.recording_id, same)
    if found and not allow:
        lines = [f"  {printable(recording)}: {where}" for recording, where in sorted(found.items())]
        raise DataError(
            f"data.also_test: {name}: {len(found)} recording{'s are' if len(found) > 1 else ' is'} in the study's "
            "train or val too:\n" + "\n".join(lines) + "\na test on what was trained on proves nothing; leave them out "
            "of that folder, tell them apart by its manifest.csv if only the names are the same, or set "
            "data.allow_leaks: true"
        )
    return len(found)
