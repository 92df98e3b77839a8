"""Cross-validation: the recordings of all splits dealt to folds, and one fold's splits.

Owns the dealing. A recording is never in two folds, so none straddles the splits of a fold. It reads nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from benchbird.contract import AnySample, Splits
from benchbird.data.contents import SampleIdentity
from benchbird.errors import DataError
from benchbird.protocol import canonical_digest

Folds = int | Literal["recordings"]
"""How many folds, or one for each recording."""


@dataclass(frozen=True)
class Pool:
    """All samples of a data set, dealt to folds.

    Attributes:
        samples: of all splits, sorted by id, their ids unique.
        folds: the recordings of each fold; none is empty.
    """

    samples: tuple[AnySample, ...]
    folds: tuple[frozenset[str], ...]

    def __len__(self) -> int:
        return len(self.folds)

    def splits(self, number: int) -> dict[str, tuple[AnySample, ...]]:
        """The splits of one fold: its own recordings are test, the next fold's are validation.

        Args:
            number: from 1 on; the last fold's next is the first.
        """
        test, val = self.folds[number - 1], self.folds[number % len(self.folds)]
        parts: dict[str, list[AnySample]] = {"train": [], "val": [], "test": []}
        for sample in self.samples:
            recording = sample.recording_id
            parts["test" if recording in test else "val" if recording in val else "train"].append(sample)
        return {split: tuple(samples) for split, samples in parts.items()}


def pool_splits(splits: Splits, folds: Folds, seed: int) -> Pool:
    """Pool the samples of all splits and deal their recordings to folds.

    Recordings are taken in the order of SHA-256 of (seed, recording id); each goes to the fold that has the
    fewest samples by then, the first of several.

    Args:
        splits: all samples.
        folds: at least 3, or `recordings`.
        seed: another one deals otherwise.

    Raises:
        DataError: fewer than 3 recordings, or fewer than folds.
    """
    samples = _with_unique_ids(splits)
    sizes = Counter(sample.recording_id for sample in samples)
    number = len(sizes) if folds == "recordings" else folds
    if len(sizes) < max(3, number):
        asked = "a fold for each recording" if folds == "recordings" else f"{folds} folds"
        raise DataError(
            f"data.folds asks for {asked}, and the data have {len(sizes)} recordings; expected at least "
            f"{max(3, number)}, since no recording may be in two folds"
        )
    dealt: list[set[str]] = [set() for _ in range(number)]
    loads = [0] * number
    for recording in sorted(sizes, key=lambda one: (_place(one, seed), one)):
        lightest = loads.index(min(loads))
        dealt[lightest].add(recording)
        loads[lightest] += sizes[recording]
    return Pool(samples, tuple(map(frozenset, dealt)))


def pool_digest(name: str, identities: Iterable[SampleIdentity], n_folds: int, seed: int) -> str:
    """Twelve hex digits that all folds of one cross-validation share, and no other has.

    Args:
        name: of the data set.
        identities: of all pooled samples, in any order.
        n_folds: folds in all.
        seed: of the dealing.
    """
    samples = sorted([one.sample_id, one.recording_id, one.content_sha256] for one in identities)
    return canonical_digest({"name": name, "folds": n_folds, "seed": seed, "samples": samples})


def _place(recording: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\x1f{recording}".encode()).hexdigest()


def _with_unique_ids(splits: Splits) -> tuple[AnySample, ...]:
    """All samples; an id that occurs in several splits gets its split's name before it."""
    found = [(split, sample) for split, samples in splits.items() for sample in samples]
    counts = Counter(sample.sample_id for _, sample in found)
    samples = [_renamed(sample, split) if counts[sample.sample_id] > 1 else sample for split, sample in found]
    if len({sample.sample_id for sample in samples}) < len(samples):
        # A new name was somebody's own: with every split's name before them, ids can't meet.
        samples = [_renamed(sample, split) for split, sample in found]
    return tuple(sorted(samples, key=lambda sample: sample.sample_id))


def _renamed(sample: AnySample, split: str) -> AnySample:
    return dataclasses.replace(sample, sample_id=f"{split}_{sample.sample_id}")
