"""Events: the connected syllables of a mask, matched between a prediction and its reference.

An event is an 8-connected component. On a mirrored image a call and its mirror image are two events.
Owns components, matching, event counts and the errors of onset, offset and band edges; it refuses logits,
files and the scores of pixels. Images in, integers and errors out, pooled by whoever has all the images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

EVENT_THRESHOLDS = (0.3, 0.5)
"""Least IoU of a matched pair, inclusive."""

EDGE_THRESHOLD = 0.5
"""The one of `EVENT_THRESHOLDS` whose pairs give edge errors: at it no other matching is possible."""

LARGEST_SCALE = 1e12
"""Seconds or Hz above it are no recording's; refusing them keeps every product and sum finite."""

Mask = npt.NDArray[np.bool_]
IntegerArray = npt.NDArray[np.int64]
ErrorArray = npt.NDArray[np.float64]

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, kw_only=True, eq=False)
class Matching:
    """The events of one image and which of them belong together.

    Attributes:
        shape: rows and columns of the image.
        predicted_boxes: int64 `(P, 4)`, pixel edges of each predicted event: top, bottom, left, right;
            an event of one pixel in row r and column c is r, r + 1, c, c + 1.
        reference_boxes: int64 `(R, 4)`, the same of the reference.
        pairs: for each of `EVENT_THRESHOLDS` int64 `(M, 2)`: index of the predicted and of the reference event.
    """

    shape: tuple[int, int]
    predicted_boxes: IntegerArray
    reference_boxes: IntegerArray
    pairs: tuple[IntegerArray, ...]


@dataclass(frozen=True, kw_only=True)
class EventCounts:
    """Number of events of one image.

    Attributes:
        matched: pairs at each of `EVENT_THRESHOLDS`.
        predicted: events in the prediction.
        reference: events in the reference.
    """

    matched: tuple[int, ...]
    predicted: int
    reference: int


@dataclass(frozen=True, kw_only=True, eq=False)
class EdgeErrors:
    """Errors, predicted minus reference, of the M events of an image matched at `EDGE_THRESHOLD`.

    Attributes:
        onset_ms: float64 `(M,)`, finite; empty where the duration of the image is unknown.
        offset_ms: likewise.
        low_hz: float64 `(M,)`, finite; empty where the frequencies of the rows are unknown.
        high_hz: likewise.
    """

    onset_ms: ErrorArray
    offset_ms: ErrorArray
    low_hz: ErrorArray
    high_hz: ErrorArray


@dataclass(frozen=True, kw_only=True)
class EdgeStatistic:
    """Mean error of one edge, in the unit of its name.

    Attributes:
        n_events: matched events whose unit is known.
        mean_absolute: mean absolute error, None without an event.
        bias: mean signed error, None without an event; above 0 where predictions are late or high.
    """

    n_events: int
    mean_absolute: float | None
    bias: float | None


@dataclass(frozen=True, kw_only=True)
class EdgeSummary:
    """Errors of the edges of all matched events of a split; every event weighs the same."""

    onset_ms: EdgeStatistic
    offset_ms: EdgeStatistic
    low_hz: EdgeStatistic
    high_hz: EdgeStatistic


def match_events(predicted: Mask, reference: Mask) -> Matching:
    """Find the events of both masks and match them one to one.

    Of all matchings of pairs with IoU ≥ threshold it takes one with the most pairs, and among those one with
    the largest sum of IoU. At 0.5 there is only one: two events that overlap a third by half or more each
    would have to be its two halves, which touch and so are one event.

    Args:
        predicted: bool `(H, W)`.
        reference: bool `(H, W)`.

    Raises:
        ValueError: if the masks are not bool, not two-dimensional, without pixels or of different shape.
    """
    for name, mask in (("predicted", predicted), ("reference", reference)):
        if mask.dtype != np.bool_ or mask.ndim != 2 or mask.size == 0:
            raise ValueError(f"{name} must be a bool mask of shape (H, W), found {mask.dtype} {mask.shape}")
    if predicted.shape != reference.shape:
        raise ValueError(f"masks must have one shape, found predicted {predicted.shape}, reference {reference.shape}")
    predicted_labels, predicted_boxes = _components(predicted)
    reference_labels, reference_boxes = _components(reference)
    overlapping, iou = _overlaps(predicted_labels, reference_labels)
    return Matching(
        shape=(predicted.shape[0], predicted.shape[1]),
        predicted_boxes=predicted_boxes,
        reference_boxes=reference_boxes,
        pairs=tuple(_best_pairs(overlapping[iou >= least], iou[iou >= least]) for least in EVENT_THRESHOLDS),
    )


