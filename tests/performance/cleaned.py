"""What the published study's masks make of three test recordings, drawn for docs/recordings.md.

    python tests/performance/cleaned.py

Not picked by what they look like: of the embedded set's test recordings, the one with the lowest SNR, the median one
and the one with the highest. Beside the recording stand the outputs of the study's two best segmenters (first seed),
that of a mask without a fault at the trial's size, and the clean voice.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from benchbird.audio.pictures import spectrogram_picture
from benchbird.audio.separation import under_mask
from benchbird.audio.stft import frame_count
from benchbird.cache_folder import cache_folder
from benchbird.contract import AnySample
from benchbird.data.sounds import SoundPair, sound_of
from benchbird.pooling import open_predictions
from benchbird.predictions import Predictions
from benchbird.reproduction import Sources, find_material
from benchbird.sound_study import enlarged
from benchbird.studies import select_study

STUDY = Path("results/published/birdsound-cpu-synthetic")
BENCHMARK = Path("benchmarks/birdsound.yaml")
SHOWN = ("unet", "atrous_segnet")
WIDTH, HEIGHT, GAP, LABEL = 300, 150, 10, 22


def outputs(
    trials: dict[str, Predictions], place: int, pair: SoundPair
) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    """Title and sound of each column."""
    frames = frame_count(len(pair.noisy))
    yield "recording", pair.noisy
    for name, predictions in trials.items():
        predicted, reference = predictions.masks(place)
        yield name, under_mask(pair.noisy, enlarged(predicted, frames))
    yield "mask without a fault", under_mask(pair.noisy, enlarged(reference, frames))
    yield "voice", pair.reference


def chosen(samples: list[AnySample], predictions: Predictions) -> list[int]:
    """Places of the recordings with the lowest, median and highest SNR among those with a bird."""
    snr = [float(attributes.get("snr_db") or "nan") for attributes in predictions.attributes]
    order = [place for place in np.argsort(snr, kind="stable") if np.isfinite(snr[place]) and usable(samples[place])]
    return [int(order[0]), int(order[len(order) // 2]), int(order[-1])]


def usable(sample: AnySample) -> bool:
    """Whether there is a voice to be heard."""
    pair = sound_of(sample)
    return pair is not None and bool(pair.reference.any())


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/pictures/cleaned.png"))
    arguments = parser.parse_args()
    found = select_study(STUDY, results=Path("results"), digest=None).study.found
    sources = Sources(benchmark=BENCHMARK, profile=None, overrides=(), plugin_files=(), cache=cache_folder(None),
                      device="cpu", tolerance=0.0)  # fmt: skip
    samples = list(find_material(sources, found[0].record.profile, 0).data.splits["test"])
    first = {one.record.segmenter.label: one for one in found if one.record.seed == 0}
    trials = {name: open_predictions(first[name]) for name in SHOWN}
    rows = []
    for place in chosen(samples, trials[SHOWN[0]]):
        pair = sound_of(samples[place])
        assert pair is not None
        rows.append((samples[place].sample_id, trials[SHOWN[0]].attributes[place], pair, place))
    sheet = Image.new("L", (5 * (WIDTH + GAP) + GAP, len(rows) * (HEIGHT + GAP + LABEL) + GAP), 255)
    drawing, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for row, (_, attributes, pair, place) in enumerate(rows):
        top = GAP + row * (HEIGHT + GAP + LABEL)
        for column, (title, sound) in enumerate(outputs(trials, place, pair)):
            left = GAP + column * (WIDTH + GAP)
            gained = pair.score(sound).si_sdr_improvement_db
            note = f"SNR {float(attributes['snr_db']):.1f} dB" if column == 0 else f"{gained:+.1f} dB SI-SDR"
            drawing.text((left, top), f"{title}{'' if title == 'voice' else ', ' + note}", fill=0, font=font)
            picture = spectrogram_picture(sound, pair.rate_hz, HEIGHT, WIDTH).resize((WIDTH, HEIGHT))
            sheet.paste(picture, (left, top + LABEL))
            drawing.rectangle((left, top + LABEL, left + WIDTH - 1, top + LABEL + HEIGHT - 1), outline=128)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(arguments.output, optimize=True)
    print(f"{arguments.output}: {', '.join(sample for sample, *_ in rows)}")


if __name__ == "__main__":
    main()
