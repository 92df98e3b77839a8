"""Trackers against the real libraries: silent unless asked, and then everything of a trial arrives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

import benchbird_mlflow
import benchbird_tensorboard
import benchbird_wandb
from benchbird import BenchbirdError, TrialRecord, summarise_trial
from benchbird.registry import OBSERVERS, load_registry
from benchbird.results import read_record
from tests.finished_bench import trial_folder
from tests.small_bench import Bench, outcome

VARIABLES: dict[ModuleType, str] = {
    benchbird_tensorboard: benchbird_tensorboard.FOLDER,
    benchbird_mlflow: benchbird_mlflow.SERVER,
    benchbird_wandb: benchbird_wandb.PROJECT,
}
LIBRARIES = {
    benchbird_tensorboard: "torch.utils.tensorboard",
    benchbird_mlflow: "mlflow.entities",
    benchbird_wandb: "wandb",
}

Ended = tuple[TrialRecord, Path]


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def ended(finished: Bench) -> Ended:
    folder = trial_folder(finished.results, "atrous_segnet")
    return read_record(folder / "record.json"), folder


def test_they_come_by_entry_point() -> None:
    found = load_registry(groups={OBSERVERS})
    assert found.warnings == ()
    assert {plugin.module for plugin in found.plugins} >= set(VARIABLES)


def test_nothing_is_imported_unless_asked() -> None:
    code = (
        "import sys, benchbird_mlflow, benchbird_tensorboard, benchbird_wandb\n"
        "for plugin in (benchbird_mlflow, benchbird_tensorboard, benchbird_wandb):\n"
        "    plugin.benchbird_trial_finished(None, None)\n"
        "print(sorted({'torch', 'mlflow', 'wandb', 'tensorboard'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("plugin", VARIABLES, ids=lambda plugin: plugin.__name__)
def test_a_missing_library_is_told_with_how_to_get_it(
    plugin: ModuleType, ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLES[plugin], "somewhere")
    monkeypatch.setitem(sys.modules, LIBRARIES[plugin], None)
    with pytest.raises(
        BenchbirdError, match=rf"{VARIABLES[plugin]} is set, but .* pip install 'benchbird\[trackers\]'"
    ):
        plugin.benchbird_trial_finished(*ended)


def test_tensorboard_gets_the_curves_the_scores_and_what_tells_trials_apart(
    ended: Ended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    record, folder = ended
    monkeypatch.setenv(benchbird_tensorboard.FOLDER, str(tmp_path / "runs"))
    benchbird_tensorboard.benchbird_trial_finished(record, folder)
    run = tmp_path / "runs" / record.benchmark / record.study / folder.parent.name / "seed-0"
    events = accumulator.EventAccumulator(str(run)).Reload()
    trial = summarise_trial(record, folder)
    assert set(events.Tags()["scalars"]) == {*trial.curves, *trial.scores}
    loss = [(one.step, one.value) for one in events.Scalars("epoch/train_loss")]
    assert loss == [(epoch, pytest.approx(value)) for epoch, value in trial.curves["epoch/train_loss"]]
    assert len(loss) == record.protocol["epochs"]
    assert record.scores is not None
    assert events.Scalars("test/iou_pooled")[0].value == pytest.approx(record.scores.test.iou_pooled)
    hparams = accumulator.EventAccumulator(str(run)).Reload().summary_metadata["_hparams_/session_start_info"]
    assert b"protocol.optimizer.lr" in hparams.plugin_data.content and b"label" in hparams.plugin_data.content


def test_tensorboards_table_has_the_same_columns_whichever_trial_it_takes_them_from(
    ended: Ended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    messages = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    monkeypatch.setenv(benchbird_tensorboard.FOLDER, str(tmp_path / "runs"))
    done, folder = ended
    without_options = replace(done.segmenter, label="threshold", options={})
    failed = replace(
        done, segmenter=without_options, status="failed", reason="it broke", scores=None, last_epoch=None, timing=None
    )
    tables, seen_first = [], []
    for record, place in ((done, folder), (failed, tmp_path / "threshold-0123abcd" / "seed-0")):
        benchbird_tensorboard.benchbird_trial_finished(record, place)
        run = tmp_path / "runs" / record.benchmark / record.study / place.parent.name / "seed-0"
        stored = accumulator.EventAccumulator(str(run)).Reload().summary_metadata["_hparams_/experiment"]
        experiment = messages.HParamsPluginData.FromString(stored.plugin_data.content).experiment
        tables.append(
            ({one.name for one in experiment.hparam_infos}, [one.name.tag for one in experiment.metric_infos])
        )
        seen_first.append({one.name for one in experiment.hparam_infos if one.differs})
    assert tables[0] == tables[1] and tables[0][1] == list(benchbird_tensorboard.COMPARED)
    assert seen_first == [set(benchbird_tensorboard.SEEN_FIRST)] * 2


def test_tensorboard_forgets_what_a_trial_left_before_it_was_run_again(
    ended: Ended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    record, folder = ended
    monkeypatch.setenv(benchbird_tensorboard.FOLDER, str(tmp_path / "runs"))
    failed = replace(record, status="failed", reason="it broke", scores=None, last_epoch=None, timing=None)
    for one in (failed, record):  # the curve is the same one here, twice
        benchbird_tensorboard.benchbird_trial_finished(one, folder)
        time.sleep(1.1)  # the file's name has the second, and TensorBoard reads them by name
    run = tmp_path / "runs" / record.benchmark / record.study / folder.parent.name / "seed-0"
    assert len(list(run.iterdir())) == 2
    events = accumulator.EventAccumulator(str(run)).Reload()
    steps = [one.step for one in events.Scalars("epoch/train_loss")]
    assert steps == list(range(1, record.protocol["epochs"] + 1))


def test_mlflow_gets_a_run_of_the_benchmarks_experiment(
    ended: Ended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    record, folder = ended
    uri = (tmp_path / "mlruns").as_uri()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv(benchbird_mlflow.SERVER, uri)
    for variable in benchbird_mlflow.DEFAULTS:
        monkeypatch.setenv(variable, "")  # so that it is restored
        monkeypatch.delenv(variable)
    for _ in range(2):  # the second finds the experiment
        benchbird_mlflow.benchbird_trial_finished(record, folder)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    client = tracking.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(record.benchmark)
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 2
    trial = summarise_trial(record, folder)
    data = runs[0].data
    assert data.params == {name: str(value) for name, value in trial.parameters.items()}
    assert set(data.metrics) == {*trial.curves, *trial.scores}
    assert data.tags["study"] == record.study and runs[0].info.status == "FINISHED"
    history = client.get_metric_history(runs[0].info.run_id, "epoch/val_iou_pooled")
    assert [(one.step, one.value) for one in history] == list(trial.curves["epoch/val_iou_pooled"])


def test_mlflow_is_told_that_a_trial_failed(ended: Ended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    uri = (tmp_path / "mlruns").as_uri()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv(benchbird_mlflow.SERVER, uri)
    failed = replace(ended[0], status="failed", reason="x" * 2000, scores=None, last_epoch=None, timing=None)
    benchbird_mlflow.benchbird_trial_finished(failed, tmp_path)
    client = tracking.MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name(failed.benchmark).experiment_id])
    assert run.info.status == "FAILED" and run.data.params["reason"] == "x" * 500 and run.data.metrics == {}


class TrackingServer(BaseHTTPRequestHandler):
    """As much of MLflow's server as a run is told to."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer()

    do_PATCH = do_POST

    def _answer(self) -> None:
        endpoint = self.path.partition("?")[0].partition("/mlflow/")[2]
        self.asked.append(endpoint)
        info = {"run_id": "0", "run_uuid": "0", "experiment_id": "1", "run_name": "name", "status": "RUNNING"}
        run = {"run": {"info": info, "data": {}}, "run_info": info}
        known = {"experiments/get-by-name": {"experiment": {"experiment_id": "1", "name": "small"}}}
        content = json.dumps(known.get(endpoint, run if endpoint.startswith("runs/") else {})).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def tracking_server() -> Iterator[str]:
    TrackingServer.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), TrackingServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_of_mlflow_leaves_standard_output_to_the_run(
    ended: Ended, tracking_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow.tracking")
    monkeypatch.setenv(benchbird_mlflow.SERVER, tracking_server)
    for variable in benchbird_mlflow.DEFAULTS:
        monkeypatch.setenv(variable, "")  # so that it is restored
        monkeypatch.delenv(variable)
    benchbird_mlflow.benchbird_trial_finished(*ended)
    assert {"runs/create", "runs/log-batch", "runs/update"} <= set(TrackingServer.asked)
    assert capsys.readouterr().out == ""


def test_wandb_writes_a_run_offline(ended: Ended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    record, folder = ended
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv(benchbird_wandb.PROJECT, "birds")
    benchbird_wandb.benchbird_trial_finished(record, folder)
    (written,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    content = written.read_bytes()
    for expected in (
        b"birds",
        record.study.encode(),
        b"epoch/train_loss",
        b"test/iou_pooled",
        b"protocol.optimizer.lr",
    ):
        assert expected in content
    for unsaid in (str(Path.home()), str(folder), socket.gethostname()):
        # With what a short string is preceded by, its length: a host may be named `vm`, and bytes are many.
        assert bytes([len(unsaid)]) + unsaid.encode() not in content
    assert not list((tmp_path / "wandb").rglob("requirements.txt"))


class FakeRun:
    def __init__(self) -> None:
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.summary: dict[str, float] = {}
        self.exit_code: int | None = None

    def log(self, values: dict[str, float], step: int) -> None:
        self.logged.append((step, values))

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


def test_wandb_is_told_everything_once_and_asks_nobody(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    record, folder = ended
    run, told = FakeRun(), dict[str, Any]()

    def init(**arguments: Any) -> FakeRun:
        told.update(arguments, stdin=sys.stdin.read())
        return run

    stand_in = ModuleType("wandb")
    settings: Callable[..., dict[str, Any]] = dict
    vars(stand_in).update(init=init, Settings=settings)
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    monkeypatch.setenv(benchbird_wandb.PROJECT, "birds")
    before = sys.stdin
    benchbird_wandb.benchbird_trial_finished(record, folder)
    assert sys.stdin is before and told["stdin"] == ""
    assert 0 < told["settings"]["init_timeout"] <= 60 and 0 < told["settings"]["finish_timeout"] <= 60
    assert told["settings"]["finish_timeout_raises"] is True  # else what was lost is lost without a word
    assert told["settings"]["program"] == "benchbird"  # else it is sent the path of the script, with a home in it
    kept_back = {
        "host": "", "program_abspath": "", "program_relpath": "", "save_code": False, "disable_git": True,
        "console": "off", "x_disable_meta": True, "x_disable_stats": True, "x_disable_machine_info": True,
        "x_save_requirements": False,
    }  # fmt: skip
    assert told["settings"].items() >= kept_back.items()
    trial = summarise_trial(record, folder)
    assert told["project"] == "birds" and told["group"] == record.study and told["config"] == trial.parameters
    assert [step for step, _ in run.logged] == list(range(1, record.protocol["epochs"] + 1))
    assert {name for _, values in run.logged for name in values} == set(trial.curves)
    assert run.summary == trial.scores and run.exit_code == 0


def test_wandb_is_finished_although_it_takes_no_values(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    run = FakeRun()
    monkeypatch.setattr(run, "log", lambda *_, **__: 1 / 0)
    stand_in = ModuleType("wandb")
    settings: Callable[..., dict[str, Any]] = dict
    vars(stand_in).update(init=lambda **_: run, Settings=settings)
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    monkeypatch.setenv(benchbird_wandb.PROJECT, "birds")
    with pytest.raises(ZeroDivisionError):
        benchbird_wandb.benchbird_trial_finished(*ended)
    assert run.exit_code == 0


def test_a_run_tells_a_tracker_and_prints_what_it_printed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setenv(benchbird_tensorboard.FOLDER, "runs")
    done = bench.run("--json")
    assert done.returncode == 0, done.stderr
    assert outcome(done)["leaderboard"]["rows"]
    told = {path.parent.relative_to(bench.folder / "runs") for path in bench.folder.glob("runs/**/events.out.*")}
    assert told == {path.parent.relative_to(bench.results) for path in bench.records()}
    again = bench.run("--json")
    assert again.returncode == 0
    assert len(list(bench.folder.glob("runs/**/events.out.*"))) == len(told)


def test_a_tracker_that_fails_costs_no_trial(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.folder / "runs").write_text("a file where a folder is wanted")
    monkeypatch.setenv(benchbird_tensorboard.FOLDER, "runs")
    done = bench.run("--only", "threshold")
    assert done.returncode == 0 and "threshold" in done.stdout
    assert "benchbird_tensorboard: benchbird_trial_finished failed" in done.stderr
    assert "Traceback" not in done.stderr
