"""`benchbird predict` from a command line to files that Raven, Audacity and `data import` take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from benchbird.annotations.boxes import mask_of
from benchbird.annotations.formats import SUFFIXES, AnnotationFormat, read_annotations
from benchbird.audio.stft import frame_count, one_sided_stft, two_sided
from benchbird.cli import main
from benchbird.listening import ask_model
from benchbird.restoration import find_trial, own_protocol, request_model, restore_model

RATE_HZ = 16_000


def predict(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["predict", *map(str, arguments)])
    shown = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    assert "Traceback" not in shown.err
    return ended.value.code, shown.out, shown.err


def masks_of(trial: Path, recording: Path) -> list[np.ndarray]:
    """What the trial's model says of each channel, as one window."""
    found = find_trial(trial)
    protocol = own_protocol(found)
    model = restore_model(request_model(found, protocol, plugin_files=(), device="cpu"))
    audio, _ = soundfile.read(recording)
    ask = ask_model(model, protocol, RATE_HZ)
    return [ask([one_sided_stft(channel)])[0] > 0 for channel in audio.T]


@pytest.mark.parametrize("form", SUFFIXES)
def test_boxes_cover_the_mask_and_end_where_it_does(
    trial: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: AnnotationFormat
) -> None:
    code, out, err = predict(
        capsys, recording, "--trial", trial, "--window", "10", "--format", form, "--least", "0", "-o", tmp_path / "out"
    )
    target = tmp_path / "out" / f"dawn 05.30{SUFFIXES[form]}"
    assert (code, err) == (0, "")
    boxes = [one.box for one in read_annotations(target)]
    assert out == f"{recording}: {target}: {len(boxes)} calls\n" and len(boxes) > 1
    for channel, mask in enumerate(masks_of(trial, recording), start=1):
        assert 0.01 < mask.mean() < 0.99
        own = [box for box in boxes if box.channel == channel]
        covered = mask_of(own, RATE_HZ, mask.shape[1])
        assert not (mask & ~covered).any(), "a cell of the mask is in no box"
        np.testing.assert_array_equal(covered.any(axis=0), mask.any(axis=0))
        np.testing.assert_array_equal(covered.any(axis=1), mask.any(axis=1))
        assert {box.label for box in own} == {"atrous_segnet"}


def test_pictures_are_masks_as_the_published_ones_are(
    trial: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = predict(capsys, recording, "--trial", trial, "--window", "10", "--format", "png")
    assert (code, err, len(out.splitlines())) == (0, "", 2)
    for side, mask in zip(("left", "right"), masks_of(trial, recording), strict=True):
        drawn = np.asarray(Image.open(tmp_path / f"dawn 05.30_{side}.png"))
        assert drawn.shape == (1024, frame_count(3 * RATE_HZ))
        np.testing.assert_array_equal(drawn, np.asarray(two_sided(mask)) * np.uint8(255))


def test_a_recording_that_is_too_long_for_a_picture_is_refused_in_time(
    trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "long.flac", np.zeros(64 * 62_600), RATE_HZ)
    code, _, err = predict(capsys, tmp_path / "long.flac", "--trial", trial, "--window", "1", "--format", "png")
    assert code == 1
    assert "its picture would have 62599 columns, expected at most 62500 (250 s); use --format raven" in err


def test_bad_recordings_are_told_and_the_good_ones_marked(
    trial: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.wav").write_text("no sound at all\n")
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE_HZ), RATE_HZ)
    code, out, err = predict(
        capsys, tmp_path / "text.wav", tmp_path / "silence.wav", recording, "--trial", trial, "--window", "1"
    )
    assert code == 1 and "text.wav: no recording by its content" in err and "silence: every sample is 0" in err
    assert f"{tmp_path / 'silence.selections.txt'}: 0 calls" in out and "dawn 05.30.selections.txt" in out
    assert read_annotations(tmp_path / "silence.selections.txt") == ()


def test_two_recordings_of_one_name_are_refused_before_anything_is_written(
    trial: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = predict(capsys, recording, recording, "--trial", trial, "--window", "1", "-o", tmp_path / "x")
    assert code == 2 and "would be written to files of one name" in err and not (tmp_path / "x").exists()


def test_what_a_person_may_have_corrected_is_replaced_only_when_asked(
    trial: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for form, name in (("raven", "dawn 05.30.selections.txt"), ("png", "dawn 05.30_right.png")):
        (tmp_path / name).write_text("mine")
        arguments: list[str | Path] = [recording, "--trial", trial, "--window", "1", "--format", form]
        code, out, err = predict(capsys, *arguments)
        assert (code, out) == (1, "") and f"{name}: is there already" in err and "--overwrite" in err
        assert (tmp_path / name).read_bytes() == b"mine"
        assert predict(capsys, *arguments, "--overwrite")[0] == 0
        assert (tmp_path / name).read_bytes() != b"mine"
