"""What differs between two sets of records, key by key: protocol, data, machine and segmenter.

Owns what is listed and under which key. Whether a difference in scores follows from it is nobody's to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchbird.record_json import json_value
from benchbird.records import TrialRecord

ENVIRONMENT_FACTS = ("device", "accelerator", "cpu", "threads", "packages")
"""What a machine can change numbers by."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that differs.

    Attributes:
        key: dotted, such as `protocol.optimizer.lr`.
        before: JSON value; None where there is no such key.
        after: likewise.
    """

    key: str
    before: Any
    after: Any


def study_changes(before: Sequence[TrialRecord], after: Sequence[TrialRecord]) -> tuple[Change, ...]:
    """What differs in protocol and data; each side's records are of one study."""
    return _changes(_study_facts(before[0]), _study_facts(after[0]))


def environment_changes(before: Sequence[TrialRecord], after: Sequence[TrialRecord]) -> tuple[Change, ...]:
    """What differs in the machines; a fact that differs within one side is the list of what it was there."""
    return _changes(_environment_facts(before), _environment_facts(after))


def segmenter_changes(before: TrialRecord, after: TrialRecord) -> tuple[Change, ...]:
    """What differs in two records' segmenters, their labels apart."""
    return _changes(_segmenter_facts(before), _segmenter_facts(after))


def _study_facts(record: TrialRecord) -> dict[str, Any]:
    # The digest follows from the other keys.
    protocol = {key: value for key, value in record.protocol.items() if key != "digest"}
    return {"protocol": protocol, "data": record.data}


def _environment_facts(records: Sequence[TrialRecord]) -> dict[str, Any]:
    facts: dict[str, list[Any]] = {}
    for record in records:
        chosen = {name: getattr(record.environment, name) for name in ENVIRONMENT_FACTS}
        for key, value in _flat({"environment": chosen}):
            values = facts.setdefault(key, [])
            if value not in values:
                values.append(value)
    return {key: values[0] if len(values) == 1 else sorted(values, key=_spelled) for key, values in facts.items()}


def _segmenter_facts(record: TrialRecord) -> dict[str, Any]:
    facts = json_value(record.segmenter)
    # Of a trial in a tuned track: its learning rate, which is none of the segmenter's options.
    chosen = {key: value for key, value in facts["non_default_options"].items() if key not in facts["options"]}
    return {**{key: facts[key] for key in ("name", "options", "plugin", "source_sha256", "pretraining")}, **chosen}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    first, second = dict(_flat(before)), dict(_flat(after))
    return tuple(
        Change(key=key, before=first.get(key), after=second.get(key))
        for key in dict.fromkeys([*first, *second])
        if _spelled(first.get(key)) != _spelled(second.get(key))
    )


def _flat(facts: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything that isn't a mapping with something in it."""
    for key, value in json_value(facts).items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _spelled(value: Any) -> str:
    # In Python 1 is True and 1.0; in a record they are three things.
    return json.dumps(value, sort_keys=True)