def matching_counts(matching: Matching) -> EventCounts:
    """Number of matched, predicted and reference events of a matching."""
    return EventCounts(
        matched=tuple(len(pairs) for pairs in matching.pairs),
        predicted=len(matching.predicted_boxes),
        reference=len(matching.reference_boxes),
    )


def event_counts(predicted: Mask, reference: Mask) -> EventCounts:
    """Number of matched, predicted and reference events of an image, bool `(H, W)` each.

    Raises:
        ValueError: as `match_events`.
    """
    return matching_counts(match_events(predicted, reference))


def matching_edge_errors(matching: Matching, attributes: Mapping[str, str]) -> EdgeErrors:
    """Errors of onset, offset and band edges of the events matched at `EDGE_THRESHOLD`.

    Onset and offset are the left and right pixel edge of an event, a column being `seconds` / W. Row edge r
    lies at (H/2 − r)/H · `sample_rate`, 0 Hz in the middle; with `spectrum` = `half` at (H − r)/H ·
    `sample_rate`/2. Low and high are the least and greatest absolute frequency of an event: one that crosses
    0 Hz has low = 0. (The published images have 0 Hz half of one of 1024 rows above the middle; on one side
    of 0 Hz that cancels in an error.)

    Args:
        matching: from `match_events`.
        attributes: of the sample: `seconds`, `sample_rate` in Hz, and `spectrum`, absent or empty for the
            mirrored rendering. What is absent or unusable leaves the errors in its unit empty.
    """
    pairs = matching.pairs[EVENT_THRESHOLDS.index(EDGE_THRESHOLD)]
    predicted = matching.predicted_boxes[pairs[:, 0]]
    reference = matching.reference_boxes[pairs[:, 1]]
    height, width = matching.shape
    time_ms = band_hz = np.zeros((0, 2), dtype=np.float64)
    seconds = _positive(attributes.get("seconds"))
    if seconds is not None:
        time_ms = (predicted - reference)[:, 2:] * np.float64(1000.0 * seconds / width)  # (M, 2)
    axis = _frequency_axis(height, attributes)
    if axis is not None:
        band_hz = _band_hz(predicted, *axis) - _band_hz(reference, *axis)  # (M, 2)
    return EdgeErrors(onset_ms=time_ms[:, 0], offset_ms=time_ms[:, 1], low_hz=band_hz[:, 0], high_hz=band_hz[:, 1])


def edge_errors(predicted: Mask, reference: Mask, attributes: Mapping[str, str]) -> EdgeErrors:
    """Errors of an image's matched events, masks bool `(H, W)`; see `matching_edge_errors`.

    Raises:
        ValueError: as `match_events`.
    """
    return matching_edge_errors(match_events(predicted, reference), attributes)


def summarise_edges(errors: Iterable[EdgeErrors]) -> EdgeSummary:
    """Mean absolute and mean signed error of each edge over the matched events of all images."""
    images = tuple(errors)
    return EdgeSummary(
        onset_ms=_statistic([image.onset_ms for image in images]),
        offset_ms=_statistic([image.offset_ms for image in images]),
        low_hz=_statistic([image.low_hz for image in images]),
        high_hz=_statistic([image.high_hz for image in images]),
    )


def _components(mask: Mask) -> tuple[IntegerArray, IntegerArray]:
    """Labels 1 … n of the events, int64 `(H, W)` with 0 for background, and their boxes `(n, 4)`."""
    from scipy import ndimage

    labels, _ = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    boxes = [(rows.start, rows.stop, columns.start, columns.stop) for rows, columns in ndimage.find_objects(labels)]
    return labels.astype(np.int64), np.array(boxes, dtype=np.int64).reshape(-1, 4)


