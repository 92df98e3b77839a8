"""Which samples can be read at all: each is decoded once, and the good ones are remembered by their content.

Owns `data.skip_bad`. What is wrong with a file is decided in `pairs.py` and below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchbird.contract import AnySample
from benchbird.data.contents import UNREADABLE, identify_splits
from benchbird.data.faults import DataFault
from benchbird.data.pairs import Pair, load_pair
from benchbird.data.workers import Workers
from benchbird.index import Index, index_of

SOUNDNESS_VERSION = 1
"""Changes when `load_pair` refuses what it took before, so that what the index remembers is checked anew."""

_AT_ONCE = 500
"""Keys of one question to the index."""


def keep_sound(
    splits: Mapping[str, Sequence[AnySample]], cache: Path
) -> tuple[dict[str, tuple[AnySample, ...]], tuple[DataFault, ...]]:
    """The samples that can be read, in the order given, and what is wrong with the others.

    Args:
        splits: split name → samples.
        cache: the cache folder, whose index remembers which contents were read.
    """
    identities = identify_splits(splits, cache)
    keys = {name: [f"sound/{SOUNDNESS_VERSION}/{one.content_sha256}" for one in identities[name]] for name in splits}
    with index_of(cache) as index:
        known = _known(index, [key for own in keys.values() for key in own])
        wanted = [
            (sample, key)
            for name, samples in splits.items()
            for sample, key in zip(samples, keys[name], strict=True)
            if key not in known or key.endswith(UNREADABLE)
        ]
        with Workers() as workers:
            found = list(workers.map_ordered(_faults_of, [sample for sample, _ in wanted], description="check files"))
        bad = {id(sample): faults for (sample, _), faults in zip(wanted, found, strict=True) if faults}
        index.put_all({key: b"" for sample, key in wanted if id(sample) not in bad and not key.endswith(UNREADABLE)})
    kept = {name: tuple(one for one in samples if id(one) not in bad) for name, samples in splits.items()}
    return kept, tuple(fault for faults in bad.values() for fault in faults)


def _known(index: Index, keys: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(keys), _AT_ONCE):
        known.update(index.get_all(keys[start : start + _AT_ONCE]))
    return known


def _faults_of(sample: AnySample) -> tuple[DataFault, ...]:
    pair = load_pair(sample)
    return () if isinstance(pair, Pair) else pair
