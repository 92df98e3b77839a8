"""`benchbird time` through the real command line, on images of 16×16. No duration is asserted."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchbird import precisions
from benchbird.cli import main
from benchbird.commands.time import Progress
from benchbird.throughput import session
from benchbird.throughput.plan import TimingPlan
from benchbird.throughput.report import Findings, TimingReport, assemble
from tests.small_bench import Bench, make_bench
from tests.throughput_factory import made_up_plan, write_plugin

QUICK = ("--min-seconds", "0", "--max-seconds", "0", "--device", "cpu")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "bench")


def timed(bench: Bench, *arguments: str) -> subprocess.CompletedProcess[str]:
    return bench.call("time", *arguments, *QUICK)


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_benchmark_is_timed_and_the_table_says_what(bench: Bench) -> None:
    done = timed(bench, "small.yaml", "--batch-sizes", "4,1", "--precision", "bf16")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("**small, profile full**: timed at 16×16, protocol bf16 ")
    rows = re.findall(r"^\|\s+(\d+) \| (\w+)\s+\| (\w+)", done.stdout, re.MULTILINE)
    training = [(size, "bf16", "atrous_segnet") for size in ("1", "4")]
    inference = [(*key[:2], name) for key in training for name in ("atrous_segnet", "threshold")]
    assert rows == [*training, *inference]
    assert "no training rows, since it is calibrated: threshold" in done.stderr
    assert re.findall(r"^time .*", done.stderr, re.MULTILINE) == [
        f"time       process {number}: 4 of 4 kinds of work and batch sizes" for number in range(1, 7)
    ]  # fmt: skip
    assert "atrous_segnet: base_channels=4." in done.stdout
    is_emulated = not precisions.cpu_bf16_support()
    assert ("is emulated" in done.stderr) is ("is emulated" in done.stdout) is is_emulated
    assert not bench.results.exists()


def test_the_document_of_named_segmenters(bench: Bench) -> None:
    done = timed(bench, "atrous_segnet:base_channels=2", "atrous_segnet:base_channels=4", "--size", "16", "--work",
                 "inference", "--batch-sizes", "2", "--json", "--threads", "1", "--set", "protocol.channels_last=true",
                 "--precision", "fp32")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = document(done)
    assert found["benchmark"] is None
    assert (found["image_size"], found["environment"]["threads"]) == (16, 1)
    assert found["protocols"]["fp32"]["channels_last"] is True
    first, second = found["rows"]
    assert (first["label"], second["label"]) == ("atrous_segnet-2", "atrous_segnet-4")
    assert (first["ratio"], second["reference"]) == (None, "atrous_segnet-2")
    ratio = second["ratio"]
    assert 0 < ratio["least"] <= ratio["median"] <= ratio["most"]
    assert second["parameters"] > first["parameters"] > 0
    assert second["gflop_per_image"] > first["gflop_per_image"] > 0
    for row in found["rows"]:
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
        assert row["images_per_s"] == pytest.approx(2e3 / row["p50_ms"])
        assert row["processes"] == 6
        assert 1 <= len(row["round_medians_ms"]) <= 6
        assert row["memory_bytes"] < 2**28
    assert found["machine_peak"]["gflop_per_s"]["fp32"] > 0
    assert found["machine_peak"]["copy_gb_per_s"] > 0
    assert "bf16" in found["bf16"]


def test_a_segmenter_that_fails_is_named_and_the_exit_code_tells(bench: Bench) -> None:
    plugin = write_plugin(bench.folder)
    done = timed(bench, "refuses", "plain", "wide", "--plugin", plugin.name, "--size", "16", "--work", "inference",
                 "--batch-sizes", "1", "--precision", "fp32")  # fmt: skip
    assert done.returncode == 1
    assert "- **refuses**: failed: RuntimeError: no weights in file.pth" in done.stdout
    assert "- **wide** (inference fp32 at batch 1): protocol violation: the model returned shape" in done.stdout
    assert re.search(r"\| plain +\|", done.stdout)
    assert "warning    refuses: RuntimeError" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def planned(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TimingPlan]:
    """What a command line would time, without timing it."""
    monkeypatch.chdir(bench.folder)

    def plan(*arguments: str) -> TimingPlan:
        plans: list[TimingPlan] = []

        def run_timing(plan: TimingPlan, *_: object) -> TimingReport:
            plans.append(plan)
            return assemble(plan, Findings())

        monkeypatch.setattr(session, "run_timing", run_timing)
        with pytest.raises(SystemExit) as caught:
            main(["time", "--device", "cpu", *arguments])
        assert caught.value.code == 0
        return plans[0]

    return plan


def test_the_small_profile_is_taken_without_a_gpu_as_run_does(bench: Bench, planned: Callable[..., TimingPlan]) -> None:
    path = bench.folder / "small.yaml"
    path.write_text(path.read_text() + "profiles:\n  cpu:\n    protocol: {image_size: 32}\n")
    small, full = planned("small.yaml"), planned("small.yaml", "--profile", "full")
    assert (small.profile, small.protocol.image_size) == ("cpu", 32)
    assert (full.profile, full.protocol.image_size) == ("full", 16)


def test_what_is_timed_where_nothing_is_said(
    planned: Callable[..., TimingPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precisions, "cpu_bf16_support", lambda: ("amx_bf16",))
    plan = planned("small.yaml")
    assert (plan.works, plan.batch_sizes, plan.precisions) == (
        ("training", "inference"), (1, 8, 16, 32), ("fp32", "bf16"),
    )  # fmt: skip
    assert planned("unet").protocol.image_size == 256
    assert planned("small.yaml", "--set", "protocol.precision=tf32").precisions == ("fp32", "bf16")
    assert planned("small.yaml", "--work", "inference, training").works == ("training", "inference")


def test_an_interrupt_ends_it_with_its_children(bench: Bench) -> None:
    process = subprocess.Popen(
        bench.command("time", "small.yaml", "--device", "cpu", "--min-seconds", "60", "--max-seconds", "60"),
        cwd=bench.folder, env=bench.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("time "):
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM if signal.getsignal(signal.SIGINT) == signal.SIG_IGN else signal.SIGINT)
    _, _ = process.communicate(timeout=60)
    assert process.returncode != 0


class Terminal(io.StringIO):
    """Takes itself for one."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_one_bar_and_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    plan = made_up_plan("first", "second")
    row, block = plan.rows[0], plan.blocks[0]
    progress = Progress(plan)
    for event in (
        {"event": "inspecting", "label": "first"},
        {"event": "measuring_memory", "row": row},
        {"event": "process_started", "number": 7, "blocks": 4},
        {"event": "block_started", "block": block},
        {"event": "failed", "row": row, "reason": "no memory"},
        {"event": "round", "block": block, "turns": {}},
        {"event": "block_ended", "block": block},
        {"event": "turn", "row": row},
        {"event": "largest", "row": row, "batch_size": 37},
    ):
        progress.observe(event)
    progress.close()
    progress.close()
    shown = stream.getvalue()
    assert "memory of first fp32 training batch 1" in shown
    assert "process 7, training batch 1" in shown
    assert "warning    first fp32 training batch 1: no memory\n" in shown
    assert "time       process" not in shown


