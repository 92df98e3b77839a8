from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchbird import claims, trial_states
from benchbird.claims import Holder, this_process
from benchbird.records import SegmenterIdentity, Status
from benchbird.results import CHECKPOINT_FOLDER, STATUS_FILE, ResultsStore
from benchbird.trial_states import (
    FAILED,
    STATES,
    TrialState,
    claim_life,
    moment,
    read_states,
    trial_folders,
)
from tests.record_factory import PROTOCOL, make_record, make_segmenter

STUDY = make_record().study


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def make_trial(results: Path, seed: int = 0, segmenter: SegmenterIdentity | None = None) -> Path:
    """A trial's folder with nothing in it."""
    folder = ResultsStore(results).trial_folder("birdsound", STUDY, segmenter or make_segmenter("unet"), seed)
    folder.mkdir(parents=True)
    return folder


def write_status(folder: Path, status: str) -> None:
    known = {"status": status, "started_at": "2026-11-20T10:00:00+00:00", "attempts": 2, "duration_s": 3.5}
    (folder / STATUS_FILE).write_text(json.dumps(known))


def write_claim(folder: Path, holder: Holder | str, *, age_s: float = 0.0, number: int = 1) -> Path:
    path = folder / f"claim-{number:06d}.json"
    path.write_text(holder if isinstance(holder, str) else json.dumps(asdict(holder)))
    touched = time.time() - age_s
    os.utime(path, (touched, touched))
    return path


def dead_holder() -> Holder:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return replace(this_process(), process=process.pid)


def elsewhere() -> Holder:
    return replace(this_process(), boot="another", host="node-7", process=4711)


def add_record(folder: Path, status: Status = "done", reason: str = "") -> None:
    record = make_record(make_segmenter("unet"), status=status, reason=reason)
    ResultsStore(folder).add(folder, record)


def only(results: Path) -> TrialState:
    (study,) = read_states(results).studies
    (state,) = study.trials
    return state


def test_statuses_are_those_of_records() -> None:
    statuses = set(Status.__args__)  # type: ignore[attr-defined]
    assert statuses == {"done", *FAILED}
    assert statuses < set(STATES)


def test_a_claim_of_a_living_process_is_running(results: Path) -> None:
    folder = make_trial(results)
    write_status(folder, "running")
    write_claim(folder, this_process(), age_s=7)
    state = only(results)
    assert state.state == "running"
    assert state.holder is not None
    assert state.holder.process == os.getpid()
    assert state.heartbeat_s == pytest.approx(7, abs=3)
    assert (state.label, state.seed, state.attempts) == ("unet", "0", 2)
    assert moment(state.started_at) == "2026-11-20 10:00"


def test_a_claim_of_another_machine_is_running_elsewhere_however_silent(results: Path) -> None:
    folder = make_trial(results)
    write_claim(folder, elsewhere(), age_s=3600)
    state = only(results)
    assert state.state == "running elsewhere"
    assert state.holder is not None
    assert state.holder.host == "node-7"
    assert state.heartbeat_s == pytest.approx(3600, abs=5)


def test_a_claim_of_a_dead_process_is_stale(results: Path) -> None:
    folder = make_trial(results)
    write_status(folder, "running")
    write_claim(folder, dead_holder())
    assert only(results).state == "stale"


def test_a_living_claim_beside_a_stale_one_counts(results: Path) -> None:
    folder = make_trial(results)
    write_claim(folder, dead_holder(), number=1)
    write_claim(folder, this_process(), number=2)
    state = only(results)
    assert state.state == "running"
    assert state.holder is not None
    assert state.holder.process == os.getpid()


@pytest.mark.parametrize("content", ["", "garbage", '{"process": 1}', "[" * 5000])
def test_a_claim_that_says_nothing_is_respected(results: Path, content: str) -> None:
    write_claim(make_trial(results), content)
    state = only(results)
    assert (state.state, state.holder) == ("running elsewhere", None)


def test_a_claim_that_is_released_at_this_moment_is_none(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_claim(make_trial(results), this_process())

    def release(claim: Path) -> str:
        claim.unlink()
        return claims.life_of(claim)

    monkeypatch.setattr(trial_states, "life_of", release)
    assert claim_life(path) is None


def test_a_claim_that_is_no_plain_file_is_never_opened(results: Path, tmp_path: Path) -> None:
    folder = make_trial(results)
    os.mkfifo(folder / "claim-000001.json")
    assert only(results).state == "running elsewhere"
    (folder / "claim-000001.json").unlink()
    assert claim_life(folder / "claim-000001.json") is None
    (tmp_path / "target").write_text(json.dumps(asdict(dead_holder())))
    (folder / "claim-000001.json").symlink_to(tmp_path / "target")
    assert only(results).state == "running elsewhere"


@pytest.mark.parametrize(
    ("status", "state"), [("interrupted", "interrupted"), ("running", "interrupted"), ("reopened", "waiting")]
)
def test_without_a_claim_the_status_tells(results: Path, status: str, state: str) -> None:
    write_status(make_trial(results), status)
    assert only(results).state == state


def test_the_epochs_of_a_first_trial_are_told_by_its_status(results: Path) -> None:
    folder = make_trial(results)
    (folder / STATUS_FILE).write_text(json.dumps({"status": "running", "epochs": 128}))
    (folder / "curve.jsonl").write_text('{"epoch": 1}\n')
    state = only(results)
    assert (state.epoch, state.epochs) == (1, 128)


def test_a_checkpoint_alone_is_interrupted_and_an_empty_folder_waits(results: Path) -> None:
    folder = make_trial(results)
    assert only(results).state == "waiting"
    (folder / CHECKPOINT_FOLDER).mkdir()
    assert only(results).state == "interrupted"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"status": [1], "attempts": "x", "started_at": {}}', "9" * 10**5])
