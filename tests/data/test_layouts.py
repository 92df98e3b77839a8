from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from benchbird.data.layouts import Layout, find_layout, find_single_split, find_test_split, holds_one_split
from benchbird.errors import DataError
from tests.data.picture_files import write_data_root, write_pair


def touch(path: Path) -> Path:
    """A file by name alone: finding never looks inside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def pair(split_folder: Path, name: str) -> None:
    touch(split_folder / "Images" / name)
    touch(split_folder / "Masks" / name)


def reasons(layout: Layout) -> dict[str, str]:
    return {str(Path(fault.path).relative_to(layout.root)): fault.reason for fault in layout.faults}


def ids(layout: Layout) -> dict[str, list[str]]:
    return {split.name: [sample.sample_id for sample in split.samples] for split in layout.splits}


@pytest.mark.parametrize(
    ("train", "val", "images", "masks"),
    [
        ("Train", "Valid", "Images", "Masks"),
        ("Training", "Val", "images", "masks"),
        ("train", "valid", "images", "masks"),
        ("TRAIN", "VALIDATION", "IMAGES", "Masks"),
    ],
)
def test_every_published_spelling_is_found(tmp_path: Path, train: str, val: str, images: str, masks: str) -> None:
    for split, names in ((train, ["b", "a"]), (val, ["c"]), ("Test", ["d"])):
        for name in names:
            touch(tmp_path / split / images / f"{name}.png")
            touch(tmp_path / split / masks / f"{name}.png")
            touch(tmp_path / split / "Raw_audios" / f"{name}.wav")
    layout = find_layout(tmp_path)
    assert not layout.faults
    assert ids(layout) == {"train": ["a", "b"], "val": ["c"], "test": ["d"]}


def test_pairs_go_by_stem_whatever_the_extension(tmp_path: Path) -> None:
    touch(tmp_path / "Images" / "one.JPG")
    touch(tmp_path / "Masks" / "one.png")
    touch(tmp_path / "Images" / "UPPER.TIFF")
    touch(tmp_path / "Masks" / "UPPER.tif")
    touch(tmp_path / "Images" / (unicodedata.normalize("NFD", "é鳥") + ".png"))
    touch(tmp_path / "Masks" / (unicodedata.normalize("NFC", "é鳥") + ".png"))
    layout = find_single_split(tmp_path)
    assert not layout.faults
    assert [s.sample_id for s in layout.splits[0].samples] == [
        "UPPER",
        "one",
        unicodedata.normalize("NFC", "é鳥"),
    ]


def test_side_files_and_notes_are_passed_over(tmp_path: Path) -> None:
    pair(tmp_path, "a.png")
    for name in ("._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt"):
        touch(tmp_path / "Images" / name)
    layout = find_single_split(tmp_path)
    assert not layout.faults
    assert layout.splits[0].n_images == 1


def test_what_has_no_partner_or_is_no_file_is_named(tmp_path: Path) -> None:
    for name in ("good.png", "folder.png", "dangling.png", "outside.png", "pipe.png", "twice.png"):
        pair(tmp_path / "Train", name)
    images = tmp_path / "Train" / "Images"
    for name in ("folder.png", "dangling.png", "outside.png", "pipe.png"):
        (images / name).unlink()
    (images / "folder.png").mkdir()
    (images / "dangling.png").symlink_to("nothing.png")
    (images / "outside.png").symlink_to(touch(tmp_path.parent / f"{tmp_path.name}-elsewhere.png"))
    os.mkfifo(images / "pipe.png")
    touch(images / "twice.jpg")
    touch(images / "lonely.png")
    touch(images / "old.bmp")
    touch(tmp_path / "Train" / "Masks" / "alone.png")
    for split in ("Valid", "Test"):
        pair(tmp_path / split, f"{split}.png")
    layout = find_layout(tmp_path)
    found = reasons(layout)
    assert ids(layout)["train"] == ["good"]
    assert found.pop("Train/Images/folder.png") == "a folder, not a file"
    assert "link to nothing (nothing.png)" in found.pop("Train/Images/dangling.png")
    assert "leaves the data folder" in found.pop("Train/Images/outside.png")
    assert found.pop("Train/Images/pipe.png") == "not a regular file"
    assert "second picture named twice" in found.pop("Train/Images/twice.png")
    assert "image without its mask" in found.pop("Train/Images/lonely.png")
    assert "mask without its image" in found.pop("Train/Masks/alone.png")
    assert ".bmp" in found.pop("Train/Images/old.bmp")
    assert not found


def test_a_link_within_the_data_root_is_followed(tmp_path: Path) -> None:
    pair(tmp_path, "a.png")
    touch(tmp_path / "Masks" / "b.png")
    (tmp_path / "Images" / "b.png").symlink_to("a.png")
    assert [s.sample_id for s in find_single_split(tmp_path).splits[0].samples] == ["a", "b"]


def test_a_split_folder_that_leads_out_of_the_root_is_refused(tmp_path: Path) -> None:
    root = write_data_root(tmp_path / "root", 1, 1, 1)
    write_pair(tmp_path / "elsewhere", "x.png")
    (root / "Test").rename(tmp_path / "moved")
    (root / "Test").symlink_to(tmp_path / "elsewhere")
    assert "leaves the data folder" in reasons(find_layout(root))["Test"]


def test_missing_doubled_and_empty_folders_are_said(tmp_path: Path) -> None:
    pair(tmp_path / "Train", "a.png")
    pair(tmp_path / "Training", "a.png")
    touch(tmp_path / "Valid" / "Images" / "b.png")
    assert {fault.reason for fault in find_layout(tmp_path).faults} == {
        "Train and Training mean the same folder; expected one of them",
        "has no folder Masks",
        "has no folder Test for the split test",
    }
    (tmp_path / "Valid" / "Masks").mkdir()
    (tmp_path / "Valid" / "Images" / "b.png").unlink()
    assert "holds no picture" in reasons(find_layout(tmp_path))["Valid"]


def test_a_folder_without_any_split_says_what_was_expected(tmp_path: Path) -> None:
    assert "Train, Valid and Test" in reasons(find_layout(tmp_path))["."]
    with pytest.raises(DataError, match="expected a folder with Train"):
        find_layout(tmp_path / "gone")


def test_one_split_is_told_from_a_data_root(tmp_path: Path) -> None:
    write_data_root(tmp_path, 1, 1, 1)
    assert not holds_one_split(tmp_path)
    assert holds_one_split(tmp_path / "Test")
    assert find_single_split(tmp_path / "Test").splits[0].name == "test"


def test_names_that_could_steer_a_terminal_are_escaped(tmp_path: Path) -> None:
    touch(tmp_path / "Images" / "\x1b[31mred\n.png")
    touch(tmp_path / "Masks" / "a.png")
    text = "".join(str(fault) for fault in find_single_split(tmp_path).faults)
    assert "\\x1b[31mred\\n.png" in text
    assert text.isprintable()


def test_a_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    pair(tmp_path, "a.png")
    try:
        touch(Path(os.fsdecode(os.fsencode(tmp_path / "Images") + b"/\xff.png")))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    fault = find_single_split(tmp_path).faults[0]
    assert "not UTF-8" in fault.reason
    assert str(fault).isprintable()


def test_a_test_split_is_found_in_a_root_or_alone_whatever_the_others_are_like(tmp_path: Path) -> None:
    pair(tmp_path / "Test", "a.png")
    touch(tmp_path / "Train" / "Images" / "lonely.png")
    layout = find_test_split(tmp_path)
    assert not layout.faults and ids(layout) == {"test": ["a"]}
    assert ids(find_test_split(tmp_path / "Test")) == {"test": ["a"]}
    pair(tmp_path / "field", "b.png")
    assert ids(find_test_split(tmp_path / "field")) == {"field": ["b"]}
    assert reasons(find_test_split(tmp_path / "Train" / "Images")) == {
        ".": "has no folder Test, nor Images and Masks itself; expected one of them"
    }
    pair(tmp_path / "testing", "c.png")
    assert "mean the same folder" in reasons(find_test_split(tmp_path))["."]