MISTAKES = {
    "nothing": ((), 2, ["BENCHMARK|SEGMENTER"]),
    "no such file": (("gone.yaml",), 1, ["gone.yaml", "no such file"]),
    "no such segmenter": (("unett",), 1, ["unett", "unet"]),
    "no name": (("Unet!",), 1, ["Unet!", "expected a benchmark file"]),
    "no such option": (("unet:encodr=resnet18",), 1, ["encodr", "encoder"]),
    "impossible option": (("unet:encoder=resnet7000",), 1, ["resnet7000"]),
    "unfit size": (("unet", "--size", "40"), 1, ["--size 40", "multiple of 32"]),
    "size of a benchmark": (("small.yaml", "--size", "32"), 2, ["--size 32", "protocol.image_size=32"]),
    "file and name": (("small.yaml", "unet"), 2, ["small.yaml, unet", "expected one benchmark"]),
    "work": (("unet", "--work", "sleeping"), 2, ["'sleeping'", "training, inference"]),
    "precision": (("unet", "--precision", "fp16"), 2, ["'fp16'", "fp32, tf32, bf16"]),
    "tf32 on a CPU": (("unet", "--precision", "tf32"), 2, ["--precision tf32", "only CUDA devices"]),
    "batch sizes": (("unet", "--batch-sizes", "0,x"), 2, ["0,x", "1,8,16,32"]),
    "label": (("small.yaml", "--only", "nobody"), 1, ["nobody", "atrous_segnet"]),
    "profile": (("small.yaml", "--profile", "gpu"), 1, ["gpu"]),
    "profile of a name": (("unet", "--profile", "cpu"), 2, ["--profile cpu", "no benchmark file"]),
    "seconds": (("unet", "--min-seconds", "3", "--max-seconds", "1"), 2, ["--max-seconds 1", "--min-seconds 3"]),
    "nothing to train": (("threshold", "--work", "training"), 2, ["threshold is calibrated", "--work inference"]),
    "set": (("unet", "--set", "protocol.epochs"), 1, ["protocol.epochs", "KEY=VALUE"]),
    "plugin": (("unet", "--plugin", "gone.py"), 1, ["gone.py"]),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES, ids=lambda case: case.replace(" ", "-"))
def test_a_mistake_gets_one_clear_answer(
    bench: Bench, case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, code, words = MISTAKES[case]
    monkeypatch.chdir(bench.folder)
    monkeypatch.setattr(session, "run_in_child", lambda *_args, **_options: pytest.fail("something was timed"))
    with pytest.raises(SystemExit) as caught:
        main(["time", "--device", "cpu", *arguments])
    output, told = capsys.readouterr()
    assert (caught.value.code, output) == (code, ""), told
    for word in words:
        assert word in told
