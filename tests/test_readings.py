"""A reading is what its predictions say, whether read now or remembered."""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbird import readings as module
from benchbird.definitions import DEFINITIONS, whole
from benchbird.errors import ResultsError
from benchbird.index import Index
from benchbird.pooling import pool
from benchbird.predictions import Predictions, read_predictions, write_predictions
from benchbird.readings import Reading, predictions_key, read_trial, require_same_recordings, take_reading
from benchbird.results import FoundRecord, find_records
from tests.predictions_factory import (
    PREDICTIONS_FILE,
    MadeUpImages,
    make_predictions,
    random_predictions,
    some_images,
    write_trial,
)
from tests.test_pooling import parts, write_folds


def _same(first: Reading, second: Reading) -> None:
    assert (first.score, first.recordings) == (second.score, second.recordings)
    for name in ("left_out", "alone", "sizes"):
        assert np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True), name


def _score(predictions: Predictions, metric: str) -> float:
    return float(DEFINITIONS[metric].evaluate(predictions, whole(predictions))[0])


@pytest.mark.parametrize("metric", ["iou_pooled", "iou_native", "average_precision", "event_f1_50"])
def test_a_reading_is_scores_of_parts(metric: str) -> None:
    predictions = random_predictions(4, n_images=15, n_recordings=5)
    reading = take_reading(predictions, metric)
    assert reading.score == _score(predictions, metric)
    assert reading.recordings == tuple(sorted(set(predictions.recording_ids)))
    for place, recording in enumerate(reading.recordings):
        own = np.array([one == recording for one in predictions.recording_ids])
        of_it, of_others = some_images(predictions, np.flatnonzero(own)), some_images(predictions, np.flatnonzero(~own))
        assert reading.alone[place] == pytest.approx(_score(of_it, metric), abs=1e-12, nan_ok=True)
        assert reading.left_out[place] == pytest.approx(_score(of_others, metric), abs=1e-12)
        bird = sum(of_it.masks(index)[1].sum() for index in range(len(of_it)))
        assert reading.sizes[place] == max(bird, 1)


def test_over_some_images_alone() -> None:
    predictions = random_predictions(4, n_images=15, n_recordings=5)
    chosen = np.arange(15) % 2 == 1
    _same(
        take_reading(predictions, "iou_pooled", chosen),
        take_reading(some_images(predictions, np.flatnonzero(chosen)), "iou_pooled"),
    )


def test_what_is_undefined_is_none_or_nan() -> None:
    empty = take_reading(random_predictions(1, n_images=4, bird=0.0), "recall")
    assert empty.score is None
    assert np.isnan(empty.alone).all()
    assert (empty.sizes == 1).all()
    only = take_reading(make_predictions(images=MadeUpImages(n_recordings=1)), "iou_pooled")
    assert math.isnan(only.left_out[0])


@pytest.fixture
def found(tmp_path: Path) -> FoundRecord:
    folder = write_trial(tmp_path / "results", images=MadeUpImages(n_recordings=6, image_size=16, without_bird=2))
    return find_records(folder).found[0]


ALL = tuple(DEFINITIONS)


def never(_found: FoundRecord) -> Predictions:
    raise AssertionError("the predictions were opened")


