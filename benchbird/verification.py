"""Verifying results: every trial by itself, then what the trials of one study must have in common.

Owns the report. The checks of one trial are `trial_checks.py`'s, predicting again is `reproduction.py`'s.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from benchbird.errors import ResultsError
from benchbird.findings import Finding, failed
from benchbird.protocol import SEARCH_SUFFIX, canonical_digest
from benchbird.record_json import json_value
from benchbird.records import TrialRecord
from benchbird.results import PUBLISHED_FOLDER, RECORD_FILE, FoundRecord, find_records
from benchbird.trial_checks import check_fault, check_trial
from benchbird.tuning import RULE_FILE

TrialStatus = Literal["ok", "incomplete", "failed"]


@dataclass(frozen=True, kw_only=True)
class TrialReport:
    """What verification says of one trial.

    Attributes:
        folder: the trial's, relative to what was verified.
        found: its record, or None where it can't be read.
        findings: in the order of the checks.
    """

    folder: Path
    found: FoundRecord | None
    findings: tuple[Finding, ...]

    @property
    def status(self) -> TrialStatus:
        """The gravest of the findings."""
        severities = {finding.severity for finding in self.findings}
        if "failed" in severities:
            return "failed"
        return "incomplete" if "incomplete" in severities else "ok"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What verification says of all trials below a folder.

    Attributes:
        trials: by path.
        unended: trials without a record, which there is nothing to say of.
    """

    trials: tuple[TrialReport, ...]
    unended: int

    def count(self, status: TrialStatus) -> int:
        """How many trials have this status."""
        return sum(trial.status == status for trial in self.trials)

    def is_sound(self, *, allow_missing: bool) -> bool:
        """Whether nothing contradicts anything and, unless that is allowed, nothing is missing."""
        return self.count("failed") == 0 and (allow_missing or self.count("incomplete") == 0)

    @property
    def reproducible(self) -> tuple[FoundRecord, ...]:
        """The done trials without contradiction whose weights and predictions are there."""
        sound = [trial for trial in self.trials if trial.status != "failed"]
        return tuple(one.found for one in sound if one.found is not None and _can_predict(one, one.found.record))

    @property
    def summary(self) -> str:
        """One line: `12 trials: 11 ok, 1 failed`."""
        parts = [f"{self.count('ok')} ok"]
        parts += [f"{self.count(status)} {status}" for status in ("incomplete", "failed") if self.count(status)]
        trials = "1 trial" if len(self.trials) == 1 else f"{len(self.trials)} trials"
        return f"{trials}: {', '.join(parts)}"

    def with_findings(self, more: Mapping[Path, Sequence[Finding]]) -> Verification:
        """The same with further findings, by the path of the record."""
        return replace(
            self,
            trials=tuple(
                replace(trial, findings=(*trial.findings, *more.get(trial.found.path, ()))) if trial.found else trial
                for trial in self.trials
            ),
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "summary": {"trials": len(self.trials), **{one: self.count(one) for one in ("ok", "incomplete", "failed")}},
            "unended": self.unended,
            "trials": [_document(trial) for trial in self.trials],
        }


def _can_predict(trial: TrialReport, record: TrialRecord) -> bool:
    missing = {finding.file for finding in trial.findings if finding.severity == "incomplete"}
    return record.status == "done" and not missing & {record.weights_file, record.predictions_file}


def _document(trial: TrialReport) -> dict[str, Any]:
    record = trial.found.record if trial.found is not None else None
    return {
        "folder": trial.folder.as_posix(),
        "status": trial.status,
        "study": record.study if record is not None else None,
        "label": record.segmenter.label if record is not None else None,
        "seed": record.seed if record is not None else None,
        "findings": [json_value(finding) for finding in trial.findings],
    }


def verify(folder: Path) -> Verification:
    """Check every trial below a folder: a results root, benchmark, study, segmenter or trial.

    Raises:
        ResultsError: there is no such folder, or no record in it.
    """
    if not folder.is_dir():
        raise ResultsError(f"{folder}: no such folder, expected a results root, or any folder below one")
    scan = find_records(folder)
    if not scan.found and not scan.faults:
        if (folder / RULE_FILE).is_file():
            raise ResultsError(
                f"{folder}: a tuned track holds no trials of its own; they lie in {folder.parent}, and those that "
                f"chose its learning rates in {folder.parent}{SEARCH_SUFFIX}"
            )
        published = folder / PUBLISHED_FOLDER
        hint = f"; what was published is verified by itself: {published}" if published.is_dir() else ""
        raise ResultsError(f"{folder}: no trial has ended here, so there is nothing to verify{hint}")
    checks = {one.path: check_trial(one) for one in scan.found}
    findings = {path: list(check.findings) for path, check in checks.items()}
    for path, finding in _disagreements(scan.found, {path: check.data for path, check in checks.items()}, folder):
        findings[path].append(finding)
    reports = [_report(folder, one.path, one, findings[one.path]) for one in scan.found]
    reports += [_report(folder, fault.path, None, [check_fault(fault)]) for fault in scan.faults]
    return Verification(trials=tuple(sorted(reports, key=lambda one: one.folder)), unended=len(scan.unended))


def _report(root: Path, path: Path, found: FoundRecord | None, findings: Sequence[Finding]) -> TrialReport:
    return TrialReport(folder=_below(root, path.parent), found=found, findings=tuple(findings))


def _below(root: Path, folder: Path) -> Path:
    """A trial's folder as it is shown: relative to the root, or by its own name where it is the root."""
    relative = Path(os.path.relpath(folder, root))
    return relative if relative.parts else Path(Path(os.path.abspath(folder)).name)


def _disagreements(
    found: Sequence[FoundRecord], digests: Mapping[Path, Mapping[str, str]], root: Path
) -> Iterator[tuple[Path, Finding]]:
    """What a trial says of the data otherwise than most trials of its study."""
    studies: dict[str, list[FoundRecord]] = defaultdict(list)
    for one in found:
        studies[one.record.study].append(one)
    for trials in studies.values():
        summaries = {one.path: _summary_digests(one.record) for one in trials}
        arrays = {one.path: digests[one.path] for one in trials if digests[one.path]}
        files = {one.path: str(one.record.predictions_file) for one in trials}
        for path, name, other in _outliers(summaries):
            yield path, failed(RECORD_FILE, f"data.{name}", _differs(root, other))
        for path, name, other in _outliers(arrays):
            yield path, failed(files[path], name, _differs(root, other))


def _summary_digests(record: TrialRecord) -> dict[str, str]:
    return {name: canonical_digest(value) for name, value in json_value(record.data).items()}


def _differs(root: Path, other: Path) -> str:
    return f"other data than in most trials of the study, such as {_below(root, other.parent)}"


def _outliers(values: Mapping[Path, Mapping[str, str]]) -> Iterator[tuple[Path, str, Path]]:
    """Each trial whose digest isn't the most frequent one, what it is of, and a trial that has that one."""
    for name in next(iter(values.values()), {}):
        # Of equally frequent ones the first by path counts, so that the answer doesn't depend on chance.
        usual, _ = Counter(one[name] for one in values.values()).most_common(1)[0]
        example = next(path for path, one in values.items() if one[name] == usual)
        for path, one in values.items():
            if one[name] != usual:
                yield path, name, example
