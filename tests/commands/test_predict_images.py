"""`benchbird predict` of images: what the evaluation said of the test split, and pictures that people can use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchbird.cli import main
from benchbird.data.images import Unreadable, read_mask
from benchbird.image_marking import Marking, open_marker
from benchbird.predictions import read_predictions
from tests.finished_bench import trial_folder
from tests.small_bench import Bench


def predict(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["predict", *map(str, arguments)])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err and isinstance(ended.value.code, int)
    return ended.value.code, shown.out, shown.err


def images_of(finished: Bench) -> list[Path]:
    return sorted((finished.folder / "birds" / "Test" / "Images").iterdir())


@pytest.mark.usefixtures("trial")
@pytest.mark.parametrize("label", ["atrous_segnet", "threshold"])
def test_the_test_split_comes_out_as_it_was_evaluated_bit_by_bit(finished: Bench, label: str) -> None:
    trial = trial_folder(finished.results, label)
    stored = read_predictions(trial / "predictions.npz")
    marker = open_marker(trial, plugin_files=(), device="cpu")
    paths = images_of(finished)
    assert [path.stem for path in paths] == list(stored.sample_ids)
    for place, marking in enumerate(marker.mark(paths)):
        assert isinstance(marking, Marking)
        np.testing.assert_array_equal(marking.small > 0, stored.masks(place)[0])
        reference = read_mask(finished.folder / "birds" / "Test" / "Masks" / paths[place].name)
        mask = marking.mask(0.0)
        counts = [(mask & reference).sum(), (mask & ~reference).sum(), (~mask & reference).sum()]
        assert counts == stored.test.native[place][:3].tolist()


def test_mask_probability_and_overlay_have_the_image_s_own_size(
    finished: Bench, trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = images_of(finished)[0]
    code, out, err = predict(capsys, image, "--trial", trial, "-o", tmp_path / "out")
    assert (code, err) == (0, "") and out.startswith(f"{image}: ") and "% of it is bird" in out
    mask, probability, overlay = (
        np.asarray(Image.open(tmp_path / "out" / f"{image.stem}_{kind}.png"))
        for kind in ("mask", "probability", "overlay")
    )
    with Image.open(image) as opened:
        size = opened.size
    assert mask.shape == probability.shape == size[::-1] and overlay.shape == (*mask.shape, 3)
    assert set(np.unique(mask)) <= {0, 255} and 0 < (mask > 0).mean() < 1
    np.testing.assert_array_equal(probability[mask > 0] >= 127, True)
    np.testing.assert_array_equal(probability[mask == 0] <= 128, True)
    assert not (overlay[mask == 0] != overlay[mask == 0][:, :1]).any(), "grey where nothing is predicted"


def test_what_cannot_be_used_is_told_and_leaves_the_others(
    finished: Bench, trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, other = images_of(finished)[:2]
    bad = tmp_path / "cut.png"
    bad.write_bytes(good.read_bytes()[:200])
    text = tmp_path / "text.png"
    text.write_text("no image at all")
    code, out, err = predict(capsys, good, bad, text, other, "--trial", trial, "-o", tmp_path / "out")
    assert code == 1 and f"{bad}: " in err and f"{text}: " in err and "PNG, JPEG or TIFF" in err
    assert len(out.splitlines()) == 2
    code, out, err = predict(capsys, good, "--trial", trial, "-o", tmp_path / "out")
    assert code == 1 and "is there already" in err and out == ""
    code, _, err = predict(capsys, good, "--trial", trial, "--format", "raven")
    assert code == 2 and "an image has no boxes in time and frequency" in err


def test_images_and_recordings_go_together(
    finished: Bench, trial: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = images_of(finished)[0]
    code, out, _ = predict(capsys, image, recording, "--trial", trial, "--window", "1", "-o", tmp_path / "out")
    assert code == 0 and len(out.splitlines()) == 2
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"{image.stem}_{kind}.png" for kind in ("mask", "probability", "overlay")} | {
        f"{recording.stem}.selections.txt"
    }


@pytest.mark.usefixtures("trial")
def test_an_unreadable_image_keeps_the_others_in_their_batches(finished: Bench, tmp_path: Path) -> None:
    """Batches are of images that can be read, so that a bad one between them changes nothing."""
    trial = trial_folder(finished.results, "atrous_segnet")
    marker = open_marker(trial, plugin_files=(), device="cpu")
    paths = images_of(finished)
    (tmp_path / "bad.png").write_text("no image")
    plain = [one.logits for one in marker.mark(paths) if isinstance(one, Marking)]
    mixed = list(marker.mark([paths[0], tmp_path / "bad.png", *paths[1:]]))
    assert isinstance(mixed[1], Unreadable)
    for one, other in zip(plain, [one for one in mixed if isinstance(one, Marking)], strict=True):
        np.testing.assert_array_equal(one, other.logits)
