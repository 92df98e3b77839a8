"""The images that tell most: which are shown, and their pictures.

Owns the choice and the encoding. An error map holds the prediction too: what is white or orange was predicted.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchbird.data.overlays import brightened
from benchbird.predictions import Predictions
from benchbird.report.images import ImageScores
from benchbird.report.texts import name

MOST_BYTES = 2_000_000
"""Of all pictures together as data URIs: a page of 3 MB still opens on a phone."""
LARGEST_SIDE = 256

BACKGROUND, HIT, FALSE, MISSED = range(4)
COLOURS = ((16, 21, 27), (255, 255, 255), (242, 146, 78), (74, 163, 255))
"""Of background, bird found, wrongly taken for bird, bird missed. Red is above one half exactly where bird was
predicted, so that a filter on red shows the prediction alone; the page relies on it."""

FloatArray = npt.NDArray[np.float64]
InputOf = Callable[[int], npt.NDArray[np.uint8]]
"""Place of a test image → the picture that the networks saw, uint8 `(C, S, S)`, C 1 or 3."""

GROUPS = {
    "worst": "Worst: the lowest IoU, averaged over the networks",
    "disagreement": "Disagreement: IoU furthest apart between networks",
    "median": "Median: around the median IoU",
    "best": "Best: the highest IoU",
    "false alarm": "False alarms: no bird in it; the most wrong pixels first",
}
"""Why an image is shown, in the order of the page."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture of an image.

    Attributes:
        title: `input`, `mask`, or the segmenter's label.
        text: what is written below it: its IoU.
        picture: data URI.
        is_error_map: whether it can be shown as a prediction too.
    """

    title: str
    text: str
    picture: str
    is_error_map: bool


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One test image with its pictures.

    Attributes:
        sample_id: its name.
        group: one of `GROUPS`.
        note: what the data set says of it.
        panels: input, mask, then each segmenter.
    """

    sample_id: str
    group: str
    note: str
    panels: tuple[Panel, ...]


def chosen_images(scores: ImageScores, networks: Sequence[str], number: int) -> list[tuple[str, int]]:
    """Group and place of each image to be shown, none twice, at most `number`.

    Args:
        scores: of the test images.
        networks: labels that count; floors would make everything a disagreement.
        number: images wanted.
    """
    if not networks or number < 1:
        return []
    iou = np.nan_to_num(np.stack([scores.iou[label] for label in networks]))  # (L, N)
    with_bird, without = np.flatnonzero(scores.has_bird), np.flatnonzero(~scores.has_bird)
    mean, apart = iou.mean(0), iou.max(0) - iou.min(0)
    ascending = with_bird[np.argsort(mean[with_bird], kind="stable")]
    middle = len(ascending) // 2
    around = sorted(range(len(ascending)), key=lambda rank: (abs(rank - middle), rank))
    false = np.stack([scores.false_share[label] for label in networks]).mean(0)
    alarms = without[np.argsort(-false[without], kind="stable")]
    orders: dict[str, list[int]] = {
        "worst": ascending.tolist(),
        "disagreement": with_bird[np.argsort(-apart[with_bird], kind="stable")].tolist() if len(networks) > 1 else [],
        "median": [int(ascending[rank]) for rank in around],
        "best": ascending[::-1].tolist(),
        "false alarm": [int(place) for place in alarms if false[place] > 0],
    }
    chosen: list[tuple[str, int]] = []
    while len(chosen) < number and any(orders.values()):
        for group, order in orders.items():
            taken = {place for _, place in chosen}
            place = next((one for one in order if one not in taken), None)
            orders[group] = [] if place is None else order[order.index(place) + 1 :]
            if place is not None and len(chosen) < number:
                chosen.append((group, place))
    return sorted(chosen, key=lambda one: list(GROUPS).index(one[0]))


