"""A trial's folder while the trial is under way, and how it becomes an ended one, or is opened again.

Owns what lies in it beside what a record vouches for: how often and how long the trial ran, how far it is, and what
goes with its end. Nothing in it is trusted: anyone may have written it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchbird.durable import sync_folder, write_json_durably
from benchbird.errors import DiskRefused, ResultsError
from benchbird.records import TrialRecord
from benchbird.results import CHECKPOINT_FOLDER, CURVE_FILE, LOG_FILE, RECORD_FILE, STATUS_FILE, add_record

PREDICTIONS_FILE = "predictions.npz"
WEIGHTS_FILE = "weights.safetensors"
LASTING_FILES = (CURVE_FILE, PREDICTIONS_FILE, WEIGHTS_FILE)
"""What a record vouches for by its SHA-256. The log isn't among them: it goes on after the record."""

_MOST_ATTEMPTS, _LONGEST_S = 10**9, 1e10
"""More than any trial: three centuries."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What is known of a trial that has begun: its first start, and how often and how long it ran."""

    started_at: str
    attempts: int
    duration_s: float


def mark_interrupted(folder: Path, epochs: int) -> None:
    """Say of a trial whose process ended without a word that it goes on another time.

    Args:
        folder: of the trial.
        epochs: of its protocol.
    """
    with contextlib.suppress(DiskRefused):
        write_status(folder, "interrupted", read_attempt(folder), epochs)


def read_attempt(folder: Path) -> Attempt:
    """How often and how long the trial in `folder` ran, from its `status.json`; zero where it has none that is sound.

    Anyone may have written it, and a record that can't be read back must not come of it.
    """
    try:
        known = json.loads((folder / STATUS_FILE).read_text())
        attempt = Attempt(
            started_at=datetime.fromisoformat(known["started_at"]).astimezone(UTC).isoformat(timespec="seconds"),
            attempts=int(known["attempts"]),
            duration_s=float(known["duration_s"]),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return _no_attempt()
    is_sound = 0 <= attempt.attempts < _MOST_ATTEMPTS and 0 <= attempt.duration_s < _LONGEST_S
    return attempt if is_sound else _no_attempt()


def _no_attempt() -> Attempt:
    return Attempt(started_at=datetime.now(UTC).isoformat(timespec="seconds"), attempts=0, duration_s=0.0)


def finish_trial(folder: Path, record: TrialRecord) -> None:
    """Write the record, then remove what only a trial under way needs.

    Raises:
        ResultsError: the record could not be written, or not read back.
    """
    add_record(folder, record)
    remove_traces(folder)


def settle_trial(folder: Path) -> None:
    """Do what is left of `finish_trial` once the record is in place.

    Raises:
        DiskRefused: the record may not outlast a power cut.
    """
    try:
        sync_folder(folder)
    except OSError as error:
        raise DiskRefused(
            f"{folder / RECORD_FILE}: could not make sure that it outlasts a power cut: {error.strerror or error}; "
            "check the disk, then run again"
        ) from error
    remove_traces(folder)


def remove_traces(folder: Path) -> None:
    """Remove what only a trial under way needs."""
    (folder / STATUS_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / CHECKPOINT_FOLDER, ignore_errors=True)


def reopen_trial(folder: Path, record: TrialRecord) -> None:
    """Make an ended trial one that is to be run again from its beginning; its attempts are counted on."""
    before = Attempt(started_at=record.started_at, attempts=record.attempts, duration_s=record.duration_s)
    write_status(folder, "reopened", before, record.protocol.get("epochs"))
    for name in (RECORD_FILE, CURVE_FILE, PREDICTIONS_FILE, WEIGHTS_FILE):
        (folder / name).unlink(missing_ok=True)


def epochs_in_curve(folder: Path) -> int:
    """How many epochs of the trial in `folder` were done, by its curve; 0 where nothing is known."""
    try:
        lines = (folder / CURVE_FILE).read_text().splitlines()
        return sum(1 for line in lines if json.loads(line)["epoch"] > 0)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0


def write_status(folder: Path, status: str, attempt: Attempt, epochs: object) -> None:
    """Leave word of a trial that has no record.

    Args:
        folder: of the trial.
        status: `running`, `interrupted` or `reopened`.
        attempt: up to now.
        epochs: of its protocol, None where unknown.

    Raises:
        DiskRefused: it could not be written.
    """
    write_json_durably(folder / STATUS_FILE, {"status": status, "epochs": epochs, **asdict(attempt)})


def refuse_links(folder: Path) -> None:
    """Refuse a trial's folder that leads elsewhere: results come from other people, and a run writes and removes in it.

    Raises:
        ResultsError: the folder, its checkpoint's or its log is a link.
    """
    for path in (folder, folder / CHECKPOINT_FOLDER, folder / LOG_FILE):
        if path.is_symlink():
            raise ResultsError(
                f"{path}: a link, expected a plain file or folder of this trial; remove it, then run again"
            )
