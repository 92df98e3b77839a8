from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchbird import results as results_module
from benchbird.claims import this_process
from benchbird.cli import main
from benchbird.index import Index
from benchbird.results import RecordFault, RecordScan, ResultsStore
from tests.record_factory import MALICIOUS_NAMES, make_record, make_segmenter, realistic_records
from tests.small_bench import BENCHMARK, Bench, make_bench

STUDY = make_record().study


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBIRD_CACHE", str(tmp_path / "own cache"))
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Eighteen trials that have ended, three of them badly, and one that was interrupted."""
    store = ResultsStore(tmp_path / "results")
    for record in realistic_records():
        store.add(store.trial_folder(record.benchmark, record.study, record.segmenter, record.seed), record)
    interrupted = store.trial_folder("birdsound", STUDY, make_segmenter("late"), 7)
    interrupted.mkdir(parents=True)
    status = {"status": "interrupted", "started_at": "2026-11-20T10:00:00+00:00", "attempts": 3, "duration_s": 1}
    (interrupted / "status.json").write_text(json.dumps(status))
    (interrupted / "curve.jsonl").write_text('{"epoch": 12}\n')
    return store.root


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["status", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_counts_table_reasons_and_what_to_do(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = next(results.rglob("deeplabv3-*/seed-1")) / "log.txt"
    log.write_text("one\ntwo\nFile /srv/x/model.py\nTraceback\n")
    assert run(results) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == (f"birdsound / {STUDY}: 15 done, 2 diverged, 1 out of memory, 1 interrupted, of 19 trials begun")
    assert lines[2].split() == ["label", "seed", "state", "epoch", "begun", "(UTC)", "runs"]
    (late,) = (line for line in lines if line.startswith("  late"))
    assert late.split() == ["late", "7", "interrupted", "12", "of", "30", "2026-11-20", "10:00", "3"]
    assert "  deeplabv3 seed 1, out of memory: the trial used more than 8 GiB" in lines
    assert lines[lines.index("    | two") + 1 :][:2] == ["    | File model.py", "    | Traceback"]
    last = out[out.index("to do: ") :]
    assert "goes on with 1 trial;" in last
    assert "--retry-failed it runs 3 trials that failed" in last
    assert max(map(len, lines)) <= 120


def test_one_document(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(results, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    (study,) = document["studies"]
    assert study["counts"] == {"done": 15, "diverged": 2, "out_of_memory": 1, "interrupted": 1}
    assert study["trials"] == 19
    by_label = {(one["label"], one["seed"]): one for one in study["not_done"]}
    assert by_label["late", "7"]["epoch"] == 12
    assert by_label["unet", "3"]["reason"] == "the loss became NaN in epoch 2, step 41"
    assert by_label["late", "7"]["holder"] is None


def test_a_yaml_and_nothing_there(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.yaml").write_text("name: birdsound\nsegmenters: [unet]\n")
    assert run(tmp_path / "b.yaml", "--results", results) == 0
    assert "19 trials begun" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty") == 0
    assert "no trial has begun here yet" in capsys.readouterr().out
    assert run(tmp_path / "absent") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_damaged_record_is_a_row(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torn = next(results.rglob("atrous_segnet-*/seed-4/record.json"))
    torn.write_bytes(torn.read_bytes()[:500])
    assert run(results) == 0
    out = capsys.readouterr().out
    assert "1 damaged" in out
    assert "atrous_segnet seed 4, damaged: not whole JSON" in out
    assert "delete the record.json" in out


def test_all_done_needs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ResultsStore(tmp_path / "r").add(tmp_path / "r" / "b" / "s" / "x-1" / "seed-0", make_record())
    assert run(tmp_path / "r") == 0
    assert capsys.readouterr().out == "b / s: 1 done, of 1 trial begun\n\nnothing to do: every trial is done\n"


@pytest.mark.parametrize(("silent_s", "advice"), [
    (30, "nothing to do: 1 trial under way"),
    (300, "`benchbird run` takes over one that runs elsewhere and gave no sign of life for long, if so it stays"),
])  # fmt: skip
def test_a_run_elsewhere_that_is_silent_is_no_comfort(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], silent_s: float, advice: str
) -> None:
    trial = tmp_path / "r" / "b" / "s" / "x-12345678" / "seed-0"
    trial.mkdir(parents=True)
    claim = trial / "claim-000001.json"
    claim.write_text(json.dumps(asdict(replace(this_process(), host="elsewhere", machine="m", boot="another"))))
    os.utime(claim, (time.time() - silent_s,) * 2)
    assert run(tmp_path / "r") == 0
    out = capsys.readouterr().out
    assert "running elsewhere" in out
    assert " ".join(out.split()).endswith(advice)


def test_what_was_not_looked_at_is_no_reason_to_be_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ResultsStore(tmp_path / "r").add(tmp_path / "r" / "b" / "s" / "x-1" / "seed-0", make_record())
    scan = results_module.find_records

    def with_fault(folder: Path, index: Index | None = None) -> RecordScan:
        found = scan(folder, index)
        return replace(found, faults=(*found.faults, RecordFault(folder / "y", "Permission denied")))

    monkeypatch.setattr("benchbird.trial_states.find_records", with_fault)
    assert run(tmp_path / "r") == 0
    out = capsys.readouterr().out
    assert "every trial is done" not in out and "to do: make readable what wasn't looked at" in out


def test_names_of_strangers_paint_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, name in enumerate(MALICIOUS_NAMES):
        if name != "\ud800 lone":
            record = make_record(make_segmenter(name), seed=seed, status="failed", reason=name)
            ResultsStore(tmp_path).add(tmp_path / "b" / "s" / "x-1" / f"seed-{seed}", record)
    holder = replace(this_process(), boot="another", host="\x1b[31m\nevil" * 99)
    held = tmp_path / "b" / "s" / "x-1" / "seed-99"
    held.mkdir()
    (held / "claim-000001.json").write_text(json.dumps(asdict(holder)))
    assert run(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) <= 120
    assert any("evil" in line for line in lines)


def test_reading_needs_no_torch(results: Path) -> None:
    code = (
        "import sys\nfrom benchbird.cli import main\ntry:\n    main()\nfinally:\n"
        "    print(sorted({'torch', 'pandas', 'scipy', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    for name in ("status", "clean"):
        shown = subprocess.run(
            [sys.executable, "-c", code, name, str(results)], capture_output=True, text=True, timeout=60
        )
        assert (shown.returncode, shown.stderr) == (0, "[]\n")


def wait_for(condition: Path, epochs: int = 2) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if any(len(path.read_text().splitlines()) >= epochs for path in condition.rglob("curve.jsonl")):
            return
        time.sleep(0.1)
    pytest.fail("no epoch was trained")


def state_of(bench: Bench) -> dict[str, object]:
    shown = bench.call("status", "results", "--json")
    assert shown.returncode == 0, shown.stderr
    (study,) = json.loads(shown.stdout)["studies"]
    (trial,) = study["not_done"]
    assert isinstance(trial, dict)
    return trial


def test_a_real_run_is_running_then_stale_then_clean_then_interrupted(tmp_path: Path) -> None:
    bench = make_bench(tmp_path / "bench")
    (bench.folder / "small.yaml").write_text(BENCHMARK.replace("epochs: 3", "epochs: 50000"))
    process = bench.start("--only", "atrous_segnet")
    try:
        wait_for(bench.results)
        trial = state_of(bench)
        assert trial["state"] == "running"
        holder = trial["holder"]
        assert isinstance(holder, dict)
        assert holder["process"] == process.pid
        kept = bench.call("clean", "results")
        assert "removed" not in kept.stdout.replace("nothing removed", "")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    trial = state_of(bench)
    assert (trial["state"], trial["attempts"]) == ("stale", 1)
    assert "claim-000001.json" in bench.call("clean", "results").stdout
    trial = state_of(bench)
    assert (trial["state"], trial["holder"]) == ("interrupted", None)
