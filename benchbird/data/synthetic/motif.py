"""A finch's song: a motif of unlike syllables, low stacks, quick sweeps, high notes and noise, repeated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchbird.data.synthetic.notes import FloatArray, log_uniform, normalised
from benchbird.data.synthetic.syllables import Tape, any_of, burst_note, stack_note

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class _Syllable:
    """One kind of syllable and how it varies from bird to bird.

    Attributes:
        share: how often it is chosen.
        shapes: pitch contours.
        base_hz: lowest pitch.
        span: highest over lowest pitch.
        tilt_db: loss per octave away from the resonances.
        length_s: duration of one note.
        gap_s: pause after each note.
        repeats: number of notes in a row, first and last.
        breath: level of a noise added to the harmonics.
        breath_top_hz: up to where that noise reaches.
    """

    share: float
    shapes: tuple[str, ...]
    base_hz: Range
    span: Range
    tilt_db: Range
    length_s: Range
    gap_s: Range
    repeats: tuple[int, int] = (1, 1)
    breath: Range = (0.005, 0.05)
    breath_top_hz: Range = (3000.0, 9000.0)


_LOW = _Syllable(  # a low, muffled stack, the commonest introductory note
    share=0.38,
    shapes=("flat", "arch", "fall", "rise"),
    base_hz=(250, 700),
    span=(1.02, 1.25),
    tilt_db=(9, 18),
    length_s=(0.05, 0.1),
    gap_s=(0.03, 0.1),
    breath=(0.05, 1.0),
    breath_top_hz=(1800, 4500),
)
_WIDE = _Syllable(  # a stack or a rasp through the whole band
    share=0.16,
    shapes=("flat", "arch", "fall"),
    base_hz=(250, 700),
    span=(1.01, 1.15),
    tilt_db=(3, 9),
    length_s=(0.04, 0.08),
    gap_s=(0.03, 0.1),
    breath=(0.05, 1.0),
    breath_top_hz=(6000, 9500),
)
_RISING = _Syllable(  # a quick series of rising stacks
    share=0.20,
    shapes=("rise", "hook", "dip", "wander"),
    base_hz=(600, 2000),
    span=(1.3, 2.4),
    tilt_db=(5, 13),
    length_s=(0.04, 0.085),
    gap_s=(0.0, 0.03),
    repeats=(2, 6),
    breath=(0.005, 0.2),
)
_FALLING = _Syllable(  # a quick series of falling ones
    share=0.15,
    shapes=("fall", "arch"),
    base_hz=(600, 2000),
    span=(1.3, 2.2),
    tilt_db=(5, 13),
    length_s=(0.03, 0.07),
    gap_s=(0.01, 0.04),
    repeats=(2, 6),
    breath=(0.005, 0.2),
)
_HIGH = _Syllable(  # a high note of one to three harmonics
    share=0.11,
    shapes=("hook", "flat", "rise", "fall"),
    base_hz=(2200, 3800),
    span=(1.05, 1.7),
    tilt_db=(3, 12),
    length_s=(0.04, 0.1),
    gap_s=(0.03, 0.1),
)
_SYLLABLES = (_LOW, _WIDE, _RISING, _FALLING, _HIGH)


@dataclass(frozen=True, eq=False)
class _Element:
    """A syllable as one bird sings it: a note, how often in a row, the pause after each, and its loudness."""

    note: FloatArray
    gap_s: float
    repeats: int
    gain: float


def _element(rng: np.random.Generator, sample_rate: int, speed: float) -> _Element:
    """One element of a motif as this bird sings it, the same at each return."""
    shares = np.array([syllable.share for syllable in _SYLLABLES])
    kind = _SYLLABLES[int(rng.choice(len(_SYLLABLES), p=shares / shares.sum()))]
    base_hz = log_uniform(rng, *kind.base_hz)
    length_s = speed * rng.uniform(*kind.length_s)
    top_hz = base_hz * rng.uniform(*kind.span)
    shape = any_of(rng, *kind.shapes)
    note = stack_note(rng, sample_rate, length_s, shape, base_hz, top_hz, rng.uniform(*kind.tilt_db))
    breath = burst_note(rng, sample_rate, length_s, 0.8 * base_hz, rng.uniform(*kind.breath_top_hz))
    note = normalised(note + log_uniform(rng, *kind.breath) * breath)
    repeats = int(rng.integers(kind.repeats[0], kind.repeats[1] + 1))
    return _Element(note, speed * rng.uniform(*kind.gap_s), repeats, log_uniform(rng, 0.08, 1.0))


def motif(rng: np.random.Generator, seconds: float, sample_rate: int) -> npt.NDArray[np.float64]:
    """Introductory notes, then a motif of four to seven elements, repeated with pauses."""
    tape = Tape(seconds, sample_rate)
    speed = rng.uniform(0.8, 1.4)
    elements = [_element(rng, sample_rate, speed) for _ in range(int(rng.integers(4, 8)))]
    start_s = rng.uniform(0.0, 0.35) * seconds
    end_s = seconds * rng.uniform(0.75, 1.0)
    at_s = start_s
    for _ in range(int(rng.integers(0, 7))):
        first = elements[0]
        at_s = tape.add(first.note, at_s, first.gain * rng.uniform(0.5, 1.0)) + first.gap_s
    while at_s < end_s:
        for element in elements:
            for _ in range(element.repeats):
                if at_s < end_s:
                    at_s = tape.add(element.note, at_s, element.gain * rng.uniform(0.8, 1.0)) + element.gap_s
            at_s += speed * rng.uniform(0.0, 0.05)
        if rng.random() < 0.3:
            at_s += rng.uniform(0.1, 0.8)
    return tape.samples
