"""Samples side by side, each as its image and with its mask over it, so that a person sees whether they fit.

Owns the choice and the layout.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from benchbird.contract import AnySample, Sample
from benchbird.data.images import read_image, read_mask
from benchbird.data.overlays import brightened, with_mask
from benchbird.plain_text import plain_text

PANEL_WIDTH, PANEL_HEIGHT = 260, 170
_GAP, _TITLE, _COLUMNS = 10, 20, 3
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
        bright = brightened(image)
        for number, picture in enumerate((bright, with_mask(bright, mask))):
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
