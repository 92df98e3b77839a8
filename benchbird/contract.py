"""What a plugin and benchbird agree on: the specs that hooks return, and the API number.

Owns the types of the contract and the checks of a plugin author's own values. It loads nothing, runs
nothing and imports torch for typing only. The hooks themselves are described in `hookspecs.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from benchbird.standings import Leaderboard

API_VERSION = 1
"""A plugin states the version it was written for as `BENCHBIRD_API`. Additive changes keep the number."""

hookimpl = pluggy.HookimplMarker("benchbird")

OptionValue = bool | int | float | str | None
OptionType = type[bool] | type[int] | type[float] | type[str]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def is_name(text: str) -> bool:
    """Whether `text` can name a plugin's offer: lower-case ASCII letters, digits and `_`, at most 64."""
    return _NAME.fullmatch(text) is not None


def _require_name(kind: str, name: object) -> None:
    if not isinstance(name, str) or not is_name(name):
        raise ValueError(f"{kind} name {name!r}: expected lower-case letters, digits and '_', starting with a letter")


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a segmenter or data set, checked before anything is built.

    Attributes:
        default: the value when the benchmark says nothing; its type is the option's type unless `type` is given.
        type: `bool`, `int`, `float` or `str`; needed only where `default` is None.
        choices: the allowed values, or None for any.
        minimum: smallest allowed number, inclusive.
        maximum: largest allowed number, inclusive.
        help: one line for `benchbird list segmenters`.
    """

    default: OptionValue
    type: OptionType | None = None
    choices: tuple[OptionValue, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    help: str = ""

    def __post_init__(self) -> None:
        if self.type is None and self.default is None:
            raise ValueError("an option whose default is None must state its type")
        if (fault := self.fault(self.default)) is not None and self.default is not None:
            raise ValueError(f"default {self.default!r} is not allowed by the option itself: {fault}")

    @property
    def value_type(self) -> OptionType:
        """The Python type of a value."""
        if self.type is not None:
            return self.type
        assert self.default is not None, "checked when the option was made"
        return type(self.default)

    def fault(self, value: object) -> str | None:
        """What is wrong with `value`, as `found …, expected …`, or None where it is allowed."""
        expected = self.value_type
        if value is None and self.default is None:
            return None
        allowed_types = (int, float) if expected is float else (expected,)
        if not isinstance(value, allowed_types) or (isinstance(value, bool) and expected is not bool):
            return f"found {value!r}, expected {_article(expected.__name__)}"
        if self.choices is not None and value not in self.choices:
            return f"found {value!r}, expected one of {', '.join(str(choice) for choice in self.choices)}"
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.minimum is not None and not value >= self.minimum:
                return f"found {value!r}, expected at least {self.minimum:g}"
            if self.maximum is not None and not value <= self.maximum:
                return f"found {value!r}, expected at most {self.maximum:g}"
        return None


def _article(name: str) -> str:
    words = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text"}
    return words.get(name, name)


@dataclass(frozen=True, kw_only=True)
class SegmenterSpec:
    """A segmenter: the recipe that builds a model, and what a benchmark must know about it.

    The model maps float32 `(N, 3, H, W)`, normalised by the protocol, to float32 logits `(N, 1, H, W)`
    of the same H and W. No sigmoid. In `eval()` it is deterministic and a sample's logits do not depend
    on its batch-mates. Every trainable parameter gets a gradient. A model that wants another input scale
    carries that affine layer itself.

    Attributes:
        name: the slug used in a benchmark's `segmenters`.
        build: `build(**options) -> nn.Module` on the CPU; called once per trial, after the seed is set. It
            neither seeds nor picks a device.
        summary: one line for `benchbird list segmenters`.
        source: paper, DOI or URL the design comes from.
        options: name → `Option`; `build` receives every one of them.
        check_options: gets all options; returns None, or a sentence that says why the combination can't be.
        pretraining: the name of the option that states the pretraining, or None if there is none.
        size_multiple: H and W must be divisible by it.
        parameters: number of parameters with default options, trainable or not; None where it isn't stated.
        gflop: 10⁹ FLOP (2 × multiply-adds) of one image of 256×256 with default options, forward, as torch counts
            them; None where it isn't stated.
        calibrate: for segmenters without gradients, called once in place of training. `batches` can be
            iterated again and again; it yields the training split's prepared `(images, targets)`:
            float32 `(N, 3, H, W)` in [-1, 1] and float32 `(N, 1, H, W)` in [0, 1].
    """

    name: str
    build: Callable[..., nn.Module]
    summary: str = ""
    source: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)
    check_options: Callable[[Mapping[str, OptionValue]], str | None] | None = None
    pretraining: str | None = None
    size_multiple: int = 1
    parameters: int | None = None
    gflop: float | None = None
    calibrate: Callable[[nn.Module, Iterable[tuple[torch.Tensor, torch.Tensor]]], None] | None = None

    def __post_init__(self) -> None:
        _require_name("segmenter", self.name)
        if not callable(self.build):
            raise ValueError(f"segmenter {self.name}: build must be callable")
        if self.size_multiple < 1:
            raise ValueError(f"segmenter {self.name}: size_multiple must be at least 1")
        if self.pretraining is not None and self.pretraining not in self.options:
            raise ValueError(f"segmenter {self.name}: pretraining names {self.pretraining!r}, not an option")
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def complete_options(self, given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
        """All options by name, sorted: those given, the rest at their defaults. Checks nothing."""
        merged = {name: option.default for name, option in self.options.items()}
        for name, value in given.items():
            # 8 and 8.0 are one value; one spelling keeps them one trial.
            is_number_option = name in self.options and self.options[name].value_type is float
            merged[name] = float(value) if is_number_option and isinstance(value, int) else value
        return dict(sorted(merged.items()))


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image file with its mask file.

    Attributes:
        sample_id: unique within its split; predictions and reports use it.
        recording_id: what must not straddle splits: two channels or crops of one recording share it.
        image: path of the spectrogram image (PNG, JPEG or TIFF by content).
        mask: path of the mask, non-zero where there is bird.
        attributes: further columns, such as `snr_db`, for reports by group.
    """

    sample_id: str
    recording_id: str
    image: Path
    mask: Path
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GeneratedSample:
    """One sample that is computed instead of read.

    Attributes:
        sample_id: as for `Sample`.
        recording_id: as for `Sample`.
        content: identity of the content; equal text must mean equal pixels on every machine.
        render: picklable; returns image uint8 `(H, W)` or `(H, W, 3)` and mask bool `(H, W)`, and as a third
            value, where there is any, a mapping of attributes that are known only once the sample is made.
            They are joined to `attributes` for reports by group and are part of no digest.
        attributes: as for `Sample`.
        sound: picklable; returns what the image was rendered from, and the voice alone in it, both real `(n,)`, full
            scale ±1, and their samples a second. The voice may begin and end with NaN, where it isn't known. None
            where there is no sound; it is part of no digest.
        is_voice_alone: whether the second part of `sound` is the voice itself, and not the recording under a person's
            mask, against which a score says how near a segmenter comes to that person.
    """

    sample_id: str
    recording_id: str
    content: str
    render: Callable[[], tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, Mapping[str, str]]]
    attributes: Mapping[str, str] = field(default_factory=dict)
    sound: Callable[[], tuple[np.ndarray, np.ndarray, int]] | None = None
    is_voice_alone: bool = True


