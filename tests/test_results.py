import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchbird.errors import ResultsError
from benchbird.protocol import canonical_digest
from benchbird.record_json import SEAL, json_value, parse_record, record_bytes
from benchbird.records import SCHEMA_VERSION, Fold
from benchbird.results import (
    MAX_RECORD_BYTES,
    ResultsStore,
    add_record,
    read_record,
    trial_hash,
)
from tests.record_factory import MALICIOUS_NAMES, make_record, make_segmenter, realistic_records

QUICK = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)


def test_path_of_a_trial(tmp_path: Path) -> None:
    segmenter = make_segmenter("my net")
    folder = ResultsStore(tmp_path).trial_folder("birdsound", "abc123", segmenter, 3)
    assert folder == tmp_path / "birdsound" / "abc123" / f"my net-{trial_hash(segmenter)}" / "seed-3"
    assert len(trial_hash(segmenter)) == 8


def test_trial_hash_changes_with_name_options_and_source_only() -> None:
    base = make_segmenter("a", name="net")
    others = [
        replace(base, name="other"),
        replace(base, options={"base_channels": 65}),
        replace(base, source_sha256="f" * 64),
    ]
    assert len({trial_hash(segmenter) for segmenter in (base, *others)}) == 4
    same = [
        replace(base, label="b"),
        replace(base, plugin="x.py"),
        replace(base, non_default_options={"x": 1}),
    ]
    assert {trial_hash(segmenter) for segmenter in same} == {trial_hash(base)}
    ordered = replace(base, options={"a": 1, "b": 2}), replace(base, options={"b": 2, "a": 1})
    assert trial_hash(ordered[0]) == trial_hash(ordered[1])


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "x" * 200, "a\n", "a:b", "a "])
def test_a_name_that_cannot_name_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    store = ResultsStore(tmp_path)
    with pytest.raises(ResultsError, match="can't name a folder"):
        store.trial_folder("birdsound", "abc", make_segmenter(name, name="net"), 0)
    with pytest.raises(ResultsError, match="benchmark"):
        store.trial_folder(name, "abc", make_segmenter(), 0)


def test_no_malicious_name_leaves_the_root(tmp_path: Path) -> None:
    for name in MALICIOUS_NAMES:
        try:
            folder = ResultsStore(tmp_path).trial_folder("b", "s", make_segmenter(name, name="net"), 0)
        except ResultsError:
            continue
        assert folder.resolve().is_relative_to(tmp_path.resolve())
        assert len(folder.relative_to(tmp_path).parts) == 4


def test_add_then_read_gives_the_record_back(tmp_path: Path) -> None:
    for number, record in enumerate(realistic_records()):
        path = add_record(tmp_path / str(number), record)
        assert path.name == "record.json"
        assert read_record(path) == record
    assert not list(tmp_path.rglob("*.partial"))


def test_a_field_that_came_later_changes_no_record_that_lacks_it(tmp_path: Path) -> None:
    without, known = make_record(), make_record()
    known = replace(known, data=replace(known.data, picture_frames=951))
    assert b"picture_frames" not in record_bytes(without)
    for record in (without, known):
        assert parse_record(record_bytes(record)) == record


@pytest.mark.parametrize(("number", "of"), [(1, 3), (3, 3), (1000, 1000)])
def test_a_fold_of_its_folds_is_read_back(tmp_path: Path, number: int, of: int) -> None:
    data = replace(make_record().data, fold=Fold(number=number, of=of, pool_digest="p" * 12))
    record = make_record(data=data)
    assert read_record(add_record(tmp_path, record)) == record