def test_the_second_time_the_predictions_are_hashed_but_not_opened(
    found: FoundRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Index(tmp_path / "index.sqlite") as index:
        first = read_trial(found, ALL, index)
    monkeypatch.setattr(module, "open_predictions", never)
    with Index(tmp_path / "index.sqlite") as index:
        second = read_trial(found, ALL, index)
        with pytest.raises(AssertionError):
            read_trial(found, ALL, Index(None))
    assert list(second) == list(ALL)
    for metric in ALL:
        _same(first[metric], second[metric])


def test_what_the_index_remembers_holds_no_longer_than_the_file(found: FoundRecord, tmp_path: Path) -> None:
    path = found.path.parent / PREDICTIONS_FILE
    with Index(tmp_path / "index.sqlite") as index:
        read_trial(found, ("dice",), index)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(ResultsError, match="another SHA-256"):
            read_trial(found, ("dice",), index)
        path.unlink()
        with pytest.raises(ResultsError, match="could not be read"):
            read_trial(found, ("dice",), index)


def test_one_more_score_is_read_beside_those_that_are_known(
    found: FoundRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Index(tmp_path / "index.sqlite") as index:
        read_trial(found, ("iou_pooled",), index)
        assert set(read_trial(found, ("iou_pooled", "dice"), index)) == {"iou_pooled", "dice"}
    monkeypatch.setattr(module, "open_predictions", never)
    with Index(tmp_path / "index.sqlite") as index:
        read_trial(found, ("iou_pooled", "dice"), index)


def test_an_older_version_s_answer_is_not_used(
    found: FoundRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Index(tmp_path / "index.sqlite") as index:
        read_trial(found, ("dice",), index)
        monkeypatch.setattr(module, "READING_VERSION", module.READING_VERSION + 1)
        monkeypatch.setattr(module, "open_predictions", never)
        with pytest.raises(AssertionError):
            read_trial(found, ("dice",), index)


@pytest.mark.parametrize(
    "answer",
    [
        *(b"", b"{}", b"[1, 2]", b"\xff", b"[" * 99999),
        *(
            b'["x", [], [], [], []]',
            b"5\n",
            b'["a"]\n',
            b'["a"]\n12345678',
            b'["a", "b"]\n' + bytes(32),
            b"\n" + bytes(8),
        ),
    ],
)
def test_a_damaged_answer_is_worked_out_anew(answer: bytes, found: FoundRecord, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    with Index(path) as index:
        expected = read_trial(found, ("iou_pooled",), index)["iou_pooled"]
    connection = sqlite3.connect(path)
    assert connection.execute("UPDATE answers SET answer = ?", (answer,)).rowcount == 1
    connection.commit()
    connection.close()
    with Index(path) as index:
        _same(read_trial(found, ("iou_pooled",), index)["iou_pooled"], expected)


def test_a_score_that_the_predictions_contradict_names_the_field(found: FoundRecord, tmp_path: Path) -> None:
    scores = found.record.scores
    assert scores is not None
    for metric, said in (("iou_pooled", 0.123), ("dice", None), ("miou_two_class_batch_mean", 0.5)):
        altered = replace(scores, test=replace(scores.test, **{metric: said}))  # type: ignore[arg-type]
        record = replace(found.record, scores=altered)
        with Index(tmp_path / f"{metric}.sqlite") as index:
            for _ in range(2):  # remembered answers are checked too
                with pytest.raises(ResultsError, match=f"scores.test.{metric}: the record says {said}") as caught:
                    read_trial(replace(found, record=record), (metric,), index)
        assert str(found.path.parent) in str(caught.value)
    # Scores that a record doesn't state have nothing to agree with.
    assert set(read_trial(found, ("boundary_iou",), Index(None))) == {"boundary_iou"}


def test_another_file_than_the_record_s_is_refused_and_not_remembered(found: FoundRecord, tmp_path: Path) -> None:
    """Else the answer would be found under the hash of the right one for ever after."""
    path = found.path.parent / PREDICTIONS_FILE
    right = path.read_bytes()
    write_predictions(path, replace(read_predictions(path), attributes=({"x": "y"},) * len(read_predictions(path))))
    with Index(tmp_path / "index.sqlite") as index:
        with pytest.raises(ResultsError, match=r"not the file that the record states \(files\.predictions\.npz"):
            read_trial(found, ("event_f1_30",), index)
        path.write_bytes(right)
        assert read_trial(found, ("event_f1_30",), index)["event_f1_30"].score is not None


def test_the_key_is_the_hash_that_the_record_states(found: FoundRecord) -> None:
    assert predictions_key(found.record) == found.record.files[PREDICTIONS_FILE]


def test_trials_on_other_recordings_are_named() -> None:
    first = take_reading(random_predictions(1), "dice")
    other = replace(first, recordings=(*first.recordings[:-1], *(f"x{number}" for number in range(5))))
    require_same_recordings({("a", 0): first, ("a", 1): first})
    require_same_recordings({})
    with pytest.raises(ResultsError, match=r"a seed 0 and b c seed 2 were tested on other recordings \(.*, .*, .* …\)"):
        require_same_recordings({("a", 0): first, ("b\nc", 2): other})


numbers = st.floats(0, 1) | st.just(math.nan)


@given(
    st.none() | st.floats(0, 1),
    st.dictionaries(st.text(), st.tuples(numbers, numbers, st.floats(1, 1e9)), min_size=1, max_size=6),
)
def test_an_answer_is_the_reading_to_the_last_bit(
    score: float | None, of_recordings: dict[str, tuple[float, float, float]]
) -> None:
    left_out, alone, sizes = np.array(list(of_recordings.values())).T
    reading = Reading(score=score, left_out=left_out, alone=alone, sizes=sizes, recordings=tuple(of_recordings))
    again = module._decode(module._encode(reading))
    assert again is not None
    _same(again, reading)


def test_an_answer_is_a_line_of_json_and_numbers(found: FoundRecord, tmp_path: Path) -> None:
    with Index(tmp_path / "index.sqlite") as index:
        reading = read_trial(found, ("precision",), index)["precision"]
        content = index.get(f"reading/{module.READING_VERSION}/precision/{predictions_key(found.record)}")
    assert content is not None
    names, numbers = content.split(b"\n", 1)
    assert json.loads(names) == list(reading.recordings)
    assert len(numbers) == 8 * (1 + 3 * len(reading.recordings))


def test_the_key_of_pooled_folds_hangs_on_each_file_whatever_its_name(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.7)
    renamed = []
    for one in parts(tmp_path):
        (one.path.parent / PREDICTIONS_FILE).rename(one.path.parent / "other.npz")
        files = {"other.npz": one.record.files[PREDICTIONS_FILE]}
        renamed.append(replace(one, record=replace(one.record, predictions_file="other.npz", files=files)))
    (pooled,) = pool(renamed, tmp_path).trials
    assert read_trial(pooled, ("event_f1_30",), Index(None))["event_f1_30"].score is not None
    keys = {predictions_key(pooled.record)}
    for place, one in enumerate(renamed):
        others = [*renamed]
        others[place] = replace(one, record=replace(one.record, files={"other.npz": "e" * 64}))
        (changed,) = pool(others, tmp_path).trials
        keys.add(predictions_key(changed.record))
        with pytest.raises(ResultsError, match=r"files\.other\.npz is another SHA-256"):
            read_trial(changed, ("event_f1_30",), Index(None))
    assert len(keys) == 4
