"""Documents laid on one another: what a `--set` says, what merges, where relative paths start.

Owns the form of the layers; which layers there are and in which order is `config.py`'s.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from benchbird.config.strict_yaml import MAX_DEPTH, Document, KeyPath, Place, parse
from benchbird.errors import ConfigError, Fault


def merge(base: Document, over: Document) -> Document:
    """`over` laid on `base`: mappings merge, anything else is replaced whole, places along with it."""
    places = dict(base.places)

    def merged(below: object, above: object, path: KeyPath) -> object:
        if isinstance(below, dict) and isinstance(above, dict):
            result = dict(below)
            for key, value in above.items():
                result[key] = merged(below.get(key), value, (*path, key))
            if path:
                places[path] = over.places[path]
            return result
        for stale in _key_paths(below, path):
            places.pop(stale, None)
        places.update((new, over.places[new]) for new in _key_paths(above, path))
        return above

    return Document(merged(base.value, over.value, ()), places)


def override(text: str) -> Document:
    """What one `--set KEY=VALUE` says, as a document of its own."""
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    name = f"--set {text if text.isprintable() else ascii(text)}"
    name = name if len(name) <= 120 else f"{name[:119]}…"
    if not equals or not all(parts) or len(parts) > MAX_DEPTH or not key.isprintable():
        raise ConfigError([Fault(name, "", "expected KEY=VALUE, such as protocol.epochs=20")])
    if parts[0] == "profiles":
        raise ConfigError([Fault(name, "profiles", "profiles are set in the file, expected another key")])
    inner = parse(value, name, lines=False)
    outer: KeyPath = tuple(parts)
    places = {outer[:length]: Place(name, name) for length in range(len(outer))}
    places |= {(*outer, *path): place for path, place in inner.places.items()}
    tree = inner.value
    for part in reversed(parts):
        tree = {part: tree}
    return anchored(Document(tree, places), Path.cwd())


def anchored(document: Document, folder: Path) -> Document:
    """The same document with the paths it holds made absolute from `folder`."""

    def absolute(text: object) -> object:
        # An empty path is left to the schema; realpath, so that `..` behind a link means what it says.
        if not isinstance(text, str) or not text:
            return text
        return os.path.realpath(os.path.join(folder, os.path.expanduser(text)))

    value = dict(document.value) if isinstance(document.value, dict) else {}
    if isinstance(data := value.get("data"), dict):
        value["data"] = data = dict(data)
        if "root" in data:
            data["root"] = absolute(data["root"])
        if isinstance(also := data.get("also_test"), list):
            data["also_test"] = [absolute(root) for root in also]
    if isinstance(plugins := value.get("plugins"), list):
        value["plugins"] = [absolute(plugin) for plugin in plugins]
    return Document(value, document.places)


def _key_paths(value: object, path: KeyPath) -> Iterator[KeyPath]:
    """A value's own key path and those of everything in it."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _key_paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _key_paths(inner, (*path, index))
