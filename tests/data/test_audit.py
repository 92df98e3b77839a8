from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchbird.data.audit import Audit, audit
from benchbird.errors import DataError
from tests.data.picture_files import (
    encoded,
    mask_bytes,
    picture,
    png_that_claims,
    write_data_root,
    write_pair,
)

BAD_IMAGES = (Path(__file__).parents[2] / "../shared/data/bad-images").resolve()
REAL_BIRDS = Path(os.environ.get("BENCHBIRD_REAL_BIRDS", BAD_IMAGES.with_name("real-birds")))


def check(root: Path, pattern: str | None = None) -> Audit:
    return audit(root, pattern, workers=1, progress=False)


def reasons(found: Audit) -> dict[str, str]:
    return {fault.path: fault.reason for fault in found.faults}


def test_a_good_data_set_is_summed_up(tmp_path: Path) -> None:
    write_data_root(tmp_path)
    write_pair(tmp_path / "Valid", "Valid1.png", mask=mask_bytes(picture()[1] & False), seed=1000)
    found = check(tmp_path)
    assert found.is_good and not found.faults + found.warnings and not found.duplicates
    train, val, test = found.splits
    assert [split.name for split in found.splits] == ["train", "val", "test"]
    assert [train.n_images, train.n_masks, train.n_usable, train.n_recordings] == [4, 4, 4, 4]
    assert (val.n_usable, val.n_empty_masks, test.n_empty_masks) == (2, 1, 0)
    assert test.bird_share is not None and test.bird_share[1] == pytest.approx(picture()[1].mean())
    assert (test.widths, test.heights) == ((48, 48), (32, 32))


def test_every_kind_of_fault_is_found_in_one_pass(tmp_path: Path) -> None:
    write_data_root(tmp_path)
    good, mask = encoded(picture()[0]), mask_bytes(picture()[1])
    train = tmp_path / "Train"
    write_pair(train, "bomb.png", png_that_claims(30000, 30000))
    write_pair(train, "cut.png", good[: len(good) // 2], mask[: len(mask) // 2])
    write_pair(train, "transposed.png", mask=mask_bytes(picture()[1].T))
    write_pair(train, "grey_mask.png", mask=encoded(picture()[0]))
    (train / "Masks" / "lonely.png").write_bytes(mask)
    found = check(tmp_path)
    assert not found.is_good
    assert {path: reason.split(" ")[0] for path, reason in reasons(found).items()} == {
        "Train/Images/bomb.png": "too",
        "Train/Images/cut.png": "damaged",
        "Train/Masks/cut.png": "damaged",
        "Train/Masks/grey_mask.png": "a",
        "Train/Masks/lonely.png": "mask",
        "Train/Masks/transposed.png": "the",
    }
    assert found.splits[0].n_usable == 4


def test_what_deserves_a_look_is_a_warning(tmp_path: Path) -> None:
    pixels, bird = picture()
    write_pair(tmp_path, "black.png", encoded(np.zeros_like(pixels)))
    write_pair(tmp_path, "full.png", mask=mask_bytes(bird | True), seed=1)
    write_pair(tmp_path, "jpeg.png", encoded(pixels, "JPEG"))
    write_pair(tmp_path, "lossy.jpg", mask=encoded(np.where(bird, 255, 0).astype(np.uint8), "JPEG"), seed=2)
    found = check(tmp_path)
    assert found.is_good
    assert [(warning.path, warning.reason) for warning in found.warnings] == [
        ("Images/black.png", "flat: every pixel is 0"),
        ("Images/jpeg.png", "a JPEG named .png; read by its content"),
        ("Images/lossy.jpg", "a PNG named .jpg; read by its content"),
        ("Masks/full.png", "every pixel is bird"),
        ("Masks/lossy.jpg", "a JPEG mask, which is not exact; cut at half"),
    ]


def test_recordings_in_two_splits_are_bad_and_identical_images_are_listed(tmp_path: Path) -> None:
    write_data_root(tmp_path)
    write_pair(tmp_path / "Train", "XC1_left.png", seed=50)
    write_pair(tmp_path / "Test", "XC1_right.png", seed=50)
    found = check(tmp_path)
    assert found.leaks == {"XC1": ("train", "test")}
    assert found.duplicates == (("Test/Images/XC1_right.png", "Train/Images/XC1_left.png"),)
    assert not found.is_good
    assert check(tmp_path, "(?P<recording>.*)").is_good


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        check(tmp_path / "gone")


@pytest.mark.skipif(not BAD_IMAGES.is_dir(), reason=f"needs the shared pictures in {BAD_IMAGES}")
def test_the_shared_bad_images_are_all_judged_as_their_table_says() -> None:
    found = check(BAD_IMAGES)
    expected = {
        "zero_bytes": "empty file", "cut_0004": "cut short", "cut_0020": "cut short", "cut_0033": "cut short",
        "cut_1866": "cut short", "bad_crc": "damaged", "text": "not an image", "mask_cut": "cut short",
        "cmyk": "CMYK", "one_pixel": "too small", "bomb_30000x30000": "too large",
        "big_12000x12000": "too large", "bomb_header_only": "too large", "no_mask": "without its mask",
        "no_image": "without its image", "mask_other_size": "80x48, its image is 96x64",
        "mask_transposed": "64x96, its image is 96x64", "mask_grey": "grey values", "directory": "a folder",
    }  # fmt: skip
    named = {Path(fault.path).stem: fault for fault in found.faults}
    for stem, reason in expected.items():
        assert reason in named[stem].reason, stem
    assert named["mask_cut"].path == "Masks/mask_cut.png"
    # Links don't survive every copy; then they are files of text.
    assert named.keys() - expected.keys() == {"link_outside", "link_dangling"}
    assert {Path(warning.path).stem for warning in found.warnings} == {
        "flat_black",
        "jpeg_inside",
        "mask_all_one",
    }


# Not resource.getrusage: a child inherits the peak of the process that it was forked from.
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the peak memory from /proc")
def test_bombs_cost_no_memory(tmp_path: Path) -> None:
    for index in range(3):
        write_pair(tmp_path, f"{index}.png", png_that_claims(30000, 30000), png_that_claims(8001, 8000))
    program = (
        "import re, sys; from pathlib import Path; from benchbird.data.audit import audit\n"
        "found = audit(Path(sys.argv[1]), workers=1, progress=False)\n"
        "peak = re.search('VmHWM:\\\\s+([0-9]+)', Path('/proc/self/status').read_text())\n"
        "print(len(found.faults), peak[1])"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=60)
    n_faults, peak_kib = map(int, done.stdout.split())
    assert n_faults == 6
    assert peak_kib < 200_000


@pytest.mark.skipif(not REAL_BIRDS.is_dir(), reason=f"needs the shared recordings in {REAL_BIRDS}")
def test_the_shared_recordings_are_good() -> None:
    found = check(REAL_BIRDS)
    assert found.is_good and not found.warnings
    assert sum(split.n_usable for split in found.splits) == 126
    assert sum(split.n_recordings for split in found.splits) == 60
