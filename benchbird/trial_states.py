"""What a trial's folder tells of the trial: done, failed, under way here or elsewhere, stale, interrupted.

Owns the states, and what is read of claims, `status.json`, curves and logs, none of which is trusted. It changes
nothing; records are read by `results.py`.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchbird.claims import Holder, Life, life_of, read_holder
from benchbird.index import Index
from benchbird.plain_text import plain_text
from benchbird.records import TrialRecord
from benchbird.results import (
    CHECKPOINT_FOLDER,
    CURVE_FILE,
    LOG_FILE,
    MAX_DEPTH,
    NOISE_FOLDER,
    PUBLISHED_FOLDER,
    RECORD_FILE,
    STATUS_FILE,
    find_records,
)

FAILED = ("diverged", "failed", "timeout", "out_of_memory", "protocol_violation")
UNDER_WAY = ("running", "running elsewhere")
UNFINISHED = ("stale", "interrupted", "waiting")
STATES = ("done", *FAILED, "damaged", *UNDER_WAY, *UNFINISHED)
"""In the order in which they are counted."""

LOG_LINES = 3
"""Of a failed trial's log, its last ones."""

_MAX_STATE_BYTES = 64 * 1024
_TAIL_BYTES = 32 * 1024
_TRIAL_NAME = re.compile(r"seed-\d+")
_CLAIM_NAME = re.compile(r"claim-\d+\.json")
_PATH = re.compile(r"(?<![\w./~])(?:~|[A-Za-z]:)?[\\/](?:[^\s\\/'\":;,()]+[\\/])+([^\s\\/'\":;,()]*)")


@dataclass(frozen=True)
class TrialFolder:
    """A folder that is a trial's, by what lies in it.

    Attributes:
        path: of the folder.
        files: names of the plain files in it.
        folders: names of the folders in it.
        others: names of links and special files in it; nothing here opens them.
    """

    path: Path
    files: frozenset[str]
    folders: frozenset[str]
    others: frozenset[str]

    @property
    def claims(self) -> tuple[Path, ...]:
        """Its claims, the oldest first, whatever kind of file they are."""
        return tuple(self.path / name for name in sorted(self.files | self.others) if _CLAIM_NAME.fullmatch(name))


@dataclass(frozen=True, kw_only=True)
class TrialState:
    """One trial as it stands.

    Attributes:
        folder: where it lies.
        label: of its segmenter.
        seed: its number; in a noise budget, which training it is.
        state: one of `STATES`.
        epoch: epochs trained so far; None where there is no curve.
        epochs: of the whole training; None where neither its status nor a record of the study tells.
        started_at: when it was first started, UTC, ISO 8601; None where nothing tells.
        attempts: how often it was started; None where nothing tells.
        holder: of its newest claim, or None.
        heartbeat_s: seconds since that claim's last sign of life, by this machine's clock; None without a claim.
        reason: why it failed or is damaged, else empty.
        log: the last lines of its log, if it failed.
    """

    folder: Path
    label: str
    seed: str
    state: str
    epoch: int | None = None
    epochs: int | None = None
    started_at: str | None = None
    attempts: int | None = None
    holder: Holder | None = None
    heartbeat_s: float | None = None
    reason: str = ""
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class StudyState:
    """The trials of one study.

    Attributes:
        benchmark: its name.
        study: the study's digest.
        is_noise: whether these are the trainings of its noise budgets.
        trials: all of them, by path.
    """

    benchmark: str
    study: str
    is_noise: bool
    trials: tuple[TrialState, ...]

    @property
    def counts(self) -> dict[str, int]:
        """State → number of trials, in the order of `STATES`, without zeros."""
        counted = Counter(trial.state for trial in self.trials)
        return {state: counted[state] for state in STATES if counted[state]}

    @property
    def open_trials(self) -> tuple[TrialState, ...]:
        """Those that aren't done."""
        return tuple(trial for trial in self.trials if trial.state != "done")


@dataclass(frozen=True)
class ResultsState:
    """What lies below a folder.

    Attributes:
        studies: by benchmark and digest.
        faults: a sentence for each folder that can't be looked into.
    """

    studies: tuple[StudyState, ...]
    faults: tuple[str, ...]


