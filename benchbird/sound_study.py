"""How much cleaner a study's segmenters make the test recordings: SI-SDR and SDR from the masks that trials stored.

Owns which masks are compared and how their scores are averaged. Nothing is trained or predicted: a stored mask is that
of protocol size, enlarged bilinearly to the recording's cells and cut at one half, a frequency by the mean of its two
mirrored rows. The rows that no segmenter made follow from the recordings alone. Measures are `audio/separation.py`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchbird.audio.renderings import image_rows, one_sided_rows
from benchbird.audio.separation import SoundScores, binary_mask, gate_mask, ratio_mask, under_mask
from benchbird.audio.stft import frame_count
from benchbird.contract import AnySample
from benchbird.data.sounds import ReferenceKind, SoundPair, sound_of
from benchbird.errors import DataError, ResultsError
from benchbird.leaderboard import by_label, newest_versions
from benchbird.pooling import has_predictions, open_predictions
from benchbird.predictions import Predictions
from benchbird.protocol import Spectrum
from benchbird.results import FoundRecord
from benchbird.statistics.crossed import Interval, crossed_interval
from benchbird.strata import group

KINDS: tuple[ReferenceKind, ...] = ("voice", "mask")
MEASURES = ("si_sdr_db", "si_sdr_improvement_db", "sdr_db")
"""What is averaged with an interval; a row's place follows from the improvement."""

UNCHANGED, GATE = "input unchanged", "spectral gate"
REFERENCE_MASK, RATIO_MASK, BINARY_MASK = "reference mask", "oracle ratio mask", "oracle binary mask"

Progress = Callable[[int, int], None]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SoundRow:
    """One segmenter, oracle or floor.

    Attributes:
        name: label of the segmenter, or one of the names above.
        is_segmenter: whether it was trained.
        estimates: measure → mean over samples with its interval; a row without seeds has that over recordings alone.
        published_sdr: mean of the public data set's own figure (`distortion.published_sdr`); infinite where a
            recording is unchanged.
    """

    name: str
    is_segmenter: bool
    estimates: Mapping[str, Interval]
    published_sdr: float