def test_a_damaged_status_is_survived(results: Path, content: str) -> None:
    (make_trial(results) / STATUS_FILE).write_text(content)
    state = only(results)
    assert state.attempts is None
    assert moment(state.started_at) is None


def test_a_failed_trial_tells_its_reason_and_the_end_of_its_log(results: Path) -> None:
    folder = make_trial(results)
    add_record(folder, "failed", "ValueError: \x1b[31mbad\x1b[0m")
    lines = [
        "first",
        "  second",
        "",
        "\x1b]0;title\x07File /home/someone/deep/model.py, line 3",
        "third\x9b2J",
        "x" * 9000,
    ]
    (folder / "log.txt").write_text("\n".join(lines))
    state = only(results)
    assert (state.state, state.reason) == ("failed", "ValueError: bad")
    assert state.log[:2] == ("File model.py, line 3", "third")
    assert len(state.log) == 3
    assert len(state.log[2]) <= 110
    assert "someone" not in "".join(state.log)


def test_a_damaged_record_is_a_state_of_its_own(results: Path) -> None:
    for seed in (0, 1, 2):
        add_record(make_trial(results, seed))
    (results / "birdsound" / STUDY).glob("*/seed-1/record.json").__next__().write_bytes(b"{}")
    linked = next((results / "birdsound" / STUDY).glob("*/seed-2/record.json"))
    linked.rename(linked.with_name("elsewhere.json"))
    linked.symlink_to("elsewhere.json")
    (study,) = read_states(results).studies
    assert [one.state for one in study.trials] == ["done", "damaged", "damaged"]
    assert "schema" in study.trials[1].reason
    assert "plain file" in study.trials[2].reason
    assert study.counts == {"done": 1, "damaged": 2}
    assert [one.seed for one in study.open_trials] == ["1", "2"]


def test_epochs_come_from_the_curve_and_from_the_records_of_the_study(results: Path) -> None:
    folder = make_trial(results, 1)
    write_status(folder, "interrupted")
    (folder / "curve.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    assert (only(results).epoch, only(results).epochs) == (2, None)
    add_record(make_trial(results, 0))
    (study,) = read_states(results).studies
    (state,) = study.open_trials
    assert (state.epoch, state.epochs) == (2, PROTOCOL.epochs)


def test_studies_are_told_apart_and_a_noise_budget_is_one_of_its_own(results: Path) -> None:
    add_record(make_trial(results))
    (results / "other" / "abc" / "x-12345678" / "seed-0").mkdir(parents=True)
    training = results / "birdsound" / STUDY / "noise" / "unet-12345678" / "base-3" / "repeat-1"
    training.mkdir(parents=True)
    add_record(training, "diverged", "NaN")
    (results / "published" / "birdsound" / STUDY / "unet-12345678" / "seed-0").mkdir(parents=True)
    found = [(one.benchmark, one.study, one.is_noise, one.counts) for one in read_states(results).studies]
    assert found == [
        ("birdsound", STUDY, False, {"done": 1}),
        ("birdsound", STUDY, True, {"diverged": 1}),
        ("other", "abc", False, {"waiting": 1}),
    ]
    assert read_states(results).studies[1].trials[0].seed == "base-3 repeat-1"


@pytest.mark.parametrize("below", ["", "birdsound", f"birdsound/{STUDY}", "seed"])
def test_any_folder_of_the_results_will_do(results: Path, below: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_trial(results)
    write_status(folder, "interrupted")
    target = folder if below == "seed" else results / below
    monkeypatch.chdir(target.parent)
    (study,) = read_states(Path(target.name)).studies
    assert (study.benchmark, study.study, study.counts) == ("birdsound", STUDY, {"interrupted": 1})


def test_links_are_not_followed(results: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside" / "seed-0"
    outside.mkdir(parents=True)
    write_status(outside, "interrupted")
    results.mkdir()
    (results / "link").symlink_to(tmp_path / "outside")
    assert list(trial_folders(results)) == []


def test_what_can_not_be_looked_into_is_said(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_record(make_trial(results))
    closed = results / "closed"
    closed.mkdir()
    scandir = os.scandir

    def refuse(path: str | Path) -> Iterator[os.DirEntry[str]]:
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(closed))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = read_states(results)
    assert [one.counts for one in found.studies] == [{"done": 1}]
    assert found.faults == (f"{closed}: could not be read: Permission denied",)


@pytest.mark.parametrize("text", [None, "", "yesterday", "0001-01-01T00:00:00+23:00"])
def test_no_moment(text: str | None) -> None:
    assert moment(text) is None
