"""What a trial's folder must hold if nobody altered it: its record, its files' hashes, its scores, its curve.

Owns the checks of one trial. What several trials must have in common is `verification.py`'s, predicting again
`reproduction.py`'s. Files may come from anyone: nothing in them is trusted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchbird import metrics
from benchbird.curve_checks import curve_findings
from benchbird.definitions import threshold_counts
from benchbird.durable import file_sha256, json_bytes
from benchbird.errors import ResultsError
from benchbird.findings import Finding, failed, incomplete, line_difference, notice, score_findings
from benchbird.foreign_weights import describe_weights_fault
from benchbird.further_results import FurtherTest, further_paths, is_current, is_further_name, read_further_test
from benchbird.metrics import histogram_borders
from benchbird.predictions import Predictions, SplitCounts, read_predictions
from benchbird.protocol import canonical_digest
from benchbird.record_json import SEAL, json_value, record_bytes
from benchbird.records import SplitScores, TrialRecord
from benchbird.results import LOG_FILE, MAX_RECORD_BYTES, RECORD_FILE, FoundRecord, RecordFault


@dataclass(frozen=True, kw_only=True)
class TrialCheck:
    """What was found in one trial's folder.

    Attributes:
        findings: in the order of the checks.
        data: what in its predictions belongs to the data and not to the model: name → digest. Trials of one
            study have it in common.
    """

    findings: tuple[Finding, ...]
    data: Mapping[str, str]


def check_trial(found: FoundRecord) -> TrialCheck:
    """Check a readable record and all that lies beside it."""
    record, folder = found.record, found.path.parent
    findings = [*_record_findings(found), *_file_findings(record, folder)]
    data: Mapping[str, str] = {}
    if record.status == "done":
        predictions, more = _predictions(record, folder)
        findings += more
        if predictions is not None:
            findings += [*_size_findings(record, predictions), *_score_findings(record, predictions)]
            data = _data_digests(predictions)
        findings += [*_weights_findings(record, folder), *curve_findings(record, folder)]
        findings += _further_findings(record, folder)
    return TrialCheck(findings=tuple(findings), data=data)


def check_fault(fault: RecordFault) -> Finding:
    """The finding that a record which can't be read is, with the fields that its seal tells to be altered."""
    if fault.path.name != RECORD_FILE:
        return failed(fault.path.name, "", fault.reason)
    field = _altered(fault.path)
    return failed(RECORD_FILE, field, fault.reason.removeprefix(f"{field}: "))


def _altered(path: Path) -> str:
    """The fields of a damaged record that its seal doesn't fit, or the line where it is no text any more."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_RECORD_BYTES:
            return ""
        content = path.read_bytes()
        raw = json.loads(content.decode())
        seal = raw[SEAL]
        return ", ".join(name for name, value in raw.items() if name != SEAL and seal.get(name) != _digest(value))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f"line {line}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""  # the reason says at which line


def _digest(value: object) -> str | None:
    try:
        return canonical_digest(value)
    except (ValueError, RecursionError):
        return None


def _record_findings(found: FoundRecord) -> Iterator[Finding]:
    try:
        difference = line_difference(found.path.read_bytes(), record_bytes(found.record))
    except OSError as error:
        yield failed(RECORD_FILE, "", f"could not be read: {error.strerror or error}")
        return
    if difference is not None:
        where, what = difference
        yield failed(RECORD_FILE, where, f"not as benchbird writes it: {what}")
    seed = re.fullmatch(r"seed-(\d{1,19})", found.path.parent.name)
    if seed is not None and int(seed[1]) != found.record.seed:
        yield failed(RECORD_FILE, "seed", f"the record says {found.record.seed}, its folder is {seed[0]}")


def _file_findings(record: TrialRecord, folder: Path) -> Iterator[Finding]:
    for name, sha256 in record.files.items():
        field = f"files.{name}"
        path = folder / name
        try:
            if path.is_symlink() or (path.exists() and not path.is_file()):
                yield failed(name, field, "found a link or special file, expected a plain file")
            elif not path.exists():
                yield incomplete(name, field, _missing(record, name))
            elif (given := file_sha256(path)) != sha256:
                yield failed(name, field, f"the record says SHA-256 {sha256}, the file has {given}")
        except OSError as error:
            yield failed(name, field, f"could not be read: {error.strerror or error}")
    expected = {RECORD_FILE, LOG_FILE, *record.files}
    for path in sorted(folder.iterdir()):
        if path.name not in expected and not is_further_name(path.name):
            yield notice(path.name, "", "no file of this trial")


def _missing(record: TrialRecord, name: str) -> str:
    if name == record.weights_file:
        return "not there, so it can't be re-evaluated"
    if name == record.predictions_file:
        return "not there, so the scores can't be recomputed"
    return "not there"


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _predictions(record: TrialRecord, folder: Path) -> tuple[Predictions | None, list[Finding]]:
    name = record.predictions_file
    if name is None:
        return None, [failed(RECORD_FILE, "predictions_file", "none, and a done trial has predictions")]
    if not _is_plain(folder / name):
        return None, []  # said already, with the hashes
    try:
        return read_predictions(folder / name), []
    except ResultsError as error:
        return None, [failed(name, f"files.{name}", str(error).removeprefix(f"{folder / name}: "))]


def _size_findings(record: TrialRecord, predictions: Predictions) -> Iterator[Finding]:
    stated = {
        "protocol.image_size": (record.protocol.get("image_size"), predictions.image_size),
        "data.n_test": (record.data.n_test, len(predictions)),
        "data.n_val": (record.data.n_val, len(predictions.val)),
        "data.n_recordings_test": (record.data.n_recordings_test, len(set(predictions.recording_ids))),
    }
    for field, (said, given) in stated.items():
        if said != given:
            yield failed(RECORD_FILE, field, f"the record says {said}, the predictions have {given}")


def _score_findings(record: TrialRecord, predictions: Predictions) -> Iterator[Finding]:
    yield from _histogram_findings(record, predictions)
    yield from _split_findings("scores", record.scores, predictions.val, predictions.test)
    yield from _split_findings("last_epoch", record.last_epoch, predictions.last_val, predictions.last_test)


def _histogram_findings(record: TrialRecord, predictions: Predictions) -> Iterator[Finding]:
    """Where the protocol's threshold is a border of the histogram, both must tell the same counts."""
    borders = histogram_borders().tolist()
    threshold = record.protocol.get("logit_threshold")
    if threshold not in borders:
        return
    for name, histogram, counts in (
        ("histogram", predictions.histogram, predictions.test),
        ("val_histogram", predictions.val_histogram, predictions.val),
    ):
        if not np.array_equal(threshold_counts(histogram)[:, borders.index(threshold)], counts.protocol):
            yield failed(str(record.predictions_file), name, "gives other counts at the protocol's threshold")


