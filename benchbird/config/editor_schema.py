"""The JSON Schema of a benchmark file, for editors: completion, explanations, and a red line under a wrong key.

    python -m benchbird.config.editor_schema > benchmarks/benchmark.schema.json

Owns its form. It is made of the models that a run checks a file with (`schema.py`); a run checks more than a schema can
say.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from benchbird.config import schema
from benchbird.protocol import Protocol

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*)$")


def editor_schema() -> dict[str, Any]:
    """The schema as a JSON document."""
    document = schema.BenchmarkSchema.model_json_schema()
    definitions: dict[str, Any] = document.pop("$defs")
    explained = {kind.__name__: kind for kind in _models()}
    for name, definition in definitions.items():
        if name in explained:
            _explain(definition, explained[name])
    document["description"] = "Data, protocol, segmenters and seeds of one study, and profiles that change them."
    # One text may stand for a list of one.
    where = definitions["DataConfig"]["properties"]["where"]
    where["additionalProperties"] = {"anyOf": [{"type": "string"}, where["additionalProperties"]]}
    # An entry that is only a name may stand as that name.
    entries = document["properties"]["segmenters"]["items"]
    document["properties"]["segmenters"]["items"] = {"anyOf": [{"type": "string"}, entries]}
    part = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: value for key, value in document["properties"].items() if key != "name"},
    }
    document["properties"]["profiles"] = {
        "description": "Named sets of overrides; `--profile NAME` takes one.",
        "type": "object",
        "additionalProperties": part,
    }
    document["title"] = "benchbird benchmark"
    return {"$schema": DIALECT, **_without_titles(document), "$defs": _without_titles(definitions)}


def _models() -> list[type]:
    """Every class that the schema is made of, dataclasses of the protocol among them."""
    found = [
        one
        for module in (schema, sys.modules[Protocol.__module__])
        for one in vars(module).values()
        if isinstance(one, type)
    ]
    return [one for one in found if issubclass(one, BaseModel) or dataclasses.is_dataclass(one)]


def _explain(definition: dict[str, Any], kind: type) -> None:
    """Put what a class's docstring says of its attributes beside each of them."""
    text = (kind.__doc__ or "").expandtabs()
    definition["description"] = text.split("\n\n")[0].strip()
    for name, said in _attributes(text).items():
        if name in definition.get("properties", {}):
            definition["properties"][name]["description"] = said


def _attributes(text: str) -> dict[str, str]:
    """Attribute → explanation, of a docstring whose `Attributes:` are indented once more than itself."""
    _, _, block = text.partition("Attributes:\n")
    lines = block.splitlines()
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    said: dict[str, list[str]] = {}
    last = None
    for line in lines:
        if not line.strip():
            break
        found = _ATTRIBUTE.match(" " * 4 + line[indent:])
        if found and not line[indent:].startswith(" "):
            last, first = found[1], found[2]
            said[last] = [first]
        elif last is not None:
            said[last].append(line.strip())
    return {name: " ".join(parts) for name, parts in said.items()}


def _without_titles(value: Any) -> Any:
    """Without the titles that repeat a key's name; the document's own stays."""
    if isinstance(value, Mapping):
        return {
            key: _without_titles(inner)
            for key, inner in value.items()
            if not (key == "title" and isinstance(inner, str) and inner != "benchbird benchmark")
        }
    return [_without_titles(inner) for inner in value] if isinstance(value, list) else value


def document_text() -> str:
    """The file's text."""
    return json.dumps(editor_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document_text())