def test_an_existing_record_is_replaced_only_when_asked(tmp_path: Path) -> None:
    failed = make_record(status="failed", reason="boom")
    path = ResultsStore(tmp_path).add(tmp_path / "t", failed)
    with pytest.raises(ResultsError, match="has ended already"):
        add_record(tmp_path / "t", make_record())
    assert read_record(path) == failed
    add_record(tmp_path / "t", make_record(), replace=True)
    assert read_record(path) == make_record()


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    record = make_record()
    assert record.timing is not None
    for broken in (
        replace(record, timing=replace(record.timing, train_images_per_s=float("nan"))),
        replace(record, study="0" * 12),
        replace(record, weights_file="/abs/weights"),
        replace(record, scores=None),
    ):
        with pytest.raises(ResultsError, match="not written"):
            add_record(tmp_path / "t", broken)
    assert not (tmp_path / "t").exists()


def _sealed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with seals that fit, as someone would make them who means to deceive."""
    seal = {}
    for name, value in document.items():
        with contextlib.suppress(ValueError, RecursionError):  # NaN has no canonical form
            seal[name] = canonical_digest(value)
    return {**document, SEAL: seal}


def _document(**changes: Any) -> dict[str, Any]:
    return {**json_value(make_record()), **changes}


def _nested(path: str, value: object) -> dict[str, Any]:
    document = _document()
    *parents, last = path.split(".")
    place = document
    for parent in parents:
        place = place[parent]
    place[last] = value
    return document


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (_document(surprise=1), "surprise"),
        (_nested("scores.test.surprise", 1), r"scores\.test\.surprise"),
        (_document(schema=SCHEMA_VERSION + 1), "newer benchbird"),
        (_document(schema="1"), "no schema number"),
        (_document(schema=True), "no schema number"),
        (_document(seed="0"), "seed"),
        (_document(seed=-1), "negative"),
        (_document(status="interrupted"), "status"),
        (_document(scores=None), "status: done"),
        (_document(status="failed"), "status: failed"),
        (_document(predictions_file="../x"), "predictions_file"),
        (_document(weights_file="a/b"), "weights_file"),
        (_document(weights_file="a\\b"), "weights_file"),
        (_document(weights_file="C:x"), "weights_file"),
        (_document(weights_file=".."), "weights_file"),
        (_document(weights_file="a..b"), "weights_file"),
        (_document(weights_file=""), "weights_file"),
        (_document(started_at="yesterday"), "started_at"),
        (_document(started_at="2026-01-01T00:00:00"), "started_at"),
        (_document(study="0" * 12), "altered"),
        (_nested("protocol.epochs", 31), "altered"),
        (_nested("protocol.digest", 3), "altered"),
        (_nested("data.digest", "x"), "altered"),
        (_nested("scores.test.iou_pooled", 1.5), "from 0 to 1"),
        (_nested("scores.test.iou_pooled", -0.1), "from 0 to 1"),
        (_nested("timing.parameters", -1), "negative"),
        (_nested("timing.parameters", 10**18), "beyond"),
        (_nested("timing.gflop", 1e300), "beyond"),
        (_nested("segmenter.label", " "), "label"),
        *(
            (_nested("data.fold", {"number": number, "of": of, "pool_digest": "p" * 12}), r"data\.fold: found number")
            for number, of in ((0, 3), (4, 3), (-1, 3), (1, 2), (1, 0))
        ),
        (_nested("segmenter.label", "\ud800"), "JSON"),
        ([], "found list"),
        (None, "found NoneType"),
    ],
)
def test_a_wrong_record_is_one_clear_error(tmp_path: Path, document: object, reason: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(_sealed(document) if isinstance(document, dict) else document))
    with pytest.raises(ResultsError, match=reason) as caught:
        read_record(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not whole JSON"),
        (b'{"schema": 1, "status": "do', "not whole JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not whole JSON"),
        (b'{"schema": NaN}', "NaN"),
        (b'{"schema": 1, "seed": -Infinity}', "Infinity"),
        (b'{"schema": 1, "seed": 1e999}', "beyond"),
        (b'{"schema": 1, "seed": ' + b"9" * 5000 + b"}", "beyond"),
        (b'{"schema": 1, "schema": 1}', "twice"),
        (b"[" * 100_000, "nested"),
        (b'{"schema": 2, "x": ' + b"[" * 900 + b"]" * 900 + b"}", "JSON|record|seal"),
        (b" " * (MAX_RECORD_BYTES + 1), "more than"),
        (b"\x80\x04\x95pickle", "not UTF-8"),
    ],
)
def test_a_torn_or_foreign_file_is_one_clear_error(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=reason):
        read_record(path)


def test_a_key_from_outside_cannot_paint_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(_document(**{"\x1b[31mred": 1})))
    with pytest.raises(ResultsError) as caught:
        read_record(path)
    assert "\x1b" not in str(caught.value)


def test_a_record_without_its_seal_or_with_a_broken_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(_document()))
    with pytest.raises(ResultsError, match="seal: missing"):
        read_record(path)
    whole = _sealed(_document())
    path.write_text(json.dumps({**whole, "duration_s": 60.5}))
    with pytest.raises(ResultsError, match="duration_s: altered since the record was written"):
        read_record(path)
    del whole["duration_s"]
    path.write_text(json.dumps(whole))
    with pytest.raises(ResultsError, match="duration_s"):
        read_record(path)


def test_an_older_record_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(json.dumps(_document(schema=1)))
    with pytest.raises(ResultsError, match=r"older benchbird .*run the benchmark again"):
        read_record(tmp_path / "record.json")


def test_every_truncation_is_detected(tmp_path: Path) -> None:
    content = record_bytes(make_record())
    for length in range(0, len(content), 37):
        with pytest.raises(ValueError):
            parse_record(content[:length])


def test_missing_folder_and_special_files(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="No such file"):
        read_record(tmp_path / "record.json")
    (tmp_path / "record.json").mkdir()
    with pytest.raises(ResultsError, match="plain file"):
        read_record(tmp_path / "record.json")


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)


@QUICK
@given(
    label=NAMES,
    reason=st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
    iou=st.none() | st.floats(0, 1),
    seed=st.integers(0, 2**40),
    options=st.dictionaries(NAMES, st.none() | st.booleans() | st.integers(-(2**50), 2**50) | NAMES, max_size=4),
    done=st.booleans(),
)
def test_any_record_survives_the_round_trip(
    tmp_path: Path, label: str, reason: str, iou: float | None, seed: int, options: dict[str, Any], done: bool
) -> None:
    segmenter = make_segmenter(label, name="net", options=options)
    record = make_record(segmenter, seed=seed, iou=iou, status="done" if done else "failed", reason=reason)
    assert parse_record(record_bytes(record)) == record
    assert read_record(add_record(tmp_path, record, replace=True)) == record


def _places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path, *(place for key, item in items for place in _places(item, (*path, key)))]


PLACES = [place for place in _places(json_value(make_record())) if place]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@settings(QUICK, max_examples=800)
@given(place=st.sampled_from(PLACES), value=JSON_VALUES, remove=st.booleans())
def test_a_mutated_record_is_read_or_refused_never_a_crash(
    place: tuple[str | int, ...], value: object, remove: bool
) -> None:
    document: Any = json.loads(record_bytes(make_record()))
    parent = document
    for key in place[:-1]:
        parent = parent[key]
    if remove:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    try:
        record = parse_record(json.dumps(document).encode())
    except ValueError as error:
        assert "\n" not in str(error)
        assert str(error)
    else:
        assert parse_record(record_bytes(record)) == record


@settings(QUICK, max_examples=400)
@given(position=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
def test_mutated_bytes_are_read_or_refused(position: int, byte: int, cut: bool) -> None:
    content = bytearray(record_bytes(make_record()))
    position %= len(content)
    content[position] = byte
    try:
        parse_record(bytes(content[:position]) if cut else bytes(content))
    except ValueError as error:
        assert str(error)