def _overlaps(predicted: IntegerArray, reference: IntegerArray) -> tuple[IntegerArray, ErrorArray]:
    """Indices `(K, 2)` of the pairs of events with a common pixel, and their IoU `(K,)`."""
    predicted_pixels = np.bincount(predicted.ravel())
    reference_pixels = np.bincount(reference.ravel())
    common = (predicted > 0) & (reference > 0)
    # Sparse on purpose: noise has thousands of events, and a table of all pairs would be gigabytes.
    codes, intersection = np.unique(predicted[common] * len(reference_pixels) + reference[common], return_counts=True)
    pairs = np.stack(np.divmod(codes, len(reference_pixels)), axis=1)  # (K, 2), labels from 1
    union = predicted_pixels[pairs[:, 0]] + reference_pixels[pairs[:, 1]] - intersection
    return pairs - 1, intersection / union


def _best_pairs(pairs: IntegerArray, iou: ErrorArray) -> IntegerArray:
    """Of candidate pairs `(K, 2)` a one-to-one choice `(M, 2)`: the most pairs, then the largest sum of IoU."""
    rivals = [np.bincount(side)[side] for side in pairs.T]  # two of (K,)
    settled = (rivals[0] == 1) & (rivals[1] == 1)
    chosen = [_best_of_group(*group) for group in _groups(pairs[~settled], iou[~settled])]
    return np.concatenate([pairs[settled], *chosen])


def _groups(pairs: IntegerArray, iou: ErrorArray) -> Iterator[tuple[IntegerArray, ErrorArray]]:
    """Pairs that compete with one another, directly or by others: apart, since a table of all is cubic work."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(pairs):
        return
    predicted, row = np.unique(pairs[:, 0], return_inverse=True)
    reference, column = np.unique(pairs[:, 1], return_inverse=True)
    nodes = len(predicted) + len(reference)
    graph = coo_array((np.ones(len(pairs)), (row, len(predicted) + column)), shape=(nodes, nodes))
    group = connected_components(graph, directed=False)[1][row]
    order = np.argsort(group, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        yield pairs[part], iou[part]


def _best_of_group(pairs: IntegerArray, iou: ErrorArray) -> IntegerArray:
    from scipy.optimize import linear_sum_assignment

    predicted, row = np.unique(pairs[:, 0], return_inverse=True)
    reference, column = np.unique(pairs[:, 1], return_inverse=True)
    weight = np.zeros((len(predicted), len(reference)))
    # No sum of IoU reaches min(shape) + 1, so that one pair more outweighs any gain in IoU.
    weight[row, column] = min(weight.shape) + 1 + iou
    chosen = linear_sum_assignment(weight, maximize=True)
    real = weight[chosen] > 0  # the solver fills up with pairs that are no candidates
    return np.stack([predicted[chosen[0][real]], reference[chosen[1][real]]], axis=1)


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value <= LARGEST_SCALE else None  # NaN fails both comparisons


def _frequency_axis(height: int, attributes: Mapping[str, str]) -> tuple[float, float] | None:
    """Row edge of 0 Hz and Hz per row, or None where an attribute is unusable."""
    sample_rate = _positive(attributes.get("sample_rate"))
    if sample_rate is None:
        return None
    match attributes.get("spectrum", "").strip():
        case "":
            return height / 2, sample_rate / height
        case "half":
            return float(height), sample_rate / 2 / height
        case _:
            return None  # rows of a rendering not known here


def _band_hz(boxes: IntegerArray, zero_row: float, hz_per_row: float) -> ErrorArray:
    """Least and greatest absolute frequency of each box, `(M, 2)` in Hz."""
    rows_above = zero_row - boxes[:, :2]  # (M, 2), of the top and the bottom edge; below 0 Hz negative
    crosses = (rows_above[:, 0] > 0) & (rows_above[:, 1] < 0)
    distance = np.abs(rows_above)
    low = np.where(crosses, 0.0, distance.min(axis=1))
    return np.stack([low, distance.max(axis=1)], axis=1) * hz_per_row


def _statistic(images: list[ErrorArray]) -> EdgeStatistic:
    errors = np.concatenate([np.zeros(0), *images])
    if len(errors) == 0:
        return EdgeStatistic(n_events=0, mean_absolute=None, bias=None)
    return EdgeStatistic(n_events=len(errors), mean_absolute=float(np.abs(errors).mean()), bias=float(errors.mean()))
