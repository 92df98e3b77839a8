"""benchbird from a script: the same results as the command's, as a table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import benchbird
from benchbird.results import find_records, read_record
from tests.finished_bench import rewrite_record, trial_folder
from tests.small_bench import SHORT_TIMING, Bench, make_bench

SCRIPT = """\
import benchbird

frame = benchbird.run("small.yaml", only=["threshold"], seeds=[0, 3], device="cpu", cache="cache")
assert len(benchbird.load_results("results")) == 2
print(frame[["label", "seed", "status", "iou_pooled", "parameters"]].to_json(orient="records"))
"""


def test_a_table_has_a_row_for_each_trial_with_what_its_record_says(finished: Bench) -> None:
    frame = benchbird.load_results(finished.results)
    records = [one.record for one in find_records(finished.results).found]
    assert len(frame) == len(records) > 1
    for record in records:
        [row] = [one for _, one in frame.iterrows()
                 if (one["label"], one["seed"]) == (record.segmenter.label, record.seed)]  # fmt: skip
        assert record.scores is not None and record.timing is not None
        assert row["iou_pooled"] == record.scores.test.iou_pooled
        assert row["val_iou_pooled"] == record.scores.val.iou_pooled
        assert row["parameters"] == record.timing.parameters
        assert Path(row["folder"], "record.json").exists()
    assert list(frame["label"]) == sorted(frame["label"])


def test_of_a_segmenter_that_changed_the_newest_version_alone_is_there(finished: Bench, tmp_path: Path) -> None:
    results = Path(shutil.copytree(finished.results, tmp_path / "results"))
    old = trial_folder(results, "atrous_segnet")
    new = Path(shutil.copytree(old, old.parents[1] / "atrous_segnet-ffffffff" / old.name))
    segmenter = replace(read_record(old / "record.json").segmenter, source_sha256="f" * 64)
    rewrite_record(new, segmenter=segmenter, started_at="2099-01-01T00:00:00+00:00")
    frame = benchbird.load_results(results)
    assert list(frame[frame["label"] == "atrous_segnet"]["folder"]) == [str(new)]
    assert len(frame) == len(benchbird.load_results(finished.results)) - 1  # two seeds of the old, one of the new


def test_an_empty_folder_is_an_empty_table_and_none_an_error(tmp_path: Path) -> None:
    frame = benchbird.load_results(tmp_path)
    assert len(frame) == 0 and "label" in frame.columns
    with pytest.raises(benchbird.BenchbirdError):
        benchbird.load_results(tmp_path / "missing")


def test_a_run_is_a_call_that_needs_no_guard(tmp_path: Path) -> None:
    bench = make_bench(tmp_path / "bench")
    (bench.folder / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SHORT_TIMING), *sys.path]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "script.py"], cwd=bench.folder, env=environment, capture_output=True,
                          text=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["label"], row["seed"], row["status"]) for row in rows] == [
        ("threshold", 0, "done"), ("threshold", 3, "done"),
    ]  # fmt: skip


def test_importing_it_brings_neither_torch_nor_pandas() -> None:
    code = "import sys, benchbird; sys.exit(bool({'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
