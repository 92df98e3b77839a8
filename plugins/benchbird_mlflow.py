"""MLflow: every ended trial as a run of the benchmark's experiment, where BENCHBIRD_MLFLOW names a tracking server.

    BENCHBIRD_MLFLOW=http://localhost:5000 benchbird run BENCHMARK.yaml

MLflow's own variables apply. A server that doesn't answer costs a warning and at most a minute a trial. MLflow's
reports on itself to its makers are off.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchbird import BenchbirdError, TrialRecord, hookimpl, summarise_trial

BENCHBIRD_API = 1

SERVER = "BENCHBIRD_MLFLOW"

DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # else MLflow tries for many minutes, and the run's end waits
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # only the server that was named is told anything
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # where the run's own results go
}
"""Set where the person hasn't."""

MOST_METRICS = 1000
MOST_PARAMETERS = 100
"""What MLflow takes in one request."""

LONGEST_PARAMETER = 500


@hookimpl
def benchbird_trial_finished(record: TrialRecord, folder: Path) -> None:
    """Send the trial to the server that the environment names; without one, do nothing."""
    uri = os.environ.get(SERVER)
    if not uri:
        return
    for variable, value in DEFAULTS.items():
        os.environ.setdefault(variable, value)
    try:
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise BenchbirdError(
            f"{SERVER} is set, but MLflow isn't installed: pip install 'benchbird[trackers]'"
        ) from error
    trial = summarise_trial(record, folder)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(trial.benchmark)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(trial.benchmark)
    tags = {"study": trial.study, "label": record.segmenter.label, "status": trial.status}
    run = client.create_run(experiment_id, run_name=trial.name.removeprefix(f"{trial.benchmark}/"), tags=tags)
    parameters = [Param(name, str(value)[:LONGEST_PARAMETER]) for name, value in trial.parameters.items()]
    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, epoch) for name, points in trial.curves.items() for epoch, value in points]
    metrics += [Metric(name, value, now, record.best_epoch or 0) for name, value in trial.scores.items()]
    for some in _parts(parameters, MOST_PARAMETERS):
        client.log_batch(run.info.run_id, params=some)
    for some in _parts(metrics, MOST_METRICS):
        client.log_batch(run.info.run_id, metrics=some)
    client.set_terminated(run.info.run_id, status="FINISHED" if trial.status == "done" else "FAILED")


def _parts(values: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    return (values[start : start + most] for start in range(0, len(values), most))
