"""Other people's published results: read strictly from a file, and what can be said of them without their data.

Owns the file's keys, the check of a printed IoU against the printed Dice, and the reasons why a figure may or
may not stand beside a leaderboard's. It ranks nothing; how rows look is `reporters/published_rows.py`'s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Len
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from benchbird.config.faults import in_order, place_of, suggestion
from benchbird.config.strict_yaml import MAX_FAULTS, KeyPath, Place, dotted, parse, read_text, shown
from benchbird.errors import ConfigError, Fault

Definition = Literal["unknown_averaging", "batch_mean_foreground", "two_class_batch_mean"]
Kind = Literal["segmenter", "audio_only", "prompted"]

SYNTHETIC = "synthetic"
"""The embedded data set's name: generated, so nobody else's figure is about it."""

F1_TOLERANCE_POINTS = 0.15
"""Two figures of one decimal each, equal before rounding, differ by 0.1 at most."""

IOU_TOLERANCE_POINTS = 0.15
"""Rounding to one decimal moves the printed IoU by 0.05 and the one that Dice implies by up to 0.1."""

_METRICS: dict[Definition, str] = {
    "unknown_averaging": "iou_pooled",
    "batch_mean_foreground": "iou_batch_mean",
    "two_class_batch_mean": "miou_two_class_batch_mean",
}
_SDR_PER_DECIBEL = 1.1513  # 10·ln(r) = 1.1513 · 20·log10(r), for every r


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One system's printed results; fractions in [0, 1], None where the source prints none.

    Attributes:
        system: its name in the source.
        source: who printed it: report, or arXiv id and year.
        kind: `segmenter`; `audio_only` has no mask; `prompted` was given part of the answer.
        dataset: the data set's name, as benchbird's plugins call it.
        split: the samples it was trained, selected and tested on, in words; empty where unknown.
        definition: of the IoU, as far as it is known; None without an IoU.
        pretrained: what the weights started from, `none` for random ones; None where unknown.
        image_size: side of the square it saw, in pixels; None where unknown.
        val_iou: on validation, like all IoU by `definition`.
        test_iou: on test.
        test_f1: on test.
        test_dice: on test.
        test_sdr: on test, as printed: see `sdr_in_decibel`.
        remark: what else a reader must know, or empty.
    """

    system: str
    source: str
    kind: Kind
    dataset: str
    split: str
    definition: Definition | None
    pretrained: str | None
    image_size: int | None
    val_iou: float | None
    test_iou: float | None
    test_f1: float | None
    test_dice: float | None
    test_sdr: float | None
    remark: str


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """The published results on one data set, in the file's order.

    Attributes:
        title: the data set's name in the literature.
        dataset: the data set's name, as benchbird's plugins call it.
        rows: at least one.
    """

    title: str
    dataset: str
    rows: tuple[PublishedRow, ...]


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """What a printed IoU, Dice and F1 say of one another.

    Attributes:
        implied_iou: the IoU that the printed Dice implies, a fraction.
        surplus_points: printed IoU minus that, in percentage points.
        f1_is_dice: whether F1 equals Dice within rounding; None where no F1 is printed.
        meaning: one or two sentences for a reader.
    """

    implied_iou: float
    surplus_points: float
    f1_is_dice: bool | None
    meaning: str


def load_published(path: Path) -> PublishedTable:
    """Read one file of published results; its per cent become fractions.

    Raises:
        ConfigError: every fault of the file, each with its line, row and system.
    """
    document = parse(read_text(path), str(path))
    try:
        file = _File.model_validate_json(json.dumps(document.value), strict=True)
    except ValidationError as error:
        # A list whose rows all failed counts as empty for pydantic, but not for its author.
        details = [each for each in error.errors(include_url=False) if each["type"] != "too_short" or not each["input"]]
        faults = [_fault(detail, document.value, document.places) for detail in details[:MAX_FAULTS]]
        raise ConfigError(in_order(faults)) from None
    if faults := _repeated(file.rows, document.places):
        raise ConfigError(faults)
    return PublishedTable(title=file.title, dataset=file.dataset, rows=tuple(_row(row, file) for row in file.rows))


def find_published(folder: Path) -> tuple[PublishedTable, ...]:
    """Every `*.yaml` of a folder, by name; hidden files and subfolders are left alone.

    Raises:
        ConfigError: the folder can't be read or holds none, or the faults of all its files.
    """
    expected = "expected a folder with published results (*.yaml)"
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise ConfigError([Fault(str(folder), "", f"{error.strerror or error}, {expected}")]) from None
    files = [folder / name for name in names if name.endswith(".yaml") and not name.startswith(".")]
    if not files:
        raise ConfigError([Fault(str(folder), "", f"found no *.yaml, {expected}")])
    tables: list[PublishedTable] = []
    faults: list[Fault] = []
    for file in files:
        try:
            tables.append(load_published(file))
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return tuple(tables)


