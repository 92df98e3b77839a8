"""What a run decides before it trains: samples, study, trials, and how far each is."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchbird.config.benchmark import BenchmarkConfig, load_benchmark
from benchbird.contract import DatasetSpec, Sample
from benchbird.data import birdsound, embedded
from benchbird.data.identity import data_digest
from benchbird.data.images import read_mask
from benchbird.data.resize import bicubic_mask, shrink_mask
from benchbird.errors import DataError, PluginError, ResultsError
from benchbird.runner import prepare
from benchbird.study_data import StudyData, find_also_test, find_data, fold_numbers, with_fold
from tests.small_bench import Bench, make_bench, write_birds
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


def test_every_trial_that_cannot_be_looked_at_is_named_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, *others = make_small_plan(bench, "seeds=[0, 1]").trials
    first.folder.mkdir(parents=True)
    (first.folder / "record.json").write_text('{"schema": 1}')
    closed, exists = second.folder / "record.json", Path.exists

    def refuse(path: Path, **options: bool) -> bool:
        if path == closed:
            raise PermissionError(13, "Permission denied")
        return exists(path, **options)

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(ResultsError) as refused:
        make_small_plan(bench, "seeds=[0, 1]")
    heading, old, shut, advice = str(refused.value).splitlines()
    assert heading == "some trials can't be looked at:"
    assert "written by an older benchbird" in old and str(first.folder) in old
    assert shut == f"  {second.folder}: could not be looked into: Permission denied"
    assert advice == "mend that, or move the folder of such a trial away, and it is run again"
    assert others


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


(BIRDS,) = birdsound.benchbird_datasets()
(EMBEDDED,) = embedded.benchbird_datasets()


def write_manifest(bench: Bench, folder: str = "birds") -> None:
    """Every second recording's masks are a person's; names as `write_birds` gives them."""
    lines = ["name,recording,kind"]
    for split, count in (("Train", 13), ("Valid", 6), ("Test", 8)):
        for number in range(count):
            recording, channel = f"{split}{number // 2:02d}", "left" if number % 2 == 0 else "right"
            lines.append(f"{recording}_{channel},{recording},{'human' if number % 4 < 2 else 'mixed'}")
    (bench.folder / folder / "manifest.csv").write_text("\n".join(lines) + "\n")


def config_of(bench: Bench, *overrides: str) -> BenchmarkConfig:
    return load_benchmark(bench.folder / "small.yaml", overrides=overrides)


def data_of(bench: Bench, *overrides: str) -> StudyData:
    return find_data(config_of(bench, *overrides), BIRDS, bench.folder / "cache")


def test_where_keeps_some_samples_before_a_subset_is_drawn(bench: Bench) -> None:
    write_manifest(bench)
    human = data_of(bench, "data.where={kind: human}")
    assert {name: len(samples) for name, samples in human.splits.items()} == {"train": 7, "val": 4, "test": 4}
    assert {one.attributes["kind"] for samples in human.splits.values() for one in samples} == {"human"}
    assert data_of(bench, "data.where={kind: [human, mixed]}").digest == data_of(bench).digest != human.digest
    few = data_of(bench, "data.where={kind: human}", "data.sizes={train: 3, val: 4, test: 9}")
    assert [len(few.splits[name]) for name in ("train", "val", "test")] == [3, 4, 4]
    assert few.notices == ("split test: asked for 9 samples, using all 4 that there are",)
    with pytest.raises(DataError, match="no sample has kind = x; kind is human, mixed"):
        data_of(bench, "data.where={kind: x}")
    with pytest.raises(DataError, match="is made, and what it is like is known only then"):
        find_data(config_of(bench, "data.root=", "data.where={voice: trill}"), EMBEDDED, bench.folder)


def test_every_fold_is_a_study_and_every_sample_is_tested_once(bench: Bench) -> None:
    config = config_of(bench, "data.folds=4")
    cache = bench.folder / "cache"
    assert fold_numbers(config, BIRDS, cache) == (1, 2, 3, 4)
    folds = [find_data(with_fold(config, number), BIRDS, cache) for number in (1, 2, 3, 4)]
    tested = [sample.sample_id for fold in folds for sample in fold.splits["test"]]
    assert len(tested) == len(set(tested)) == 13 + 6 + 8
    assert len({fold.digest for fold in folds}) == 4
    assert [fold.fold and (fold.fold.number, fold.fold.of) for fold in folds] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len({fold.fold and fold.fold.pool_digest for fold in folds}) == 1
    for fold in folds:
        recordings = [{one.recording_id for one in fold.splits[name]} for name in ("train", "val", "test")]
        assert not recordings[0] & recordings[1] and not recordings[0] & recordings[2]
        assert not recordings[1] & recordings[2]
    # The same splits found without folds would be another study: their records say nothing of a fold.
    assert folds[0].digest != data_digest("birdsound", folds[0].identities)
    other = find_data(with_fold(config_of(bench, "data.folds=4", "data.subset_seed=1"), 1), BIRDS, cache)
    assert other.fold and folds[0].fold and other.fold.pool_digest != folds[0].fold.pool_digest


def test_data_are_prepared_by_the_protocol_s_rule(bench: Bench) -> None:
    hard, soft = (
        prepare(make_small_plan(bench, f"protocol.resize={rule}"), bench.folder / "cache")[0]
        for rule in ("area", "bicubic")
    )
    mask = read_mask(next((bench.folder / "birds/Train/Masks").glob("Train00_left.png")))
    assert np.array_equal(hard.splits["train"].masks[0], shrink_mask(mask, 16))
    assert np.array_equal(soft.splits["train"].masks[0], bicubic_mask(mask, 16))


def test_the_fold_is_in_the_summary_of_the_data(bench: Bench) -> None:
    plan = make_small_plan(bench, "data.folds=recordings", "data.fold=2")
    _, summary = prepare(plan, bench.folder / "cache")
    assert summary.fold == plan.data.fold and summary.fold is not None
    assert (summary.fold.number, summary.fold.of, summary.n_recordings_test) == (2, 14, 1)
    assert prepare(make_small_plan(bench), bench.folder / "cache")[1].fold is None


def test_a_fold_must_be_chosen_and_be_there(bench: Bench) -> None:
    with pytest.raises(DataError, match=r"data\.folds makes 4 folds, and none is chosen; expected data\.fold from 1"):
        data_of(bench, "data.folds=4")
    for reader in (fold_numbers, find_data):
        with pytest.raises(DataError, match=r"data\.fold is 15, and there are 14 folds; expected 1 to 14"):
            reader(config_of(bench, "data.folds=recordings", "data.fold=15"), BIRDS, bench.folder)
    cache = bench.folder
    assert fold_numbers(config_of(bench, "data.folds=recordings"), BIRDS, cache) == tuple(range(1, 15))
    assert fold_numbers(config_of(bench, "data.folds=recordings", "data.fold=14"), BIRDS, cache) == (14,)
    assert fold_numbers(config_of(bench), BIRDS, cache) == ()
    with pytest.raises(DataError, match="asks for 99 folds, and the data have 14 recordings"):
        fold_numbers(config_of(bench, "data.folds=99"), BIRDS, cache)


def test_where_comes_before_the_folds(bench: Bench) -> None:
    write_manifest(bench)
    overrides = ("data.folds=recordings", "data.where={kind: human}")
    assert len(fold_numbers(config_of(bench, *overrides), BIRDS, bench.folder)) == 8
    data = data_of(bench, *overrides, "data.fold=1")
    assert sum(map(len, data.splits.values())) == 15


def test_the_embedded_set_is_folded_too_and_told_its_size_by_an_option(bench: Bench) -> None:
    config = config_of(bench, "data.root=", "data.folds=3", "data.fold=1",
                       "data.options={sizes: {train: 8, val: 2, test: 2}}")  # fmt: skip
    data = find_data(config, EMBEDDED, bench.folder)
    assert sum(map(len, data.splits.values())) == 12


def test_other_sets_are_found_to_test_on_and_change_no_study(bench: Bench) -> None:
    write_birds(bench.folder / "Other Birds", {"Train": 1, "Valid": 1, "Test": 4}, seed=1)
    write_birds(bench.folder / "more/other_birds", {"Test": 2}, seed=2)
    roots = ["Other Birds", "more/Other-Birds", "more/Other-Birds/Test", "birds/Valid"]
    (bench.folder / "more/other_birds").rename(bench.folder / "more/Other-Birds")
    text = f"data.also_test=[{', '.join(str(bench.folder / root) for root in roots)}]"
    config = config_of(bench, text, "data.allow_leaks=true")
    found = find_also_test(config, bench.folder / "cache", data_of(bench))
    assert [one.leaks for one in found] == [0, 0, 0, 3]
    assert [one.name for one in found] == ["other-birds", "other-birds-2", "other-birds-test", "birds-valid"]
    assert [len(one.samples) for one in found] == [4, 2, 2, 6]
    assert [one.root for one in found] == [bench.folder / root for root in roots]
    assert len({one.digest for one in found}) == 3, "the same samples are the same data"
    assert found[1].digest == found[2].digest
    assert data_of(bench, text).digest == data_of(bench).digest
    assert make_small_plan(bench, text).study == make_small_plan(bench).study
    assert find_also_test(config_of(bench), bench.folder / "cache", data_of(bench)) == ()


def test_what_is_wrong_with_another_set_is_said(bench: Bench) -> None:
    config = config_of(bench, f"data.also_test=[{bench.folder / 'birds/Test/Images'}]")
    with pytest.raises(DataError, match="has no folder Test, nor Images and Masks itself"):
        find_also_test(config, bench.folder, data_of(bench))


def test_a_further_set_must_not_hold_what_is_trained_or_selected_on(bench: Bench) -> None:
    birds, other, cache = bench.folder / "birds", bench.folder / "other", bench.folder / "cache"
    write_birds(other, {"Test": 4}, seed=1)
    for kind in ("Images", "Masks"):
        # The same recording by name; the same content under another; a recording that is only tested.
        shutil.copy(other / f"Test/{kind}/Test00_left.png", other / f"Test/{kind}/Train03_right.png")
        shutil.copy(birds / f"Valid/{kind}/Valid01_left.png", other / f"Test/{kind}/new_left.png")
    override = f"data.also_test=[{other}]"
    with pytest.raises(DataError) as caught:
        find_also_test(config_of(bench, override), cache, data_of(bench))
    assert str(caught.value).startswith("data.also_test: other: 2 recordings are in the study's train or val too:\n")
    assert "\n  Train03: train\n" in str(caught.value)
    assert "\n  new: val, as Valid01_left\n" in str(caught.value)
    assert "data.allow_leaks: true" in str(caught.value)
    (allowed,) = find_also_test(config_of(bench, override, "data.allow_leaks=true"), cache, data_of(bench))
    assert allowed.leaks == 2


def test_a_further_set_is_checked_against_the_fold_s_own_train_and_val(bench: Bench) -> None:
    write_birds(bench.folder / "other", {"Test": 1}, seed=1)  # of a recording called Test00
    cache, config = bench.folder / "cache", config_of(bench, "data.folds=3", f"data.also_test=[{bench.folder}/other]")
    refused = []
    for number in (1, 2, 3):
        chosen = with_fold(config, number)
        data = find_data(chosen, BIRDS, cache)
        seen = {one.recording_id for split in ("train", "val") for one in data.splits[split]}
        try:
            find_also_test(chosen, cache, data)
        except DataError:
            refused.append(number)
        assert (number in refused) == ("Test00" in seen)
    assert len(refused) == 2
