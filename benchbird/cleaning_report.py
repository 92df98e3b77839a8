"""A page on which cleaned recordings are looked at and listened to: spectrogram and player before and after.

Owns the page's layout. It holds everything by itself, asks for nothing from elsewhere, and runs no script.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbird.audio.pictures import spectrogram_picture
from benchbird.audio.recordings import AudioArray, Recording
from benchbird.audio.stft import WINDOW_SAMPLES
from benchbird.cleaning import Cleaned
from benchbird.plain_text import plain_text

EXCERPT_S = 60.0
"""Of each recording, from its beginning: a page of hours would open in no browser."""

MOST_COLUMNS, ROWS = 1000, 256
PLAYED_CHANNELS = 2
_MOST_FLAC_HZ = 655_350


@dataclass(frozen=True)
class Excerpt:
    """The beginning of a file, as the page shows it.

    Attributes:
        title: `before`, `after` or `removed`.
        picture: PNG of the first channel's spectrogram, as a data URI.
        sound: FLAC, or WAV where the rate is beyond what FLAC holds, as a data URI.
        seconds: its length.
        nyquist_khz: the picture's upper edge.
    """

    title: str
    picture: str
    sound: str
    seconds: float
    nyquist_khz: float


def report_page(cleaned: Sequence[Cleaned], model: str) -> str:
    """The page, HTML.

    Args:
        cleaned: the recordings, with their files still in place.
        model: what cleaned them, for the heading.

    Raises:
        Unreadable: a file is no longer there.
    """
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    style_hash = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    recordings = [
        {
            "name": plain_text(one.recording.name),
            "facts": _facts(one),
            "notes": one.notes,
            "excerpts": [_excerpt(title, path) for title, path in _titled(one)],
        }
        for one in cleaned
    ]
    return environment.from_string(_PAGE).render(
        style=_STYLE, style_hash=style_hash, recordings=recordings, model=plain_text(model), excerpt_s=EXCERPT_S
    )


def _titled(one: Cleaned) -> list[tuple[str, Path]]:
    return list(zip(("before", "after", "removed"), (one.recording, *one.files), strict=False))


def _facts(one: Cleaned) -> str:
    return f"{one.recording_s:.1f} s, {one.kept_share:.0%} of the sound's energy kept"


def _excerpt(title: str, path: Path) -> Excerpt:
    with Recording(path) as recording:
        rate_hz = recording.format.rate_hz
        audio = next(recording.blocks(max(WINDOW_SAMPLES, round(EXCERPT_S * rate_hz))))
    return Excerpt(
        title=title,
        picture=_data_uri("image/png", _png(audio, rate_hz)),
        sound=_sound(audio, rate_hz),
        seconds=len(audio) / rate_hz,
        nyquist_khz=rate_hz / 2000,
    )


def _png(audio: AudioArray, rate_hz: int) -> bytes:
    """The first channel's spectrogram."""
    stream = io.BytesIO()
    spectrogram_picture(audio[:, 0], rate_hz, ROWS, MOST_COLUMNS).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _sound(audio: AudioArray, rate_hz: int) -> str:
    import soundfile

    kind = "FLAC" if rate_hz <= _MOST_FLAC_HZ else "WAV"
    stream = io.BytesIO()
    soundfile.write(stream, audio[:, :PLAYED_CHANNELS], rate_hz, format=kind, subtype="PCM_16")
    return _data_uri(f"audio/{kind.lower()}", stream.getvalue())


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1, h2 { line-height: 1.2; overflow-wrap: anywhere; }
section { margin-block: 2rem; }
figure { margin: 1rem 0; }
figcaption { font-weight: 600; }
figcaption span { font-weight: 400; }
img { display: block; width: 100%; height: 16rem; border: 1px solid GrayText; background: white; }
audio { width: 100%; margin-top: .3rem; }
"""

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; img-src data:; media-src data:; style-src 'sha256-{{ style_hash }}'; \
base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Cleaned recordings</title>
<style>{{ style|safe }}</style>
</head>
<body>
<main>
<h1>Cleaned recordings</h1>
<p>By {{ model }}. Spectrograms: time to the right, frequency upwards, the darker the louder, from −80 dB to 0 dB.
At most the first {{ "%g"|format(excerpt_s) }} s of each recording are shown and played; of several channels, the
first is drawn.</p>
{% for recording in recordings %}
<section>
<h2>{{ recording.name }}</h2>
<p>{{ recording.facts }}.{% for note in recording.notes %} Note: {{ note }}.{% endfor %}</p>
{% for one in recording.excerpts %}
<figure>
<figcaption>{{ one.title }}
<span>(0 to {{ "%.1f"|format(one.seconds) }} s, 0 to {{ "%g"|format(one.nyquist_khz) }} kHz)</span></figcaption>
<img src="{{ one.picture }}" alt="Spectrogram of {{ recording.name }}, {{ one.title }}">
<audio controls preload="metadata" src="{{ one.sound }}"></audio>
</figure>
{% endfor %}
</section>
{% endfor %}
</main>
</body>
</html>
"""
