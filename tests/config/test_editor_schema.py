"""What editors are told of a benchmark's keys is what a run checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from benchbird.config.editor_schema import document_text, editor_schema
from benchbird.config.schema import section_keys
from benchbird.config.strict_yaml import parse

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FILES = sorted(BENCHMARKS.glob("*.yaml"))


def test_the_file_is_what_the_models_say() -> None:
    written = (BENCHMARKS / "benchmark.schema.json").read_text(encoding="utf-8")
    assert written == document_text(), "stale: `make schema` writes it anew"


def test_it_is_a_schema_and_its_keys_are_those_of_the_models() -> None:
    schema = editor_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(schema["properties"]) == set(section_keys(()) or ())
    for section, name in (("data", "DataConfig"), ("protocol", "Protocol")):
        assert set(schema["$defs"][name]["properties"]) == set(section_keys((section,)) or ())
    explained = schema["$defs"]["DataConfig"]["properties"]
    assert explained["root"]["description"].startswith("the data set's folder; without one")
    assert all("description" in value for value in explained.values())


def content(path: Path) -> Any:
    return parse(path.read_text(encoding="utf-8"), str(path)).value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_benchmark_fits_and_names_it(path: Path) -> None:
    jsonschema.validate(content(path), editor_schema())
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=benchmark.schema.json\n")


@pytest.mark.parametrize(
    "change",
    [
        {"protocl": {}},
        {"protocol": {"epoch": 3}},
        {"protocol": {"resize": "nearest"}},
        {"seeds": "0"},
        {"data": {"where": {"kind": 3}}},
        {"profiles": {"cpu": {"name": "other"}}},
        {"profiles": {"cpu": {"protocol": {"epoch": 3}}}},
    ],
    ids=json.dumps,
)
def test_what_a_run_refuses_an_editor_marks(change: dict[str, Any]) -> None:
    sound = {"name": "small", "segmenters": ["threshold", {"name": "unet", "options": {}}], "seeds": [0]}
    jsonschema.validate(sound, editor_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**sound, **change}, editor_schema())
