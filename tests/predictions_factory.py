"""Predictions and whole trial folders made up from a seed: no network, no torch, a few milliseconds a trial.

Every array agrees with every other (`predictions.contradictions` finds nothing) and a record's scores are those
of its predictions, so what is made here is read like a real trial. Masks are bars ("syllables") side by side; a
prediction is the same bars moved upwards, so far that each image's IoU is what was asked for.

    write_study(root, {"unet": 0.70, "threshold": 0.55}, seeds=(0, 1, 2))            # → the study's folder
    write_trial(root, make_segmenter("unet"), level=0.70, seed=0, images=MadeUpImages(n_recordings=20))
    make_predictions(0.70, seed=0)                                                   # → Predictions alone
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from benchbird import metrics
from benchbird.durable import file_sha256
from benchbird.metrics import HISTOGRAM_BINS, CountArray, histogram_borders
from benchbird.predictions import Predictions, SplitCounts, write_predictions
from benchbird.protocol import Protocol, canonical_digest
from benchbird.records import DataSummary, SegmenterIdentity, SplitScores, TrialRecord
from benchbird.results import ResultsStore, add_record, trial_hash
from benchbird.seeding import derive_seed
from tests.record_factory import DATA, PROTOCOL, make_record, make_segmenter

PREDICTIONS_FILE = "predictions.npz"
WEIGHTS_FILE = "weights.safetensors"

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class MadeUpImages:
    """The test and validation images that trials share.

    Attributes:
        seed: of masks and of how hard each recording is; another seed is another data set.
        n_recordings: in the test split.
        images_per_recording: in the test split.
        n_val: images of the validation split.
        without_bird: so many test images, the last by name, have an empty mask.
        image_size: side at protocol size, at least 12; native size is twice that.
        recordings_sd: how much recordings differ, in IoU; the same for every segmenter.
        attributes: column → values, dealt out to the recordings in turn.
    """

    seed: int = 0
    n_recordings: int = 12
    images_per_recording: int = 2
    n_val: int = 6
    without_bird: int = 0
    image_size: int = 32
    recordings_sd: float = 0.04
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def n_test(self) -> int:
        """Images of the test split."""
        return self.n_recordings * self.images_per_recording

    def summary(self, name: str = "made_up") -> DataSummary:
        """What a record says of these images."""
        identity = canonical_digest([name, repr(self)])
        return replace(
            DATA,
            name=name,
            digest=identity,
            content_sha256=(identity * 6)[:64],
            n_val=self.n_val,
            n_test=self.n_test,
            n_recordings_test=self.n_recordings,
        )


IMAGES = MadeUpImages()


@dataclass(frozen=True, eq=False)
class _Masks:
    """Masks of one split: `pixels` bool `(N, S, S)`; `tops` `(N,)`, first row with bird, -1 without any."""

    pixels: BoolArray
    tops: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Said:
    """What a model said of one split."""

    counts: SplitCounts
    histogram: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.uint8]


def make_predictions(
    level: float = 0.7,
    *,
    seed: int = 0,
    name: str = "unet",
    images: MadeUpImages = IMAGES,
    seeds_sd: float = 0.01,
    interaction_sd: float = 0.01,
    has_last: bool = True,
) -> Predictions:
    """Predictions of a trial whose IoU pooled is near `level` plus this seed's own luck.

    Args:
        level: mean IoU over seeds and recordings, in (0, 1).
        seed: of the trial.
        name: of the segmenter; two names have independent luck, on the same recordings.
        images: those that are predicted; shared masks and difficulties make two trials a pair.
        seeds_sd: how much seeds differ, in IoU.
        interaction_sd: how much a seed's luck differs between recordings, in IoU.
        has_last: whether the last epoch was scored; False as for a segmenter without gradients.
    """
    masks, val_masks = _masks_of(images, "test"), _masks_of(images, "val")
    luck = _luck(level, seed, name, images, seeds_sd, interaction_sd)
    of_each = luck.repeat(images.images_per_recording)
    val_level = np.full(images.n_val, luck.mean())
    test, val = _say(masks, of_each, (name, seed, "test")), _say(val_masks, val_level, (name, seed, "val"))
    last = [
        _say(some, levels - 0.02, (name, seed, "last", split)).counts
        for split, some, levels in (("test", masks, of_each), ("val", val_masks, val_level))
    ]
    recordings = [f"recording_{number:04d}" for number in range(images.n_recordings)]
    return Predictions(
        image_size=images.image_size,
        sample_ids=tuple(f"{one}_{part:02d}" for one in recordings for part in range(images.images_per_recording)),
        recording_ids=tuple(one for one in recordings for _ in range(images.images_per_recording)),
        attributes=_attributes(images),
        test=test.counts,
        val=val.counts,
        last_test=last[0] if has_last else None,
        last_val=last[1] if has_last else None,
        histogram=test.histogram,
        val_histogram=val.histogram,
        predicted=test.predicted,
        reference=_packed(masks.pixels),
    )


def _luck(
    level: float, seed: int, name: str, images: MadeUpImages, seeds_sd: float, interaction_sd: float
) -> npt.NDArray[np.float64]:
    """The IoU wanted on each recording, `(C,)`: what it is for all, for this seed, and for this seed there."""
    hardness = np.random.default_rng(derive_seed(images.seed, "hardness")).normal(size=images.n_recordings)
    own = np.random.default_rng(derive_seed(name, seed, "luck")).normal(size=1 + images.n_recordings)
    wanted = level + images.recordings_sd * (hardness - hardness.mean()) + seeds_sd * own[0] + interaction_sd * own[1:]
    return np.asarray(np.clip(wanted, 0.02, 0.99))


def _masks_of(images: MadeUpImages, split: Literal["test", "val"]) -> _Masks:
    n_images, n_empty = (images.n_test, images.without_bird) if split == "test" else (images.n_val, 0)
    return _masks(images.seed, images.image_size, split, n_images, n_empty)


@lru_cache(maxsize=8)
def _masks(seed: int, size: int, split: str, n_images: int, n_empty: int) -> _Masks:
    """Bars of random height and place, two or three in each image, with as much room above them."""
    rng = np.random.default_rng(derive_seed(seed, split, "masks"))
    pixels = np.zeros((n_images, size, size), dtype=np.bool_)
    tops = np.full(n_images, -1, dtype=np.int64)
    for index in range(n_images - n_empty):
        height = int(rng.integers(size // 4, size // 3 + 1))
        tops[index] = top = int(rng.integers(height, size - height + 1))
        for left in range(1, size - 3, size // int(rng.integers(2, 4))):
            pixels[index, top : top + height, left : left + int(rng.integers(size // 8, size // 5 + 1))] = True
    return _Masks(pixels, tops)


def _say(masks: _Masks, levels: npt.NDArray[np.float64], names: tuple[object, ...]) -> _Said:
    """What a model of these IoU, one an image, says of these masks."""
    rng = np.random.default_rng(derive_seed(*names, "pixels"))
    predicted = _moved(masks, levels, rng)
    wrong = predicted != masks.pixels
    # Mistakes are made with less confidence; no logit is 0, where the threshold lies.
    strength = 0.01 + rng.random(predicted.shape) * np.where(wrong, 2.0, 8.0)
    logits = np.where(predicted, strength, -strength).astype(np.float32)
    counts = _counts(predicted, masks.pixels)
    return _Said(
        SplitCounts(protocol=counts, native=_native(counts)), _histogram(logits, masks.pixels), _packed(predicted)
    )


def _counts(predicted: BoolArray, reference: BoolArray) -> CountArray:
    """TP, FP, FN, TN of each image, masks bool `(N, S, S)`."""
    pairs = [(predicted, reference), (predicted, ~reference), (~predicted, reference), (~predicted, ~reference)]
    return np.stack([(one & other).sum((1, 2)) for one, other in pairs], axis=1).astype(np.int64)


def _moved(masks: _Masks, levels: npt.NDArray[np.float64], rng: np.random.Generator) -> BoolArray:
    """Masks moved up: as many pixels at the foot of their bars are missed as are found above their heads."""
    n_images, size, _ = masks.pixels.shape
    noise, luck = np.empty(masks.pixels.shape), np.zeros(n_images)
    for index, top in enumerate(masks.tops.tolist()):
        noise[index] = rng.random((size, size))
        if top >= 0:
            luck[index] = rng.random()
    rows = (np.arange(size)[:, None] + noise).reshape(n_images, -1)  # in a row, at random
    bird = masks.pixels.reshape(n_images, -1)
    # IoU = (B - e) / (B + e); rounded at random, so that a pooled IoU has no bias.
    errors = (bird.sum(1) * (1 - levels) / (1 + levels) + luck).astype(np.int64)[:, None]
    heads = np.arange(size)[:, None] < masks.tops[:, None, None]
    above = (masks.pixels.any(1, keepdims=True) & heads).reshape(n_images, -1)
    predicted = bird.copy()
    for pool, is_bird in ((bird, False), (above, True)):
        lowest_first = np.argsort(np.where(pool, -rows, np.inf), axis=1)
        place = np.empty_like(lowest_first)
        np.put_along_axis(place, lowest_first, np.arange(size * size)[None], axis=1)
        predicted[pool & (place < errors)] = is_bird
    moved: BoolArray = predicted.reshape(masks.pixels.shape)
    for index in np.flatnonzero(masks.tops < 0).tolist():
        moved[index, 0, : round((1 - levels[index]) * size)] = True
    return moved


def _native(counts: CountArray) -> CountArray:
    """Counts at twice the size, where half of the hits at a contour are lost: below the IoU at protocol size."""
    lost = counts[:, 0] // 4
    tp, fp, fn, tn = (4 * counts).T
    return np.stack([tp - lost, fp, fn + lost, tn], axis=1)


def _histogram(logits: npt.NDArray[np.float32], reference: BoolArray) -> npt.NDArray[np.int64]:
    """As `metrics.logit_histogram`, in numpy: `(N, S, S)` twice → int64 `(N, 2, 64)`."""
    bins = np.searchsorted(histogram_borders(), logits, side="left")
    group = np.arange(len(logits))[:, None, None] * 2 + reference
    flat = np.bincount((group * HISTOGRAM_BINS + bins).ravel(), minlength=len(logits) * 2 * HISTOGRAM_BINS)
    return flat.reshape(len(logits), 2, HISTOGRAM_BINS).astype(np.int64)


def _packed(pixels: BoolArray) -> npt.NDArray[np.uint8]:
    return np.packbits(pixels.reshape(len(pixels), -1), axis=1)


def _attributes(images: MadeUpImages) -> tuple[dict[str, str], ...]:
    return tuple(
        {column: values[recording % len(values)] for column, values in images.attributes.items()}
        for recording in range(images.n_recordings)
        for _ in range(images.images_per_recording)
    )


def scores_of(test: SplitCounts, val: SplitCounts) -> SplitScores:
    """The scores that a record states, from counts."""
    return SplitScores(val=metrics.scores(val.protocol, val.native), test=metrics.scores(test.protocol, test.native))


def record_of(predictions: Predictions, record: TrialRecord, files: Mapping[str, str]) -> TrialRecord:
    """`record` with the scores that follow from the predictions, and these files."""
    last = None
    if predictions.last_test is not None and predictions.last_val is not None:
        last = scores_of(predictions.last_test, predictions.last_val)
    return replace(
        record,
        best_epoch=record.best_epoch if last is not None else None,
        scores=scores_of(predictions.test, predictions.val),
        last_epoch=last,
        predictions_file=PREDICTIONS_FILE if PREDICTIONS_FILE in files else None,
        weights_file=WEIGHTS_FILE if WEIGHTS_FILE in files else None,
        files=dict(files),
    )


def write_trial(
    root: Path,
    segmenter: SegmenterIdentity | str = "unet",
    *,
    level: float = 0.7,
    seed: int = 0,
    images: MadeUpImages = IMAGES,
    data: DataSummary | None = None,
    protocol: Protocol = PROTOCOL,
    seeds_sd: float = 0.01,
    interaction_sd: float = 0.01,
    has_last: bool = True,
    **record: Any,
) -> Path:
    """Write a finished trial into a results root as `run` does: predictions, weights, then the record.

    Args:
        root: results root.
        segmenter: or its label alone.
        level: as in `make_predictions`, like `seed`, `images`, `seeds_sd`, `interaction_sd`, `has_last`.
        seed: of the trial.
        images: those that are predicted.
        data: what the record says of them, `images.summary()` by default.
        protocol: its `image_size` is replaced by the images' own.
        seeds_sd: how much seeds differ.
        interaction_sd: how much a seed's luck differs between recordings.
        has_last: whether the segmenter learns by gradients.
        record: further arguments of `record_factory.make_record`.

    Returns:
        The trial's folder, `<root>/<benchmark>/<study>/<label>-<hash>/seed-<n>`.
    """
    identity = make_segmenter(segmenter) if isinstance(segmenter, str) else segmenter
    luck = {"seeds_sd": seeds_sd, "interaction_sd": interaction_sd}
    summary, protocol = data or images.summary(), replace(protocol, image_size=images.image_size)
    draft = make_record(identity, seed=seed, protocol=protocol, data=summary, **record)
    # The same trial twice says the same; another option, protocol or data set is luck of its own.
    name = f"{identity.label} {trial_hash(identity)} {draft.study}"
    predictions = make_predictions(level, seed=seed, name=name, images=images, has_last=has_last, **luck)
    folder = ResultsStore(root).trial_folder(draft.benchmark, draft.study, identity, seed)
    folder.mkdir(parents=True)
    write_predictions(folder / PREDICTIONS_FILE, predictions)
    (folder / WEIGHTS_FILE).write_bytes(f"weights of {identity.label}, seed {seed}".encode())
    hashes = {name: file_sha256(folder / name) for name in (PREDICTIONS_FILE, WEIGHTS_FILE)}
    add_record(folder, record_of(predictions, draft, hashes))
    return folder


def write_study(root: Path, levels: Mapping[str, float], seeds: Sequence[int] = (0, 1, 2), **trial: Any) -> Path:
    """Write a study: every label with its level, every seed.

    Args:
        root: results root.
        levels: label → mean IoU.
        seeds: of every segmenter.
        trial: further arguments of `write_trial`, the same for all.

    Returns:
        The study's folder.
    """
    folders = [
        write_trial(root, label, level=level, seed=seed, **trial) for label, level in levels.items() for seed in seeds
    ]
    return folders[0].parents[1]


def random_predictions(
    seed: int = 0, *, n_recordings: int = 4, n_images: int = 7, n_val: int = 3, image_size: int = 6, bird: float = 0.3
) -> Predictions:
    """Predictions of noise, where no score is near another: what an oracle is compared on.

    Args:
        seed: of masks, logits and of which image is of which recording.
        n_recordings: at most; an image's is drawn.
        n_images: of the test split; the first has no bird and the last neither bird nor prediction.
        n_val: of the validation split.
        image_size: side at protocol size.
        bird: share of bird in the masks.
    """
    rng = np.random.default_rng(seed)

    def say(n: int) -> tuple[_Said, BoolArray, SplitCounts]:
        reference = rng.random((n, image_size, image_size)) < bird
        logits = (rng.normal(size=reference.shape) * 4 + 2 * reference).astype(np.float32)
        if n > 1:
            reference[[0, -1]] = False
            logits[-1] = -np.abs(logits[-1]) - 0.01
        counts = _counts(logits > 0, reference)
        last = _counts(logits > 0.7, reference)
        said = _Said(
            SplitCounts(protocol=counts, native=_native(counts)), _histogram(logits, reference), _packed(logits > 0)
        )
        return said, reference, SplitCounts(protocol=last, native=_native(last))

    (test, reference, last_test), (val, _, last_val) = say(n_images), say(n_val)
    return Predictions(
        image_size=image_size,
        sample_ids=tuple(f"image_{number:04d}" for number in range(n_images)),
        recording_ids=tuple(f"recording_{number}" for number in rng.integers(0, n_recordings, n_images)),
        attributes=tuple({"site": f"{number % 2}"} for number in range(n_images)),
        test=test.counts,
        val=val.counts,
        last_test=last_test,
        last_val=last_val,
        histogram=test.histogram,
        val_histogram=val.histogram,
        predicted=test.predicted,
        reference=_packed(reference),
    )


def some_images(predictions: Predictions, index: Sequence[int] | npt.NDArray[Any]) -> Predictions:
    """The same predictions of these test images alone, in this order, which need not be that of their names."""

    def counts(of: SplitCounts) -> SplitCounts:
        return SplitCounts(protocol=of.protocol[places], native=of.native[places])

    places = np.asarray(index, dtype=np.intp)
    return replace(
        predictions,
        sample_ids=tuple(predictions.sample_ids[place] for place in places),
        recording_ids=tuple(predictions.recording_ids[place] for place in places),
        attributes=tuple(predictions.attributes[place] for place in places),
        test=counts(predictions.test),
        last_test=None if predictions.last_test is None else counts(predictions.last_test),
        histogram=predictions.histogram[places],
        predicted=predictions.predicted[places],
        reference=predictions.reference[places],
    )
