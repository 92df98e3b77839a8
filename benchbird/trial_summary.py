"""An ended trial as trackers want it: a name, flat parameters, scores, and its curves epoch by epoch.

Owns the names. It says nothing that a record doesn't: no path, no user, no host.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchbird.records import TrialRecord

Parameter = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class TrialSummary:
    """One ended trial, flat.

    Attributes:
        name: `<benchmark>/<study>/<label>-<hash>/seed-<n>`, its place below a results root.
        benchmark: its name; trials of one are compared.
        study: digest of protocol and data; only trials of one are ranked together.
        status: `done`, or how else it ended.
        parameters: name → value: segmenter, options, seed, data, machine, the whole protocol (`protocol.optimizer.lr`).
        scores: name → value, such as `test/iou_pooled`, `val/iou_pooled`, `timing/latency_p50_ms`; what is undefined
            is left out. Empty unless done.
        curves: name → (epoch from 1, value), such as `epoch/train_loss`; what isn't finite is left out.
    """

    name: str
    benchmark: str
    study: str
    status: str
    parameters: Mapping[str, Parameter]
    scores: Mapping[str, float]
    curves: Mapping[str, tuple[tuple[int, float], ...]]


def summarise_trial(record: TrialRecord, folder: Path) -> TrialSummary:
    """What an observer is told, made flat.

    Args:
        record: of the trial.
        folder: the trial's, as `benchbird_trial_finished` gets it.
    """
    return TrialSummary(
        name=f"{record.benchmark}/{record.study}/{folder.parent.name}/seed-{record.seed}",
        benchmark=record.benchmark,
        study=record.study,
        status=record.status,
        parameters=_parameters(record),
        scores=dict(_scores(record)),
        curves=_curves(folder),
    )


def _parameters(record: TrialRecord) -> dict[str, Parameter]:
    from benchbird.environment import describe_machine

    named = {
        "label": record.segmenter.label,
        "segmenter": record.segmenter.name,
        "options": record.segmenter.options,
        "pretraining": record.segmenter.pretraining,
        "plugin": record.segmenter.plugin,
        "seed": record.seed,
        "benchmark": record.benchmark,
        "profile": record.profile,
        "study": record.study,
        "status": record.status,
        "reason": record.reason,
        "best_epoch": record.best_epoch,
        "data": {"name": record.data.name, "digest": record.data.digest, "n_train": record.data.n_train,
                 "n_val": record.data.n_val, "n_test": record.data.n_test},
        "protocol": record.protocol,
        "machine": describe_machine(record.environment),
        "device": record.environment.device,
    }  # fmt: skip
    return dict(_flat(named))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Parameter]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, str | bool | int | float):
            if value != "":
                yield f"{prefix}{name}", value
        elif value is not None:
            yield f"{prefix}{name}", json.dumps(value)


def _scores(record: TrialRecord) -> Iterator[tuple[str, float]]:
    if record.scores is not None:
        for split, scores in (("test", record.scores.test), ("val", record.scores.val)):
            yield from ((f"{split}/{name}", value) for name, value in asdict(scores).items() if _is_number(value))
    if (timing := record.timing) is not None:
        yield from {
            "timing/latency_p50_ms": timing.latency_ms.p50,
            "timing/latency_p95_ms": timing.latency_ms.p95,
            "timing/peak_memory_mb": timing.peak_memory_bytes / 1e6,
            "timing/duration_s": record.duration_s,
            "model/parameters": float(timing.parameters),
        }.items()
        if timing.train_images_per_s is not None:
            yield "timing/train_images_per_s", timing.train_images_per_s
        if timing.gflop is not None:
            yield "model/gflop", timing.gflop
        for one in timing.inference:
            yield f"timing/inference_images_per_s_b{one.batch_size}", one.images_per_s


def _curves(folder: Path) -> dict[str, tuple[tuple[int, float], ...]]:
    from benchbird.results import CURVE_FILE

    try:
        lines = (folder / CURVE_FILE).read_text().splitlines()
    except OSError:
        return {}  # a trial without gradients, or one that ended before its first epoch
    epochs = [json.loads(line) for line in lines]
    names = [name for name in (epochs[0] if epochs else {}) if name not in ("epoch", "train_images")]
    curves = {
        f"epoch/{name}": tuple((one["epoch"], float(one[name])) for one in epochs if _is_number(one[name]))
        for name in names
    }
    return {name: points for name, points in curves.items() if points}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
