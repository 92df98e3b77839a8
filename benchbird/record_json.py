"""A trial's record as JSON, written and read strictly: records come from other people and aren't trusted.

Owns what a valid record is. Where the file lies and how it reaches the disk is for `results.py`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from benchbird.durable import json_bytes
from benchbird.errors import ResultsError
from benchbird.plain_text import plain_text
from benchbird.protocol import canonical_digest, study_digest
from benchbird.records import LATER, SCHEMA_VERSION, Scores, TrialRecord

if TYPE_CHECKING:
    from pydantic import TypeAdapter

CHECK_VERSION = 1
"""Changes when `parse_record` refuses what it took before, so that what the index remembers is checked anew."""

_MAX_NUMBER = 1e18


def json_value(value: object) -> Any:
    """`value` with dataclasses and mappings as dicts and tuples as lists, field order kept."""
    if value is None or isinstance(value, str | int | float):  # most of them, and the others ask more
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {field.name: json_value(one) for field, one in found if one is not None or field.metadata != LATER}
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return value


SEAL = "seal"
"""The key under which a record's file holds a digest of each of its other fields."""


def record_to_json(record: TrialRecord) -> dict[str, Any]:
    """The record as JSON values with its seal, as `parse_record` takes them back."""
    document = json_value(record)
    assert isinstance(document, dict)
    return {**document, SEAL: {name: canonical_digest(value) for name, value in document.items()}}


def record_bytes(record: TrialRecord) -> bytes:
    """The one spelling of a record's file, byte for byte."""
    return json_bytes(record_to_json(record))


def parse_record(content: bytes) -> TrialRecord:
    """The record in `content`, UTF-8 JSON of any origin.

    Raises:
        ValueError: one sentence that says what is wrong.
    """
    from pydantic import ValidationError

    try:
        raw = json.loads(
            content.decode(),
            parse_constant=_refuse_constant,
            parse_float=_bounded_float,
            parse_int=_bounded_int,
            object_pairs_hook=_unique_keys,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text at byte {error.start}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"not whole JSON at {where}: {error.msg}; delete it to run the trial again") from error
    except RecursionError as error:
        raise ValueError("nested too deeply to be a record") from error
    _check_schema(raw)
    broken = _broken_seals(raw)
    try:
        (sealed,) = _adapter().validate_json(b"[%b]" % content)
    except ValidationError as error:
        raise ValueError(_describe_faults(error)) from error
    record = _without_seal(sealed)
    if faults := [*broken, *_inconsistencies(record)]:
        raise ValueError("; ".join(faults))
    return record


def parse_checked_record(content: bytes) -> TrialRecord:
    """What `parse_record` gives of bytes that it has taken before, without its checks.

    Raises:
        ValueError: it can't have taken them.
    """
    (sealed,) = _adapter().validate_json(b"[%b]" % content)
    return _without_seal(sealed)


def _without_seal(record: _SealedRecord) -> TrialRecord:
    return TrialRecord(**{name: value for name, value in vars(record).items() if name != SEAL})


def _broken_seals(raw: Mapping[str, Any]) -> list[str]:
    """The fields that are no longer as the record's writer left them."""
    seal = raw.get(SEAL)
    if not isinstance(seal, dict):
        return [f"{SEAL}: missing, so nothing tells whether the record is as it was written"]
    fields = [name for name in raw if name != SEAL]
    altered = [name for name in fields if seal.get(name) != _digest(raw[name])]
    faults = [f"{plain_text(name, 80)}: altered since the record was written" for name in altered]
    if left := [plain_text(name, 80) for name in seal if name not in raw]:
        faults.append(f"{', '.join(left)}: sealed, but no longer there")
    return faults


def _digest(value: object) -> str | None:
    try:
        # No float: 0.0 and -0.0 are one key.
        if value is None or isinstance(value, str | int):
            return _short_digest(value)
        return canonical_digest(value)
    except (ValueError, RecursionError):
        return None


