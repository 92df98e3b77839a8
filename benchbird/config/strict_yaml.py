"""Strict YAML: text in, plain values and the place of each of them out.

Reads the scalars of YAML 1.2's core schema, so `1e-4` is a number, `on` and `12:30` are text and `010` is
ten. Refuses what a benchmark never needs: aliases, tags, duplicate keys, several documents, NaN, and
anything large or deep. Knows nothing of benchmarks; never builds an object other than Python's plain ones.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchbird.errors import ConfigError, Fault

MAX_BYTES = 1 << 18  # a benchmark is a few thousand; PyYAML takes two seconds for this many
MAX_DEPTH = 32
MAX_VALUES = 10_000
MAX_FAULTS = 100
_MAX_DIGITS = 30  # Python refuses to read numbers of more than 4300 digits, and no setting is that long.

KeyPath = tuple[str | int, ...]

_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Place:
    """Where an entry stands, ready to be printed: `file:line:column`, or the option it came from.

    Attributes:
        key: of the entry's key; of the value itself for a list's item or the whole document.
        value: of the entry's value.
    """

    key: str
    value: str


@dataclass(frozen=True)
class Document:
    """One document: plain values (dict, list, str, int, float, bool, None) and the place of each."""

    value: object
    places: Mapping[KeyPath, Place]


def dotted(path: KeyPath) -> str:
    """A key path as people write it: `segmenters[1].options.encoder`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(value: object, limit: int = 60) -> str:
    """A value as a message shows it: as YAML writes it, shortened, control characters escaped."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def read_text(path: Path) -> str:
    """The UTF-8 text of a file.

    Raises:
        ConfigError: the file is missing, unreadable, not a regular file, too large or not UTF-8.
    """
    try:
        # Checked before opening: opening a named pipe would wait for ever.
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise ConfigError([Fault(str(path), "", "found a folder, expected a benchmark file (YAML)")])
        if not stat.S_ISREG(mode):
            raise ConfigError([Fault(str(path), "", "found a pipe or device, expected a file")])
        with open(path, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError([Fault(str(path), "", "no such file")]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError([Fault(str(path), "", f"can't be read: {reason}")]) from None
    if len(content) > MAX_BYTES:
        raise ConfigError([Fault(str(path), "", f"found a larger file, expected at most {MAX_BYTES} bytes")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _line_and_column(content[: error.start].decode("utf-8", "replace"))
        found = f"found byte 0x{content[error.start]:02x}, expected UTF-8 text"
        raise ConfigError([Fault(f"{path}:{line}:{column}", "", found)]) from None


def parse(text: str, name: str, *, lines: bool = True) -> Document:
    """Read one document.

    Args:
        text: the YAML.
        name: where it came from, as messages name it.
        lines: whether a place is `name:line:column` (a file) or `name` alone (an option).

    Returns:
        The values and their places; the place of the empty key path is the whole document's.

    Raises:
        ConfigError: it isn't strict YAML: the syntax error, or up to 100 other faults at once.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError([Fault(name, "", f"found a longer text, expected at most {MAX_BYTES} characters")])
    return _Builder(text, name, lines).document()


