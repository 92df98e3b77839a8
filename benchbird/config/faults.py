"""The words for what is wrong with a benchmark's values, and the checks that span several keys.

Turns pydantic's findings into `Fault`s with a place, a key path and plain words. It reads no file, knows
no profile and no plugin.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from benchbird.config.schema import SLUG_LENGTH, BenchmarkSchema, key_paths, section_keys
from benchbird.config.strict_yaml import MAX_FAULTS, Document, KeyPath, Place, dotted, shown
from benchbird.errors import Fault
from benchbird.protocol import SEARCH_SUFFIX, Tuning

# A section that says nothing (`limits:`) has its defaults, as if it weren't there. Outer ones first.
_SECTIONS = (("data",), ("protocol",), ("limits",), ("plugins",),
             ("data", "synthetic"), ("data", "options"), ("data", "where"), ("data", "also_test"),
             ("protocol", "optimizer"))  # fmt: skip
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


def place_of(places: Mapping[KeyPath, Place], path: KeyPath) -> tuple[KeyPath, Place]:
    """The nearest entry at or above a key path that somebody wrote, and its place."""
    while path not in places and path:
        path = path[:-1]
    return path, places[path]


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """`did you mean 'epochs'?`, or the list of what is known where nothing is near."""
    names = list(known)
    near = difflib.get_close_matches(wrong.lower(), names, n=1) if len(wrong) <= 100 else []
    if near:
        return f"did you mean {near[0]!r}?"
    return f"expected {'one of ' if len(names) > 1 else ''}{', '.join(names) or 'none'}"


def validate(document: Document, *, partial: bool = False) -> tuple[BenchmarkSchema | None, list[Fault]]:
    """Check a merged document against the schema.

    Args:
        document: a mapping, profiles taken out.
        partial: whether keys may be missing, because a profile supplies them.

    Returns:
        The values (None if there are faults) and every fault, in the order of the document's lines.
    """
    value = _normalised(document.value)
    faults = _spanning_faults(value, document.places)
    schema = None
    try:
        schema = BenchmarkSchema.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        for detail in error.errors(include_url=False)[:MAX_FAULTS]:
            is_lack = detail["type"] in ("missing", "too_short")
            # Items that failed don't count for pydantic, but they do for their author.
            if (partial and is_lack) or (
                detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]
            ):
                continue
            faults.append(_fault(detail, document.places))
    return (None if faults else schema), in_order(faults)


def in_order(faults: Sequence[Fault]) -> list[Fault]:
    """Faults by line and column, each once; those of options last."""

    def position(fault: Fault) -> tuple[float, int]:
        match = re.search(r":(\d+):(\d+)$", fault.where)
        return (int(match[1]), int(match[2])) if match else (float("inf"), 0)

    return sorted(dict.fromkeys(faults), key=position)


def _normalised(value: Any) -> dict[str, Any]:
    """The document as the schema wants it: names of segmenters as mappings, empty sections left out."""
    normal = json.loads(json.dumps(value))
    for path in _SECTIONS:
        parent = normal if len(path) == 1 else normal.get(path[0])
        if isinstance(parent, dict) and parent.get(path[-1], 0) is None:
            del parent[path[-1]]
    entries = _list(normal, "segmenters")
    for index, entry in enumerate(entries):
        if isinstance(entry, str):
            entries[index] = {"name": entry}
        for key in ("label", "options"):
            if isinstance(entry, dict) and entry.get(key, 0) is None:
                del entry[key]
    assert isinstance(normal, dict)
    return normal


def _spanning_faults(value: dict[str, Any], places: Mapping[KeyPath, Place]) -> list[Fault]:
    def fault(path: KeyPath, message: str) -> Fault:
        written, place = place_of(places, path)
        return Fault(place.value, dotted(written), message)

    faults: list[Fault] = []
    data = value.get("data")
    if isinstance(data, dict):
        if data.get("name") == "synthetic" and data.get("root") is not None:
            message = "found a folder, expected none: 'synthetic' is made, not read"
            faults.append(fault(("data", "root"), message))
        faults += [fault(("data", key), message) for key, message in _fold_faults(data)]
        if isinstance(synthetic := data.get("synthetic"), dict) and synthetic:
            faults.extend(_synthetic_faults(synthetic, places))
    first: dict[str, int] = {}
    for index, entry in enumerate(_list(value, "segmenters")):
        label = (entry.get("label") or entry.get("name")) if isinstance(entry, dict) else None
        if isinstance(label, str) and first.setdefault(label, index) != index:
            twice = f"found the label {shown(label)} a second time (first: segmenters[{first[label]}])"
            faults.append(fault(("segmenters", index, "label"), f"{twice}, expected a label of its own"))
    seeds = _list(value, "seeds")[:MAX_FAULTS]
    for index, seed in enumerate(seeds):
        if seed in seeds[:index]:
            twice = f"found {shown(seed)} a second time, expected each seed once"
            faults.append(fault(("seeds", index), twice))
    faults += [fault(path, message) for path, message in _tuning_faults(value)]
    return faults[:MAX_FAULTS]


def _fold_faults(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What `folds`, `fold` and `sizes` say against one another: the key, and what is wrong."""
    folds, fold = data.get("folds"), data.get("fold")
    if folds is not None and data.get("sizes") is not None:
        yield "sizes", "found sizes beside folds, expected none (data.sizes=): every sample is in one of the folds"
    if folds is None and fold is not None:
        yield "fold", f"found {shown(fold)}, expected none without data.folds"
    if isinstance(folds, int) and isinstance(fold, int) and fold > folds:
        yield "fold", f"found {shown(fold)}, expected at most {folds}, the number of folds"