def iou_from_dice(dice: float) -> float:
    """The IoU of the prediction that has this Dice, both in [0, 1]: Dice / (2 − Dice).

    Exact for one image and for pixels pooled over any number of them. Not for means: the function is convex,
    so a mean IoU is at least the IoU of the mean Dice.
    """
    return dice / (2 - dice)


def consistency(row: PublishedRow) -> Consistency | None:
    """Hold a row's printed test IoU against its printed Dice, and F1 against Dice; None without the first two."""
    if row.test_iou is None or row.test_dice is None:
        return None
    implied = iou_from_dice(row.test_dice)
    surplus = 100 * (row.test_iou - implied)
    f1_is_dice = None
    meaning = _surplus_meaning(surplus)
    if row.test_f1 is not None:
        distance = 100 * abs(row.test_f1 - row.test_dice)
        f1_is_dice = distance <= F1_TOLERANCE_POINTS
        if not f1_is_dice:
            meaning += (
                f" F1 and Dice are {distance:.1f} points apart, but are one number on the same pixels, "
                "averaged alike: here they weren't."
            )
    return Consistency(implied_iou=implied, surplus_points=surplus, f1_is_dice=f1_is_dice, meaning=meaning)


def comparable_metric(row: PublishedRow) -> str:
    """The name of the score in `records.Scores` by the row's definition of IoU; the nearest where it is unknown."""
    return _METRICS[row.definition or "unknown_averaging"]


def sdr_in_decibel(printed: float) -> float:
    """Convert the printed SDR, 10·ln(|y| / |x − y|), to decibel: 20·log10 of the same ratio.

    A conversion to be shown, never to rank by: y is the noisy input, not the clean signal, so doing nothing
    scores infinity and deleting everything 0.
    """
    return printed / _SDR_PER_DECIBEL


def why(row: PublishedRow, dataset_name: str, image_size: int | None) -> str:
    """One sentence: whether a row may be compared with a leaderboard, and why.

    Args:
        row: of a published table.
        dataset_name: the leaderboard's data set.
        image_size: side of the leaderboard's images, in pixels; None where unknown.

    Returns:
        `no: …`, or `in part: …` where one of the leaderboard's scores has the row's definition.
    """
    if dataset_name != row.dataset:
        generated = "the generated set " if dataset_name == SYNTHETIC else ""
        return f"no: other data ({generated}{dataset_name}, not {row.dataset})"
    if row.kind == "audio_only":
        printed = row.test_sdr
        sdr = f"; SDR {printed:.2f} printed is {sdr_in_decibel(printed):.2f} dB" if printed is not None else ""
        return f"no: audio only, without a mask{sdr}"
    if row.kind == "prompted":
        return "no: prompted with part of the answer"
    size = ""
    if image_size is not None and row.image_size is not None and image_size != row.image_size:
        size = f"; {row.image_size}×{row.image_size}, not {image_size}×{image_size}"
    there = f"; {row.split}" if row.split else ""
    if row.definition is None:
        return f"no: no IoU was printed{there}{size}"
    if row.definition == "unknown_averaging":
        return f"no: averaging unknown, {comparable_metric(row)} is nearest{there}{size}"
    return f"in part: by {comparable_metric(row)}{there}{size}"


def _surplus_meaning(surplus: float) -> str:
    if abs(surplus) <= IOU_TOLERANCE_POINTS:
        return "The printed IoU is what the printed Dice implies: as if both were pooled."
    rule = "IoU = Dice/(2−Dice) holds for one image and for pooled pixels"
    if surplus > 0:
        return (
            f"The printed IoU is {surplus:.1f} points above what Dice implies: {rule}, so the two were averaged "
            "over images, batches or classes, or by different rules."
        )
    # By convexity no single averaging rule gives less.
    return f"The printed IoU is {-surplus:.1f} points below what Dice implies: {rule}, so their rules differ."


class _Section(BaseModel):
    # Strict, but validated as JSON, where a whole number may stand for a float: as benchmark files are.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)


_Text = Annotated[str, Len(min_length=1, max_length=300)]
# From 1: a fraction in the place of per cent would be wrong by a factor of 100 in silence.
_Percent = Annotated[float, Ge(1), Le(100)]