def _split_findings(
    where: str, said: SplitScores | None, val: SplitCounts | None, test: SplitCounts | None
) -> Iterator[Finding]:
    if said is None or val is None or test is None:
        if (said is None) != (test is None):
            has, lacks = ("predictions", "record") if said is None else ("record", "predictions")
            yield failed(RECORD_FILE, where, f"the {has} have it, the {lacks} don't")
        return
    for name, stated, counts in (("test", said.test, test), ("val", said.val, val)):
        computed = metrics.scores(counts.protocol, counts.native)
        yield from score_findings(RECORD_FILE, f"{where}.{name}", stated, computed)


def _data_digests(predictions: Predictions) -> dict[str, str]:
    def bird(counts: SplitCounts) -> bytes:
        pixels = [part for one in (counts.protocol, counts.native) for part in (one[:, 0] + one[:, 2], one.sum(1))]
        return np.stack(pixels).tobytes()

    parts = {
        "sample_ids": json.dumps(predictions.sample_ids).encode(),
        "recording_ids": json.dumps(predictions.recording_ids).encode(),
        "reference": predictions.reference.tobytes(),
        "native_counts": bird(predictions.test),
        "val_counts": bird(predictions.val),
    }
    return {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}


def _weights_findings(record: TrialRecord, folder: Path) -> Iterator[Finding]:
    from safetensors import SafetensorError, safe_open

    name = record.weights_file
    if name is None:
        yield failed(RECORD_FILE, "weights_file", "none, and a done trial has weights")
        return
    if not _is_plain(folder / name):
        return  # said already, with the hashes
    try:
        with safe_open(folder / name, framework="np") as tensors:
            tensors.keys()
    except (SafetensorError, OSError, ValueError) as error:
        with (folder / name).open("rb") as stream:
            head = stream.read(4)
        yield failed(name, f"files.{name}", describe_weights_fault(head, error))


def _further_findings(record: TrialRecord, folder: Path) -> Iterator[Finding]:
    known = set()
    for path in further_paths(folder):
        known |= {path.name, path.with_suffix(".npz").name}
        try:
            test = read_further_test(path)
        except ResultsError as error:
            yield failed(path.name, "", str(error).removeprefix(f"{path}: "))
            continue
        yield from _further_test_findings(record, path, test)
    for path in sorted(folder.glob("also-*.npz")):
        if is_further_name(path.name) and path.name not in known:
            yield notice(path.name, "", "predictions without their scores, as an interrupted run leaves them")


def _further_test_findings(record: TrialRecord, path: Path, test: FurtherTest) -> Iterator[Finding]:
    if difference := line_difference(path.read_bytes(), json_bytes(json_value(test))):
        yield failed(path.name, difference[0], f"not as benchbird writes it: {difference[1]}")
    if not is_current(test, record):
        yield failed(path.name, "study, weights_sha256", "those of another trial")
    beside = path.with_name(test.predictions_file)
    if not beside.exists():
        yield incomplete(beside.name, "", "not there, so its scores can't be recomputed")
        return
    try:
        if _is_plain(beside) and (given := file_sha256(beside)) != test.predictions_sha256:
            what = f"{path.name} says SHA-256 {test.predictions_sha256}, the file has {given}"
            yield failed(beside.name, "predictions_sha256", what)
        predictions = read_predictions(beside)
    except (ResultsError, OSError) as error:
        yield failed(beside.name, "predictions_sha256", str(error).removeprefix(f"{beside}: "))
        return
    if (n := len(set(predictions.recording_ids))) != test.n_recordings:
        yield failed(path.name, "n_recordings", f"says {test.n_recordings}, the predictions have {n}")
    computed = metrics.scores(predictions.test.protocol, predictions.test.native)
    yield from score_findings(path.name, "scores", test.scores, computed)
