from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from benchbird.config.benchmark import load_benchmark
from benchbird.errors import ConfigError
from benchbird.registry import load_registry
from benchbird.sampling import SamplingRule
from benchbird.throughput.plan import TimingPlan, make_timing_plan
from tests.throughput_factory import made_up_plan, plan_of, write_plugin

ROOT = Path(__file__).parents[2]


def made(overrides: tuple[str, ...] = ()) -> TimingPlan:
    config = load_benchmark(ROOT / "benchmarks" / "birdsound.yaml", profile="cpu", overrides=overrides)
    return make_timing_plan(
        config, load_registry(groups={"segmenters"}), is_named=False, plugin_files=(), works=["training", "inference"],
        batch_sizes=[8, 1, 8], precisions=["fp32", "bf16", "fp32"], device="cpu", threads=1, rule=SamplingRule(),
    )  # fmt: skip


def test_a_benchmarks_segmenters_with_their_options() -> None:
    plan = made()
    assert (plan.benchmark, plan.profile, plan.protocol.image_size) == ("birdsound", "cpu", 128)
    assert [segmenter.label for segmenter in plan.segmenters] == ["atrous_segnet", "deeplabv3", "unet", "threshold"]
    assert plan.segmenter("unet").options["encoder"] == "resnet18"
    assert plan.calibrated == {"threshold"}
    assert (plan.batch_sizes, plan.precisions) == ((1, 8), ("fp32", "bf16"))
    assert len(plan.rows) == 2 * 2 * (3 + 4)


def test_a_precision_has_a_protocol_of_its_own() -> None:
    plan = made()
    assert plan.protocol_in("fp32") == plan.protocol
    assert plan.protocol_in("bf16").precision == "bf16"
    assert plan.protocol_in("bf16").digest != plan.protocol_in("fp32").digest


def test_options_that_do_not_fit_are_told() -> None:
    with pytest.raises(ConfigError, match="image_size"):
        made(("protocol.image_size=20",))


def test_blocks_are_what_takes_turns() -> None:
    plan = made_up_plan("a", "b", "floor", calibrated=("floor",), precisions=("fp32", "bf16"))
    assert [(block.work, block.batch_size, len(block.rows)) for block in plan.blocks] == [
        ("training", 1, 4), ("training", 8, 4), ("inference", 1, 6), ("inference", 8, 6),
    ]  # fmt: skip
    assert [str(row) for row in plan.blocks[0].rows] == [
        "a fp32 training batch 1", "b fp32 training batch 1", "a bf16 training batch 1", "b bf16 training batch 1",
    ]  # fmt: skip
    assert plan.rows == tuple(row for block in plan.blocks for row in block.rows)


def test_a_block_without_rows_is_none() -> None:
    plan = made_up_plan("floor", calibrated=("floor",))
    assert {block.work for block in plan.blocks} == {"inference"}


def test_it_can_be_sent_to_a_child(tmp_path: Path) -> None:
    plan = plan_of("plain", plugin=write_plugin(tmp_path))
    assert pickle.loads(pickle.dumps(plan)) == plan
