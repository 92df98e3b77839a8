"""The data digest: which samples with which content are in which split.

Owns what is part of the data's identity. Paths, folders and the order of keys are not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from benchbird.data.contents import SampleIdentity
from benchbird.protocol import canonical_digest
from benchbird.records import Fold


def data_digest(
    name: str,
    splits: Mapping[str, Iterable[SampleIdentity]],
    *,
    leaks_allowed: int = 0,
    fold: Fold | None = None,
    skip_bad: bool = False,
) -> str:
    """Twelve hex digits that change with any sample, recording, split or content.

    Args:
        name: of the data set.
        splits: identities by split, in any order (`PreparedData.identities`, `contents.identify_splits`).
        leaks_allowed: recordings in more than one split that were let through.
        fold: of a cross-validation, or None. It counts too: a fold's records name their fold, and so must not
            be taken for those of the same splits found elsewhere.
        skip_bad: whether samples that can't be read were left out: what is left is another data set than one that
            never had them.
    """
    return canonical_digest(
        {
            "name": name,
            "leaks_allowed": leaks_allowed,
            "splits": {
                split: sorted([one.sample_id, one.recording_id, one.content_sha256] for one in samples)
                for split, samples in splits.items()
            },
            **({} if fold is None else {"fold": dataclasses.asdict(fold)}),
            **({"skip_bad": True} if skip_bad else {}),
        }
    )
