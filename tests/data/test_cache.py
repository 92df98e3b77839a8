from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchbird.contract import AnySample, GeneratedSample
from benchbird.data import birdsound
from benchbird.data.cache import (
    PreparedData,
    folder_size_bytes,
    load_split,
    prepare_splits,
    prepared_already,
)
from benchbird.data.identity import data_digest
from benchbird.data.images import read_image, read_mask
from benchbird.data.oracle import oracle_counts
from benchbird.data.prepared import NotWhole
from benchbird.data.resize import bicubic_image, bicubic_mask, shrink_image, shrink_mask
from benchbird.errors import DataError
from tests.data.picture_files import encoded, mask_bytes, picture, write_data_root, write_pair
from tests.small_bench import write_birds

SIZE = 16


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_data_root(tmp_path / "root")


def prepare(root: Path, cache: Path) -> PreparedData:
    splits = birdsound.find(root, {})
    return prepare_splits(splits, SIZE, cache, workers=1, progress=False)


def whole_folders(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "prepared").iterdir() if not path.name.startswith("."))


def leftovers(cache: Path) -> list[Path]:
    return [path for path in (cache / "prepared").iterdir() if path.name.startswith(".")]


def test_a_prepared_split_holds_every_sample_shrunk(root: Path, tmp_path: Path) -> None:
    data = prepare(root, tmp_path / "cache")
    assert data.built == ("train", "val", "test")
    test = load_split(data.splits["test"].folder)
    assert test.name == "test" and len(test) == 3
    assert test.sample_ids == test.recording_ids == ("Test0", "Test1", "Test2")
    assert (test.images.shape, test.masks.shape) == ((3, 1, SIZE, SIZE), (3, SIZE, SIZE))
    total = None
    for index, name in enumerate(test.sample_ids):
        image = read_image(root / "Test" / "Images" / f"{name}.png")
        mask = read_mask(root / "Test" / "Masks" / f"{name}.png")
        assert np.array_equal(test.images[index], shrink_image(image, SIZE))
        assert np.array_equal(test.masks[index], shrink_mask(mask, SIZE))
        assert np.array_equal(test.native_mask(index), mask)
        assert test.native_sizes[index] == mask.shape
        counts = oracle_counts(shrink_mask(mask, SIZE), mask)
        total = counts if total is None else total + counts
    assert test.ceiling == total
    assert test.ceiling_iou is not None and 0.3 < test.ceiling_iou < 1
    with pytest.raises(ValueError, match="no native masks"):
        data.splits["train"].native_mask(0)


@pytest.mark.parametrize("with_manifest", [False, True])
def test_several_processes_prepare_what_one_does(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_manifest: bool
) -> None:
    monkeypatch.setattr("benchbird.data.workers._WORTH_S", 0.0)
    if with_manifest:
        names = [path.stem for split in ("Train", "Valid", "Test") for path in (root / split / "Images").iterdir()]
        lines = ["name,recording,kind", *(f"{name},{name},human" for name in names)]
        (root / "manifest.csv").write_text("\n".join(lines))
    splits = birdsound.find(root, {})
    for sample in splits["train"]:
        assert pickle.loads(pickle.dumps(sample)) == sample
    alone, together = (
        prepare_splits(splits, SIZE, tmp_path / f"{workers}", workers=workers, progress=False) for workers in (1, 2)
    )
    assert together.content_sha256 == alone.content_sha256
    for one, other in zip(whole_folders(tmp_path / "1"), whole_folders(tmp_path / "2"), strict=True):
        assert one.name == other.name
        assert {path.name: path.read_bytes() for path in one.iterdir()} == {
            path.name: path.read_bytes() for path in other.iterdir()
        }


