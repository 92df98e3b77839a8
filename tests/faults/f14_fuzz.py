"""F14: made-up benchmark files, options and records, given to their readers by hypothesis."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, strategies

from benchbird.config.benchmark import load_benchmark
from benchbird.config.choices import resolve
from benchbird.config.schema import key_paths
from benchbird.errors import BenchbirdError
from benchbird.leaderboard import rank
from benchbird.protocol import canonical_digest
from benchbird.record_json import SEAL, record_to_json
from benchbird.registry import DATASETS, REPORTERS, SEGMENTERS, Registry, load_registry
from benchbird.reporters.rendering import render_leaderboard
from benchbird.results import read_record
from tests.faults.suite import Fault
from tests.record_factory import MALICIOUS_NAMES, make_record
from tests.small_bench import BENCHMARK

EXAMPLES = 500
CASES_A_READER = 10

_DOCUMENT: dict[str, Any] = {
    "name": "small", "data": {"root": "birds"}, "protocol": {"image_size": 16, "batch_size": 4, "epochs": 3},
    "segmenters": ["atrous_segnet", {"name": "threshold", "label": "floor"}], "seeds": [0, 1],
}  # fmt: skip
BASE = BENCHMARK + "profiles:\n  quick: {protocol: {epochs: 1}}\n"

_WORDS = sorted({part for path in key_paths() for part in path} | {"segmenters", "profiles", "atrous_segnet", "name"})
_NASTY = strategies.sampled_from((*MALICIOUS_NAMES, *_WORDS, "", "0", "1e400", "9" * 40, "~", "on", "0x1f", "nan"))
_SCALARS = strategies.one_of(
    strategies.none(), strategies.booleans(), strategies.integers(), strategies.floats(), strategies.text(max_size=20),
    _NASTY,
)  # fmt: skip
_VALUES: strategies.SearchStrategy[Any] = strategies.recursive(
    _SCALARS,
    lambda inner: (
        strategies.lists(inner, max_size=4)
        | strategies.dictionaries(strategies.sampled_from(_WORDS) | strategies.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
_YAML_PIECES = strategies.sampled_from(
    (*"[]{}:,-?&*!|>'\"%@`#\n \t\0\r\u2028", "- ", ": ", "? ", "&a ", "*a", "<<: ", "!!python/name:os.system ", "---\n",
     "...\n", "%YAML 1.1\n", "\ufeff", "  ", "'", *_WORDS)
)  # fmt: skip


@strategies.composite
def edits(draw: strategies.DrawFn, text: str) -> str:
    """`text` with a few pieces put in, taken out or doubled."""
    for _ in range(draw(strategies.sampled_from((0, 1, 1, 2, 4)))):
        start = draw(strategies.integers(0, len(text)))
        stop = min(len(text), start + draw(strategies.integers(0, 12)))
        piece = draw(strategies.lists(_YAML_PIECES, max_size=3).map("".join) | _SCALARS.map(str))
        text = text[:start] + piece + text[draw(strategies.sampled_from((start, stop))) :]
    return text


_KEYS = strategies.sampled_from([".".join(path) for path in key_paths()])
_OPTIONS = strategies.one_of(
    strategies.builds("{}={}".format, _KEYS, _VALUES.map(json.dumps)),
    strategies.builds("{}={}".format, _KEYS | strategies.text(max_size=12), strategies.text(max_size=20)),
    strategies.text(max_size=20),
)
_FILES = strategies.one_of(
    edits(BASE).map(lambda text: text.encode(errors="surrogatepass")),
    strategies.lists(_YAML_PIECES, max_size=30).map(lambda pieces: "".join(pieces).encode()),
    strategies.dictionaries(strategies.sampled_from(_WORDS), _VALUES, max_size=8).map(lambda one: _json(one)),
    strategies.binary(max_size=200),
    strategies.builds(lambda key, value: _json(_with(key, value)), strategies.sampled_from(key_paths()), _VALUES),
)


def _with(path: tuple[str, ...], value: object) -> object:
    """The benchmark with one value of its own replaced, or added."""
    document = json.loads(json.dumps(_DOCUMENT))
    inner = document
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
    inner[path[-1]] = value
    return document


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")


@cache
def _registry() -> Registry:
    return load_registry(groups={SEGMENTERS, DATASETS, REPORTERS})


def _read_config(path: Path, content: bytes, options: list[str], profile: str | None) -> None:
    path.write_bytes(content)
    config = load_benchmark(path, profile=profile, overrides=options)
    registry = _registry()
    assert len(config.protocol.digest) == 12
    resolve(
        config,
        {name: offer.spec for name, offer in registry.segmenters.items()},
        {name: offer.spec for name, offer in registry.datasets.items()},
    )


@strategies.composite
def records(draw: strategies.DrawFn) -> bytes:
    """A record's file with a few of its values replaced, taken out or added; sealed anew as a forger would."""
    is_done = draw(strategies.booleans())
    document = record_to_json(make_record(status="done" if is_done else "failed", reason="" if is_done else "it broke"))
    for _ in range(draw(strategies.integers(0, 3))):
        _alter(draw, document)
    if draw(strategies.integers(0, 9)) > 0:
        document[SEAL] = {}
        for name, value in document.items():
            with contextlib.suppress(ValueError, TypeError):
                document[SEAL][name] = canonical_digest(value)
        document[SEAL].pop(SEAL, None)
    content = _json(document)
    if draw(strategies.integers(0, 9)) == 0:
        start = draw(strategies.integers(0, len(content)))
        content = content[:start] + draw(strategies.binary(max_size=8)) + content[start + 3 :]
    return content


