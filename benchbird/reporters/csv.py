"""The leaderboard as CSV in full precision: one header row, then ranked segmenters, then failed trials.

Owns the guard against cells that a spreadsheet would take for formulas.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from benchbird.contract import ReporterSpec, hookimpl
from benchbird.plain_text import plain_text
from benchbird.standings import Estimate, Leaderboard, Row

BENCHBIRD_API = 1

_FORMULA_STARTS = tuple("=+-@＝＋－＠\t\r")
_ESTIMATES = (
    "score",
    "iou_pooled",
    "iou_native",
    "iou_image_mean",
    "dice",
    "iou_val_threshold",
    "last_iou_pooled",
    "val_iou_pooled",
)


def render(leaderboard: Leaderboard) -> str:
    """All columns of both kinds of line; what doesn't apply is empty."""
    lines = [_ranked(row, leaderboard) for row in leaderboard.rows]
    lines += [
        {"label": trial.label, "status": trial.status, "reason": trial.reason, "seeds": str(trial.seed)}
        for trial in leaderboard.failed
    ]
    shared = {
        "benchmark": leaderboard.benchmark,
        "profile": leaderboard.profile,
        "dataset": leaderboard.dataset,
        "study": leaderboard.study,
    }
    stream = io.StringIO()
    # Text is always quoted: `a;=f()` would be two cells where a spreadsheet splits at semicolons.
    writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    header = list(_columns())
    writer.writerow(header)
    for line in lines:
        values = {**line, **shared}
        writer.writerow([_cell(values.get(key)) for key in header])
    return stream.getvalue()


def _columns() -> tuple[str, ...]:
    estimates = [f"{name}{part}" for name in _ESTIMATES for part in ("", "_sd", "_low", "_high")]
    return (
        *(
            "rank",
            "rank_low",
            "rank_high",
            "letters",
            "is_above_floor",
            "metric",
            "label",
            "segmenter",
            "trial_hash",
            "options",
            "pretraining",
            "status",
            "reason",
            "seeds",
            "n",
        ),
        *estimates,
        *("train_images_per_s", "inference_batch_size", "inference_images_per_s", "latency_p50_ms"),
        *("parameters", "gflop", "machine", "benchmark", "profile", "dataset", "study"),
    )


def _ranked(row: Row, leaderboard: Leaderboard) -> dict[str, Any]:
    line: dict[str, Any] = {key: getattr(row, key, None) for key in _columns()}
    for name in _ESTIMATES:
        estimate: Estimate = getattr(row, name)
        line |= {
            name: estimate.mean,
            f"{name}_sd": estimate.sd,
            f"{name}_low": estimate.low,
            f"{name}_high": estimate.high,
        }
    return line | {
        "options": json.dumps(dict(row.options), sort_keys=True, ensure_ascii=False),
        "metric": leaderboard.metric,
        "rank": None if leaderboard.unranked else row.rank,
        "status": "done",
        "seeds": " ".join(map(str, row.seeds)),
        "n": row.score.n,
        "inference_batch_size": leaderboard.inference_batch_size,
    }


def _cell(value: object) -> int | float | str:
    if value is None:
        return ""
    if isinstance(value, int | float):
        return value
    text = plain_text(str(value))
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


@hookimpl
def benchbird_reporters() -> list[ReporterSpec]:
    """The CSV reporter."""
    return [ReporterSpec(name="csv", suffix=".csv", render=render, summary="full precision, for a program")]
