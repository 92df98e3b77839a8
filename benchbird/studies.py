"""Which study a command means: from TARGET and --digest to the records of one study.

Owns the choice and what must be said about it. Ranking is `leaderboard.py`'s; nothing is printed here.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchbird.errors import ResultsError
from benchbird.plain_text import plain_text
from benchbird.record_json import started_moment
from benchbird.records import TrialRecord
from benchbird.results import RecordScan, find_records

BENCHMARK_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Study:
    """The records of one study in one folder.

    Attributes:
        digest: the study's.
        folder: where its trials lie.
        records: by path.
        unended: its trials that have a folder and no record.
    """

    digest: str
    folder: Path
    records: tuple[TrialRecord, ...]
    unended: int

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
        return plain_text(
            f"{self.digest}: {count}{unended}, {when:%Y-%m-%d %H:%M} UTC, benchmark {benchmarks}, profile {profiles}",
            400,
        )


@dataclass(frozen=True)
class StudyChoice:
    """The study that a command means.

    Attributes:
        study: its records.
        notices: lines for stderr: other studies, trials not ended, records left out.
    """

    study: Study
    notices: tuple[str, ...]


def select_study(target: Path, *, results: Path, digest: str | None = None) -> StudyChoice:
    """The study under `target` that `digest` begins, else the newest finished one.

    Args:
        target: a benchmark's YAML (meaning `results/<name>`), a results root, or any folder below one.
        results: the results root that a YAML's name is looked up in.
        digest: the first hex digits of a study's digest, or None. A study is finished when none of its
            trials' folders lacks a record; where none is, the newest is taken and said to be unfinished.

    Raises:
        ResultsError: nothing there, nothing readable there, or a digest that fits none or several studies.
        ConfigError: the YAML can't be used.
    """
    folder = _folder_of(target, results)
    scan = find_records(folder)
    notices = [plain_text(f"left out: {fault}", 1000) for fault in scan.faults]
    studies = _studies(scan)
    if not studies:
        raise ResultsError("\n".join([f"{folder}: no trial has ended here yet", *notices]))
    fitting = _with_digest(studies, digest, folder)
    chosen = max(fitting, key=lambda study: (not study.unended, study.newest_start, str(study.folder)))
    others = [str(study) for study in studies if study is not chosen]
    if others:
        notices.append(f"showing study {chosen.digest}; others in {plain_text(str(folder))} (--digest PREFIX):")
        notices += [f"  {line}" for line in others]
    if chosen.unended:
        trials = "1 trial has" if chosen.unended == 1 else f"{chosen.unended} trials have"
        notices.append(f"study {chosen.digest} is unfinished: {trials} not ended")
    return StudyChoice(chosen, tuple(notices))


def _folder_of(target: Path, results: Path) -> Path:
    if target.is_dir():
        return target
    if target.suffix.lower() in BENCHMARK_SUFFIXES:
        # Only a YAML needs the config reader, and pydantic with it.
        from benchbird.config.benchmark import load_benchmark

        folder = results / load_benchmark(target).name
        if not folder.is_dir():
            raise ResultsError(
                f"{folder}: no results of {target} there yet; `benchbird run {target}` makes them, "
                "--results DIR says where they lie"
            )
        return folder
    hint = f"; did you mean {results / target}?" if (results / target).is_dir() else ""
    raise ResultsError(
        f"{target}: no such folder, expected a benchmark's YAML, a results root, or a benchmark's or "
        f"study's folder below one{hint}"
    )


def _studies(scan: RecordScan) -> list[Study]:
    """The studies of a scan, newest first."""
    grouped: dict[tuple[Path, str], list[TrialRecord]] = defaultdict(list)
    for found in scan.found:
        grouped[_ancestor(found.path, 3), found.record.study].append(found.record)
    unended = [_ancestor(folder, 2) for folder in scan.unended]
    studies = [
        Study(digest, folder, tuple(records), unended.count(folder)) for (folder, digest), records in grouped.items()
    ]
    return sorted(studies, key=lambda study: (study.newest_start, str(study.folder)), reverse=True)


def _ancestor(path: Path, levels: int) -> Path:
    # Absolute, so that a target given as `seed-0` has parents; not resolved, so that links stay as named.
    for _ in range(levels):
        path = Path(os.path.abspath(path)).parent
    return path


def _with_digest(studies: Sequence[Study], digest: str | None, folder: Path) -> list[Study]:
    if digest is None:
        return list(studies)
    fitting = [study for study in studies if study.digest.startswith(digest.lower())]
    distinct = {study.digest for study in fitting}
    if len(distinct) == 1:
        return fitting
    what = "fits several studies" if distinct else "fits no study"
    lines = "\n".join(f"  {study}" for study in (fitting or studies))
    raise ResultsError(f"--digest {digest!r} {what} in {folder}; there are:\n{lines}")
