"""Recordings to listen to: before, under each of the best masks, and the reference.

Owns the choice of recordings and their encoding. Masks and scores are `sound_study.py`'s and `audio/`'s.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchbird.audio.pictures import spectrogram_picture
from benchbird.audio.separation import under_mask
from benchbird.audio.stft import frame_count
from benchbird.contract import AnySample
from benchbird.data.sounds import SoundPair, sound_of
from benchbird.plain_text import plain_text
from benchbird.predictions import Predictions
from benchbird.protocol import Spectrum
from benchbird.report.charts import Strip, Strips, linear_axis
from benchbird.report.figures import Figure, Table, extremes
from benchbird.report.images import ImageScores
from benchbird.report.texts import name, number
from benchbird.sound_study import SoundRow, SoundTable, enlarged

LONGEST_S = 8.0
MOST_SEGMENTERS = 2
MOST_BYTES = 700_000
"""Of all tracks together, as data URIs."""
_ROWS, _COLUMNS = 160, 320
_REFERENCES = {"voice": "the clean voice", "mask": "the recording under a person's mask"}


@dataclass(frozen=True, kw_only=True)
class Track:
    """One sound with its spectrogram.

    Attributes:
        title: what it is.
        note: what it scores, or empty.
        picture: data URI.
        sound: data URI.
    """

    title: str
    note: str
    picture: str
    sound: str


@dataclass(frozen=True, kw_only=True)
class SoundExample:
    """One test recording.

    Attributes:
        title: its sample's name and why it was chosen.
        tracks: before, cleaned, reference.
    """

    title: str
    tracks: tuple[Track, ...]


def sound_figure(table: SoundTable, style: Mapping[str, int], number_of: int) -> Figure:
    """SI-SDR improvement of every row, with the oracles and floors.

    Args:
        table: of a kind of reference.
        style: label → line style.
        number_of: of the table, for the figure's name.
    """
    measure = "si_sdr_improvement_db"
    strips, rows, values = [], [], [0.0]
    for row in table.rows:
        own = row.estimates[measure]
        values += [end for end in (own.mean, own.low, own.high) if end is not None]
        strips.append(
            Strip(
                name=name(row.name),
                style=style.get(row.name, 7) if row.is_segmenter else 15,
                middle=own.mean,
                low=own.low,
                high=own.high,
                note=f"{number(own.mean, 1)} dB",
            )
        )
        rows.append((name(row.name), *(_db(row, key) for key in (measure, "si_sdr_db", "sdr_db"))))
    reference = _REFERENCES[table.kind]
    return Figure(
        name=f"sound-{number_of}",
        chart=Strips(
            title=f"SI-SDR improvement against {reference}", x=linear_axis("dB", values), strips=tuple(strips)
        ),
        table=Table(("masked by", "SI-SDR improvement, dB", "SI-SDR, dB", "SDR, dB"), tuple(rows)),
        caption=f"Against {reference}: {table.n_samples} test samples of {table.n_recordings} recordings, with 95 % "
        "intervals. Squares: no segmenters, but oracles and floors that stand in every such table.",
        summary=extremes(
            {row.name: row.estimates[measure].mean for row in table.rows if row.is_segmenter},
            "mean SI-SDR improvement (dB) of the segmenters",
            digits=1,
        ),
    )


def _db(row: SoundRow, measure: str) -> str:
    own = row.estimates[measure]
    if own.low is None or own.high is None:
        return number(own.mean, 2)
    return f"{number(own.mean, 2)} ({number(own.low, 2)} to {number(own.high, 2)})"


def sound_examples(
    scores: ImageScores, predictions: Mapping[str, Predictions], samples: Sequence[AnySample], spectrum: Spectrum
) -> tuple[SoundExample, ...]:
    """Three recordings: where the best segmenter's mask is best, in the middle, and worst.

    Args:
        scores: of the test images.
        predictions: label → those of the trial that is listened to, best segmenter first.
        samples: the test split.
        spectrum: of the protocol.
    """
    if not predictions:
        return ()
    best = next(iter(predictions))
    iou = np.nan_to_num(scores.iou[best])
    order = [int(place) for place in np.argsort(-iou, kind="stable") if scores.has_bird[place]]
    wanted = [("best", order), ("middle", order[len(order) // 2 :]), ("worst", order[::-1])]
    made, taken, spent = [], set(), 0
    for why, places in wanted:
        for place in places:
            if place in taken or (pair := _usable(samples[place])) is None:
                continue
            title = f"{plain_text(samples[place].sample_id, 80)} ({why} mask of {name(best)}, IoU {iou[place]:.3f})"
            example = SoundExample(title=title, tracks=tuple(_tracks(place, pair, predictions, spectrum)))
            size = sum(len(track.sound) + len(track.picture) for track in example.tracks)
            if spent + size <= MOST_BYTES:
                made.append(example)
                spent += size
            taken.add(place)
            break
    return tuple(made)


def _usable(sample: AnySample) -> SoundPair | None:
    pair = sound_of(sample)
    return pair if pair is not None and pair.reference.any() and frame_count(len(pair.noisy)) > 0 else None


def _tracks(place: int, pair: SoundPair, predictions: Mapping[str, Predictions], spectrum: Spectrum) -> list[Track]:
    frames = frame_count(len(pair.noisy))
    before = pair.score(pair.noisy).si_sdr_db
    tracks = [_track("recording", f"SI-SDR {number(before, 1)} dB", pair.noisy, pair.rate_hz)]
    for label, one in list(predictions.items())[:MOST_SEGMENTERS]:
        output = under_mask(pair.noisy, enlarged(one.masks(place)[0], frames, spectrum))
        gained = pair.score(output).si_sdr_improvement_db
        sign = "+" if gained is not None and gained > 0 else ""
        tracks.append(_track(f"by {name(label)}", f"{sign}{number(gained, 1)} dB", output, pair.rate_hz))
    tracks.append(_track(_REFERENCES[pair.kind], "", pair.reference, pair.rate_hz))
    return tracks


def _track(title: str, note: str, audio: npt.NDArray[np.float64], rate_hz: int) -> Track:
    import soundfile

    heard = audio[: round(LONGEST_S * rate_hz)]
    picture, sound = io.BytesIO(), io.BytesIO()
    spectrogram_picture(heard, rate_hz, _ROWS, _COLUMNS).save(picture, "WEBP", quality=75)
    soundfile.write(sound, heard.clip(-1.0, 1.0), rate_hz, format="OGG", subtype="VORBIS")
    return Track(title=title, note=note, picture=_uri("image/webp", picture), sound=_uri("audio/ogg", sound))


def _uri(kind: str, stream: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
