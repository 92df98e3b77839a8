"""Which study a command means: from TARGET and --digest to the records of one study.

Owns the choice and what must be said about it. Ranking is `leaderboard.py`'s; nothing is printed here.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from benchbird.errors import ResultsError
from benchbird.index import Index
from benchbird.plain_text import plain_text
from benchbird.pooling import pool, with_scores
from benchbird.protocol import SEARCH_SUFFIX, study_digest
from benchbird.record_json import started_moment
from benchbird.records import TrialRecord
from benchbird.results import FoundRecord, RecordScan, find_records, target_folder
from benchbird.tuning import RULE_FILE, TunedTrack, find_rules, read_track


@dataclass(frozen=True)
class Study:
    """The records of one study in one folder.

    Attributes:
        digest: the study's.
        folder: where its trials lie.
        found: its records with their files, by path.
        unended: its trials that have a folder and no record.
        faults: a sentence for each trial of a cross-validation whose folds contradict one another.
        tuned: what makes it a tuned track, whose trials lie in other studies' folders; None for any other study.
    """

    digest: str
    folder: Path
    found: tuple[FoundRecord, ...]
    unended: int
    faults: tuple[str, ...] = ()
    tuned: TunedTrack | None = None

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """Its records, by path."""
        return tuple(one.record for one in self.found)

    @property
    def newest_start(self) -> datetime:
        """When its newest trial was started."""
        return max(map(started_moment, self.records))

    def __str__(self) -> str:
        benchmarks = ", ".join(sorted({record.benchmark for record in self.records}))
        profiles = ", ".join(sorted({record.profile for record in self.records}))
        count = f"{len(self.records)} record{'s' if len(self.records) != 1 else ''}"
        unended = f", {self.unended} not ended" if self.unended else ""
        when = self.newest_start.astimezone(UTC)
        kind = "tuned track, " if self.tuned is not None else ""
        return plain_text(
            f"{self.digest}: {kind}{count}{unended}, {when:%Y-%m-%d %H:%M} UTC, benchmark {benchmarks}, "
            f"profile {profiles}",
            400,
        )


@dataclass(frozen=True)
class StudyChoice:
    """The study that a command means.

    Attributes:
        study: its records.
        notices: lines for stderr: other studies, trials not ended, records left out.
        left_out: those of the notices that tell of records which could not be used.
    """

    study: Study
    notices: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def select_study(
    target: Path, *, results: Path, digest: str | None = None, option: str = "--digest", index: Index | None = None
) -> StudyChoice:
    """The study under `target` that `digest` begins, else the newest finished one.

    Args:
        target: a benchmark's YAML (meaning `results/<name>`), a results root, or any folder below one.
        results: the results root that a YAML's name is looked up in.
        digest: the first hex digits of a study's digest, or None. A study is finished when none of its
            trials' folders lacks a record; where none is, the newest is taken and said to be unfinished.
        option: the option that `digest` comes from, for messages.
        index: where it is remembered which records have been checked; None checks all of them.

    Raises:
        ResultsError: nothing there, nothing readable there, or a digest that fits none or several studies.
        ConfigError: the YAML can't be used.
    """
    folder = target_folder(target, results)
    scan = find_records(folder, index)
    tracks, faults = _tuned_tracks(folder, index)
    notices = [plain_text(f"left out: {fault}", 1000) for fault in (*scan.faults, *faults)]
    studies = [*tracks, *_studies(scan)]
    if not studies:
        raise ResultsError("\n".join([f"{folder}: no trial has ended here yet", *notices]))
    fitting = _with_digest(studies, digest, folder, option)
    chosen = _preferred(fitting)
    others = [str(study) for study in studies if study is not chosen]
    if others:
        notices.append(f"showing study {chosen.digest}; others in {plain_text(str(folder))} ({option} PREFIX):")
        notices += [f"  {line}" for line in others]
    if chosen.tuned is not None:
        notices += [plain_text(f"track {chosen.digest} is unfinished: {why}", 400) for why in chosen.tuned.waiting]
    elif chosen.unended:
        trials = "1 trial has" if chosen.unended == 1 else f"{chosen.unended} trials have"
        notices.append(f"study {chosen.digest} is unfinished: {trials} not ended")
    notices += [f"left out: {fault}" for fault in chosen.faults]
    left_out = tuple(notice for notice in notices if notice.startswith("left out: "))
    return StudyChoice(_scored(chosen), tuple(notices), left_out)


def tuned_study(folder: Path) -> Study:
    """The tuned track of a folder with a rule file.

    Raises:
        ResultsError: the rule can't be read.
    """
    track = read_track(folder / RULE_FILE)
    return _of_track(track, folder)


def _tuned_tracks(folder: Path, index: Index | None) -> tuple[list[Study], list[str]]:
    """The tuned tracks below `folder` that have a trial, and what is wrong with others."""
    studies, faults = [], []
    for path in find_rules(folder):
        try:
            track = read_track(path, index)
        except ResultsError as error:
            faults.append(str(error))
            continue
        if track.found:
            studies.append(_of_track(track, path.parent))
        else:
            faults += track.faults
    return studies, faults


def _of_track(track: TunedTrack, folder: Path) -> Study:
    return Study(track.rule.study, folder, track.found, len(track.waiting), track.faults, tuned=track)


def _preferred(studies: Sequence[Study]) -> Study:
    """The newest finished one; a tuned track rather than the studies that it is made of, and those last of all."""
    tracks = [study.tuned.rule for study in studies if study.tuned is not None]
    parts = {digest for rule in tracks for digest, rate in rule.studies.items() if rate != rule.fixed_rate}

    def preference(study: Study) -> tuple[bool, bool, datetime, bool, str]:
        is_search = any(record.benchmark.endswith(SEARCH_SUFFIX) for record in study.records)
        is_whole = not is_search and study.digest not in parts
        return (is_whole, not study.unended, study.newest_start, study.tuned is not None, str(study.folder))

    return max(studies, key=preference)


def pooled_study(folder: Path, fold: Path) -> Study:
    """The cross-validation below a benchmark's `folder` that the study in `fold` is one fold of.

    Raises:
        ResultsError: there is none, since a fold isn't complete.
    """
    records = find_records(fold).found
    digests = {
        study_digest(str(one.record.protocol["digest"]), one.record.data.fold.pool_digest)
        for one in records
        if one.record.data.fold is not None
    }
    for study in _studies(find_records(folder)):
        if study.digest in digests:
            return _scored(study)
    raise ResultsError(f"{folder}: no trial has ended in every fold, so the folds can't be pooled")


def _scored(study: Study) -> Study:
    """The study that was chosen, its pooled trials with their scores: only of it are predictions opened."""
    return replace(study, found=tuple(map(with_scores, study.found)))


def _studies(scan: RecordScan) -> list[Study]:
    """The studies of a scan, newest first; the folds of a cross-validation are one, where all of them are there."""
    grouped: dict[tuple[Path, str], list[FoundRecord]] = defaultdict(list)
    folds: dict[tuple[Path, str], list[FoundRecord]] = defaultdict(list)
    for found in scan.found:
        fold = found.record.data.fold
        if fold is not None:
            digest = study_digest(str(found.record.protocol["digest"]), fold.pool_digest)
            folds[_ancestor(found.path, 4), digest].append(found)
        else:
            grouped[_ancestor(found.path, 3), found.record.study].append(found)
    unended = [_ancestor(folder, 2) for folder in scan.unended]
    studies = [
        Study(digest, folder, tuple(found), unended.count(folder)) for (folder, digest), found in grouped.items()
    ]
    for (folder, digest), parts in folds.items():
        studies += _cross_validation(folder, digest, parts, unended)
    return sorted(studies, key=lambda study: (study.newest_start, str(study.folder)), reverse=True)


def _cross_validation(folder: Path, digest: str, found: Sequence[FoundRecord], unended: Sequence[Path]) -> list[Study]:
    """The pooled study of folds that lie below `folder`; of a fold that stands alone, its own."""
    studies = {_ancestor(one.path, 3) for one in found}
    waiting = sum(unended.count(study) for study in studies)
    pooled = pool(found, folder)
    if pooled.trials:
        return [Study(digest, folder, pooled.trials, pooled.incomplete + waiting, pooled.faults)]
    grouped = {study: tuple(one for one in found if _ancestor(one.path, 3) == study) for study in sorted(studies)}
    return [
        Study(study.name, study, records, unended.count(study), pooled.faults) for study, records in grouped.items()
    ]


def _ancestor(path: Path, levels: int) -> Path:
    # Absolute, so that a target given as `seed-0` has parents; not resolved, so that links stay as named.
    parents = Path(os.path.abspath(path)).parents
    return parents[min(levels, len(parents)) - 1]


def _with_digest(studies: Sequence[Study], digest: str | None, folder: Path, option: str) -> list[Study]:
    if digest is None:
        return list(studies)
    fitting = [study for study in studies if study.digest.startswith(digest.lower())]
    distinct = {study.digest for study in fitting}
    if len(distinct) == 1:
        return fitting
    what = "fits several studies" if distinct else "fits no study"
    lines = "\n".join(f"  {study}" for study in (fitting or studies))
    raise ResultsError(f"{option} {digest!r} {what} in {folder}; there are:\n{lines}")