def test_the_second_time_nothing_is_decoded(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    splits = birdsound.find(root, {})
    assert prepared_already(splits, SIZE, cache, progress=False) == dict.fromkeys(splits, False)
    first = prepare(root, cache)
    assert prepared_already(splits, SIZE, cache, progress=False) == dict.fromkeys(splits, True)
    monkeypatch.setattr("benchbird.data.building.load_pair", None)
    again = prepare(root, cache)
    assert again.built == ()
    assert again.content_sha256 == first.content_sha256
    assert not leftovers(cache)


def test_the_place_of_the_data_does_not_matter(root: Path, tmp_path: Path) -> None:
    first = prepare(root, tmp_path / "cache")
    shutil.copytree(root, tmp_path / "copy")
    assert prepare(tmp_path / "copy", tmp_path / "cache").built == ()
    elsewhere = prepare(tmp_path / "copy", tmp_path / "other")
    assert elsewhere.content_sha256 == first.content_sha256
    assert data_digest("x", elsewhere.identities) == data_digest("x", first.identities)


def test_whatever_is_stored_has_its_own_folder(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    prepare(root, cache)
    splits = birdsound.find(root, {})

    def rebuilt(samples: list[AnySample], size: int = SIZE) -> tuple[str, ...]:
        changed = {**splits, "val": samples}
        return prepare_splits(changed, size, cache, workers=1, progress=False).built

    first, *others = splits["val"]
    assert rebuilt([dataclasses.replace(first, recording_id="other"), *others]) == ("val",)
    assert rebuilt([dataclasses.replace(first, attributes={"snr_db": "3"}), *others]) == ("val",)
    assert rebuilt(others) == ("val",)
    assert rebuilt([first, *others], SIZE + 1) == ("train", "val", "test")
    bicubic = prepare_splits(splits, SIZE, cache, resize="bicubic", workers=1, progress=False)
    assert bicubic.built == ("train", "val", "test")
    assert prepare_splits(splits, SIZE, cache, resize="bicubic", workers=1, progress=False).built == ()
    assert prepared_already(splits, SIZE, cache, resize="bicubic", progress=False) == dict.fromkeys(splits, True)
    assert prepare(root, cache).built == ()
    write_pair(root / "Valid", "Valid0.png", seed=99)
    assert rebuilt([first, *others]) == ("val",)


def test_the_bicubic_rule_prepares_soft_masks(root: Path, tmp_path: Path) -> None:
    splits = birdsound.find(root, {})
    test = prepare_splits(splits, SIZE, tmp_path, resize="bicubic", workers=1, progress=False).splits["test"]
    for index, name in enumerate(test.sample_ids):
        mask = read_mask(root / "Test" / "Masks" / f"{name}.png")
        assert np.array_equal(test.images[index], bicubic_image(read_image(root / "Test/Images" / f"{name}.png"), SIZE))
        assert np.array_equal(test.masks[index], bicubic_mask(mask, SIZE))
        assert np.array_equal(test.native_mask(index), mask)


def test_the_default_pixels_are_those_of_the_first_release(tmp_path: Path) -> None:
    # Hashes of what was prepared before there was a second rule. Whole numbers: equal on every machine.
    write_birds(tmp_path / "birds", {"Train": 13, "Valid": 6, "Test": 8})
    data = prepare(tmp_path / "birds", tmp_path / "cache")
    assert data.content_sha256 == "f84a694a54139a56d0f386d30dbff73ecca0e89940ee0c72b5bc45dae19a217b"


def test_colour_appears_wherever_it_first_comes(root: Path, tmp_path: Path) -> None:
    grey, mask = picture(2)
    colours = np.dstack([grey, grey[::-1], 255 - grey])
    write_pair(root / "Train", "Train2.png", image=encoded(colours), seed=2)
    train = prepare(root, tmp_path / "cache").splits["train"]
    assert train.images.shape == (4, 3, SIZE, SIZE)
    assert np.array_equal(train.images[2], shrink_image(colours, SIZE))
    for index in (0, 1, 3):
        image = read_image(root / "Train" / "Images" / f"Train{index}.png")
        assert np.array_equal(train.images[index], np.repeat(shrink_image(image, SIZE), 3, axis=0))
    assert mask.shape == train.native_sizes[2]


def test_all_bad_files_of_all_splits_are_in_one_error(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (root / "Train" / "Images" / "Train1.png").write_bytes(b"")
    (root / "Train" / "Masks" / "Train1.png").write_bytes(b"nothing")
    (root / "Test" / "Masks" / "Test0.png").write_bytes(mask_bytes(picture(height=40)[1]))
    with pytest.raises(DataError) as caught:
        prepare(root, cache)
    lines = str(caught.value).splitlines()
    assert lines[0] == "3 files can't be used:"
    assert [line.strip().removeprefix(f"{root}/") for line in lines[1:4]] == [
        "Test/Masks/Test0.png: the mask is 48x40, its image is 48x32; expected one size",
        "Train/Images/Train1.png: empty file (0 bytes)",
        "Train/Masks/Train1.png: not an image; expected a PNG, JPEG or TIFF",
    ]
    assert [folder.name.split("-")[0] for folder in whole_folders(cache)] == ["val"]
    assert not leftovers(cache)


def test_an_empty_split_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no samples in the split val"):
        prepare_splits({**birdsound.find(root, {}), "val": ()}, SIZE, tmp_path / "cache", progress=False)
    assert not (tmp_path / "cache").exists()


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "native_masks.bin", "index.json"])
@pytest.mark.parametrize(
    "damage",
    [flip_a_bit, Path.unlink, lambda path: path.write_bytes(b""), lambda path: os.truncate(path, 100)],
    ids=["bit", "gone", "empty", "cut"],
)
def test_a_damaged_folder_is_built_again(
    root: Path, tmp_path: Path, name: str, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    first = prepare(root, cache)
    damage(first.splits["test"].folder / name)
    again = prepare(root, cache)
    assert again.built == ("test",)
    assert again.content_sha256 == first.content_sha256
    assert "built again" in caplog.text
    assert not leftovers(cache)


def test_quick_loading_notices_missing_and_cut_files(root: Path, tmp_path: Path) -> None:
    folder = prepare(root, tmp_path / "cache").splits["test"].folder
    with pytest.raises(NotWhole):
        load_split(folder.with_name("nothing"))
    os.truncate(folder / "masks.npy", 300)
    with pytest.raises(NotWhole, match=r"masks\.npy has 300 bytes"):
        load_split(folder)
    index = json.loads((folder / "index.json").read_text())
    index["samples"][0]["recording"] = "forged"
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(NotWhole, match="damaged"):
        load_split(folder)


PROGRAM = """
import sys
from pathlib import Path
from benchbird.data import birdsound
from benchbird.data.cache import prepare_splits
if __name__ == "__main__":
    print("ready", flush=True)
    splits = birdsound.find(Path(sys.argv[1]), {})
    data = prepare_splits(splits, 64, Path(sys.argv[2]), workers=int(sys.argv[3]))
    print(data.content_sha256)
"""


def start(root: Path, cache: Path, workers: int = 1) -> subprocess.Popen[str]:
    program = root.parent / "program.py"
    program.write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, program, root, cache, str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_runs_at_once_end_with_the_same_whole_cache(tmp_path: Path) -> None:
    root = write_data_root(tmp_path / "root", train=30)
    runs = [start(root, tmp_path / "cache") for _ in range(2)]
    answers = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    assert len(whole_folders(tmp_path / "cache")) == 3
    assert not leftovers(tmp_path / "cache")


def test_a_killed_run_leaves_nothing_that_passes_for_whole(tmp_path: Path) -> None:
    root, cache = write_data_root(tmp_path / "root"), tmp_path / "cache"
    large, mask = picture(7, height=512, width=1500)
    pair = encoded(large), mask_bytes(mask)
    for index in range(150):
        write_pair(root / "Train", f"Train{index}.png", *pair)
    run = start(root, cache, workers=2)
    deadline = time.monotonic() + 30
    while not any(cache.glob("prepared/.*/images.npy")) and time.monotonic() < deadline:
        time.sleep(0.005)
    run.kill()
    run.communicate()
    assert whole_folders(cache) == [] and len(leftovers(cache)) == 1
    splits = birdsound.find(root, {})
    assert not any(prepared_already(splits, 64, cache, progress=False).values())
    few = {split: samples[:2] for split, samples in splits.items()}
    prepare_splits(few, SIZE, cache, workers=1, progress=False)
    # Its process can't be seen from a container of the same name either, and may be writing there.
    (left,) = leftovers(cache)
    for path in (left, *left.iterdir()):
        os.utime(path, (time.time() - 700,) * 2)
    fewer = {split: samples[:1] for split, samples in splits.items()}
    prepare_splits(fewer, SIZE, cache, workers=1, progress=False)
    assert not leftovers(cache)  # the next build clears away what the dead one left


class Rendered:
    """A picklable renderer that returns what it was given."""

    def __init__(self, image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], *more: object) -> None:
        self.values: Any = image, mask, *more

    def __call__(self) -> Any:
        if self.values[0].size == 0:
            raise RuntimeError("no sound")
        return self.values


def generated(name: str, image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], *more: object) -> GeneratedSample:
    return GeneratedSample(
        sample_id=name, recording_id=name, content=name, render=Rendered(image, mask, *more), attributes={"a": "1"}
    )


