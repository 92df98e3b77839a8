"""What a trial's folder tells of a trial without a record, and what goes with its end."""

from __future__ import annotations

import errno
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchbird.errors import DiskRefused, ResultsError
from benchbird.record_json import parse_record, record_bytes
from benchbird.trial_folder import (
    Attempt,
    epochs_in_curve,
    finish_trial,
    mark_interrupted,
    read_attempt,
    refuse_links,
    reopen_trial,
    settle_trial,
    write_status,
)
from tests.record_factory import make_record

BEGUN = Attempt(started_at="2026-11-20T10:00:00+00:00", attempts=3, duration_s=12.5)


@given(st.integers(0, 10**6), st.floats(0, 1e9), st.sampled_from(["running", "interrupted", "reopened"]))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_written_of_an_attempt_is_read_back(
    tmp_path: Path, attempts: int, duration_s: float, status: str
) -> None:
    attempt = Attempt(started_at=BEGUN.started_at, attempts=attempts, duration_s=duration_s)
    write_status(tmp_path, status, attempt, 6)
    assert read_attempt(tmp_path) == attempt


KEYS = st.sampled_from(["started_at", "attempts", "duration_s"]) | st.text(max_size=5)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just(BEGUN.started_at)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))
NEARLY = st.fixed_dictionaries({"started_at": LEAVES, "attempts": LEAVES, "duration_s": LEAVES})


@given(VALUES | NEARLY)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_lies_there_as_a_status_gives_an_attempt_that_can_be_recorded(tmp_path: Path, value: object) -> None:
    (tmp_path / "status.json").write_text(json.dumps(value))
    attempt = read_attempt(tmp_path)
    record = replace(make_record(status="failed", reason="x"), **asdict(attempt))
    assert parse_record(record_bytes(record)) == record


def test_a_time_of_another_zone_is_told_in_utc(tmp_path: Path) -> None:
    status = {"status": "running", "started_at": "2026-11-20T12:30:00+02:30", "attempts": 1, "duration_s": 0}
    (tmp_path / "status.json").write_text(json.dumps(status))
    assert read_attempt(tmp_path).started_at == BEGUN.started_at


def test_an_interruption_keeps_what_was_known(tmp_path: Path) -> None:
    write_status(tmp_path, "running", BEGUN, 6)
    mark_interrupted(tmp_path, 6)
    assert json.loads((tmp_path / "status.json").read_text())["status"] == "interrupted"
    assert read_attempt(tmp_path) == BEGUN


def test_what_goes_with_a_trial_s_end(tmp_path: Path) -> None:
    record = make_record(status="failed", reason="x")
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "state-0.json").touch()
    write_status(tmp_path, "running", BEGUN, 6)
    finish_trial(tmp_path, record)
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    for name in ("curve.jsonl", "predictions.npz", "weights.safetensors", "log.txt"):
        (tmp_path / name).touch()
    reopen_trial(tmp_path, record)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.txt", "status.json"]
    assert read_attempt(tmp_path).attempts == record.attempts


def test_a_record_that_may_not_outlast_a_power_cut_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish_trial(tmp_path, make_record(status="failed", reason="x"))
    write_status(tmp_path, "running", BEGUN, 6)
    settle_trial(tmp_path)
    assert not (tmp_path / "status.json").exists()

    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("benchbird.durable.os.fsync", broken)
    with pytest.raises(DiskRefused, match="could not make sure that it outlasts a power cut: Input/output error"):
        settle_trial(tmp_path)


@pytest.mark.parametrize(
    ("curve", "epochs"),
    [('{"epoch": 1}\n{"epoch": 2}\n', 2), ("", 0), ("{", 0), ("[]\n", 0), ("[" * 100_000, 0), (None, 0)],
)  # fmt: skip
def test_epochs_are_counted_in_the_curve(tmp_path: Path, curve: str | None, epochs: int) -> None:
    if curve is not None:
        (tmp_path / "curve.jsonl").write_text(curve)
    assert epochs_in_curve(tmp_path) == epochs


@pytest.mark.parametrize("name", ["", "checkpoint", "log.txt"])
def test_a_link_in_place_of_a_trial_s_own_is_refused(tmp_path: Path, name: str) -> None:
    trial = tmp_path / "seed-0"
    (tmp_path / "elsewhere").mkdir()
    refuse_links(trial)  # not there yet
    if name:
        trial.mkdir()
        refuse_links(trial)
    (trial / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ResultsError, match=f"{name or 'seed-0'}: a link, expected a plain file or folder"):
        refuse_links(trial)