def _tuning_faults(value: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """What `tuning` and the rest of a benchmark say against one another: where, and what is wrong."""
    tuning, data, name = value.get("tuning"), value.get("data"), value.get("name")
    if not isinstance(tuning, dict):
        return
    rates = _list(tuning, "learning_rates")[:MAX_FAULTS]
    for index, rate in enumerate(rates):
        if rate in rates[:index]:
            yield ("tuning", "learning_rates", index), f"found {shown(rate)} a second time, expected each rate once"
    seed = tuning.get("seed", Tuning.seed)
    if type(seed) is int and seed in (_list(value, "seeds") or [0]):
        expected = "expected one that isn't among seeds: a result would have the luck that its rate was chosen for"
        yield ("tuning", "seed"), f"found tuning.seed {shown(seed)}, {expected}"
    if isinstance(data, dict) and data.get("folds") is not None:
        yield ("tuning",), "found together with data.folds, expected one of them"
    longest = SLUG_LENGTH - len(SEARCH_SUFFIX)
    if isinstance(name, str) and len(name) > longest:
        yield ("name",), f"found {len(name)} characters, expected at most {longest} beside a tuning"


def _list(value: dict[str, Any], key: str) -> list[Any]:
    return found if isinstance(found := value.get(key), list) else []


def _synthetic_faults(given: dict[str, Any], places: Mapping[KeyPath, Place]) -> list[Fault]:
    # Imported here: a benchmark without these settings has no need of the generator.
    import dataclasses

    from benchbird.data.synthetic.options import SyntheticOptions, option_faults

    known = [field.name for field in dataclasses.fields(SyntheticOptions)]
    faults = []
    for name in [name for name in given if name not in known][:MAX_FAULTS]:
        place = place_of(places, ("data", "synthetic", name))[1]
        faults.append(Fault(place.key, f"data.synthetic.{name}", f"unknown key, {suggestion(name, known)}"))
    for name, message in option_faults({name: given[name] for name in given if name in known}):
        place = place_of(places, ("data", "synthetic", name))[1]
        faults.append(Fault(place.value, f"data.synthetic.{name}", message))
    return faults


def _fault(detail: ErrorDetails, places: Mapping[KeyPath, Place]) -> Fault:
    path: KeyPath = detail["loc"]
    written, place = place_of(places, path)
    kind = detail["type"]
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return Fault(place.key, dotted(path), f"unknown key, {_suggested_key(path)}")
    if kind == "missing":
        return Fault(place.key, dotted(path), f"missing, expected {_MISSING.get(path[-1:], 'a value')}")
    found = shown(detail["input"])
    if isinstance(detail["input"], list) and not detail["input"]:
        found = "an empty list"
    return Fault(place.value, dotted(written), f"found {found}, {_expected(detail, path)}")


_MISSING: dict[KeyPath, str] = {
    ("name",): "a name",
    ("segmenters",): "a list of segmenters",
    ("train",): "a number of samples",
    ("val",): "a number of samples",
    ("test",): "a number of samples",
}


def _suggested_key(path: KeyPath) -> str:
    wrong, known = str(path[-1]), section_keys(path[:-1]) or ()
    if difflib.get_close_matches(wrong.lower(), known, n=1) or len(wrong) > 100:
        return suggestion(wrong, known)
    elsewhere = [dotted(other) for other in key_paths() if other[-1] == wrong]
    return f"did you mean {elsewhere[0]!r}?" if elsewhere else suggestion(wrong, known)


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


_EXPECTED: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "int_type": lambda _: "a whole number",
    "float_type": lambda _: "a number",
    "bool_type": lambda _: "true or false",
    "string_type": lambda _: "text",
    "tuple_type": lambda _: "a list",
    "dict_type": lambda _: "a mapping",
    "model_type": lambda _: "a mapping",
    "dataclass_type": lambda _: "a mapping",
    "greater_than": lambda context: f"a number greater than {_number(context['gt'])}",
    "greater_than_equal": lambda context: f"at least {_number(context['ge'])}",
    "less_than": lambda context: f"a number less than {_number(context['lt'])}",
    "less_than_equal": lambda context: f"at most {_number(context['le'])}",
    "too_short": lambda context: f"at least {context['min_length']}",
    "too_long": lambda context: f"at most {context['max_length']} items",
    # As YAML writes truth, where the values are Python's.
    "literal_error": lambda context: re.sub("False|True", lambda found: found[0].lower(), context["expected"]).replace(
        "'", ""
    ),
}


def _expected(detail: ErrorDetails, path: KeyPath) -> str:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if path[:1] == ("segmenters",) and len(path) == 2:
        return "expected a segmenter's name or a mapping with name, label and options"
    if path == ("data", "root") or path[:-1] in (("plugins",), ("data", "also_test")):
        return "expected a path"
    if kind not in _EXPECTED:
        return f"expected otherwise: {detail['msg']}"
    is_number = isinstance(given, str) and _NUMBER.fullmatch(given) is not None
    is_quoted = is_number if kind in ("int_type", "float_type") else given in ("true", "false")
    return f"expected {_EXPECTED[kind](context)}{' (without quotes)' if is_quoted else ''}"