def _alter(draw: strategies.DrawFn, document: dict[str, Any]) -> None:
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = draw(strategies.sampled_from(keys))
        if isinstance(place[key], dict | list) and draw(strategies.integers(0, 3)) > 0:
            place = place[key]
            continue
        break
    kind = draw(strategies.sampled_from(("replace", "replace", "replace", "remove", "add")))
    if kind == "remove":
        del place[key]
    elif kind == "add" and isinstance(place, dict):
        place[draw(strategies.text(max_size=10) | _NASTY)] = draw(_VALUES)
    else:
        place[key] = draw(_like(place[key]))


def _like(value: object) -> strategies.SearchStrategy[Any]:
    """Another value, of the same type more often than not, so that it gets past the first check."""
    if isinstance(value, str):
        return _NASTY | strategies.text(max_size=30) | _VALUES
    if isinstance(value, float):
        return strategies.floats(0, 1) | strategies.floats() | _VALUES
    if isinstance(value, int) and not isinstance(value, bool):
        return strategies.integers(0, 100) | strategies.integers() | _VALUES
    return _VALUES


def _read_record(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    record = read_record(path)
    leaderboard = rank([record])
    for offer in _registry().reporters.values():
        render_leaderboard(offer, leaderboard)


def _only_own_errors(action: Callable[..., None], *arguments: Any) -> None:
    try:
        action(*arguments)
    except BenchbirdError as error:
        assert str(error).strip(), f"{type(error).__name__} without a word"


def check(case: str, folder: Path) -> None:
    """Carry out one case: `EXAMPLES` examples, always the same ones."""
    kind, _, number = case.rpartition(", ")
    path = folder / "made up"
    settings = hypothesis.settings(
        max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck),
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink), print_blob=False,
    )  # fmt: skip
    (folder / "birds").mkdir()
    profiles = strategies.sampled_from((None, None, None, "quick", "full", "../x"))
    options: strategies.SearchStrategy[list[str]] = strategies.just([]) | strategies.lists(_OPTIONS, max_size=2)

    if kind == CONFIG:

        @hypothesis.seed(int(number))
        @settings
        @hypothesis.given(_FILES, options, profiles)
        def fuzz_config(content: bytes, options: list[str], profile: str | None) -> None:
            _only_own_errors(_read_config, path, content, options, profile)

        fuzz_config()
    else:

        @hypothesis.seed(int(number))
        @settings
        @hypothesis.given(records())
        def fuzz_record(content: bytes) -> None:
            _only_own_errors(_read_record, path, content)

        fuzz_record()


CONFIG, RECORD = "benchmark files and options", "records"

FAULT = Fault(
    number="F14",
    title=f"made-up benchmark files, options and records, {EXAMPLES} a case, read and shown",
    promise="only the project's own errors",
    cases=[f"{kind}, {number}" for kind in (CONFIG, RECORD) for number in range(1, CASES_A_READER + 1)],
    short=[f"{CONFIG}, 1", f"{RECORD}, 1"],
    case_s=6,
    check=check,
)
