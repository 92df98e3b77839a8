"""benchbird from a notebook or script: a run as a call, results as a table.

Owns the table's columns. Everything is imported where it is used, since plugins import the façade that offers these.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas

    from benchbird.records import TrialRecord
    from benchbird.results import FoundRecord

__all__ = ["load_results", "run"]


def load_results(folder: str | os.PathLike[str]) -> pandas.DataFrame:
    """The trials below a folder as a table, a row each, by benchmark, study, label and seed.

    As in the leaderboard, of a segmenter whose source or options have changed only the newest version is there.

    Args:
        folder: a results root, or a benchmark's, study's, trial's or tuned track's folder in one.

    Returns:
        Columns `benchmark`, `profile`, `study`, `dataset`, `label`, `segmenter`, `pretraining`, `seed`,
        `learning_rate`, `status`, `reason`, `best_epoch`; the scores on test by their names, such as `iou_pooled`, and
        `val_iou_pooled`; timings `train_images_per_s`, `latency_p50_ms`, `inference_images_per_s_b<N>` for each batch
        size; `parameters`, `gflop`, `duration_s`, `machine`, and `folder`, the trial's. What a trial hasn't is missing
        (NaN or None).

    Raises:
        ResultsError: there is no such folder, or a record in it that can't be used.
    """
    import pandas

    from benchbird.errors import ResultsError
    from benchbird.leaderboard import newest_versions
    from benchbird.results import find_records
    from benchbird.tuning import RULE_FILE

    if not Path(folder).is_dir():
        raise ResultsError(f"{folder}: no such folder; expected one with results, such as `results`")
    found = _tuned(Path(folder)) if (Path(folder) / RULE_FILE).is_file() else find_records(Path(folder)).require_whole()
    studies: dict[tuple[str, str], list[TrialRecord]] = {}
    for one in found:
        studies.setdefault((one.record.benchmark, one.record.study), []).append(one.record)
    current = {id(record) for records in studies.values() for record in newest_versions(records)[0]}
    rows = [{**_row(one.record), "folder": str(one.path.parent)} for one in found if id(one.record) in current]
    order = ["benchmark", "study", "label", "seed"]
    frame = pandas.DataFrame(rows, columns=list(dict.fromkeys(name for row in rows for name in row)) or order)
    return frame.sort_values(order, ignore_index=True)


def _tuned(folder: Path) -> tuple[FoundRecord, ...]:
    """The trials of a tuned track, which lie in the folders of other studies."""
    from benchbird.errors import ResultsError
    from benchbird.studies import tuned_study

    study = tuned_study(folder)
    if study.faults:
        raise ResultsError("\n".join(study.faults))
    return study.found


def _row(record: TrialRecord) -> dict[str, Any]:
    from benchbird.environment import describe_machine

    row: dict[str, Any] = {
        "benchmark": record.benchmark,
        "profile": record.profile,
        "study": record.study,
        "dataset": record.data.name,
        "label": record.segmenter.label,
        "segmenter": record.segmenter.name,
        "pretraining": record.segmenter.pretraining,
        "seed": record.seed,
        "learning_rate": _learning_rate(record),
        "status": record.status,
        "reason": record.reason,
        "best_epoch": record.best_epoch,
    }
    if record.scores is not None:
        row |= {name: value for name, value in asdict(record.scores.test).items() if name != "undefined"}
        row["val_iou_pooled"] = record.scores.val.iou_pooled
    if record.timing is not None:
        row |= {
            "train_images_per_s": record.timing.train_images_per_s,
            "latency_p50_ms": record.timing.latency_ms.p50,
            **{f"inference_images_per_s_b{one.batch_size}": one.images_per_s for one in record.timing.inference},
            "parameters": record.timing.parameters,
            "gflop": record.timing.gflop,
        }
    return {**row, "duration_s": record.duration_s, "machine": describe_machine(record.environment)}


def _learning_rate(record: TrialRecord) -> float | None:
    """Of the protocol; of a tuned track's trial, its own."""
    from benchbird.tuning import RATE

    optimizer = record.protocol.get("optimizer")
    stated = optimizer.get("lr") if isinstance(optimizer, Mapping) else None
    rate: float | None = record.segmenter.non_default_options.get(RATE, stated)
    return rate


def run(
    benchmark: str | os.PathLike[str],
    *,
    results: str | os.PathLike[str] = "results",
    profile: str | None = None,
    overrides: Sequence[str] = (),
    plugins: Sequence[str | os.PathLike[str]] = (),
    only: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    jobs: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    retry_failed: bool = False,
) -> pandas.DataFrame:
    """Do what `benchbird run` does, and return every trial of the study, also of seeds that earlier runs have trained.

    Progress goes to standard error.

    Args:
        benchmark: the YAML file.
        results: where trials are kept, and found again.
        profile: of the benchmark; None as for the command.
        overrides: `KEY=VALUE` each.
        plugins: plugin files.
        only: labels; empty for all segmenters.
        seeds: in place of the benchmark's.
        device: where to compute.
        jobs: trials at a time.
        cache: where prepared data are kept.
        retry_failed: run again what ended otherwise than done.

    Returns:
        As `load_results`.

    Raises:
        BenchbirdError: the benchmark, a plugin or the data can't be used.
    """
    from benchbird.commands.run import Settings, carry_out

    settings = Settings(
        benchmark=Path(benchmark), results=Path(results), profile=profile, overrides=tuple(overrides),
        plugins=tuple(map(Path, plugins)), labels=tuple(only), seeds=None if seeds is None else tuple(seeds),
        sweep=None, device=device, cache=None if cache is None else Path(cache), jobs=jobs,
        retry_failed=retry_failed, dry_run=False, as_json=False,
    )  # fmt: skip
    with _main_unseen():
        return load_results(carry_out(settings).folder)


@contextmanager
def _main_unseen() -> Iterator[None]:
    """Keep child processes from importing the caller's script, which would begin the run once more in each of them.

    Nothing that they are given comes from it; so a script needs no `if __name__ == "__main__"`.
    """
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), main.__dict__.pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file
