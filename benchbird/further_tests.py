"""Further test sets: trained models scored on images that belong to no study's identity.

Owns which trial is still to be scored on which set, and the order of the files. What they hold is
`further_results.py`'s, predicting `reevaluation.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchbird.data.cache import prepare_splits
from benchbird.data.prepared import load_split
from benchbird.durable import file_sha256, write_json_durably
from benchbird.environment import available_cores
from benchbird.errors import BenchbirdError, ResultsError
from benchbird.further_results import SCHEMA_VERSION, FurtherTest, further_name, is_current, read_further_test
from benchbird.predictions import Predictions, read_predictions, write_predictions
from benchbird.protocol import Protocol
from benchbird.record_json import json_value
from benchbird.reevaluation import ReevaluationRequest, reevaluate_trial
from benchbird.restoration import ModelRequest, request_model
from benchbird.results import FoundRecord
from benchbird.study_data import AlsoTest

Observe = Callable[[Mapping[str, Any]], None]


def run_further_tests(
    found: Sequence[FoundRecord],
    tests: Sequence[AlsoTest],
    protocol: Protocol,
    *,
    plugin_files: tuple[Path, ...],
    cache: Path,
    device: str,
    threads: int | None,
    observe: Observe,
) -> tuple[str, ...]:
    """Score every done trial on every further test set where that isn't done yet.

    Args:
        found: trials of one study.
        tests: from `plan.find_also_test`.
        protocol: the study's.
        plugin_files: plugins that the user named.
        cache: the cache folder.
        device: torch device name.
        threads: on the CPU; None for as many as the trial had.
        observe: gets `{"event": "further_test", "test", "label", "seed", "number", "of"}` before each.

    Returns:
        One sentence for each that could not be scored; it leaves the others alone.
    """
    ask = partial(request_model, protocol=protocol, plugin_files=plugin_files, device=device, threads=threads)
    left = [(test, one) for test in tests for one in found if one.record.status == "done" and not _is_there(test, one)]
    problems: list[str] = []
    needed = {test.name: test for test, _ in left}
    splits = {name: _prepare(test, protocol, cache, problems) for name, test in needed.items()}
    for number, (test, one) in enumerate(left, start=1):
        if (split := splits[test.name]) is not None:
            place = {"test": test.name, "label": one.record.segmenter.label, "seed": one.record.seed}
            observe({"event": "further_test", **place, "number": number, "of": len(left)})
            problems += _try_to_score(test, one, split, partial(ask, one))
    return tuple(problems)


def _is_there(test: AlsoTest, one: FoundRecord) -> bool:
    try:
        known = read_further_test(one.path.parent / further_name(test.name, test.digest, "json"))
        path = one.path.parent / known.predictions_file
        return is_current(known, one.record) and file_sha256(path) == known.predictions_sha256
    except (ResultsError, OSError):
        return False


def _prepare(test: AlsoTest, protocol: Protocol, cache: Path, problems: list[str]) -> Path | None:
    """The prepared folder of a set; its split is called `test`, so that it keeps native masks."""
    splits = {"test": test.samples}
    try:
        prepared = prepare_splits(splits, protocol.image_size, cache, resize=protocol.resize, workers=available_cores())
    except BenchbirdError as error:
        problems.append(f"{test.name}: {error}")
        return None
    return prepared.splits["test"].folder


def _try_to_score(test: AlsoTest, one: FoundRecord, split: Path, ask: Callable[[], ModelRequest]) -> list[str]:
    """Score one trial on one set; why that couldn't be done, if it couldn't."""
    try:
        _score(test, one, ReevaluationRequest(model=ask(), split=split))
    except BenchbirdError as error:
        return [f"{test.name}: {error}"]
    return []


def _score(test: AlsoTest, one: FoundRecord, request: ReevaluationRequest) -> None:
    """Predict a test set with a trial's weights and leave both files, the scores last."""
    own = read_predictions(one.path.parent / str(one.record.predictions_file))
    again = reevaluate_trial(request)
    split = load_split(request.split)
    path = one.path.parent / further_name(test.name, test.digest, "npz")
    predictions = Predictions(
        image_size=request.model.protocol.image_size,
        sample_ids=split.sample_ids,
        recording_ids=split.recording_ids,
        attributes=split.attributes,
        test=again.counts,
        val=own.val,
        last_test=None,
        last_val=None,
        histogram=again.histogram,
        val_histogram=own.val_histogram,
        predicted=again.predicted,
        reference=again.reference,
    )
    write_predictions(path, predictions)
    scored = FurtherTest(
        schema=SCHEMA_VERSION,
        name=test.name,
        digest=test.digest,
        study=one.record.study,
        weights_sha256=request.model.weights_sha256,
        predictions_file=path.name,
        predictions_sha256=file_sha256(path),
        n_recordings=len(set(split.recording_ids)),
        leaks=test.leaks,
        scores=again.scores(),
    )
    write_json_durably(path.with_suffix(".json"), json_value(scored))
