"""One sample of the embedded set: a voice in a place, its noise, and the image and mask they give.

`synthesize` is a pure function of its arguments; it reads no file and keeps no state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchbird.audio.stft import HOP_SAMPLES, render, two_sided
from benchbird.data.synthetic.acoustics import distant, echo_of, low_passed
from benchbird.data.synthetic.distractors import DISTRACTORS
from benchbird.data.synthetic.masks import visible_half
from benchbird.data.synthetic.noises import background
from benchbird.data.synthetic.notes import FloatArray, log_uniform
from benchbird.data.synthetic.options import SyntheticOptions
from benchbird.data.synthetic.streams import Identity, identify, random_stream
from benchbird.data.synthetic.voices import VOICES

LEAST_MASK_SHARE, MOST_MASK_SHARE = 0.01, 0.25
_VOICE_ATTEMPTS = 8
_CHANNEL_ATTEMPTS = 4


@dataclass(frozen=True, eq=False)
class SyntheticSample:
    """One image, its mask and the sound they come from.

    Attributes:
        sample_id: recording id, with `_left` or `_right` for half of a couple.
        recording_id: what must not straddle splits.
        image: uint8 (1024, frames), the published rendering of `noisy`.
        mask: bool (1024, frames), the visible part of `clean`, mirrored as the image is.
        noisy: float32 (n,), the recording, within ±1.
        clean: float32 (n,), the voice alone at its level in `noisy`, without its echo, which belongs to the
            rest; zeros where there is no bird.
        sample_rate: in Hz.
        attributes: `voice`, `noise`, `distractor`, `snr_db`, `clipped`, `codec_hz`, `channel`, `sample_rate`
            in Hz, `seconds`; all text, empty where it does not apply.
    """

    sample_id: str
    recording_id: str
    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    noisy: npt.NDArray[np.float32]
    clean: npt.NDArray[np.float32]
    sample_rate: int
    attributes: dict[str, str]


@dataclass(frozen=True)
class _Place:
    """What both channels of a recording share: the voice, peak 1, its echo, and the codec's limit."""

    voice: FloatArray
    echo: FloatArray
    voice_name: str
    codec_hz: float | None


def _choose(rng: np.random.Generator, shares: dict[str, float]) -> str:
    names = list(shares)
    weights = np.array([shares[name] for name in names])
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def _sung(
    rng: np.random.Generator, name: str, seconds: float, sample_rate: int, codec_hz: float | None
) -> tuple[FloatArray, FloatArray]:
    """One voice after its way through the air, peak 1, and its echo."""
    voice: FloatArray = VOICES[name][1](rng, seconds, sample_rate)
    if rng.random() < 0.5:
        voice = distant(voice, sample_rate, rng.uniform(1.0, 9.0))
    if codec_hz is not None:
        voice = low_passed(voice, sample_rate, codec_hz)
    voice = voice / max(float(np.max(np.abs(voice))), 1e-9)
    if rng.random() < 0.7:
        decay_s, level_db = log_uniform(rng, 0.08, 0.8), rng.uniform(-24.0, -8.0)
        return voice, echo_of(rng, voice, sample_rate, decay_s, level_db)
    return voice, np.zeros_like(voice)


def _place(options: SyntheticOptions, identity: Identity, split: str) -> _Place:
    """The voice of a recording, drawn again until it fills a sensible share of the image."""
    rng = random_stream(options, split, identity.recording_id, "place")
    seconds = rng.uniform(options.seconds_min, options.seconds_max)
    rate = options.sample_rate
    codec_hz = rng.uniform(0.6, 0.95) * rate / 2 if rng.random() < 0.2 else None
    silence = np.zeros(round(seconds * rate))
    best = _Place(silence, silence, "none", codec_hz)
    if not identity.has_bird:
        return best
    name = _choose(rng, {key: share for key, (share, _) in VOICES.items()})
    least_distance = np.inf
    for attempt in range(_VOICE_ATTEMPTS):
        stream = random_stream(options, split, identity.recording_id, "voice", attempt)
        voice, echo = _sung(stream, name, seconds, rate, codec_hz)
        share = float(visible_half(voice, silence, rate / HOP_SAMPLES).mean())
        distance = max(LEAST_MASK_SHARE * 1.5 - share, share - MOST_MASK_SHARE * 0.96, 0.0)
        if distance < least_distance:
            best, least_distance = _Place(voice, echo, name, codec_hz), distance
        if distance == 0.0:
            break
    return best


