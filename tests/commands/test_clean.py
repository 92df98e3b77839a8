from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchbird.claims import this_process
from benchbird.cli import main
from benchbird.results import ResultsStore
from tests.record_factory import make_record


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBIRD_CACHE", str(tmp_path / "own cache"))


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    """A done trial with a checkpoint and a dead claim."""
    record = make_record()
    folder = ResultsStore(tmp_path / "results").trial_folder("birdsound", record.study, record.segmenter, 0)
    ResultsStore(tmp_path / "results").add(folder, record)
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "state-0.json").write_bytes(b"x" * 2500)
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    holder = replace(this_process(), process=process.pid)
    (folder / "claim-000001.json").write_text(json.dumps(asdict(holder)))
    return folder


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["clean", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_what_goes_is_listed_with_its_size(trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = trial.relative_to(tmp_path / "results")
    assert run(tmp_path / "results", "--dry-run") == 0
    rehearsed = capsys.readouterr().out
    assert re.search(r"\n\n2 leftovers would be removed, 2\.\d kB\n$", rehearsed)
    assert (trial / "checkpoint").exists()
    assert run(tmp_path / "results") == 0
    out = capsys.readouterr().out
    assert out == rehearsed.replace("would be removed", "removed")
    assert f"checkpoint: its trial is done\n    2.5 kB  {shown}/checkpoint\n" in out
    assert out.startswith("claim: its process is dead\n")
    assert f" B  {shown}/claim-000001.json\n" in out
    assert [path.name for path in trial.iterdir()] == ["record.json"]
    assert run(tmp_path / "results") == 0
    assert capsys.readouterr().out == "nothing is left behind\n"


def test_what_stays_is_told(trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trial / "claim-000002.json").write_text(json.dumps(asdict(this_process())))
    assert run(tmp_path / "results") == 0
    out = capsys.readouterr().out
    assert out.startswith("nothing removed\n\nleft as it is:\n")
    assert "a run of this machine works there" in out


def test_a_refusal_is_an_exit_code(
    trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchbird import leftovers

    monkeypatch.setattr(leftovers, "_remove", lambda _: "Operation not permitted")
    assert run(tmp_path / "results") == 1
    captured = capsys.readouterr()
    assert "couldn't be removed" in captured.err
    assert captured.err.endswith("checkpoint: Operation not permitted\n")
    assert "1 leftover removed, " in captured.out


def test_no_such_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "absent") == 1
    assert "no such folder" in capsys.readouterr().err


def test_a_long_and_hostile_path_takes_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "\x1b[31mred\nline" / ("x" * 150) / "seed-0"
    ResultsStore(tmp_path).add(folder, make_record())
    (folder / "status.json").write_text("{}")
    assert run(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(line.isprintable() and len(line) <= 120 for line in lines)
    assert "/seed-0/status.json" in lines[1]


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (3 * 10**12, "3000.0 GB")]
)
def test_sizes(size: int, shown: str) -> None:
    from benchbird.commands.clean import _size

    assert _size(size) == shown
