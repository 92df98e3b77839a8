"""The keys of a benchmark file: names, types, defaults and the rules of each value alone.

Owns the vocabulary. How files, profiles and options are put together is `config.py`'s; how a fault is
worded is `faults.py`'s; what only a plugin knows (its options) is checked by `choices.py`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
import warnings
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

from benchbird.contract import is_name
from benchbird.protocol import SEARCH_SUFFIX, Protocol, Tuning

FULL = "full"
"""The name of no profile: the file without overrides."""

CPU_PROFILE = "cpu"
"""The profile that is taken where there is no GPU and nobody named one."""

RECORDINGS = "recordings"
"""As `data.folds`: as many folds as there are recordings."""

LEAST_FOLDS, MOST_FOLDS = 3, 1000
"""One fold is test, one is validation, and something must be left to learn from."""

SLUG_LENGTH = 64

_SLUG = re.compile(rf"[a-z][a-z0-9_-]{{0,{SLUG_LENGTH - 1}}}")


def is_slug(text: str) -> bool:
    """Whether `text` can name a benchmark, a label or a profile: it becomes part of a folder's name."""
    return _SLUG.fullmatch(text) is not None


def _slug(text: str) -> str:
    if not is_slug(text):
        raise ValueError("expected lower-case letters, digits, '_' and '-', starting with a letter, at most 64")
    return text


def _benchmark_name(text: str) -> str:
    if text == "published":
        raise ValueError("expected another name: results/published holds what was published")
    if text == "noise":
        raise ValueError("expected another name: a folder noise holds a noise budget, which is never ranked")
    if text.endswith(SEARCH_SUFFIX):
        raise ValueError(f"expected another ending: …{SEARCH_SUFFIX} holds the trials that choose learning rates")
    return _slug(text)


def _plugin_name(text: str) -> str:
    if not is_name(text):
        raise ValueError("expected lower-case letters, digits and '_', starting with a letter, at most 64")
    return text


def _path(path: Path) -> Path:
    # Paths arrive absolute, from whichever folder they start at; only an empty one does not.
    if not path.is_absolute():
        raise ValueError("expected a path")
    return path


def _recording_pattern(text: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a FutureWarning about sets isn't the reader's concern
            groups = re.compile(text).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"expected a regular expression ({error})") from None
    if "recording" not in groups:
        raise ValueError("expected a regular expression with a group (?P<recording>…)")
    return text


def _texts(value: object) -> tuple[str, ...]:
    """One value or a list of them as the texts that a manifest would hold."""
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, str | int | float) for one in values):
        raise ValueError("expected text, or a list of texts")
    return tuple(one if isinstance(one, str) else json.dumps(one) for one in values)


def _folds(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool) and LEAST_FOLDS <= value <= MOST_FOLDS
    if value is not None and value != RECORDINGS and not is_number:
        raise ValueError(f"expected a whole number from {LEAST_FOLDS} to {MOST_FOLDS}, or {RECORDINGS}")
    return value


