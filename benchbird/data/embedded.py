"""The data set `synthetic`: birds made from a seed, needing no file.

Owns its spec and the identity of its samples. How they sound is `synthetic/`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbird.contract import DatasetSpec, GeneratedSample, Splits, hookimpl
from benchbird.data.faults import printable
from benchbird.errors import DataError
from benchbird.records import SPLITS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from benchbird.data.synthetic.options import SyntheticOptions

# The generator brings scipy along: it is imported where it is used, so that listing data sets stays quick.

BENCHBIRD_API = 1

DEFAULT_SIZES = {"train": 1000, "val": 200, "test": 300}


def find(root: Path | None, options: Mapping[str, Any]) -> Splits:
    """The generated samples, in the order of their ids; nothing is made yet.

    Args:
        root: None; there is no folder to look into.
        options: `sizes` (split → number; absent or None for 1000, 200 and 300) and `synthetic` (fields of
            `SyntheticOptions`). A benchmark says `data.sizes`, or `data.options.sizes` where `data.folds`
            leaves no subset to be drawn.

    Raises:
        DataError: a root was given, or an option is out of its range.
    """
    from benchbird.data.synthetic.options import SyntheticOptions, option_faults

    if root is not None:
        raise DataError(f"data.root is {printable(root)}, but synthetic reads no files; name the data set birdsound")
    given = dict(options.get("synthetic") or {})
    if faults := option_faults(given):
        raise DataError("\n".join(f"data.synthetic.{name}: {fault}" for name, fault in faults))
    synthetic = SyntheticOptions(**given)
    if (fault := _sizes_fault(options.get("sizes"))) is not None:
        raise DataError(f"sizes of the embedded set: {fault}")
    asked = {split: size for split, size in (options.get("sizes") or {}).items() if size is not None}
    sizes = {**DEFAULT_SIZES, **asked}
    return {split: _samples(synthetic, split, sizes[split]) for split in SPLITS}


def _sizes_fault(sizes: object) -> str | None:
    # `data.sizes` was checked with the benchmark, but `data.options.sizes` is nobody's but ours.
    expected = f"expected a mapping of {', '.join(SPLITS)} to whole numbers from 1 on"
    if sizes is None:
        return None
    if not isinstance(sizes, Mapping) or not set(sizes) <= set(SPLITS):
        return f"found {sizes!r}, {expected}"
    wrong = [size for size in sizes.values() if size is not None and (type(size) is not int or size < 1)]
    return f"found {wrong[0]!r}, {expected}" if wrong else None


def _samples(options: SyntheticOptions, split: str, size: int) -> tuple[GeneratedSample, ...]:
    from benchbird.data.synthetic.streams import sample_identity

    samples = []
    for index in range(size):
        sample_id, recording_id = sample_identity(options, split, index)
        sample = GeneratedSample(
            sample_id=sample_id,
            recording_id=recording_id,
            content=_content(options, split, index),
            render=partial(_render, options, split, index),
            sound=partial(_sound, options, split, index),
        )
        samples.append(sample)
    return tuple(sorted(samples, key=lambda sample: sample.sample_id))


def _content(options: SyntheticOptions, split: str, index: int) -> str:
    from benchbird.data.synthetic.options import GENERATOR_VERSION

    identity = {
        "generator_version": GENERATOR_VERSION,
        "options": dataclasses.asdict(options),
        "split": split,
        "index": index,
    }
    return json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _render(
    options: SyntheticOptions, split: str, index: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], dict[str, str]]:
    from benchbird.data.synthetic.scenes import synthesize

    sample = synthesize(options, split, index)
    return sample.image, sample.mask, sample.attributes


def _sound(
    options: SyntheticOptions, split: str, index: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], int]:
    from benchbird.data.synthetic.scenes import synthesize

    sample = synthesize(options, split, index)
    return sample.noisy, sample.clean, sample.sample_rate


@hookimpl
def benchbird_datasets() -> Iterable[DatasetSpec]:
    """The embedded data set."""
    return (
        DatasetSpec(
            name="synthetic",
            find=find,
            summary="Embedded: bird song made from a seed, mixed with noise, with exact masks.",
            source="benchbird's own generator",
            needs_root=False,
        ),
    )
