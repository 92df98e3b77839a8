"""What further test sets left beside a trial's record: scores of images that belong to no study's identity.

Owns the format of these files, their strict reading and the table of them. Making them is `further_tests.py`'s.
The files may come from anyone: nothing in them is trusted.
"""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchbird.errors import ResultsError
from benchbird.leaderboard import newest_versions
from benchbird.plain_text import plain_text
from benchbird.records import Scores, TrialRecord
from benchbird.results import FoundRecord

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA_VERSION = 1
MAX_FILE_BYTES = 2**20

_NAME = re.compile(r"also-(?P<name>[a-z][a-z0-9_-]{0,63})-(?P<digest>[0-9a-f]{12})\.(?:json|npz)")


@dataclass(frozen=True, kw_only=True)
class FurtherTest:
    """The scores of one trial's selected weights on one further test set.

    Attributes:
        schema: `SCHEMA_VERSION` of the writer.
        name: of the test set.
        digest: of its samples.
        study: the trial's.
        weights_sha256: of the weights that predicted.
        predictions_file: in the same folder, as `predictions.py` keeps them; its validation arrays are those of
            the trial's own predictions, so that a threshold can be read off them.
        predictions_sha256: of that file.
        n_recordings: in the test set.
        leaks: of them, those that the study trains or selects on, let through by `data.allow_leaks`.
        scores: on it.
    """

    schema: int
    name: str
    digest: str
    study: str
    weights_sha256: str
    predictions_file: str
    predictions_sha256: str
    n_recordings: int
    leaks: int
    scores: Scores


@dataclass(frozen=True, kw_only=True)
class FurtherRow:
    """One label on one further test set.

    Attributes:
        test: name of the set.
        digest: of its samples.
        label: of the segmenter.
        mean: of `iou_pooled` over the seeds where it is defined; None where it is defined nowhere.
        sd: standard deviation over them (n − 1), None below two.
        n: seeds with a defined score.
        is_leaking: whether the study trains or selects on recordings of the set.
    """

    test: str
    digest: str
    label: str
    mean: float | None
    sd: float | None
    n: int
    is_leaking: bool


@dataclass(frozen=True)
class FurtherTable:
    """What the further tests of a study come to.

    Attributes:
        rows: by set, then best first.
        faults: a sentence for each file that can't be used; it is left out, never fatal to the others.
    """

    rows: tuple[FurtherRow, ...] = ()
    faults: tuple[str, ...] = ()


def further_name(name: str, digest: str, suffix: Literal["json", "npz"]) -> str:
    """The name of one of a further test's two files."""
    return f"also-{name}-{digest}.{suffix}"


def is_further_name(name: str) -> bool:
    """Whether a file beside a record is called as a further test's are."""
    return _NAME.fullmatch(name) is not None


def further_paths(folder: Path) -> tuple[Path, ...]:
    """The files with scores of further tests beside a trial's record, by name."""
    return tuple(sorted(path for path in folder.glob("also-*.json") if is_further_name(path.name)))


def read_further_test(path: Path) -> FurtherTest:
    """One further test, strictly read.

    Raises:
        ResultsError: no plain file, too large, of another schema, or not what its name says.
    """
    from pydantic import ValidationError

    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"expected a plain file of at most {MAX_FILE_BYTES} bytes")
        (found,) = _adapter().validate_json(b"[" + path.read_bytes() + b"]")
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"][1:]) or "not whole JSON"
        raise ResultsError(f"{path}: {where}: {fault['msg']}") from error
    except OSError as error:
        raise ResultsError(f"{path}: could not be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ResultsError(f"{path}: {error}") from error
    if found.schema != SCHEMA_VERSION:
        raise ResultsError(f"{path}: schema: found {found.schema}, expected {SCHEMA_VERSION}")
    if path.name != further_name(found.name, found.digest, "json"):
        raise ResultsError(f"{path}: name and digest: those of another file, {found.name!r} and {found.digest!r}")
    if found.predictions_file != further_name(found.name, found.digest, "npz"):
        raise ResultsError(f"{path}: predictions_file: found {found.predictions_file!r}, expected the file beside it")
    return found


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[list[FurtherTest]]:
    from pydantic import ConfigDict, TypeAdapter

    # As for records: pydantic takes no config for a bare dataclass, but hands a list's config down.
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return TypeAdapter(list[FurtherTest], config=config)


def further_table(found: Sequence[FoundRecord]) -> FurtherTable:
    """Mean and standard deviation over seeds of each label on each further test set.

    Of a label's versions only the newest is shown, as in the leaderboard, and only what its present weights said.
    A seed of a cross-validation counts with the mean of its folds' scores, where every fold has one.

    Args:
        found: records of one study, pooled or not.
    """
    current, _ = newest_versions([one.record for one in found])
    places = {id(one.record): one for one in found}
    scores: dict[tuple[str, str, str], list[float | None]] = defaultdict(list)
    leaking: set[tuple[str, str, str]] = set()
    faults: list[str] = []
    for record in current:
        if record.status != "done":
            continue
        parts = places[id(record)].folds or (places[id(record)],)
        tests = [_current_tests(part, faults) for part in parts]
        for name, digest in dict.fromkeys(key for one in tests for key in one):
            said = [one[name, digest] for one in tests if (name, digest) in one]
            scores[name, digest, record.segmenter.label].append(_mean_of_all(said, len(parts)))
            if any(one.leaks for one in said):
                leaking.add((name, digest, record.segmenter.label))
    rows = [_row(key, values, key in leaking) for key, values in scores.items()]
    rows.sort(key=lambda row: (row.test, row.digest, -(row.mean if row.mean is not None else -1), row.label))
    return FurtherTable(tuple(rows), tuple(faults))


def _current_tests(one: FoundRecord, faults: list[str]) -> dict[tuple[str, str], FurtherTest]:
    """What a trial's present weights said, by set; what can't be read goes to `faults`."""
    tests: dict[tuple[str, str], FurtherTest] = {}
    for path in further_paths(one.path.parent):
        try:
            test = read_further_test(path)
        except ResultsError as error:
            faults.append(f"left out: {plain_text(str(error), 1000)}")
            continue
        if is_current(test, one.record):
            tests[test.name, test.digest] = test
    return tests


def _mean_of_all(tests: Sequence[FurtherTest], n: int) -> float | None:
    """The mean score of a trial's parts; None unless all n of them have one."""
    known = [test.scores.iou_pooled for test in tests if test.scores.iou_pooled is not None]
    return statistics.fmean(known) if len(known) == n else None


def _row(key: tuple[str, str, str], scores: Sequence[float | None], is_leaking: bool) -> FurtherRow:
    known = [score for score in scores if score is not None]
    name, digest, label = key
    return FurtherRow(
        test=name,
        digest=digest,
        label=label,
        mean=statistics.fmean(known) if known else None,
        sd=statistics.stdev(known) if len(known) > 1 else None,
        n=len(known),
        is_leaking=is_leaking,
    )


def is_current(test: FurtherTest, record: TrialRecord) -> bool:
    """Whether a further test is of the record's study and of the weights that the record names."""
    weights = record.files.get(str(record.weights_file))
    return test.study == record.study and test.weights_sha256 == weights
