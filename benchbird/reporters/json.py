"""The leaderboard as one JSON document: the schema's number and every field, in full precision."""

from __future__ import annotations

import json
from typing import Any

from benchbird.contract import ReporterSpec, hookimpl
from benchbird.plain_text import plain_text
from benchbird.record_json import json_value
from benchbird.records import SCHEMA_VERSION
from benchbird.standings import Leaderboard

BENCHBIRD_API = 1


def render(leaderboard: Leaderboard) -> str:
    """`{"schema": …, and the leaderboard's fields}`; undefined scores are null."""
    document = {"schema": SCHEMA_VERSION, **_plain(json_value(leaderboard))}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, dict):
        return {plain_text(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


@hookimpl
def benchbird_reporters() -> list[ReporterSpec]:
    """The JSON reporter."""
    return [ReporterSpec(name="json", suffix=".json", render=render, summary="full precision, for a program")]
