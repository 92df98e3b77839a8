"""Samples that can't be read are left out where that is asked for, and it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbird.data import birdsound, soundness
from benchbird.data.soundness import keep_sound
from benchbird.errors import DataError
from benchbird.study_data import StudyData
from tests.data.picture_files import encoded, picture, write_data_root
from tests.small_bench import Bench, make_bench
from tests.study_factory import make_small_plan


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_data_root(tmp_path / "birds")


def test_samples_that_cannot_be_read_are_left_out_with_their_reasons(root: Path, tmp_path: Path) -> None:
    (root / "Train" / "Images" / "Train1.png").write_bytes(b"")
    (root / "Test" / "Masks" / "Test0.png").write_bytes(encoded(picture(height=40)[0]))
    kept, faults = keep_sound(birdsound.find(root, {}), tmp_path / "cache")
    assert {name: [one.sample_id for one in samples] for name, samples in kept.items()} == {
        "train": ["Train0", "Train2", "Train3"],
        "val": ["Valid0", "Valid1"],
        "test": ["Test1", "Test2"],
    }
    assert [(Path(fault.path).name, fault.reason.partition(" (")[0]) for fault in faults] == [
        ("Train1.png", "empty file"),
        ("Test0.png", "the mask is 48x40, its image is 48x32; expected one size"),
    ]


def test_a_content_is_decoded_once_and_a_bad_one_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = root / "Train" / "Images" / "Train1.png"
    good = bad.read_bytes()
    bad.write_bytes(good[:-30])
    checked: list[str] = []
    plain = soundness._faults_of

    def noting(sample):  # type: ignore[no-untyped-def]
        checked.append(sample.sample_id)
        return plain(sample)

    monkeypatch.setattr(soundness, "_faults_of", noting)
    assert len(keep_sound(birdsound.find(root, {}), tmp_path / "cache")[1]) == 1
    assert len(checked) == 9
    checked.clear()
    assert len(keep_sound(birdsound.find(root, {}), tmp_path / "cache")[1]) == 1
    assert checked == ["Train1"]
    bad.write_bytes(good)
    assert keep_sound(birdsound.find(root, {}), tmp_path / "cache")[1] == ()


def study_data(bench: Bench, *overrides: str) -> StudyData:
    return make_small_plan(bench, *overrides).data


def test_the_option_is_part_of_the_digest_and_of_what_is_said(tmp_path: Path) -> None:
    bench = make_bench(tmp_path / "bench")
    whole = study_data(bench)
    assert study_data(bench, "data.skip_bad=true").digest != whole.digest
    (bench.folder / "birds" / "Train" / "Images" / "Train00_left.png").write_bytes(b"no picture")
    (bench.folder / "birds" / "Test" / "Masks" / "Test00_left.png").unlink()
    with pytest.raises(DataError, match=r"image without its mask(.|\n)*data\.skip_bad: true"):
        study_data(bench)
    found = study_data(bench, "data.skip_bad=true")
    assert found.digest != whole.digest
    assert [len(found.splits[name]) for name in ("train", "val", "test")] == [12, 6, 7]
    assert found.notices[0] == "1 sample is left out (data.skip_bad)"
    assert "Train00_left.png" in found.notices[1]
    folds = study_data(bench, "data.skip_bad=true", "data.folds=3", "data.fold=1")
    assert sum(map(len, folds.splits.values())) == 25
    assert folds.notices == found.notices


def test_a_run_refuses_bad_files_and_skips_them_when_told(tmp_path: Path) -> None:
    bench = make_bench(tmp_path / "bench")
    (bench.folder / "birds" / "Train" / "Images" / "Train00_left.png").write_bytes(b"no picture")
    refused = bench.run("--set", "segmenters=[threshold]")
    assert refused.returncode == 1
    assert "Train00_left.png: " in refused.stderr and "data.skip_bad: true" in refused.stderr
    told = bench.run("--set", "segmenters=[threshold]", "--set", "data.skip_bad=true")
    assert told.returncode == 0, told.stderr
    assert "1 sample is left out (data.skip_bad)" in told.stderr
    assert "12 train, 6 val, 8 test images" in told.stderr


@pytest.mark.parametrize("what", ["file", "folder"])
def test_links_that_leave_the_root_are_followed_only_when_allowed(root: Path, tmp_path: Path, what: str) -> None:
    inside = root / "Train" / "Images" / "Train1.png" if what == "file" else root / "Train" / "Images"
    outside = tmp_path / inside.name
    inside.rename(outside)
    inside.symlink_to(outside)
    with pytest.raises(DataError, match=r"a link that leaves the data folder(.|\n)*data\.allow_links: true"):
        birdsound.find(root, {})
    found = birdsound.find(root, {"allow_links": True})
    assert [one.sample_id for one in found["train"]] == ["Train0", "Train1", "Train2", "Train3"]
    if what == "file":
        left = birdsound.find(root, {"skip_bad": True})
        assert [one.sample_id for one in left["train"]] == ["Train0", "Train2", "Train3"]
    else:
        with pytest.raises(DataError, match="a link that leaves"):
            birdsound.find(root, {"skip_bad": True})
