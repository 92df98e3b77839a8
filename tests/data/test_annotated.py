"""Recordings with boxes become a data set that the rest of benchbird takes for any other."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchbird.annotations.boxes import Box, boxes_of, mask_of
from benchbird.annotations.formats import annotations_text
from benchbird.audio.stft import DC_ROW, render
from benchbird.cli import main
from benchbird.data import birdsound
from benchbird.data.annotated import Imported, ImportOptions, draw_splits, import_recordings
from benchbird.data.recordings import compiled_pattern
from benchbird.errors import DataError

RATE_HZ = 8000
OPTIONS = ImportOptions(clip_s=1.0, shares={"train": 70, "val": 15, "test": 15})
CALL = Box(start_s=0.8, end_s=1.4, low_hz=1000, high_hz=2000, label="LUSMEG", channel=1)


def noise(seconds: float, channels: int = 1, seed: int = 0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, 0.05, (round(seconds * RATE_HZ), channels))


def put(
    folder: Path, name: str, boxes: Sequence[Box] | None = (CALL,), seconds: float = 2.2, channels: int = 1
) -> None:
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / f"{name}.wav", noise(seconds, channels, len(name)), RATE_HZ)
    if boxes is not None:
        (folder / f"{name}.Table.1.selections.txt").write_text(annotations_text(boxes, "raven"))


def rows_of(root: Path) -> list[dict[str, str]]:
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def picture(root: Path, row: dict[str, str], kind: str) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(root / row["split"] / kind / f"{row['name']}.png"))


@pytest.fixture
def dawn(tmp_path: Path) -> Path:
    """Four recordings, one of them in stereo and one without annotations."""
    put(tmp_path / "dawn", "a")
    put(tmp_path / "dawn", "b")
    put(tmp_path / "dawn", "stereo", channels=2)
    put(tmp_path / "dawn", "quiet", boxes=None)
    return tmp_path / "dawn"


def test_clips_pictures_masks_and_manifest(dawn: Path, tmp_path: Path) -> None:
    root = tmp_path / "birds"
    imported = import_recordings([dawn], [], root, OPTIONS)
    rows = rows_of(root)
    assert sum(imported.samples.values()) == len(rows) == 2 * 5
    assert min(imported.samples.values()) >= 2
    assert len(imported.notes) == 4 and imported.notes[0].endswith("a.wav: its last 0.20 s are left out")
    assert {row["recording"] for row in rows} == {"a", "b", "stereo", "quiet"}
    for row in rows:
        audio, rate_hz = soundfile.read(root / row["split"] / "Raw_audios" / f"{row['name']}.flac")
        whole = noise(2.2, 2 if row["recording"] == "stereo" else 1, len(row["recording"]))
        start = round(float(row["start_s"]) * RATE_HZ)
        np.testing.assert_allclose(audio, whole[start : start + len(audio), int(row["channel"] or 1) - 1], atol=2**-15)
        assert (rate_hz, row["sample_rate"], row["kind"]) == (RATE_HZ, "8000", "boxes")
        np.testing.assert_array_equal(picture(root, row, "Images"), render(audio))
        mask = picture(root, row, "Masks") > 0
        is_sung = row["recording"] != "quiet" and row["channel"] in ("", "1")
        shifted = Box(start_s=0.8 - float(row["start_s"]), end_s=1.4 - float(row["start_s"]), low_hz=1000, high_hz=2000)
        expected = mask_of([shifted] if is_sung else [], RATE_HZ, mask.shape[1])
        np.testing.assert_array_equal(mask[DC_ROW:], expected)
        np.testing.assert_array_equal(mask[:DC_ROW], mask[DC_ROW + 1 : -1][::-1])
        assert row["labels"] == ("LUSMEG" if is_sung else "")
    assert all(birdsound.find(root, {}).values()), "any benchmark can use it"


def test_a_box_comes_back_from_the_mask_to_one_frame_and_one_bin(dawn: Path, tmp_path: Path) -> None:
    import_recordings([dawn], [], tmp_path / "birds", ImportOptions(clip_s=60, shares=OPTIONS.shares))
    [row] = [row for row in rows_of(tmp_path / "birds") if row["recording"] == "a"]
    [back] = boxes_of(picture(tmp_path / "birds", row, "Masks")[DC_ROW:] > 0, RATE_HZ)
    assert back.low_hz is not None and back.high_hz is not None
    assert abs(back.start_s - 0.8) <= 64 / RATE_HZ and abs(back.end_s - 1.4) <= 64 / RATE_HZ
    assert abs(back.low_hz - 1000) <= RATE_HZ / 1024 and abs(back.high_hz - 2000) <= RATE_HZ / 1024


def test_the_same_again_is_the_same_to_the_byte(dawn: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        import_recordings([dawn], [], tmp_path / name, OPTIONS)
    one, two = (
        {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.*")}
        for root in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two


def test_annotated_clips_only(dawn: Path, tmp_path: Path) -> None:
    put(dawn, "c")
    options = ImportOptions(clip_s=0.5, shares=OPTIONS.shares, annotated_only=True)
    with pytest.raises(DataError, match="no clip is left for"):  # `quiet` may be all that a split got
        for seed in range(20):
            import_recordings([dawn], [], tmp_path / f"{seed}", ImportOptions(**{**vars(options), "seed": seed}))
    (dawn / "quiet.wav").unlink()
    import_recordings([dawn], [], tmp_path / "birds", options)
    assert {row["start_s"] for row in rows_of(tmp_path / "birds")} == {"0.500", "1.000"}


def test_a_table_of_many_recordings_and_annotations_elsewhere(dawn: Path, tmp_path: Path) -> None:
    for path in dawn.glob("*.txt"):
        path.unlink()
    table = tmp_path / "all.csv"
    table.write_text("file,start_s,end_s,low_hz,high_hz\na.wav,0.1,0.2,100,200\nsub\\stereo.wav,0.3,0.4,,\n")
    import_recordings([dawn], [table], tmp_path / "birds", OPTIONS)
    marked = {row["name"] for row in rows_of(tmp_path / "birds") if float(row["mask_fraction"])}
    assert marked == {"a_0000", "stereo_0000_left", "stereo_0000_right"}


def test_what_belongs_together_stays_in_one_split(tmp_path: Path) -> None:
    for name in ("site1_mon", "site1_tue", "site2_mon", "site2_tue", "site3_mon", "site3_tue"):
        put(tmp_path / "dawn", name)
    pattern = compiled_pattern("(?P<recording>site[0-9])")
    options = ImportOptions(clip_s=1.0, shares=OPTIONS.shares, recording_pattern=pattern)
    import_recordings([tmp_path / "dawn"], [], tmp_path / "birds", options)
    splits = {(row["recording"], row["split"]) for row in rows_of(tmp_path / "birds")}
    assert len(splits) == 3 and len({recording for recording, _ in splits}) == 3


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=3, max_size=80),
    st.tuples(*[st.integers(1, 100)] * 3),
    st.integers(0, 1000),
)
def test_splits_are_drawn_by_recording_and_near_their_shares(
    ids: list[int], parts: tuple[int, int, int], seed: int
) -> None:
    shares = dict(zip(("train", "val", "test"), parts, strict=True))
    names = [str(number) for number in ids]
    distinct = len(set(names))
    if distinct < 3:
        with pytest.raises(DataError, match="no recording may be in two splits"):
            draw_splits(names, shares, seed)
        return
    drawn = draw_splits(names, shares, seed)
    assert drawn == draw_splits(names[::-1], shares, seed)
    counts = [list(drawn.values()).count(split) for split in ("train", "val", "test")]
    assert sum(counts) == distinct and min(counts) >= 1
    for count, part in zip(counts[1:], parts[1:], strict=True):
        assert abs(count - distinct * part / sum(parts)) <= 1 or counts[0] == 1


def refused(arguments: Sequence[Path], root: Path) -> str:
    with pytest.raises(DataError) as error:
        import_recordings(arguments, [], root, OPTIONS)
    assert not root.exists() and not list(root.parent.glob(".*.partial"))
    return str(error.value)


def test_everything_that_does_not_fit_is_told_in_one_go(dawn: Path, tmp_path: Path) -> None:
    put(
        dawn, "late", [Box(start_s=1, end_s=9, low_hz=1, high_hz=2), Box(start_s=0, end_s=1, low_hz=5000, high_hz=6000)]
    )
    put(dawn, "other", [Box(start_s=0, end_s=1, channel=3)])
    (dawn / "broken.wav").write_text("no sound")
    (dawn / "nobody.txt").write_text("0.1\t0.2\tx\n")
    said = refused([dawn], tmp_path / "birds").splitlines()
    assert said[0] == "recordings and annotations don't fit:"
    assert [line.strip().partition(": ")[2] for line in said[1:-1]] == [
        "no recording by its content; expected WAV, FLAC, OGG or MP3; convert it, for example by "
        "`ffmpeg -i IN OUT.flac`",
        "ends at 9.000 s, late.wav at 2.200 s",
        "begins at 5000 Hz, late.wav has nothing above 4000 Hz",
        "of no recording here: none begins the name of this file, up to a dot or a space",
        "is in channel 3, other.wav has 1",
    ]


def test_overlapping_names_missing_recordings_and_bad_lines_are_refused(dawn: Path, tmp_path: Path) -> None:
    assert "missing.wav: no such file" in refused([dawn / "missing.wav"], tmp_path / "birds")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no recording (.wav, .flac, .ogg or .mp3) in" in refused([empty], tmp_path / "birds")
    (dawn / "sub").mkdir()
    soundfile.write(dawn / "sub" / "a.flac", noise(1), RATE_HZ)
    assert "has the name of" in refused([dawn], tmp_path / "birds")
    (dawn / "sub" / "a.flac").unlink()
    (dawn / "b.txt").write_text("0.1\t0.2\tx\n0.3\tend\ty\n")
    assert "b.txt:2: end: found 'end', expected a number" in refused([dawn], tmp_path / "birds")
    (dawn / "b.txt").unlink()
    for name in ("b", "quiet", "stereo"):
        (dawn / f"{name}.wav").unlink()
        (dawn / f"{name}.Table.1.selections.txt").unlink(missing_ok=True)
    assert "1 recording, expected at least 3 that don't belong together" in refused([dawn], tmp_path / "birds")


def imported(folder: Path, root: Path, annotations: Sequence[Path] = (), **options: object) -> Imported:
    return import_recordings([folder], annotations, root, replace(OPTIONS, **options))  # type: ignore[arg-type]


def test_channels_that_are_files_of_their_own_stay_in_one_split(tmp_path: Path) -> None:
    for number in range(4):
        put(tmp_path / "dawn", f"XC{number}_left")
        put(tmp_path / "dawn", f"XC{number}_right")
    for seed in range(5):
        imported(tmp_path / "dawn", tmp_path / f"birds{seed}", seed=seed)
        splits = {(row["recording"], row["split"]) for row in rows_of(tmp_path / f"birds{seed}")}
        assert sorted(recording for recording, _ in splits) == ["XC0", "XC1", "XC2", "XC3"]


@pytest.mark.parametrize("name", ["a_3.csv", "a-3.csv", "a3.csv", "ab.txt", "a(1).csv"])
def test_a_longer_name_is_another_recording_s(dawn: Path, tmp_path: Path, name: str) -> None:
    (dawn / name).write_text("start_s,end_s\n1,2\n")
    assert f"{name}:2: of no recording here: none begins" in refused([dawn], tmp_path / "birds")


@pytest.mark.parametrize("name", ["quiet.csv", "quiet.labels.txt", "quiet 2.csv", "quiet.Table.1.selections.txt"])
def test_a_name_up_to_a_dot_or_space_is_the_recording_s(dawn: Path, tmp_path: Path, name: str) -> None:
    (dawn / name).write_text("start_s,end_s\n1,2\n")
    assert imported(dawn, tmp_path / "birds").summary == "4 boxes from 4 files; 0 of 4 recordings have none"


def test_named_annotations_that_are_none_are_refused(dawn: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.new("L", (4, 4)).save(masks / "a.png")
    for named in (masks, masks / "a.png"):
        with pytest.raises(DataError) as error:
            imported(dawn, tmp_path / "birds", [named])
        assert f"{named}: no " in str(error.value) and "masks as pictures aren't read" in str(error.value)
    with pytest.raises(DataError, match="nowhere: no such file"):
        imported(dawn, tmp_path / "birds", [tmp_path / "nowhere"])


def test_recordings_without_any_box_are_refused(dawn: Path, tmp_path: Path) -> None:
    for table in dawn.glob("*.txt"):
        table.write_text("")
    assert "no box for 4 recordings, so that there is nothing to learn" in refused([dawn], tmp_path / "birds")


def test_several_tables_of_one_recording_are_told(dawn: Path, tmp_path: Path) -> None:
    (dawn / "a.csv").write_text("start_s,end_s\n1,2\n1,1.5\n")
    (dawn / "b.csv").write_text("start_s,end_s\n")
    made = imported(dawn, tmp_path / "birds")
    [note] = [note for note in made.notes if "united" in note]
    assert note.startswith(f"{dawn / 'a.wav'}: boxes of 2 files are united, ")
    assert str(dawn / "a.csv") in note and str(dawn / "a.Table.1.selections.txt") in note
    assert made.summary == "5 boxes from 4 files; 1 of 4 recordings has none"


@pytest.mark.parametrize(("first", "second", "channels"), [("a", "a_0001", 1), ("stereo", "stereo_0000_left", 2)])
def test_two_samples_of_one_name_are_refused(
    dawn: Path, tmp_path: Path, first: str, second: str, channels: int
) -> None:
    put(dawn, second, boxes=None, seconds=0.9)
    said = refused([dawn], tmp_path / "birds")
    assert f"{dawn / second}.wav: its sample {second} would have the name of one of {dawn / first}.wav" in said
    (dawn / f"{second}.wav").rename(dawn / "another.wav")
    imported(dawn, tmp_path / "birds")


def test_recordings_without_a_whole_frame_are_told(dawn: Path, tmp_path: Path) -> None:
    soundfile.write(dawn / "short.wav", noise(1)[:127], RATE_HZ)
    soundfile.write(dawn / "whole.wav", noise(1)[:128], RATE_HZ)
    made = imported(dawn, tmp_path / "birds")
    assert f"{dawn / 'short.wav'}: left out: 127 samples, expected 128 at least" in made.notes
    assert {row["recording"] for row in rows_of(tmp_path / "birds")} == {"a", "b", "stereo", "quiet", "whole"}
    for name in ("quiet.wav", "stereo.wav", "stereo.Table.1.selections.txt", "whole.wav"):
        (dawn / name).unlink()
    said = refused([dawn], tmp_path / "few")
    assert said.startswith("2 recordings, expected at least 3") and "short.wav: left out: 127 samples" in said
    assert "--annotated-only" not in said


def test_hidden_annotations_are_passed_over(dawn: Path, tmp_path: Path) -> None:
    (dawn / "._a.txt").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    (dawn / "._a.wav").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    assert sum(imported(dawn, tmp_path / "birds").samples.values()) == 10


def test_groups_are_told_where_they_are_too_few() -> None:
    with pytest.raises(DataError) as error:
        draw_splits(["x", "x", "y"], OPTIONS.shares, 0)
    assert str(error.value).startswith("3 recordings in 2 groups that belong together, expected at least 3 that don't")


def test_what_is_cut_off_above_half_the_sampling_rate_is_told_once(dawn: Path, tmp_path: Path) -> None:
    rows = "".join(f"{start},1.5,3000,{high}\n" for start, high in ((0.1, 4000), (0.2, 4007), (0.3, 4100), (0.4, 9000)))
    (dawn / "quiet.csv").write_text(f"start_s,end_s,low_hz,high_hz\n{rows}")
    notes = [note for note in imported(dawn, tmp_path / "birds").notes if "cut off" in note]
    assert notes == [f"{dawn / 'quiet.wav'}: what is above 4000 Hz, half its sampling rate, is cut off 2 boxes"]


@pytest.mark.parametrize("kind", ["here", "link"])
def test_an_empty_folder_may_be_the_current_one_or_a_link(
    dawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path / "real" if kind == "here" else tmp_path)
    imported(dawn, Path("." if kind == "here" else "link"))
    monkeypatch.chdir(tmp_path)
    assert len(rows_of(tmp_path / "real")) == 10 and (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dawn", "link", "real"]


def test_the_command(dawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["data", "import", str(dawn), "-o", str(tmp_path / "birds"), *arguments])
        return int(str(ended.value.code))

    assert run("--shares", "train=1,val=0,test=1") == 2
    assert "expected train=N,val=N,test=N, each 1 or more" in capsys.readouterr().err
    assert run("--recording-pattern", "(x)") == 1
    assert "has no group named recording" in capsys.readouterr().err
    assert run("--clip", "1") == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{tmp_path / 'birds'}: ")
    assert shown.out.endswith(" test\n3 boxes from 3 files; 1 of 4 recordings has none\n")
    assert "its last 0.20 s are left out" in shown.err
    assert run() == 1
    assert "expected a new or empty folder" in capsys.readouterr().err
    for wrong in ("nan", "inf", "0", "x"):
        assert run("--clip", wrong) == 2
        assert "'--clip'" in capsys.readouterr().err
    (dawn / "a.wav").rename(tmp_path / "a.wav")
    assert run(str(tmp_path / "nowhere")) == 1
    assert capsys.readouterr().err == f"benchbird: {tmp_path / 'nowhere'}: no such file or folder\n"
