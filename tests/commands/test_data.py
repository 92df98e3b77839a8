from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchbird.cli import main
from tests.data.picture_files import write_data_root, write_pair


def benchbird(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command in this process."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, out, err


def test_check_as_a_user_runs_it(tmp_path: Path) -> None:
    write_data_root(tmp_path)
    write_pair(tmp_path / "Train", "vogel lied (1) é鳥.png", image=b"")
    done = subprocess.run(
        [sys.executable, "-m", "benchbird", "data", "check", tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        encoding="utf-8",
    )
    assert done.returncode == 1
    assert "Train/Images/vogel lied (1) é鳥.png: empty file (0 bytes)" in done.stdout
    assert done.stdout.endswith("result: 1 bad file or folder\n")
    assert done.stderr == ""


def test_check_of_good_data_exits_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = benchbird(capsys, "data", "check", write_data_root(tmp_path))
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "result: good"
    (row,) = [line.split() for line in out.splitlines() if line.startswith("train")]
    assert row[:5] == ["train", "4", "4", "4", "4"]


def test_check_names_leaks_and_duplicates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data_root(tmp_path)
    write_pair(tmp_path / "Train", "XC1_left.png", seed=50)
    write_pair(tmp_path / "Test", "XC1_right.png", seed=50)
    (tmp_path / "Test" / "Masks" / "Test0.png").unlink()
    code, out, _ = benchbird(capsys, "data", "check", tmp_path)
    assert code == 1
    assert "XC1: train, test" in out
    assert "Test/Images/XC1_right.png, Train/Images/XC1_left.png" in out
    assert "result: 1 bad file or folder and 1 recording in more than one split" in out
    assert benchbird(capsys, "data", "check", tmp_path, "--recording-pattern", "(")[0] == 1


def test_check_follows_links_only_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_data_root(tmp_path / "root")
    image = root / "Train" / "Images" / "Train0.png"
    image.rename(tmp_path / "elsewhere.png")
    image.symlink_to(tmp_path / "elsewhere.png")
    code, out, _ = benchbird(capsys, "data", "check", root)
    assert code == 1
    assert "Train/Images/Train0.png: a link that leaves the data folder" in out
    assert benchbird(capsys, "data", "check", root, "--allow-links")[0] == 0


def test_check_as_json_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data_root(tmp_path)
    (tmp_path / "Test" / "Masks" / "Test0.png").write_bytes(b"")
    code, out, _ = benchbird(capsys, "data", "check", tmp_path, "--json")
    document = json.loads(out)
    assert (code, document["good"]) == (1, False)
    assert document["bad"] == [{"path": "Test/Masks/Test0.png", "reason": "empty file (0 bytes)"}]
    assert [split["n_usable"] for split in document["splits"]] == [4, 2, 2]


def test_a_missing_folder_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = benchbird(capsys, "data", "check", tmp_path / "gone")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1 and "no such file" in err


def test_synth_writes_a_set_that_check_likes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "birds"
    code, out, _ = benchbird(
        capsys, "data", "synth", folder, "--sizes", "train=2,val=1,test=1", "--set", "seconds_max=2.5",
        "--seed", "7", "--workers", "1",
    )  # fmt: skip
    assert code == 0 and "2 train, 1 val, 1 test" in out
    assert (folder / "manifest.csv").is_file()
    code, out, _ = benchbird(capsys, "data", "check", folder, "--workers", "1")
    assert code == 0, out
    code, _, err = benchbird(capsys, "data", "synth", folder)
    assert code == 1 and "expected a new or empty folder" in err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--sizes", "train=x"], "expected train=N,val=N,test=N"),
        (["--sizes", "tests=1"], "expected train=N,val=N,test=N"),
        (["--set", "colour=red"], "--set colour: unknown option"),
        (["--set", "snr_db_min"], "expected KEY=VALUE"),
        (["--set", "seconds_min=NaN"], "--set seconds_min: found nan"),
    ],
)
def test_synth_refuses_what_cannot_be_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    code, _, err = benchbird(capsys, "data", "synth", tmp_path / "new", *arguments)
    assert code == 2 and complaint in err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("arguments", [["data"], ["data", "check"], ["data", "synth"]])
def test_each_help_shows_an_example(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = benchbird(capsys, *arguments, "--help")
    assert code == 0 and "Example: benchbird data" in out
