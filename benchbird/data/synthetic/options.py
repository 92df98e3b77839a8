"""The parameters of the embedded data set: what each means, its unit, its range, and what is wrong with one.

It refuses to make anything: `scenes` does, from an object that this module has found sound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

GENERATOR_VERSION = 1
"""Raised by every change that alters one pixel of any sample: it is part of the data digest."""

SPLITS = ("train", "val", "test")

_RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1),
    "sample_rate": (8_000, 48_000),
    "seconds_min": (1.0, 30.0),
    "seconds_max": (1.0, 30.0),
    "snr_db_min": (-20.0, 60.0),
    "snr_db_max": (-20.0, 60.0),
    "empty_share": (0.0, 1.0),
    "pair_share": (0.0, 1.0),
    "distractor_share": (0.0, 1.0),
}
_WHOLE = ("seed", "sample_rate")


@dataclass(frozen=True, kw_only=True)
class SyntheticOptions:
    """What a user may set under `data.synthetic`.

    Attributes:
        seed: whole number from 0 on; another seed gives other recordings throughout.
        sample_rate: whole number of Hz, 8000 to 48000.
        seconds_min: shortest recording, 1 to 30 s.
        seconds_max: longest recording, `seconds_min` to 30 s.
        snr_db_min: lowest ratio of the voice's to the noise's power over the whole recording, −20 to 60 dB.
        snr_db_max: highest such ratio, `snr_db_min` to 60 dB.
        empty_share: share of recordings without any bird, 0 to 1.
        pair_share: share of samples that are half of a `_left`/`_right` couple, 0 to 1.
        distractor_share: share of recordings with a loud sound that is not a bird, 0 to 1.

    Raises:
        ValueError: on construction, if a field is outside its range; the message names every such field.
    """

    seed: int = 0
    sample_rate: int = 16_000
    seconds_min: float = 2.4
    seconds_max: float = 5.0
    snr_db_min: float = -5.0
    snr_db_max: float = 20.0
    empty_share: float = 0.07
    pair_share: float = 0.2
    distractor_share: float = 0.35

    def __post_init__(self) -> None:
        found = option_faults({field.name: getattr(self, field.name) for field in fields(self)})
        if found:
            raise ValueError("; ".join(f"{name}: {fault}" for name, fault in found))


def option_faults(values: dict[str, object]) -> list[tuple[str, str]]:
    """Every fault in a set of option values, as (field, "found …, expected …"); empty if there is none.

    Args:
        values: field name to value; fields left out have their default. Unknown names are faults.
    """
    faults: list[tuple[str, str]] = []
    numbers = {field.name: field.default for field in fields(SyntheticOptions)}
    for name, value in values.items():
        if name not in _RANGES:
            faults.append((name, f"unknown option, expected one of {', '.join(_RANGES)}"))
            continue
        low, high = _RANGES[name]
        whole = name in _WHOLE
        expected = f"expected a {'whole number' if whole else 'number'} from {low:g} to {high:g}"
        is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type,operator]
            faults.append((name, f"found {value!r}, {expected}"))
        else:
            numbers[name] = value
    for least, most in (("seconds_min", "seconds_max"), ("snr_db_min", "snr_db_max")):
        if not any(name in (least, most) for name, _ in faults) and numbers[least] > numbers[most]:  # type: ignore[operator]
            faults.append((least, f"found {numbers[least]!r}, expected at most {most} = {numbers[most]!r}"))
    return faults
