"""Clean voices and noise become a data set whose every number can be checked from its files."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from PIL import Image

from benchbird.audio.stft import DC_ROW, render
from benchbird.cli import main
from benchbird.data import birdsound
from benchbird.data.mixing import MixingOptions, mix_recordings
from benchbird.data.synthetic.masks import visible_half
from benchbird.errors import DataError

RATE_HZ = 16_000
SHARES = {"train": 60, "val": 20, "test": 20}
OPTIONS = MixingOptions(clip_s=1.0, shares=SHARES, snr_db=(-3.0, 12.0))
NAMES = ("anna", "bert", "carl", "dora")


def chirp(seconds: float, hertz: float) -> npt.NDArray[np.float64]:
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return 0.3 * np.sin(2 * np.pi * (hertz + 500 * np.sin(6 * time)) * time) * (np.sin(9 * time) > 0)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    voices, noises = tmp_path / "voices", tmp_path / "noise"
    voices.mkdir()
    noises.mkdir()
    for number, name in enumerate(NAMES):
        soundfile.write(voices / f"{name}.wav", chirp(2.7, 2000 + 300 * number), RATE_HZ)
        rain = np.random.default_rng(number).normal(0, 0.1, (22_050 * (1 + 3 * number) // 2, 2))
        soundfile.write(noises / f"rain{number}.flac", rain, 22_050)  # another rate, in stereo, some too short
    (voices / "licences.csv").write_text("file,licence\nanna.wav,CC BY 4.0\n*,CC0\n")
    return voices, noises


def rows_of(root: Path) -> list[dict[str, str]]:
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def sound(root: Path, row: dict[str, str], kind: str) -> npt.NDArray[np.float64]:
    audio, rate_hz = soundfile.read(root / row["split"] / kind / f"{row['name']}.flac")
    assert rate_hz == RATE_HZ == int(row["sample_rate"])
    return np.asarray(audio)


def test_pictures_masks_levels_and_snr_follow_from_the_files(folders: tuple[Path, Path], tmp_path: Path) -> None:
    root = tmp_path / "birds"
    made = mix_recordings(*folders, root, OPTIONS)
    rows = rows_of(root)
    assert sum(made.samples.values()) == len(rows) == 3 * len(NAMES)  # 2.7 s are three clips, the last one shorter
    levels, ratios = [], []
    for row in rows:
        noisy, clean = (sound(root, row, kind) for kind in ("Raw_audios", "Denoised_audios"))
        noise = noisy - clean
        assert len(noisy) == round(float(row["seconds"]) * RATE_HZ)
        picture, mask = (
            np.asarray(Image.open(root / row["split"] / kind / f"{row['name']}.png")) for kind in ("Images", "Masks")
        )
        np.testing.assert_array_equal(picture, render(noisy))
        expected = visible_half(clean, noise, RATE_HZ / 64)
        assert np.mean((mask[DC_ROW:] > 0) != expected) < 1e-3  # but for the files' 24 bits
        assert float(row["mask_fraction"]) == pytest.approx((mask > 0).mean(), abs=1e-4) and mask.any()
        ratios.append(10 * np.log10(np.mean(clean**2) / np.mean(noise**2)))
        assert ratios[-1] == pytest.approx(float(row["snr_db"]), abs=0.06)
        levels.append(np.abs(noisy).max())
        assert row["licence"] == ("CC BY 4.0" if row["recording"] == "anna" else "CC0") and row["kind"] == "mixed"
    assert -3.0 <= min(ratios) < 2 and 6 < max(ratios) <= 12.0
    assert min(levels) >= 0.25 - 1e-6 and max(levels) <= 1.0
    assert all(birdsound.find(root, {}).values()), "any benchmark can use it"


def test_neither_a_voice_nor_a_noise_is_in_two_splits(folders: tuple[Path, Path], tmp_path: Path) -> None:
    mix_recordings(*folders, tmp_path / "birds", MixingOptions(clip_s=0.5, shares=SHARES, repeats=4))
    rows = rows_of(tmp_path / "birds")
    for column in ("recording", "noise"):
        assert len({(row[column], row["split"]) for row in rows}) == len({row[column] for row in rows})
    assert len({row["name"] for row in rows}) == len(rows)
    same = [row for row in rows if row["name"].startswith("anna_0000_")]
    assert len(same) == 4 and len({(row["snr_db"], row["noise_start_s"]) for row in same}) == 4


def test_the_seed_decides_everything(folders: tuple[Path, Path], tmp_path: Path) -> None:
    contents = []
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        mix_recordings(*folders, tmp_path / name, MixingOptions(clip_s=1.0, shares=SHARES, seed=seed))
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files})
    assert contents[0] == contents[1] != contents[2]


def test_silent_stretches_of_a_voice_are_left_out(folders: tuple[Path, Path], tmp_path: Path) -> None:
    audio, _ = soundfile.read(folders[0] / "anna.wav")
    audio[RATE_HZ : 2 * RATE_HZ] = 0.0
    soundfile.write(folders[0] / "anna.wav", audio, RATE_HZ)
    mix_recordings(*folders, tmp_path / "birds", OPTIONS)
    starts = {row["start_s"] for row in rows_of(tmp_path / "birds") if row["recording"] == "anna"}
    assert starts == {"0.000", "2.000"}


def test_licences_that_nobody_tells_are_noted(folders: tuple[Path, Path], tmp_path: Path) -> None:
    made = mix_recordings(*folders, tmp_path / "birds", OPTIONS)
    assert made.notes == ("no licence is told of 4 recordings, such as rain0.flac (licences.csv)",)
    (folders[1] / "licences.csv").write_text("file,licence\n*,public domain\n")
    assert mix_recordings(*folders, tmp_path / "more", OPTIONS).notes == ()
    assert {row["noise_licence"] for row in rows_of(tmp_path / "more")} == {"public domain"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name,licence\n", "expected the columns file and licence"),
        ("file,licence\nnobody.wav,CC0\n", "names nobody.wav, which is no recording there"),
        ("file,licence\n*,CC0\n,\n", "licences.csv:3: names no file; expected that of a recording, or \\* for all"),
        ("file,licence\nanna.wav,A\nanna.wav,\n", "csv:3: anna.wav has the licence none here and A further up"),
    ],
)
def test_a_list_of_licences_that_cannot_be_meant_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, content: str, said: str
) -> None:
    (folders[0] / "licences.csv").write_text(content)
    with pytest.raises(DataError, match=said):
        mix_recordings(*folders, tmp_path / "birds", OPTIONS)


def test_the_same_licence_twice_does_no_harm(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (folders[0] / "licences.csv").write_text("licence,file\nCC0,anna.wav\nCC0,anna.wav\n")
    mix_recordings(*folders, tmp_path / "birds", OPTIONS)
    assert {row["licence"] for row in rows_of(tmp_path / "birds") if row["recording"] == "anna"} == {"CC0"}


def test_channels_that_are_files_of_their_own_stay_in_one_split(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (folders[0] / "licences.csv").unlink()
    for folder in folders:
        for path in sorted(folder.iterdir()):
            shutil.copy(path, path.with_stem(f"{path.stem}_right"))
            path.rename(path.with_stem(f"{path.stem}_left"))
    for seed in range(5):
        root = tmp_path / f"birds{seed}"
        mix_recordings(*folders, root, MixingOptions(clip_s=1.0, shares=SHARES, seed=seed, repeats=3))
        rows = rows_of(root)
        assert {row["recording"] for row in rows} == set(NAMES)
        assert len({(row["recording"], row["split"]) for row in rows}) == len(NAMES)
        noises = {(row["noise"].split("_")[0], row["split"]) for row in rows}
        assert len(noises) == len({noise for noise, _ in noises})


def test_a_voice_without_a_whole_frame_is_told(folders: tuple[Path, Path], tmp_path: Path) -> None:
    soundfile.write(folders[0] / "emil.wav", np.full(100, 0.1), RATE_HZ)
    made = mix_recordings(*folders, tmp_path / "birds", replace(OPTIONS, seed=1))
    assert f"{folders[0] / 'emil.wav'}: left out, silent or shorter than a frame" in made.notes


def test_what_cannot_be_mixed_is_refused_and_nothing_is_left(folders: tuple[Path, Path], tmp_path: Path) -> None:
    voices, noises = folders

    def refused() -> str:
        with pytest.raises(DataError) as error:
            mix_recordings(voices, noises, tmp_path / "birds", OPTIONS)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["noise", "voices"]
        return str(error.value)

    soundfile.write(voices / "bert.wav", np.zeros(RATE_HZ), RATE_HZ)
    assert "bert.wav: silence, expected a voice" in refused()
    (voices / "bert.wav").write_text("no sound")
    assert "bert.wav: no recording by its content" in refused()
    (voices / "bert.wav").unlink()
    for number in range(4):
        soundfile.write(noises / f"rain{number}.flac", np.zeros(22_050), 22_050)
    assert "silence from 0.0 s on, expected noise" in refused()
    for number in (2, 3):
        (noises / f"rain{number}.flac").unlink()
    assert "2 noises, expected at least 3 that don't belong together" in refused()


def test_one_folder_for_both_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="both a voice and a noise"):
        mix_recordings(folders[0], folders[0], tmp_path / "birds", OPTIONS)


def test_the_command(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["data", "mix", "--voices", str(folders[0]), "--noise", str(folders[1]), "-o", str(tmp_path / "birds"),
                  *arguments])  # fmt: skip
        return int(str(ended.value.code))

    for wrong in ("loud", "5", "20,-5", "nan,nan"):
        assert run("--snr", wrong) == 2
        assert "expected LOW,HIGH in dB, such as -5,20" in capsys.readouterr().err
    assert run("--clip", "nan") == 2
    assert "not a finite number" in capsys.readouterr().err
    assert run("--voices", str(tmp_path / "typo")) == 1
    assert capsys.readouterr().err == f"benchbird: {tmp_path / 'typo'}: no such file or folder\n"
    assert run("--noise", str(folders[0] / "anna.wav")) == 1
    assert "anna.wav: is a file, expected a folder of recordings" in capsys.readouterr().err
    assert run("--snr", "-5,20", "--clip", "1") == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{tmp_path / 'birds'}: ") and "no licence is told" in shown.err