def trial_folders(root: Path) -> Iterator[TrialFolder]:
    """The folders of trials below `root`, noise budgets among them, by path; links aren't followed.

    `published` directly below `root` is left out, as everywhere.
    """
    left = [(root, 0)]
    while left:
        folder, depth = left.pop()
        content = _look_into(folder)
        if content is None:
            continue
        is_trial = bool({RECORD_FILE, STATUS_FILE} & content.files) or bool(content.claims)
        if is_trial or _TRIAL_NAME.fullmatch(os.path.basename(os.path.abspath(folder))):
            yield content
        if depth < MAX_DEPTH:
            inner = content.folders - {PUBLISHED_FOLDER} if depth == 0 else content.folders
            left += [(folder / name, depth + 1) for name in sorted(inner, reverse=True)]


def _look_into(folder: Path) -> TrialFolder | None:
    files: set[str] = set()
    folders: set[str] = set()
    others: set[str] = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                kind = folders if entry.is_dir(follow_symlinks=False) else others
                (files if entry.is_file(follow_symlinks=False) else kind).add(entry.name)
    except OSError:
        return None
    return TrialFolder(folder, frozenset(files), frozenset(folders), frozenset(others))


def read_states(folder: Path, index: Index | None = None) -> ResultsState:
    """Every trial below `folder` as it stands now.

    Args:
        folder: a results root, or any folder below one.
        index: remembers which records have passed all checks; None checks every one.
    """
    trials = list(trial_folders(folder))
    noise = {path for trial in trials if (path := _noise_folder(trial.path, folder)) is not None}
    records: dict[Path, TrialRecord] = {}
    damaged: dict[Path, str] = {}
    faults = []
    for place in (folder, *sorted(noise)):
        scan = find_records(place, index)
        records |= {one.path.parent: one.record for one in scan.found}
        for fault in scan.faults:
            if fault.path.name == RECORD_FILE:
                damaged[fault.path.parent] = plain_text(fault.reason, 300)
            else:
                faults.append(plain_text(str(fault), 400))
    grouped: dict[tuple[str, str, bool], list[TrialState]] = {}
    for trial in trials:
        state = _state_of(trial, records.get(trial.path), damaged.get(trial.path))
        grouped.setdefault(_study_of(trial.path), []).append(state)
    return ResultsState(_studies(grouped, records), tuple(dict.fromkeys(faults)))


def _studies(
    grouped: Mapping[tuple[str, str, bool], Sequence[TrialState]], records: Mapping[Path, TrialRecord]
) -> tuple[StudyState, ...]:
    # A study is one protocol: any of its records tells how many epochs all of its trials have.
    epochs = {_study_of(path)[:2]: record.protocol.get("epochs") for path, record in records.items()}
    studies = []
    for key, states in sorted(grouped.items()):
        total = epochs.get(key[:2])
        known = total if isinstance(total, int) else None
        studies.append(StudyState(*key, tuple(replace(one, epochs=one.epochs or known) for one in states)))
    return tuple(studies)


def _noise_folder(trial: Path, root: Path) -> Path | None:
    """The folder `noise` between `root` and a trial, if there is one."""
    parts = trial.relative_to(root).parts
    return root.joinpath(*parts[: parts.index(NOISE_FOLDER) + 1]) if NOISE_FOLDER in parts else None


def _study_of(trial: Path) -> tuple[str, str, bool]:
    """Benchmark, study and whether it is a noise budget, of a trial by its path."""
    # Absolute, so that a folder given as `seed-0` has parents; not resolved, so that links stay as named.
    parts = Path(os.path.abspath(trial)).parts
    is_noise = _is_of_noise(parts)
    above = parts[: -4 if is_noise else -2]
    return (above[-2] if len(above) > 1 else "", above[-1] if above else "", is_noise)


def _is_of_noise(parts: Sequence[str]) -> bool:
    """Whether a trial's path is `…/noise/<segmenter>/base-<seed>/<training>`."""
    return NOISE_FOLDER in parts[-4:-3] and _TRIAL_NAME.fullmatch(parts[-1]) is None