def _noise(
    rng: np.random.Generator, options: SyntheticOptions, samples: int, codec_hz: float | None
) -> tuple[FloatArray, list[str], str]:
    """Everything but the bird, with the names of its noises and of its distractor (or "")."""
    noise: FloatArray
    noise, names = background(rng, samples, options.sample_rate)
    distractor = ""
    if rng.random() < options.distractor_share:
        distractor = _choose(rng, {key: share for key, (share, _) in DISTRACTORS.items()})
        sound = DISTRACTORS[distractor][1](rng, samples, options.sample_rate)
        noise = noise + sound * (log_uniform(rng, 0.3, 3.0) * np.sqrt(_power(noise) / _power(sound)))
    if codec_hz is not None:
        noise = low_passed(noise, options.sample_rate, codec_hz)
    return noise, names, distractor


def _power(samples: FloatArray) -> float:
    return max(float(np.mean(samples**2)), 1e-18)


def _rest(place: _Place, noise: FloatArray, snr_db: float) -> FloatArray:
    """Echo and noise together, so loud that the voice stands `snr_db` above them.

    The echo keeps its level beside the voice as far as it leaves half of the power to the noise.
    """
    if place.voice_name == "none":
        return noise
    power = _power(place.voice) * 10 ** (-snr_db / 10)
    echo = place.echo * min(1.0, np.sqrt(0.5 * power / _power(place.echo)))
    # g solves mean((echo + g·noise)²) = power; the echo has at most half of it, so there is a positive root.
    cross, own = float(np.mean(echo * noise)), _power(noise)
    gain = (-cross + np.sqrt(cross**2 + own * (power - float(np.mean(echo**2))))) / own
    return np.asarray(echo + gain * noise)


def _sixteen_bits(samples: FloatArray) -> npt.NDArray[np.float32]:
    """Clip to full scale and round to what a 16-bit file holds, so that image and file agree exactly."""
    return np.asarray(np.clip(np.round(samples * 32768.0), -32768, 32767) / 32768.0, dtype=np.float32)


def synthesize(options: SyntheticOptions, split: str, index: int) -> SyntheticSample:
    """Make sample `index` (0, 1, …) of `split`.

    Args:
        options: the data set's parameters.
        split: `train`, `val` or `test`.
        index: place in the split; sample i is the same however many are asked for.

    Raises:
        ValueError: if `split` or `index` is none.
    """
    identity = identify(options, split, index)
    place = _place(options, identity, split)
    samples = len(place.voice)
    frames_per_s = options.sample_rate / HOP_SAMPLES
    for attempt in range(_CHANNEL_ATTEMPTS):
        rng = random_stream(options, split, identity.sample_id, "channel", attempt)
        noise, noise_names, distractor = _noise(rng, options, samples, place.codec_hz)
        snr_db = rng.uniform(options.snr_db_min, options.snr_db_max)
        rest = _rest(place, noise, snr_db)
        level = log_uniform(rng, 0.25, 1.0) if rng.random() > 0.08 else log_uniform(rng, 1.0, 3.0)
        scale = level / float(np.max(np.abs(place.voice + rest)))
        clean, rest = place.voice * scale, rest * scale
        half = visible_half(clean, rest, frames_per_s)
        if not identity.has_bird or LEAST_MASK_SHARE <= half.mean() <= MOST_MASK_SHARE:
            break
    else:
        half = visible_half(clean, rest, frames_per_s, noise_share=0.1)
    clipped = bool(np.max(np.abs(clean + rest)) > 1.0)
    noisy = _sixteen_bits(clean + rest)
    return SyntheticSample(
        sample_id=identity.sample_id,
        recording_id=identity.recording_id,
        image=render(noisy),
        mask=np.asarray(two_sided(half)),
        noisy=noisy,
        clean=_sixteen_bits(clean),
        sample_rate=options.sample_rate,
        attributes={
            "voice": place.voice_name,
            "noise": "+".join(noise_names),
            "distractor": distractor,
            "snr_db": f"{snr_db:.1f}" if identity.has_bird else "",
            "clipped": "yes" if clipped else "no",
            "codec_hz": f"{place.codec_hz:.0f}" if place.codec_hz is not None else "",
            "channel": identity.channel,
            "sample_rate": str(options.sample_rate),
            "seconds": f"{samples / options.sample_rate:.2f}",
        },
    )
