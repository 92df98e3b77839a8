"""What a run decides before it trains: samples, study, trials, and how far each is."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbird.contract import DatasetSpec, Sample
from benchbird.errors import DataError, PluginError
from benchbird.plan import find_data
from tests.small_bench import Bench, make_bench
from tests.study_factory import make_small_plan


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "bench")


def test_trials_are_seed_by_seed_so_that_early_results_compare(bench: Bench) -> None:
    plan = make_small_plan(bench, "seeds=[3, 1]")
    order = [(trial.seed, trial.segmenter.label) for trial in plan.trials]
    assert order == [(3, "atrous_segnet"), (3, "threshold"), (1, "atrous_segnet"), (1, "threshold")]
    assert {trial.state for trial in plan.trials} == {"new"}
    assert [segmenter.label for segmenter in plan.segmenters] == ["atrous_segnet", "threshold"]
    assert plan.steps == 9


def test_the_study_changes_with_protocol_and_data_and_with_nothing_else(bench: Bench) -> None:
    study = make_small_plan(bench).study
    assert make_small_plan(bench, "seeds=[9]").study == study
    assert make_small_plan(bench, "segmenters=[threshold]").study == study
    assert make_small_plan(bench, "name=other").study == study
    assert make_small_plan(bench, "protocol.epochs=4").study != study
    assert make_small_plan(bench, "data.sizes={train: 8, val: 4, test: 4}").study != study
    (bench.folder / "birds").rename(bench.folder / "moved")
    assert make_small_plan(bench, f"data.root={bench.folder / 'moved'}").study == study
    mask = next((bench.folder / "moved/Test/Masks").iterdir())
    mask.write_bytes(mask.read_bytes() + b"\0")
    assert make_small_plan(bench, f"data.root={bench.folder / 'moved'}").study != study


def test_a_subset_that_is_too_big_uses_everything_and_says_so(bench: Bench) -> None:
    whole = make_small_plan(bench)
    plan = make_small_plan(bench, "data.sizes={train: 99, val: 2, test: 8}")
    assert [len(plan.data.splits[name]) for name in ("train", "val", "test")] == [13, 2, 8]
    assert plan.data.notices == ("split train: asked for 99 samples, using all 13 that there are",)
    assert whole.data.notices == ()


def test_a_changed_option_is_another_trial_of_the_same_study(bench: Bench) -> None:
    one = make_small_plan(bench)
    other = make_small_plan(bench, "segmenters=[{name: atrous_segnet, options: {base_channels: 5}}]")
    assert other.study == one.study
    assert other.trials[0].folder != one.trials[0].folder
    assert one.trials[0].segmenter.non_default_options == {"base_channels": 4}


def test_what_a_foreign_data_set_returns_is_checked(bench: Bench) -> None:
    config = make_small_plan(bench).config
    sample = Sample(sample_id="a", recording_id="a", image=Path("a"), mask=Path("a"))

    def spec(find: object) -> DatasetSpec:
        return DatasetSpec(name="mine", find=find)  # type: ignore[arg-type]

    with pytest.raises(PluginError, match="returned the splits train; expected train, val, test"):
        find_data(config, spec(lambda root, options: {"train": [sample]}), bench.folder)
    splits = {"train": [sample, sample], "val": [sample], "test": [sample]}
    with pytest.raises(PluginError, match="occur twice in train: \\['a'\\]"):
        find_data(config, spec(lambda root, options: splits), bench.folder)
    with pytest.raises(PluginError, match="find failed: ZeroDivisionError"):
        find_data(config, spec(lambda root, options: 1 / 0), bench.folder)
    leaking = {"train": [sample], "val": [sample], "test": [sample]}
    with pytest.raises(DataError, match="in more than one split"):
        find_data(config, spec(lambda root, options: leaking), bench.folder)