@lru_cache(maxsize=4096, typed=True)
def _short_digest(value: str | int | None) -> str:
    """Remembered, since the records of a study have most of their short fields in common."""
    return canonical_digest(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _SealedRecord(TrialRecord):
    """A record as it lies in its file; the seal is checked apart."""

    seal: Any = None


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[list[_SealedRecord]]:
    from pydantic import ConfigDict, TypeAdapter

    # pydantic takes no config for a bare dataclass, but hands a list's config down to every dataclass in it.
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return TypeAdapter(list[_SealedRecord], config=config)


def _describe_faults(error: Any) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [
        # A key that nobody expected is the writer's own text.
        f"{plain_text('.'.join(str(part) for part in fault['loc'][1:]), 80)}: {fault['msg']}"
        for fault in faults[:5]
    ]
    more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
    return f"not a trial record of schema {SCHEMA_VERSION}: {'; '.join(lines)}{more}"


def _check_schema(raw: object) -> None:
    if not isinstance(raw, dict):
        raise ValueError(f"found {type(raw).__name__}, expected a JSON object")
    schema = raw.get("schema")
    if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
        raise ValueError("schema: no schema number, so this is no trial record")
    if schema < SCHEMA_VERSION:
        raise ValueError(
            f"written by an older benchbird (schema {schema}, this one reads {SCHEMA_VERSION}): it lacks what "
            "intervals and checks need; run the benchmark again"
        )
    if schema > SCHEMA_VERSION:
        raise ValueError(
            f"written by a newer benchbird (schema {schema}, this one reads {SCHEMA_VERSION}); "
            "update benchbird to read it"
        )


def _refuse_constant(text: str) -> float:
    raise ValueError(f"found {text}, which is not JSON; expected a number or null")


def _bounded_float(text: str) -> float:
    value = float(text)
    if not -_MAX_NUMBER < value < _MAX_NUMBER:
        raise ValueError(f"found a number beyond ±{_MAX_NUMBER:g}")
    return value


def _bounded_int(text: str) -> int:
    # The length is checked first: turning a million digits into a number is slow, and Python refuses it.
    if len(text) > 19 or not -_MAX_NUMBER < int(text) < _MAX_NUMBER:
        raise ValueError(f"found a number beyond ±{_MAX_NUMBER:g}")
    return int(text)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return result


def _inconsistencies(record: TrialRecord) -> Iterator[str]:
    """What contradicts itself in a record whose fields have the right types."""
    protocol = {key: value for key, value in record.protocol.items() if key != "digest"}
    if record.protocol.get("digest") != canonical_digest(protocol):
        yield "protocol.digest: not the digest of this protocol; the record was altered"
    elif record.study != study_digest(record.protocol["digest"], record.data.digest):
        yield "study: not the digest of this protocol and data; the record was altered"
    for key in ("predictions_file", "weights_file"):
        name = getattr(record, key)
        if name is not None and not _is_plain_name(name):
            yield f"{key}: found {name[:80]!r}, expected a file name in the record's own folder"
    if (record.status == "done") != (record.scores is not None and record.timing is not None):
        expected = "scores and timing" if record.status == "done" else "no scores and timing"
        yield f"status: {record.status}, expected {expected}"
    for name, scores in (("scores", record.scores), ("last_epoch", record.last_epoch)):
        if scores is not None:
            yield from _score_faults(f"{name}.val", scores.val)
            yield from _score_faults(f"{name}.test", scores.test)
    for name, sha256 in record.files.items():
        if not _is_plain_name(name) or re.fullmatch("[0-9a-f]{64}", sha256) is None:
            yield f"files: found {name[:80]!r}: {sha256[:70]!r}, expected a file's name and its SHA-256"
    for key in ("predictions_file", "weights_file"):
        if getattr(record, key) is not None and getattr(record, key) not in record.files:
            yield f"{key}: found no SHA-256 of it in files"
    if record.timing is not None and any(value < 0 for value in _numbers(json_value(record.timing))):
        yield "timing: found a negative number"
    if _moment(record.started_at) is None:
        yield f"started_at: found {record.started_at[:40]!r}, expected an ISO 8601 time with its offset"
    counted = (record.seed, record.initialisation_seed, record.attempts, record.duration_s, record.best_epoch or 0)
    if min(counted) < 0:
        yield "seed, initialisation_seed, best_epoch, attempts, duration_s: found a negative number"
    if not record.segmenter.label.strip():
        yield "segmenter.label: empty"
    if (fold := record.data.fold) is not None and not (fold.of >= 3 and 1 <= fold.number <= fold.of):
        yield f"data.fold: found number {fold.number} of {fold.of}, expected 1 to the number of folds, at least 3"


def _score_faults(where: str, scores: Scores) -> Iterator[str]:
    for name, value in vars(scores).items():
        if isinstance(value, float) and not 0 <= value <= 1:
            yield f"{where}.{name}: found {value:g}, expected a number from 0 to 1"


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)
    elif isinstance(value, int | float):
        yield value


def _is_plain_name(name: str) -> bool:
    is_special = name in ("", ".") or ".." in name or not name.isprintable()
    return not is_special and not any(character in name for character in "/\\:") and len(name) <= 255


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def started_moment(record: TrialRecord) -> datetime:
    """When the trial was first started.

    Raises:
        ResultsError: `started_at` is no ISO 8601 time with its offset.
    """
    moment = _moment(record.started_at)
    if moment is None:
        raise ResultsError(f"started_at: found {record.started_at[:40]!r}, expected an ISO 8601 time with offset")
    return moment
