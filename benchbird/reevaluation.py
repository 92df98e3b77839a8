"""A finished trial's weights put to work again: a prepared split predicted in a child process of its own.

Owns the child. The way back to the model is `restoration.py`'s, what is compared with the answer is for whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbird import backend
from benchbird.data.prepared import load_split
from benchbird.errors import BenchbirdError, ResultsError
from benchbird.evaluation import Prediction, predict_split
from benchbird.execution.local import run_in_child
from benchbird.predictions import SplitCounts
from benchbird.reasons import describe_error
from benchbird.restoration import ModelRequest, restore_model


@dataclass(frozen=True, kw_only=True)
class ReevaluationRequest:
    """Everything that predicting a split again needs to know, picklable.

    Attributes:
        model: of which trial.
        split: folder of the prepared split, with native masks.
    """

    model: ModelRequest
    split: Path


def reevaluate_trial(request: ReevaluationRequest) -> Prediction:
    """Predict the request's split in a child process.

    Raises:
        ResultsError: the weights or the plugin are not those of the record, or predicting failed; names the trial.
    """
    answers: list[Mapping[str, Any]] = []
    ending = run_in_child(reevaluate, request, log=None, on_event=answers.append)
    for answer in answers:
        if answer["event"] == "predicted":
            return Prediction(
                counts=SplitCounts(protocol=answer["counts"], native=answer["native_counts"]),
                histogram=answer["histogram"],
                predicted=answer["predicted"],
                reference=answer["reference"],
            )
    reasons = [str(answer["reason"]) for answer in answers if answer["event"] == "failed"]
    reason = reasons[0] if reasons else f"its process ended with exit code {ending.exit_code} and left no answer"
    raise ResultsError(f"{request.model.weights.parent}: could not predict again: {reason}")


def reevaluate(request: ReevaluationRequest, report: Callable[[Mapping[str, Any]], None]) -> None:
    """In the child: build, load the weights, predict, and report the arrays or why there are none."""
    try:
        prediction = _predict(request)
    except (Exception, SystemExit) as error:
        reason = str(error) if isinstance(error, BenchbirdError) else describe_error(error)
        report({"event": "failed", "reason": reason})
        return
    report(
        {
            "event": "predicted",
            "counts": prediction.counts.protocol,
            "native_counts": prediction.counts.native,
            "histogram": prediction.histogram,
            "predicted": prediction.predicted,
            "reference": prediction.reference,
        }
    )


def _predict(request: ReevaluationRequest) -> Prediction:
    model = restore_model(request.model)
    prediction = predict_split(model.network, load_split(request.split), request.model.protocol, model.device)
    backend.check_flags(model.flags)
    return prediction