def _line_and_column(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


class _Builder:
    """Builds values straight from PyYAML's events: its resolver and constructors are never asked."""

    def __init__(self, text: str, name: str, lines: bool) -> None:
        self._text = text
        self._name = name
        self._lines = lines
        self._places: dict[KeyPath, Place] = {}
        self._faults: list[Fault] = []

    def document(self) -> Document:
        try:
            self._events = yaml.SafeLoader(self._text)
            self._next()  # the stream's start
            value: object = None
            if isinstance(self._next(), yaml.DocumentStartEvent):
                value = self._node((), self._next(), None)
                self._next()  # the document's end
                if isinstance(event := self._next(), yaml.DocumentStartEvent):
                    self._fault(event, (), "found a second document, expected one")
            else:
                self._places[()] = Place(self._at(1, 1), self._at(1, 1))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = self._at(mark.line + 1, mark.column + 1) if mark else self._name
            self._faults.append(Fault(where, "", _in_plain_words(error)))
        except yaml.reader.ReaderError as error:
            where = self._at(*_line_and_column(self._text[: error.position]))
            found = f"found the character U+{ord(self._text[error.position]):04X}, expected printable text"
            self._faults.append(Fault(where, "", found))
        except (ValueError, OverflowError):
            # PyYAML hands an escape such as "\UFFFFFFFF", or a version of a thousand digits, to Python as is.
            mark = self._events.get_mark()
            where = self._at(mark.line + 1, mark.column + 1)
            self._faults.append(Fault(where, "", "found an escape or number that can't be, expected text"))
        if self._faults:
            raise ConfigError(self._faults)
        return Document(value, self._places)

    def _next(self) -> yaml.Event:
        event = self._events.get_event()  # type: ignore[no-untyped-call]
        assert isinstance(event, yaml.Event)
        return event

    def _at(self, line: int, column: int) -> str:
        return f"{self._name}:{line}:{column}" if self._lines else self._name

    def _where(self, event: yaml.Event) -> str:
        mark = event.start_mark
        assert mark is not None
        return self._at(mark.line + 1, mark.column + 1)

    def _fault(self, event: yaml.Event, path: KeyPath, message: str) -> None:
        self._faults.append(Fault(self._where(event), dotted(path), message))
        if len(self._faults) >= MAX_FAULTS:
            raise ConfigError(self._faults)

    def _node(self, path: KeyPath, event: yaml.Event, key_where: str | None) -> object:
        where = self._where(event)
        self._places[path] = Place(key_where or where, where)
        if len(path) > MAX_DEPTH:
            self._fault(event, path[:3], f"found more than {MAX_DEPTH} levels, expected fewer")
            raise ConfigError(self._faults)
        if len(self._places) > MAX_VALUES:
            self._fault(event, path, f"found more than {MAX_VALUES} values, expected fewer")
            raise ConfigError(self._faults)
        if isinstance(event, yaml.AliasEvent):
            self._fault(event, path, f"found the alias *{event.anchor}, expected the value itself")
            return None
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        if event.anchor is not None:
            self._fault(event, path, f"found the anchor &{event.anchor}, expected none: write values out")
        if event.tag is not None:
            self._fault(event, path, f"found the tag {shown(event.tag)}, expected a plain value")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[object] = []
            while not isinstance(item := self._next(), yaml.SequenceEndEvent):
                items.append(self._node((*path, len(items)), item, None))
            return items
        assert isinstance(event, yaml.ScalarEvent)
        return self._scalar(path, event)

    def _mapping(self, path: KeyPath) -> dict[str, object]:
        mapping: dict[str, object] = {}
        first: dict[str, str] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._fault(event, path, "found a key that isn't a single word, expected text")
                raise ConfigError(self._faults)
            key = self._scalar(path, event)
            if event.anchor is not None or event.tag is not None:
                self._fault(event, path, f"found an anchor or tag at the key {shown(key)}, expected none")
            if not isinstance(key, str) or not key:
                self._fault(event, path, f"found {shown(key)} as a key, expected text")
                key = str(key)
            elif key in mapping:
                again = f"found the key a second time, expected it once (first: {first[key]})"
                self._fault(event, (*path, key), again)
            first.setdefault(key, self._where(event))
            mapping[key] = self._node((*path, key), self._next(), self._where(event))
        return mapping

    def _scalar(self, path: KeyPath, event: yaml.ScalarEvent) -> object:
        text: str = event.value
        if event.style or not event.implicit[0]:
            if control := _CONTROL.search(text):
                self._fault(event, path, f"found U+{ord(control[0]):04X} in text, expected none")
            return text
        if text in _NULLS:
            return None
        if text in _BOOLS:
            return _BOOLS[text]
        base = 10 if _INT.fullmatch(text) else 0 if _BASED_INT.fullmatch(text) else None
        if base is not None and len(text) > _MAX_DIGITS:
            self._fault(event, path, f"found {shown(text)}, expected a number of at most {_MAX_DIGITS} digits")
            return 0
        if base is not None:
            return int(text, base)
        if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
            number = float(text) if _FLOAT.fullmatch(text) else math.inf
            if math.isfinite(number):
                return number
            self._fault(event, path, f"found {text[:60]}, expected a finite number")
            return 0
        if control := _CONTROL.search(text):
            self._fault(event, path, f"found U+{ord(control[0]):04X} in text, expected none")
        return text


_PROBLEMS = {
    "mapping values are not allowed here": "found ':' inside a value, expected one key a line "
    "(put text that holds ': ' in quotes)",
    "could not find expected ':'": "found a line that is neither 'key: value' nor '- item', expected one",
    "found unexpected end of stream": "found the end of the text, expected the closing quote",
    "found unexpected document separator": "found a document separator, expected the closing quote",
}
_EXPECTED_FOUND = re.compile(r"(?:did not find )?expected (.*?),? (?:but found|but got|got) (.*)", re.DOTALL)
_TOKENS = {
    "'<stream end>'": "the end of the text",
    "'<block mapping start>'": "a key further to the right",
    "'<block sequence start>'": "a list item further to the right",
    "'<block end>'": "a line further to the left",
    "'<scalar>'": "text",
    "'<document start>'": "a second document",
    "'?'": "a key",
    "'-'": "a list item",
    "the node content": "a value",
}


def _in_plain_words(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem or error.context or error)
    if problem in _PROBLEMS:
        return _PROBLEMS[problem]
    if match := _EXPECTED_FOUND.fullmatch(problem):
        expected, found = match[1], match[2]
        if expected == "<block end>" and error.context_mark:
            expected = f"an entry as far to the right as that of line {error.context_mark.line + 1}"
        return f"found {_TOKENS.get(found, found)}, expected {_TOKENS.get(expected, expected)}"
    if "cannot start any token" in problem and r"'\t'" in problem:
        return "found a tab, expected spaces (or text in quotes)"
    if "cannot start any token" in problem:
        return f"{problem.replace(' that cannot start any token', '')}, expected a value (or text in quotes)"
    return problem if problem.startswith("found") else f"found what YAML doesn't allow: {problem}"