def _state_of(trial: TrialFolder, record: TrialRecord | None, damage: str | None) -> TrialState:
    label, seed = _names(trial.path, record)
    state = TrialState(folder=trial.path, label=label, seed=seed, state="done")
    if record is not None and record.status == "done":
        return state
    state = replace(state, epoch=_last_epoch(trial))
    if record is not None:
        return replace(
            state,
            state=record.status,
            started_at=record.started_at,
            attempts=record.attempts,
            reason=plain_text(record.reason, 600),
            log=last_log_lines(trial),
        )
    if damage is not None:
        return replace(state, state="damaged", reason=damage)
    return _unended(trial, state)


def _unended(trial: TrialFolder, state: TrialState) -> TrialState:
    status = _read_status(trial)
    attempts, epochs = status.get("attempts"), status.get("epochs")
    state = replace(
        state,
        started_at=plain_text(str(status["started_at"]), 40) if "started_at" in status else None,
        attempts=attempts if isinstance(attempts, int) else None,
        epochs=epochs if isinstance(epochs, int) else None,
    )
    lives = {path: life for path in trial.claims if (life := claim_life(path)) is not None}
    if lives:
        newest = list(lives)[-1]
        word = "stale"
        if "alive" in lives.values():
            newest, word = next(path for path, life in lives.items() if life == "alive"), "running"
        elif "unknown" in lives.values():
            newest, word = [path for path, life in lives.items() if life == "unknown"][-1], "running elsewhere"
        is_plain = newest.name in trial.files
        holder = read_holder(newest) if is_plain else None
        return replace(state, state=word, holder=holder, heartbeat_s=_age_s(newest) if is_plain else None)
    has_begun = status.get("status") in ("interrupted", "running") or CHECKPOINT_FOLDER in trial.folders
    return replace(state, state="interrupted" if has_begun else "waiting")


def claim_life(path: Path) -> Life | None:
    """`life_of` a claim that may be anything: None where it is gone, unknown where it is no small plain file."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    except OSError:
        return "unknown"
    # A named pipe would be waited for without end.
    if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_STATE_BYTES:
        return "unknown"
    life = life_of(path)
    return None if life == "unknown" and not os.path.lexists(path) else life


def _names(folder: Path, record: TrialRecord | None) -> tuple[str, str]:
    """Label and seed of a trial, as they are shown."""
    parts = Path(os.path.abspath(folder)).parts
    version = parts[-2] if len(parts) > 1 else ""
    seed = parts[-1].removeprefix("seed-")
    if _is_of_noise(parts):
        version, seed = parts[-3], f"{parts[-2]} {parts[-1]}"
    label = re.sub(r"-[0-9a-f]{8}$", "", version)
    if record is not None:
        label = record.segmenter.label
    return plain_text(label, 80), plain_text(seed, 40)


def _read_status(trial: TrialFolder) -> Mapping[str, Any]:
    if STATUS_FILE not in trial.files:
        return {}
    try:
        with (trial.path / STATUS_FILE).open("rb") as stream:
            known = json.loads(stream.read(_MAX_STATE_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _last_epoch(trial: TrialFolder) -> int | None:
    for line in reversed(_tail(trial, CURVE_FILE)):
        try:
            epoch = json.loads(line)["epoch"]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # a line that is being written at this moment
        return epoch if isinstance(epoch, int) else None
    return None


def last_log_lines(trial: TrialFolder, width: int = 110) -> tuple[str, ...]:
    """The last lines of a trial's log that say anything, fit for a terminal, their paths cut to the last part."""
    lines = [plain_text(_PATH.sub(r"\1", line[: 4 * width])) for line in _tail(trial, LOG_FILE)]
    return tuple(plain_text(line, width) for line in lines if line)[-LOG_LINES:]


def _tail(trial: TrialFolder, name: str) -> list[str]:
    if name not in trial.files:
        return []
    try:
        with (trial.path / name).open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_BYTES))
            return stream.read(_TAIL_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return []


def _age_s(path: Path) -> float | None:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return None


def moment(text: str | None) -> str | None:
    """An ISO 8601 time as people read it, in UTC; None where it is none."""
    try:
        return datetime.fromisoformat(text or "").astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):
        return None
