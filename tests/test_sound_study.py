"""What a study's stored masks do to its test recordings, from the command line and against plain loops."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from benchbird.audio.separation import ratio_mask, under_mask
from benchbird.audio.stft import frame_count
from benchbird.cli import main
from benchbird.data import birdsound
from benchbird.data.mixing import MixingOptions
from benchbird.predictions import read_predictions
from benchbird.sound_study import enlarged
from tests.mixture_factory import write_mixtures
from tests.small_bench import SHORT_TIMING

BENCHMARK = """\
name: sung
data: {root: birds}
protocol: {image_size: 32, batch_size: 4, epochs: 4, optimizer: {lr: 1e-2}}
segmenters:
  - {name: atrous_segnet, options: {base_channels: 4}}
  - threshold
seeds: [0, 1]
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study on mixtures of chirps and noise."""
    folder = tmp_path_factory.mktemp("sung")
    options = MixingOptions(shares={"train": 40, "val": 15, "test": 45}, clip_s=1.0, snr_db=(0, 15), repeats=2)
    write_mixtures(folder, 12, options)
    (folder / "sung.yaml").write_text(BENCHMARK)
    environment = {**os.environ, "PYTHONPATH": str(SHORT_TIMING), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchbird", "run", "sung.yaml", "--device", "cpu", "--cache", "cache"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def sound(bench: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["sound", str(bench / "results"), "--benchmark", str(bench / "sung.yaml"), "--cache",
              str(bench / "cache"), *options])  # fmt: skip
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return int(str(ended.value.code)), shown.out, shown.err


def rows_of(table: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {row["name"]: row for row in table["rows"]}


def test_scores_equal_a_plain_loop_and_stand_in_the_order_they_must(
    bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = sound(bench, capsys, "--json")
    assert code == 0
    [table] = json.loads(out)["tables"]
    samples = birdsound.find(bench / "birds", {})["test"]
    assert (table["reference"], table["n_samples"], table["stratum"]) == ("voice", len(samples), "")
    rows = rows_of(table)
    for label in ("atrous_segnet", "threshold"):
        per_seed = []
        for path in sorted((bench / "results").rglob(f"{label}-*/seed-*/predictions.npz")):
            predictions = read_predictions(path)
            found = []
            for place, sample in enumerate(samples):
                split = sample.image.parent.parent  # type: ignore[union-attr]
                noisy, voice = (
                    soundfile.read(split / kind / f"{sample.sample_id}.flac")[0]
                    for kind in ("Raw_audios", "Denoised_audios")
                )
                output = under_mask(noisy, enlarged(predictions.masks(place)[0], frame_count(len(noisy))))
                found.append([_si_sdr(output, voice), _si_sdr(output, voice) - _si_sdr(noisy, voice)])
            per_seed.append(np.mean(found, axis=0))
        expected = np.mean(per_seed, axis=0)
        assert rows[label]["si_sdr_db"]["mean"] == pytest.approx(expected[0], abs=1e-6)
        assert rows[label]["si_sdr_improvement_db"]["mean"] == pytest.approx(expected[1], abs=1e-6)
        assert rows[label]["is_segmenter"] and rows[label]["sdr_db"]["low"] < rows[label]["sdr_db"]["high"]
        assert rows[label]["si_sdr_db"]["covers"] == "seeds and recordings"
    improvement = {name: row["si_sdr_improvement_db"]["mean"] for name, row in rows.items()}
    assert improvement["input unchanged"] == 0.0
    assert improvement["oracle ratio mask"] > improvement["reference mask"] > 0
    for label in ("atrous_segnet", "threshold", "spectral gate", "reference mask"):
        assert improvement[label] < improvement["oracle binary mask"]
    assert [row["is_segmenter"] for row in table["rows"]] == [True, True, *[False] * 5]


def _si_sdr(output: np.ndarray, voice: np.ndarray) -> float:
    import torch

    if not output.any():
        return -30.0
    found = scale_invariant_signal_distortion_ratio(torch.from_numpy(output), torch.from_numpy(voice))
    return float(min(60.0, max(-30.0, float(found))))


def test_the_table_a_person_reads_and_its_strata(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = sound(bench, capsys)
    assert (code, err) == (0, "")
    assert "Against the clean voice that was mixed in." in out and "| oracle ratio mask " in out
    assert "as printed" not in out
    code, out, err = sound(bench, capsys, "--by", "snr_db", "--json")
    tables = json.loads(out)["tables"]
    assert [table["stratum"] for table in tables] == ["0 to 5 dB", "5 to 10 dB", "10 to 15 dB"]
    before = [rows_of(table)["input unchanged"]["si_sdr_db"]["mean"] for table in tables]
    assert before == sorted(before)
    code, out, _ = sound(bench, capsys, "--by", "recording")
    assert code == 0 and "of 1 recording. " in out and "ˢ: over seeds alone" in out
    code, _, err = sound(bench, capsys, "--by", "colour")
    assert code == 2 and "the test images have no such column" in err


def test_the_published_figure_is_shown_when_asked_for_and_ranks_nothing(
    bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = sound(bench, capsys, "--published-sdr")
    assert code == 0 and "rank nothing by it" in out
    [unchanged] = [line for line in out.splitlines() if line.startswith("| input unchanged")]
    assert unchanged.rstrip(" |").endswith("∞")
    rows = rows_of(json.loads(sound(bench, capsys, "--json")[1])["tables"][0])
    assert rows["input unchanged"]["published_sdr"] is None
    samples = birdsound.find(bench / "birds", {})["test"]
    figures = []
    for sample in samples:
        split = sample.image.parent.parent  # type: ignore[union-attr]
        noisy, voice = (
            soundfile.read(split / kind / f"{sample.sample_id}.flac")[0] for kind in ("Raw_audios", "Denoised_audios")
        )
        rest = noisy - under_mask(noisy, ratio_mask(noisy, voice))
        figures.append(10 * np.log(np.sqrt((noisy**2).sum() / (rest**2).sum())))
    assert rows["oracle ratio mask"]["published_sdr"] == pytest.approx(np.mean(figures))


def test_other_data_than_the_trials_are_refused(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = sound(bench, capsys, "--set", "data.sizes={train: 4, val: 2, test: 5}")
    assert code == 1 and "the study was made on the data" in err and "give the run's --set and --profile again" in err


def test_other_pictures_are_those_of_the_trials_without_a_word(
    bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A study of half spectra of recordings whose reference is a person's mask, as the public set's are."""
    shutil.copytree(bench / "birds", tmp_path / "birds")
    manifest = tmp_path / "birds" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",mixed", ",human_mask"))
    (tmp_path / "sung.yaml").write_text(BENCHMARK)
    environment = {**os.environ, "PYTHONPATH": str(SHORT_TIMING), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchbird", "run", "sung.yaml", "--device", "cpu", "--cache", "cache",
               "--only", "threshold", "--set", "protocol.spectrum=half"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "half spectrum" in done.stderr and "half spectrum" in done.stdout, done.stderr
    code, out, err = sound(tmp_path, capsys)
    assert code == 0, err
    assert "Against the recording under a person's mask, not against the bird." in out and "oracle" not in out


def test_a_mask_is_enlarged_and_its_mirrored_rows_are_one() -> None:
    mask = np.zeros((32, 32), dtype=bool)
    mask[16:, :8] = True  # the upper half of the frequencies' rows alone, not their mirror images
    assert not enlarged(mask, 100)[1:-1].all()
    mask[:, :8] = True
    large = enlarged(mask, 100)
    assert large.shape == (513, 100) and large[:, :24].all() and not large[:, 27:].any()