AnySample = Sample | GeneratedSample
Splits = Mapping[str, Sequence[AnySample]]
"""`train`, `val` and `test` → samples."""


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A data set: how its samples are found.

    Attributes:
        name: the slug used in a benchmark's `data.name`.
        find: `find(root, options) -> {"train": …, "val": …, "test": …}`; reads names, never pixels.
            `options` holds the benchmark's data settings that concern finding (`recording_pattern`,
            `sizes`, `synthetic`, and what the plugin declares in `options`).
        summary: one line for `benchbird list datasets`.
        source: paper, DOI or URL.
        needs_root: whether `data.root` must be given.
    """

    name: str
    find: Callable[[Path | None, Mapping[str, Any]], Splits]
    summary: str = ""
    source: str = ""
    needs_root: bool = True

    def __post_init__(self) -> None:
        _require_name("data set", self.name)


@dataclass(frozen=True, kw_only=True)
class ReporterSpec:
    """A way to write a leaderboard.

    Attributes:
        name: the slug used in `--format`.
        suffix: file name ending with the dot, such as `.md`.
        render: `render(leaderboard) -> str`, the whole document, ending in a newline.
        summary: one line for help texts.
    """

    name: str
    suffix: str
    render: Callable[[Leaderboard], str]
    summary: str = ""

    def __post_init__(self) -> None:
        _require_name("reporter", self.name)
