"""The contract as pytest's tests, in the suites of authors: how many there are, and what a broken point says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchbird.contract import SegmenterSpec
from benchbird.contract_points import POINTS, keys_for
from benchbird.pytest_plugin import contract_tests
from benchbird.scaffolds import plugin_file
from benchbird.testing import contract_points
from tests.broken_networks import Good

ROOT = Path(__file__).parents[1]

SUITE = """\
from benchbird import SegmenterSpec
from benchbird.pytest_plugin import contract_tests
from tests.broken_networks import Good, NoChannel, Sigmoid

test_good = contract_tests(SegmenterSpec(name="good", build=Good))
test_file = contract_tests("my_net.py", options={"channels": 4}, image_size=16)
BROKEN = {"sigmoid": Sigmoid, "flat": NoChannel}
test_broken = contract_tests(SegmenterSpec(name=name, build=build) for name, build in BROKEN.items())
test_installed = contract_tests("threshold")
test_options = contract_tests("my_net.py", options={"channels": 0})
"""


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """An author's pytest in `folder`, whose only plugin is ours, whether or not it is installed as one."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        "COLUMNS": "200",
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "benchbird.pytest_plugin", "-p", "no:cacheprovider", "-W", "error",
         "--strict-markers", "--rootdir", str(folder), *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_an_author_gets_one_test_a_point_and_a_sentence_for_each_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text(plugin_file("my_net")["my_net.py"])
    (tmp_path / "test_suite.py").write_text(SUITE)
    done = run_pytest(tmp_path, "-v", "-rs")
    assert done.returncode == 1, done.stdout + done.stderr
    ended = {
        words[0].removeprefix("test_suite.py::"): words[1]
        for words in (line.split() for line in done.stdout.splitlines())
        if len(words) > 1 and words[0].startswith("test_suite.py::")
    }
    sound = [f"test_good[good-{key}]" for key in POINTS if key != "calibration"]
    sound += [f"test_file[my_net-{key}]" for key in POINTS if key != "calibration"]
    sound += [f"test_installed[threshold-{key}]" for key in POINTS if key != "training"]
    assert [ended.pop(name) for name in sound] == ["PASSED"] * 24
    broken = {name for name, how in ended.items() if how == "FAILED"}
    assert broken == {"test_broken[sigmoid-training]", "test_broken[flat-logits]", "test_options[my_net-options]"}
    skipped = {name for name, how in ended.items() if how == "SKIPPED"}
    assert {name for name in skipped if "flat" in name} == {
        "test_broken[flat-sizes]", "test_broken[flat-eval]", "test_broken[flat-training]"
    }  # fmt: skip
    assert len(skipped) == 3 + 7 and "not looked at, since a point before it is broken" in done.stdout
    assert "segmenter sigmoid breaks the contract: trains on a batch of two" in done.stdout
    assert "not logits; return raw logits, without sigmoid, softmax or ReLU at the end" in done.stdout
    assert "logits have shape (3, 64, 64) for images (3, 3, 64, 64); expected (3, 1, 64, 64)" in done.stdout
    assert "option channels: found 0, expected at least 1" in done.stdout
    failures = done.stdout.partition("= FAILURES =")[2].partition("= short test summary info =")[0]
    assert failures and "pytest_plugin.py" not in failures and "testing.py" not in failures, "no workings of ours"


def test_the_command_line_adds_the_tests_of_a_file_or_a_name(tmp_path: Path) -> None:
    source = plugin_file("my_net")["my_net.py"].replace("self.layers(images)", "self.layers(images).relu()")
    (tmp_path / "my_net.py").write_text(source)
    done = run_pytest(tmp_path, "-q", "--benchbird", "my_net.py", "--benchbird", "threshold", "-k", "not sizes")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 13 passed, 2 deselected" in done.stdout
    assert (
        "FAILED benchbird::contract[my_net-training]" in done.stdout
        and "without sigmoid, softmax or ReLU" in done.stdout
    )


def test_a_segmenter_that_isnt_there_is_one_sentence(tmp_path: Path) -> None:
    said = "no segmenter 'treshold' is installed, nor is it a file; there are "
    asked = run_pytest(tmp_path, "--benchbird", "treshold")
    assert asked.returncode == 4 and f"ERROR: --benchbird treshold: {said}" in asked.stderr
    (tmp_path / "test_it.py").write_text(
        "from benchbird.pytest_plugin import contract_tests\ntest_it = contract_tests('treshold')\n"
    )
    named = run_pytest(tmp_path)
    assert named.returncode == 2 and said in named.stdout
    assert "Traceback" not in named.stdout and "pytest_plugin.py" not in named.stdout


@pytest.mark.parametrize(
    ("what", "said"), [([], "got no segmenter; expected"), (Good, "got <class .*Good'>; expected a segmenter's name")]
)
def test_what_is_no_segmenter_is_no_success(what: Any, said: str) -> None:
    with pytest.raises(pytest.Collector.CollectError, match=said):
        contract_tests(what)


def test_a_suite_that_doesnt_ask_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        "import json, pathlib, sys\n\n"
        "def test_theirs():\n    pathlib.Path('loaded.json').write_text(json.dumps(sorted(sys.modules)))\n"
    )
    done = run_pytest(tmp_path, "-q")
    assert done.returncode == 0 and done.stdout.startswith(".") and "1 passed" in done.stdout
    loaded = set(json.loads((tmp_path / "loaded.json").read_text()))
    assert "benchbird.pytest_plugin" in loaded
    assert not loaded & {"torch", "numpy", "pandas", "scipy", "pydantic", "benchbird.testing"}


def test_what_is_collected_is_what_is_looked_at() -> None:
    def calibrate(*_: object) -> None: ...

    for spec in (
        SegmenterSpec(name="good", build=Good),
        SegmenterSpec(name="calibrated", build=Good, calibrate=calibrate),
    ):
        assert tuple(point.key for point in contract_points(spec, image_size=16)) == keys_for(spec)