class _Row(_Section):
    system: _Text
    source: _Text
    kind: Kind = "segmenter"
    split: _Text | None = None
    definition: Definition | None = None
    pretrained: _Text | None = None
    image_size: Annotated[int, Ge(1), Le(100_000)] | None = None
    val_iou: _Percent | None = None
    test_iou: _Percent | None = None
    test_f1: _Percent | None = None
    test_dice: _Percent | None = None
    test_sdr: Annotated[float, Ge(-1000), Le(1000)] | None = None
    remark: Annotated[str, Len(max_length=300)] = ""

    @model_validator(mode="after")
    def _figures_fit(self) -> _Row:
        figures = (self.val_iou, self.test_iou, self.test_f1, self.test_dice)
        if all(figure is None for figure in (*figures, self.test_sdr)):
            raise ValueError("found no figure, expected at least one of val_iou, test_iou, …, test_sdr")
        if self.kind == "audio_only" and any(figure is not None for figure in figures):
            raise ValueError("found an IoU, F1 or Dice of a system without a mask, expected test_sdr alone")
        if (self.val_iou is None and self.test_iou is None) != (self.definition is None):
            raise ValueError("expected a definition with an IoU, and none without (unknown_averaging is one)")
        return self


class _File(_Section):
    title: _Text
    dataset: _Text
    split: _Text | None = None
    rows: Annotated[tuple[_Row, ...], Len(min_length=1, max_length=1000)]


def _row(row: _Row, file: _File) -> PublishedRow:
    def fraction(percent: float | None) -> float | None:
        return None if percent is None else percent / 100

    return PublishedRow(
        system=row.system,
        source=row.source,
        kind=row.kind,
        dataset=file.dataset,
        split=row.split or file.split or "",
        definition=row.definition,
        pretrained=row.pretrained,
        image_size=row.image_size,
        val_iou=fraction(row.val_iou),
        test_iou=fraction(row.test_iou),
        test_f1=fraction(row.test_f1),
        test_dice=fraction(row.test_dice),
        test_sdr=row.test_sdr,
        remark=row.remark,
    )


def _repeated(rows: Sequence[_Row], places: Mapping[KeyPath, Place]) -> list[Fault]:
    first: dict[tuple[str, str], int] = {}
    faults = []
    for index, row in enumerate(rows):
        earlier = first.setdefault((row.system, row.source), index)
        if earlier != index:
            twice = f"found {shown(row.system)} of that source a second time (first: rows[{earlier}])"
            place = place_of(places, ("rows", index, "system"))[1]
            faults.append(Fault(place.value, f"rows[{index}].system", f"{twice}, expected each system once"))
    return faults[:MAX_FAULTS]


_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "text",
    "tuple_type": "a list of rows",
    "model_type": "a mapping",
    "too_short": "at least one row",
    "string_too_short": "text",
    "string_too_long": "at most 300 characters",
    "too_long": "at most 1000 rows",
}


def _fault(detail: ErrorDetails, value: object, places: Mapping[KeyPath, Place]) -> Fault:
    path: KeyPath = detail["loc"]
    written, place = place_of(places, path)
    of = _system_of(value, path)
    match detail["type"]:
        case "extra_forbidden":
            known = _Row.model_fields if path[:1] == ("rows",) else _File.model_fields
            return Fault(place.key, dotted(path), f"unknown key{of}, {suggestion(str(path[-1]), known)}")
        case "missing":
            return Fault(place.key, dotted(path), f"missing{of}, expected {'rows' if path == ('rows',) else 'text'}")
        case "value_error":
            return Fault(place.value, dotted(written), f"{detail['ctx']['error']}{of}")
    return Fault(place.value, dotted(written), f"found {shown(detail['input'])}{of}, expected {_expected(detail)}")


def _expected(detail: ErrorDetails) -> str:
    context: dict[str, Any] = detail.get("ctx", {})
    match detail["type"]:
        case "literal_error":
            return "one of " + str(context["expected"]).replace("'", "")
        case "greater_than_equal" | "less_than_equal" if detail["loc"][-1] in _PERCENT_KEYS:
            return "per cent from 1 to 100"
        case "greater_than_equal":
            return f"at least {context['ge']:g}"
        case "less_than_equal":
            return f"at most {context['le']:g}"
    return _EXPECTED.get(detail["type"], f"otherwise: {detail['msg']}")


_PERCENT_KEYS = ("val_iou", "test_iou", "test_f1", "test_dice")


def _system_of(value: object, path: KeyPath) -> str:
    """` (system DVAD)`, for a fault in a row that has a name."""
    rows = value.get("rows") if isinstance(value, dict) else None
    if len(path) < 2 or not isinstance(rows, list) or not isinstance(path[1], int):
        return ""
    row = rows[path[1]]
    system = row.get("system") if isinstance(row, dict) else None
    return f" (system {shown(system)})" if isinstance(system, str) and path[2:] != ("system",) else ""