def test_generated_samples_are_prepared_like_files(tmp_path: Path) -> None:
    grey, mask = picture(1)
    sample = generated("a", np.dstack([grey] * 3), mask)
    data = prepare_splits({"test": [sample]}, SIZE, tmp_path, workers=1, progress=False)
    test = data.splits["test"]
    assert np.array_equal(test.images[0], shrink_image(grey, SIZE))
    assert np.array_equal(test.native_mask(0), mask)


def test_what_is_known_only_once_a_sample_is_made_is_in_the_index_and_in_no_digest(tmp_path: Path) -> None:
    grey, mask = picture(1)
    sample = generated("a", grey, mask, {"voice": "trill", "a": "2"})
    plain = prepare_splits({"test": [generated("a", grey, mask)]}, SIZE, tmp_path / "1", workers=1, progress=False)
    told = prepare_splits({"test": [sample]}, SIZE, tmp_path / "2", workers=1, progress=False)
    assert plain.splits["test"].attributes == ({"a": "1"},)
    assert load_split(told.splits["test"].folder).attributes == ({"a": "2", "voice": "trill"},)
    assert told.content_sha256 == plain.content_sha256
    assert data_digest("x", told.identities) == data_digest("x", plain.identities)


def test_a_generator_that_breaks_the_contract_is_named(tmp_path: Path) -> None:
    grey, mask = picture(1)
    samples = [
        generated("raises", grey[:0], mask),
        generated("float", grey.astype(np.float32), mask),
        generated("other_size", grey, mask[:-1]),
        generated("byte_mask", grey, mask.astype(np.uint8)),
        generated("small", grey[:8], mask[:8]),
        generated("four", grey, mask, {}, {}),
        generated("list", grey, mask, ["voice"]),
        generated("number", grey, mask, {"snr_db": 3.0}),
    ]
    with pytest.raises(DataError) as caught:
        prepare_splits({"test": samples}, SIZE, tmp_path, workers=1, progress=False)
    for name, reason in (
        ("raises", "could not be made: RuntimeError: no sound"),
        ("float", "its image is float32"),
        ("other_size", "its mask is bool (31, 48)"),
        ("byte_mask", "its mask is uint8"),
        ("small", "too small"),
        ("four", "its render returned 4 values, expected image and mask, and a mapping of text to text at most"),
        ("list", "its third value is list, expected"),
        ("number", "its attribute 'snr_db' is 3.0, expected"),
    ):
        assert f"{name}: {reason}" in str(caught.value)


def test_the_size_of_a_folder(root: Path, tmp_path: Path) -> None:
    assert folder_size_bytes(tmp_path / "nothing") == 0
    (tmp_path / "f" / "g").mkdir(parents=True)
    (tmp_path / "f" / "g" / "a").write_bytes(bytes(1000))
    assert folder_size_bytes(tmp_path / "f") == 1000


def test_a_cache_that_cannot_be_written_is_said(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="must be a folder"):
        prepare(root, tmp_path / "file")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "prepared").touch()
    with pytest.raises(DataError, match="--cache DIR"):
        prepare(root, tmp_path / "cache")


def test_a_full_disk_leaves_nothing_behind(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("benchbird.data.building.os.fsync", full)
    with pytest.raises(DataError, match="no space left on device"):
        prepare(root, tmp_path / "cache")
    assert not whole_folders(tmp_path / "cache") and not leftovers(tmp_path / "cache")