def exhibits(
    scores: ImageScores,
    chosen: Sequence[tuple[str, int]],
    predictions: Mapping[str, Predictions],
    input_of: InputOf | None,
    spent: int = 0,
) -> tuple[tuple[Exhibit, ...], int]:
    """The images with their pictures, as many as fit into the page, and how many didn't.

    Args:
        scores: of the test images.
        chosen: from `chosen_images`.
        predictions: label → those of the trial that is shown, in the order of the page.
        input_of: the inputs; None where the data aren't at hand.
        spent: bytes that other pictures of the page take.
    """
    made = []
    for group, place in _by_turns(chosen):
        exhibit = _exhibit(scores, group, place, predictions, input_of)
        spent += sum(len(panel.picture) for panel in exhibit.panels)
        if spent > MOST_BYTES:
            break
        made.append(exhibit)
    ordered = sorted(made, key=lambda one: list(GROUPS).index(one.group))
    return tuple(ordered), len(chosen) - len(made)


def _by_turns(chosen: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """One of each group, then the next of each, so that what is left out is the least telling of all groups."""
    seen: dict[str, int] = {}
    turns = []
    for group, place in chosen:
        seen[group] = seen.get(group, 0) + 1
        turns.append((seen[group], group, place))
    return [(group, place) for _, group, place in sorted(turns, key=lambda one: one[0])]


def _exhibit(
    scores: ImageScores, group: str, place: int, predictions: Mapping[str, Predictions], input_of: InputOf | None
) -> Exhibit:
    panels = []
    if input_of is not None:
        panels.append(Panel(title="input", text="", picture=input_picture(input_of(place)), is_error_map=False))
    for label, one in predictions.items():
        predicted, reference = one.masks(place)
        if not any(panel.title == "mask" for panel in panels):
            panels.append(Panel(title="mask", text="", picture=mask_picture(reference), is_error_map=False))
        panels.append(
            Panel(
                title=name(label),
                text=_text(predicted, reference),
                picture=error_map(predicted, reference),
                is_error_map=True,
            )
        )
    return Exhibit(
        sample_id=scores.sample_ids[place], group=group, note=_note(scores.attributes[place]), panels=tuple(panels)
    )


_TOLD = {"voice": "{}", "noise": "{}", "snr_db": "SNR {} dB", "species": "{}", "kind": "{}"}


def _note(attributes: Mapping[str, str]) -> str:
    told = [form.format(attributes[key]) for key, form in _TOLD.items() if attributes.get(key, "").strip()]
    return ", ".join(told).replace(" -", " −")


def _text(predicted: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]) -> str:
    union = int((predicted | reference).sum())
    if not reference.any():
        return f"{100 * predicted.mean():.1f} % false"
    return f"IoU {int((predicted & reference).sum()) / union:.3f}"


def input_picture(pixels: npt.NDArray[np.uint8]) -> str:
    """A picture, uint8 `(C, S, S)`, brightened."""
    small = np.stack([_small(channel) for channel in pixels], axis=-1)  # (S, S, C)
    image = Image.fromarray(brightened(small[..., 0] if len(pixels) == 1 else small))
    return _encoded(image, "WEBP", quality=80)


def mask_picture(mask: npt.NDArray[np.bool_]) -> str:
    """White where there is bird."""
    return _palette(np.where(_small(mask), HIT, BACKGROUND))


def error_map(predicted: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]) -> str:
    """White where bird was found, orange where there is none, blue where it was missed."""
    predicted, reference = _small(predicted), _small(reference)
    codes = np.where(predicted, np.where(reference, HIT, FALSE), np.where(reference, MISSED, BACKGROUND))
    return _palette(codes)


def _small(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Every second, third … pixel of what is larger than a page needs: a mean would invent colours."""
    step = -(-max(array.shape) // LARGEST_SIDE)
    return array[::step, ::step]


def _palette(codes: npt.NDArray[Any]) -> str:
    image = Image.fromarray(np.ascontiguousarray(codes, dtype=np.uint8)).convert("P")
    image.putpalette([channel for colour in COLOURS for channel in colour])
    return _encoded(image, "PNG", optimize=True, bits=2)


def _encoded(image: Image.Image, kind: str, **options: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