@dataclass(frozen=True, kw_only=True)
class SoundTable:
    """One group of test samples.

    Attributes:
        name: of the group, empty for all of them.
        kind: of the reference that scores are against.
        n_samples: with a recording and a reference that isn't silent.
        n_recordings: of these.
        rows: segmenters by their SI-SDR improvement, then what nobody trained.
    """

    name: str
    kind: ReferenceKind
    n_samples: int
    n_recordings: int
    rows: tuple[SoundRow, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Scored:
    """Scores of every mask: name → `(seeds, samples, measures)`, NaN where a sample has none.

    Behind the measures stands the public set's own figure.
    """

    scores: Mapping[str, Floats]
    segmenters: tuple[str, ...]
    kinds: tuple[ReferenceKind | None, ...]


def sound_tables(
    found: Sequence[FoundRecord], samples: Sequence[AnySample], column: str | None, progress: Progress
) -> tuple[SoundTable, ...]:
    """The tables of a study: by kind of reference, and by a column of the manifest where one is named.

    Args:
        found: records of one study.
        samples: its test split, as the data give it.
        column: as for `strata.group`, or None.
        progress: gets samples done, and in all.

    Raises:
        ResultsError: no finished trial has predictions.
        DataError: the samples aren't those of the trials, none has a recording and a reference, or one can't be read.
    """
    records, _ = newest_versions([one.record for one in found])
    places = {id(one.record): one for one in found}
    done = [one for one in records if one.status == "done" and has_predictions(places[id(one)])]
    if not done:
        raise ResultsError("no finished trial has its predictions beside it, so nothing can be listened to")
    trials = {
        label: [open_predictions(places[id(one)]) for one in sorted(same, key=lambda record: record.seed)]
        for label, same in by_label(done).items()
    }
    first = next(iter(trials.values()))[0]
    spectrum: Spectrum = done[0].protocol.get("spectrum", "mirrored")
    if [sample.sample_id for sample in samples] != list(first.sample_ids):
        raise DataError("the test samples of the data are not those of the trials; give the run's --set and --profile")
    scored = _score(trials, samples, spectrum, progress)
    groups = {"": np.ones(len(samples), dtype=bool)} if column is None else group(first, column)
    tables = [
        table
        for name, members in groups.items()
        for kind in KINDS
        if (table := _table(name, kind, members, scored, first.recording_ids)) is not None
    ]
    if not tables:
        raise DataError(
            "no test sample has a recording in Raw_audios and a reference in Denoised_audios, so there is no sound "
            "to score"
        )
    return tuple(tables)


def _score(
    trials: Mapping[str, Sequence[Predictions]], samples: Sequence[AnySample], spectrum: Spectrum, progress: Progress
) -> _Scored:
    seeds = {label: len(predictions) for label, predictions in trials.items()}
    shape = (len(samples), len(MEASURES) + 1)
    scores = {label: np.full((count, *shape), np.nan) for label, count in seeds.items()}
    others = (UNCHANGED, GATE, REFERENCE_MASK, RATIO_MASK, BINARY_MASK)
    scores |= {name: np.full((1, *shape), np.nan) for name in others}
    kinds: list[ReferenceKind | None] = []
    for place, sample in enumerate(samples):
        pair = sound_of(sample)
        usable = pair is not None and pair.reference.any() and frame_count(len(pair.noisy)) > 0
        kinds.append(pair.kind if pair is not None and usable else None)
        if pair is not None and usable:
            for name, seed, mask in _masks(trials, place, pair, spectrum):
                output = pair.noisy if mask is None else under_mask(pair.noisy, mask)
                scores[name][seed, place] = _numbers(pair.score(output))
        progress(place + 1, len(samples))
    return _Scored(scores=scores, segmenters=tuple(trials), kinds=tuple(kinds))


def _numbers(scores: SoundScores) -> list[float]:
    measures = [np.nan if (value := getattr(scores, name)) is None else value for name in MEASURES]
    return [*measures, math.inf if scores.published_sdr is None else scores.published_sdr]


def _masks(
    trials: Mapping[str, Sequence[Predictions]], place: int, pair: SoundPair, spectrum: Spectrum
) -> Iterator[tuple[str, int, npt.NDArray[Any] | None]]:
    """Name, seed's place and mask of everything that a sample is cleaned by; None leaves it unchanged."""
    frames = frame_count(len(pair.noisy))
    yield UNCHANGED, 0, None
    yield GATE, 0, gate_mask(pair.noisy)
    for label, predictions in trials.items():
        for seed, one in enumerate(predictions):
            predicted, reference = one.masks(place)
            yield label, seed, enlarged(predicted, frames, spectrum)
    yield REFERENCE_MASK, 0, enlarged(reference, frames, spectrum)
    if pair.kind == "voice":
        yield RATIO_MASK, 0, ratio_mask(pair.noisy, pair.reference)
        yield BINARY_MASK, 0, binary_mask(pair.noisy, pair.reference)


def enlarged(mask: npt.NDArray[np.bool_], frames: int, spectrum: Spectrum = "mirrored") -> npt.NDArray[np.bool_]:
    """A mask `(S, S)` of a picture at the cells of its recording, `(513, frames)`."""
    import torch
    from torch.nn.functional import interpolate

    small = torch.from_numpy(mask.astype(np.float32))[None, None]
    large = interpolate(small, size=(image_rows(spectrum), frames), mode="bilinear", align_corners=False)[0, 0].numpy()
    return np.asarray(one_sided_rows(large, spectrum) >= 0.5)


def _table(
    name: str, kind: ReferenceKind, members: npt.NDArray[np.bool_], scored: _Scored, recording_ids: Sequence[str]
) -> SoundTable | None:
    chosen = np.array([one == kind for one in scored.kinds]) & members
    if not chosen.any():
        return None
    recordings = np.array(recording_ids)[chosen]
    rows = []
    for label, scores in scored.scores.items():
        own = scores[:, chosen]
        if not np.isnan(own).any():
            estimates = {measure: _estimate(own[:, :, number], recordings) for number, measure in enumerate(MEASURES)}
            rows.append(SoundRow(name=label, is_segmenter=label in scored.segmenters, estimates=estimates,
                                 published_sdr=float(own[:, :, -1].mean())))  # fmt: skip
    rows.sort(key=lambda row: (not row.is_segmenter, -row.estimates["si_sdr_improvement_db"].mean, row.name))
    return SoundTable(
        name=name,
        kind=kind,
        n_samples=int(chosen.sum()),
        n_recordings=len(set(recordings)),
        rows=tuple(rows),
    )


def _estimate(values: Floats, recordings: npt.NDArray[np.str_]) -> Interval:
    """The mean over samples, and its interval over seeds and recordings, of `(seeds, samples)`."""
    names, of = np.unique(recordings, return_inverse=True)
    sizes = np.bincount(of)
    sums = np.stack([np.bincount(of, weights=one, minlength=len(names)) for one in values])  # (R, C)
    total = values.sum(axis=1, keepdims=True)
    if len(names) == 1:
        return crossed_interval(values.mean(axis=1), None)
    left_out = (total - sums) / (values.shape[1] - sizes)
    return crossed_interval(values.mean(axis=1), left_out, weights=sizes)
