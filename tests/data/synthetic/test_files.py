from __future__ import annotations

import csv
import hashlib
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from benchbird.audio.stft import render
from benchbird.data.synthetic.files import MANIFEST_COLUMNS, write_synthetic
from benchbird.data.synthetic.options import SyntheticOptions
from benchbird.data.synthetic.scenes import synthesize
from benchbird.errors import DataError

OPTIONS = SyntheticOptions(seconds_min=1.5, seconds_max=1.5)
SIZES = {"train": 3, "val": 1, "test": 2}


def contents(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def read_wav(path: Path) -> tuple[npt.NDArray[np.float64], int]:
    with wave.open(str(path), "rb") as stream:
        assert (stream.getnchannels(), stream.getsampwidth()) == (1, 2)
        levels = np.frombuffer(stream.readframes(stream.getnframes()), dtype="<i2")
        return levels / 32768.0, stream.getframerate()


def test_files_hold_the_samples_in_the_public_layout(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    root = write_synthetic(tmp_path / "set", SIZES, OPTIONS, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 6) for number in range(1, 7)]
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == MANIFEST_COLUMNS
    assert [row["split"] for row in rows] == ["Train"] * 3 + ["Valid"] + ["Test"] * 2
    for row, (split, index) in zip(rows, [("train", 0), ("train", 1), ("train", 2), ("val", 0)], strict=False):
        sample = synthesize(OPTIONS, split, index)
        folder = root / row["split"]
        assert (row["name"], row["recording"]) == (sample.sample_id, sample.recording_id)
        with Image.open(folder / "Images" / f"{row['name']}.png") as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.asarray(image), sample.image)
        with Image.open(folder / "Masks" / f"{row['name']}.png") as mask:
            assert mask.mode == "L"
            np.testing.assert_array_equal(np.asarray(mask), np.where(sample.mask, 255, 0))
        noisy, rate = read_wav(folder / "Raw_audios" / f"{row['name']}.wav")
        clean, _ = read_wav(folder / "Denoised_audios" / f"{row['name']}.wav")
        assert rate == int(row["sample_rate"])
        np.testing.assert_array_equal(noisy.astype(np.float32), sample.noisy)
        np.testing.assert_array_equal(clean.astype(np.float32), sample.clean)
        np.testing.assert_array_equal(render(noisy), sample.image)
        assert float(row["mask_fraction"]) == pytest.approx(sample.mask.mean(), abs=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    one = write_synthetic(tmp_path / "one", SIZES, OPTIONS)
    two = write_synthetic(tmp_path / "two", SIZES, OPTIONS, workers=2)
    assert contents(one) == contents(two)
    assert len(contents(one)) == 4 * 6 + 1


def test_an_interruption_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "set", SIZES, OPTIONS, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_target_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"notes\.txt"):
        write_synthetic(tmp_path, SIZES, OPTIONS)
    with pytest.raises(DataError, match="is a file"):
        write_synthetic(tmp_path / "notes.txt", SIZES, OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_may_be_the_target_and_parents_are_made(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    target.mkdir(parents=True)
    write_synthetic(target, {"val": 1}, OPTIONS)
    write_synthetic(tmp_path / "c" / "d", {}, OPTIONS)
    assert (target / "manifest.csv").is_file() and (tmp_path / "c" / "d" / "Train" / "Images").is_dir()


def test_a_disk_that_refuses_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not write"):
        write_synthetic(tmp_path / "file" / "set", {"val": 1}, OPTIONS)


@pytest.mark.parametrize("sizes", [{"validation": 3}, {"train": -1}])
def test_unknown_splits_and_negative_sizes_are_refused(tmp_path: Path, sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="sizes"):
        write_synthetic(tmp_path / "set", sizes, OPTIONS)