Slug = Annotated[str, AfterValidator(_slug)]
PluginName = Annotated[str, AfterValidator(_plugin_name)]
AbsolutePath = Annotated[Path, AfterValidator(_path)]
Seed = Annotated[int, Ge(0), Lt(2**63)]
Seeds = Annotated[tuple[Seed, ...], Len(min_length=1, max_length=100)]
Images = Annotated[int, Ge(1), Le(10_000_000)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class _Section(BaseModel):
    # Strict: "16" isn't 16. The file is validated as JSON, where a whole number may still stand for a float.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class SplitSizes(_Section):
    """How many samples a subset draws.

    Attributes:
        train: samples of the training split.
        val: samples of the validation split.
        test: samples of the test split.
    """

    train: Images
    val: Images
    test: Images


class DataConfig(_Section):
    """Which data, and which part of them.

    Attributes:
        name: of the data set: `birdsound`, `synthetic` or a plugin's.
        root: the data set's folder; without one, `birdsound` means the embedded set `synthetic`.
        where: column → the texts that a sample's attribute may have; samples with others are left out,
            before anything is drawn.
        sizes: of a subset drawn by recording; None for every sample.
        subset_seed: of that drawing, and of the dealing of recordings to folds.
        folds: pool all splits and deal the recordings to so many folds, or to one each (`recordings`);
            None for the splits as they are.
        fold: the one whose recordings are tested, counted from 1; None until a run has chosen.
        also_test: further folders on whose test samples the trained models are scored; part of no digest.
        recording_pattern: a regular expression whose group `recording` is a file stem's recording id.
        allow_leaks: go on where one recording is in two splits.
        skip_bad: leave out samples whose files can't be used, instead of refusing them all.
        allow_links: follow symbolic links that leave the data root.
        synthetic: parameters of the embedded set, as `benchbird.data.synthetic` defines them.
        options: whatever else a plugin's data set wants to know.
    """

    name: PluginName = "birdsound"
    root: AbsolutePath | None = None
    where: dict[str, Texts] = {}
    sizes: SplitSizes | None = None
    subset_seed: Seed = 0
    folds: Annotated[int | Literal["recordings"] | None, BeforeValidator(_folds)] = None
    fold: Annotated[int, Ge(1)] | None = None
    also_test: Annotated[tuple[AbsolutePath, ...], Len(max_length=20)] = ()
    recording_pattern: Annotated[str, AfterValidator(_recording_pattern)] | None = None
    allow_leaks: bool = False
    skip_bad: bool = False
    allow_links: bool = False
    synthetic: dict[str, Any] = {}
    options: dict[str, Any] = {}

    @property
    def dataset(self) -> str:
        """The name of the data set that is really read: `birdsound` without a folder is embedded."""
        return "synthetic" if self.name == "birdsound" and self.root is None else self.name


class SegmenterEntry(_Section):
    """One entry of `segmenters`.

    Attributes:
        name: of the segmenter, as its plugin states it.
        label: in the leaderboard, unique in the benchmark; the name where none is given.
        options: those that are given.
    """

    name: PluginName
    label: Slug = ""
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _label_is_name(self) -> SegmenterEntry:
        if not self.label:
            object.__setattr__(self, "label", self.name)
        return self


class Limits(_Section):
    """What a trial may use.

    Attributes:
        trial_seconds: wall-clock time after which a trial ends as `timeout`.
        silent_seconds: the same for a trial that gives no sign of progress, such as a finished epoch, for so long.
            None in either: a limit that follows from the speed of the machine.
    """

    trial_seconds: Annotated[float, Gt(0), Le(1e9)] | None = None
    silent_seconds: Annotated[float, Gt(0), Le(1e9)] | None = None


class BenchmarkSchema(_Section):
    """A whole benchmark, profiles merged and taken out. `config.BenchmarkConfig` is what callers get."""

    name: Annotated[str, AfterValidator(_benchmark_name)]
    data: DataConfig = DataConfig()
    protocol: Protocol = Protocol()
    tuning: Tuning | None = None
    segmenters: Annotated[tuple[SegmenterEntry, ...], Len(min_length=1, max_length=1000)]
    plugins: Annotated[tuple[AbsolutePath, ...], Len(max_length=100)] = ()
    seeds: Seeds = (0,)
    limits: Limits = Limits()


def section_keys(path: tuple[str | int, ...]) -> tuple[str, ...] | None:
    """The keys that may stand under a key path, or None where there is no fixed set of them."""
    kind: Any = BenchmarkSchema
    for part in path:
        if isinstance(part, int):
            kind = _plain(get_args(kind)[0]) if get_origin(kind) is tuple else None
        else:
            kind = _plain(_hints(kind).get(part)) if _keys(kind) else None
    keys = _keys(kind)
    return (*keys, "profiles") if keys and not path else keys


@cache
def key_paths(path: tuple[str, ...] = ()) -> tuple[tuple[str, ...], ...]:
    """Every key path of the schema that leads through mappings alone."""
    own = [(*path, key) for key in section_keys(path) or ()]
    return tuple(inner for outer in own for inner in (outer, *key_paths(outer)))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _keys(kind: Any) -> tuple[str, ...] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return tuple(kind.model_fields)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return None


def _plain(kind: Any) -> Any:
    """A type without its `| None`."""
    if get_origin(kind) in (types.UnionType, typing.Union):
        return next(part for part in get_args(kind) if part is not type(None))
    return kind
