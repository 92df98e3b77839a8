"""`benchbird scores` from a command line to what a person reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchbird.cli import main
from benchbird.definitions import DEFINITIONS
from benchbird.index import INDEX_FILE
from tests.predictions_factory import PREDICTIONS_FILE, MadeUpImages, write_study

IMAGES = MadeUpImages(
    n_recordings=12,
    image_size=16,
    attributes={"snr_db": ("-12", "-3", "0", "4.9", "5", ""), "seconds": ("2",), "sample_rate": ("16000",)},
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    write_study(root, {"unet": 0.7, "a&b": 0.5}, seeds=(0, 1), images=IMAGES)
    return root


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBIRD_CACHE", str(tmp_path / "own cache"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["scores", *map(str, arguments)])
    shown = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    assert "Traceback" not in shown.err
    return ended.value.code, shown.out, shown.err


def table(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_definition(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # worked out, then remembered
        code, out, err = run(capsys, study, "--cache", tmp_path)
        assert (code, err) == (0, "")
        scores, edges = out.split("\n\nEdges of syllables")
        header, _, *rows = table(scores)
        assert header == ["score", "a&amp;b", "unet"]
        assert [row[0] for row in rows] == list(DEFINITIONS)
        mean, low, _, high = rows[0][2].replace("(", "").replace(")", "").split()
        assert 0 < float(low) < float(mean) < float(high) < 1
        assert [row[0] for row in table(edges)[2:]] == ["onset_ms", "offset_ms", "low_hz", "high_hz"]
        assert "In parentheses: 95 % interval over seeds and recordings.\n" in edges
        assert all(f"\n{name}: {one.meaning}" in edges for name, one in DEFINITIONS.items())
    assert (tmp_path / INDEX_FILE).is_file()


def test_by_recording(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, study, "--by", "recording")
    assert (code, err) == (0, "")
    assert out.startswith("iou_pooled by recording\n\n| recording ")
    header, _, *rows = table(out)
    assert header == ["recording", "images", "a&amp;b", "unet"]
    assert [row[0] for row in rows] == [f"recording_{number:04d}" for number in range(12)]
    assert {row[1] for row in rows} == {"2"}
    assert out.endswith("\n\nNo interval: of fewer than 5 recordings.\n")


def test_by_snr(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, study, "--by", "snr_db", "--metric", "event_f1_50")
    assert (code, err) == (0, "")
    assert out.startswith("event_f1_50 by snr_db\n")
    _, _, *rows = table(out)
    assert [row[0] for row in rows] == ["−15 to −10 dB", "−5 to 0 dB", "0 to 5 dB", "5 to 10 dB", "not stated"]
    assert sum(int(row[1]) for row in rows) == IMAGES.n_test
    assert sum(int(row[2]) for row in rows) == IMAGES.n_recordings


def test_the_curve(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, study, "--curve")
    assert (code, err) == (0, "")
    _, _, *rows = table(out)
    assert [row[0] for row in rows][:2] == ["−4.00", "−3.50"]
    assert rows[8][0] == "0.00"
    assert len(rows) == 17
    assert all(0 <= float(cell) <= 1 for row in rows for cell in row[1:])
    assert "unet: best on validation at " in out


def test_json(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, study, "--json")
    every = json.loads(out)
    assert [row["name"] for row in every["scores"]] == list(DEFINITIONS)
    assert every["scores"][0]["estimates"]["a&b"]["n"] == 2
    assert every["edges"][0]["errors"]["unet"]["n_events"] > 0
    _, out, _ = run(capsys, study, "--by", "mask_size", "--json")
    strata = json.loads(out)
    assert (strata["metric"], strata["by"]) == ("iou_pooled", "mask_size")
    assert sum(row["n_images"] for row in strata["strata"]) == IMAGES.n_test
    _, out, _ = run(capsys, study, "--curve", "--json")
    curve = json.loads(out)
    assert len(curve["thresholds"]) == len(curve["segmenters"]["unet"]["test"]) == 63
    assert len(curve["segmenters"]["a&b"]["chosen"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "site"], "--by 'site': the test images have no such column; expected one of recording, mask_size, "),
        (["--by", "recording", "--curve"], "--by and --curve exclude one another"),
        (["--metric", "dice"], "--metric goes with --by"),
        (["--by", "recording", "--metric", "iou"], "--metric 'iou': expected one of iou_pooled"),
    ],
)  # fmt: skip
def test_what_can_t_be_meant(arguments: list[str], said: str, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, study, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"benchbird: {said}")
    assert err.count("\n") == 1


def test_without_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path, {"unet": 0.7}, images=IMAGES)
    path = next(tmp_path.rglob(f"seed-1/{PREDICTIONS_FILE}"))
    path.unlink()
    for arguments in ([], ["--by", "recording"], ["--curve"]):
        code, out, err = run(capsys, tmp_path, *arguments)
        assert (code, out) == (1, "")
        assert err.startswith(f"benchbird: {path}: ")
        assert err.endswith("scores beyond the record's need it\n")
