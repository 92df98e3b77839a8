"""Samples side by side, each as its image and with its mask over it, so that a person sees whether they fit.

Owns the choice and the layout. Images are brightened by their square root, since published ones are nearly black.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from benchbird.contract import AnySample, Sample
from benchbird.data.images import read_image, read_mask
from benchbird.plain_text import plain_text

PANEL_WIDTH, PANEL_HEIGHT = 260, 170
_GAP, _TITLE, _COLUMNS = 10, 20, 3
_BIRD = np.array([255, 120, 40], dtype=np.float64)
_OPACITY = 0.5
_LETTER = 6.7
"""Mean width of a title's letter, in pixels."""


def draw_samples(samples: Sequence[AnySample], number: int, seed: int) -> list[AnySample]:
    """So many samples, drawn without looking at them, in the order of their names.

    Args:
        samples: of a split.
        number: most of them.
        seed: of the drawing.
    """
    drawn = random.Random(seed).sample(list(samples), min(number, len(samples)))
    return sorted(drawn, key=lambda sample: sample.sample_id)


def contact_sheet(samples: Sequence[AnySample]) -> Image.Image:
    """One picture of all of them, three to a row.

    Args:
        samples: at least one.

    Raises:
        DataError: one can't be read.
    """
    cell = 2 * PANEL_WIDTH + _GAP
    columns = min(_COLUMNS, len(samples))
    rows = -(-len(samples) // columns)
    width = columns * (cell + 2 * _GAP) + _GAP
    height = rows * (PANEL_HEIGHT + _TITLE + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), "white")
    drawing, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, sample in enumerate(samples):
        left = _GAP + (place % columns) * (cell + 2 * _GAP)
        top = _GAP + (place // columns) * (PANEL_HEIGHT + _TITLE + _GAP)
        image, mask = _pixels(sample)
        drawing.text((left, top), _title(sample, float(mask.mean())), fill="black", font=font)
        bright = _bright(image)
        for number, picture in enumerate((bright, _with_mask(bright, mask))):
            shown = Image.fromarray(picture).resize((PANEL_WIDTH, PANEL_HEIGHT), Image.Resampling.BOX)
            sheet.paste(shown, (left + number * (PANEL_WIDTH + _GAP), top + _TITLE))
    return sheet


def _title(sample: AnySample, share: float) -> str:
    told = f", {share:.1%} bird" if share else ", no bird"
    letters = int((2 * PANEL_WIDTH + _GAP) / _LETTER) - len(told)
    # Only what the font that comes along can draw.
    name = plain_text(sample.sample_id, letters).encode("latin-1", "replace").decode("latin-1")
    return name + told


def _pixels(sample: AnySample) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    if isinstance(sample, Sample):
        return read_image(sample.image), read_mask(sample.mask)
    image, mask, *_ = sample.render()
    return image, mask


def _bright(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """In colour, `(H, W, 3)`."""
    values = np.round(255.0 * np.sqrt(image.astype(np.float64) / 255.0)).astype(np.uint8)
    return np.repeat(values[..., None], 3, axis=2) if values.ndim == 2 else values


def _with_mask(picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    coloured = picture.astype(np.float64)
    coloured[mask] = (1.0 - _OPACITY) * coloured[mask] + _OPACITY * _BIRD
    return np.asarray(np.round(coloured), dtype=np.uint8)
