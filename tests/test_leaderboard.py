import random
import statistics
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird.assessment import Contender, Evaluation, assess
from benchbird.errors import ResultsError
from benchbird.leaderboard import by_label, from_records, rank, recorded
from benchbird.protocol import Protocol
from benchbird.records import Throughput, TrialRecord
from benchbird.results import trial_hash
from tests.record_factory import (
    CPU,
    DATA,
    GPU,
    PROTOCOL,
    make_record,
    make_segmenter,
    make_timing,
    realistic_records,
)


def test_mean_and_deviation_over_seeds() -> None:
    ious = [0.5, 0.6, 0.7, 0.4]
    board = rank([make_record(seed=seed, iou=iou, val_iou=iou + 0.1) for seed, iou in enumerate(ious)])
    (row,) = board.rows
    assert row.iou_pooled.mean == pytest.approx(0.55)
    # By hand: deviations −.05, .05, .15, −.15; squares sum to .05; divided by n − 1 = 3.
    assert row.iou_pooled.sd == pytest.approx((0.05 / 3) ** 0.5)
    assert row.iou_pooled.n == 4
    assert row.seeds == (0, 1, 2, 3)
    assert row.val_iou_pooled.mean == pytest.approx(0.65)
    assert row.dice.mean == pytest.approx(statistics.mean(2 * iou / (1 + iou) for iou in ious))


def test_one_seed_has_no_deviation() -> None:
    (row,) = rank([make_record()]).rows
    assert (row.iou_pooled.mean, row.iou_pooled.sd, row.iou_pooled.n) == (0.6, None, 1)


def test_order_ties_and_undefined_scores() -> None:
    scores: dict[str, float | None] = {"d": 0.5, "a": 0.5, "b": 0.7, "c": None, "e": 0.0, "f": 0.3}
    board = rank([make_record(make_segmenter(label), iou=iou) for label, iou in scores.items()])
    assert [(row.rank, row.label) for row in board.rows] == [
        (1, "b"), (2, "a"), (2, "d"), (4, "f"), (5, "e"), (6, "c"),
    ]  # fmt: skip


def test_a_nan_never_stands_above_a_number() -> None:
    bad = make_record(make_segmenter("bad"))
    assert bad.scores is not None
    nan = replace(bad.scores.test, iou_pooled=float("nan"))
    bad = replace(bad, scores=replace(bad.scores, test=nan))
    board = rank([bad, make_record(make_segmenter("good"), iou=0.0)])
    assert [row.label for row in board.rows] == ["good", "bad"]
    assert board.rows[1].iou_pooled.mean is None


def test_the_realistic_board() -> None:
    board = rank(realistic_records())
    assert [row.label for row in board.rows] == ["atrous_segnet", "unet", "deeplabv3", "threshold"]
    assert [(trial.label, trial.seed, trial.status) for trial in board.failed] == [
        ("deeplabv3", 1, "out_of_memory"), ("unet", 3, "diverged"), ("unet", 4, "diverged"),
    ]  # fmt: skip
    assert board.superseded == 1
    assert board.inference_batch_size == 16
    assert board.ceiling_iou_native == DATA.ceiling_iou_native
    assert board.machines == (
        "AMD EPYC 7B13, 2 cores, 8 GiB",
        "lab: NVIDIA H100 80GB HBM3, 16 cores, 128 GiB",
    )
    unet = board.rows[1]
    assert unet.iou_pooled.n == 3
    assert unet.machine == board.machines[1]
    assert unet.inference_images_per_s == pytest.approx(2211.4 * 3)
    assert board.rows[3].train_images_per_s is None


def test_a_segmenter_without_a_finished_seed_has_no_row() -> None:
    board = rank([make_record(status="failed", reason="boom")])
    assert board.rows == ()
    assert board.failed[0].reason == "boom"
    assert board.inference_batch_size == 0


def test_only_the_newest_version_of_a_label_is_ranked() -> None:
    old = make_segmenter("net", source="1")
    new = make_segmenter("net", source="2")
    board = rank(
        [
            make_record(old, seed=0, iou=0.9, started_at="2026-01-01T00:00:00+00:00"),
            make_record(old, seed=1, iou=0.9, started_at="2026-01-02T00:00:00+00:00"),
            # Later than both, though its text sorts before them.
            make_record(new, seed=0, iou=0.1, started_at="2026-01-01T23:00:00-05:00"),
        ]
    )
    (row,) = board.rows
    assert (row.iou_pooled.mean, row.trial_hash, board.superseded) == (0.1, trial_hash(new), 2)


def test_a_trial_found_twice_counts_once() -> None:
    older = make_record(status="failed", reason="boom")
    newer = make_record(started_at="2026-11-21T10:00:00+00:00")
    board = rank([newer, older, newer])
    assert (len(board.rows), board.rows[0].iou_pooled.n, board.failed, board.superseded) == (1, 1, (), 2)


def test_speeds_are_medians_on_one_machine() -> None:
    speeds = [(CPU, 10.0), (GPU, 1000.0), (CPU, 30.0), (CPU, 11.0), (GPU, 2000.0)]
    board = rank(
        [
            make_record(seed=seed, environment=environment, timing=make_timing(speed))
            for seed, (environment, speed) in enumerate(speeds)
        ]
    )
    (row,) = board.rows
    assert row.train_images_per_s == 11.0
    assert row.machine == board.machines[0] == "AMD EPYC 7B13, 2 cores, 8 GiB"
    assert row.iou_pooled.n == 5


def test_throughput_is_shown_at_the_largest_batch_that_all_were_measured_at() -> None:
    small = replace(make_timing(), inference=(Throughput(batch_size=1, images_per_s=5.0),))
    one, other = make_segmenter("a"), make_segmenter("b")
    assert rank([make_record(one), make_record(other)]).inference_batch_size == 16
    board = rank([make_record(one), make_record(other, timing=small)])
    assert board.inference_batch_size == 1
    assert [row.inference_images_per_s for row in board.rows] == [200.0, 5.0]


@pytest.mark.parametrize("change", ["protocol", "data"])
def test_two_studies_are_refused(change: str) -> None:
    protocol = Protocol(image_size=128) if change == "protocol" else PROTOCOL
    data = replace(DATA, digest="e" * 12) if change == "data" else DATA
    one, other = make_record(), make_record(seed=1, protocol=protocol, data=data)
    with pytest.raises(ResultsError, match="2 studies") as caught:
        rank([one, other])
    assert one.study in str(caught.value)
    assert other.study in str(caught.value)


def test_one_study_with_other_digests_or_sizes_is_refused() -> None:
    one = make_record()
    with pytest.raises(ResultsError, match="2 protocols"):
        rank([one, replace(one, seed=1, protocol={**one.protocol, "digest": "0" * 12})])
    with pytest.raises(ResultsError, match="2 data sets"):
        rank([one, replace(one, seed=1, data=replace(DATA, digest="0" * 12))])
    with pytest.raises(ResultsError, match="sizes"):
        rank([one, replace(one, seed=1, data=replace(DATA, n_test=1))])


def test_no_records() -> None:
    with pytest.raises(ResultsError, match="no records"):
        rank([])


def test_benchmarks_and_profiles_of_a_study_are_all_named() -> None:
    board = rank([make_record(), make_record(seed=1, benchmark="pretrained", profile="full")])
    assert (board.benchmark, board.profile) == ("birdsound, pretrained", "cpu, full")


@settings(max_examples=60, deadline=None, database=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.integers(0, 3),
            st.none() | st.sampled_from([0.0, 0.1, 0.3, 1 / 3, 1.0]),
            st.sampled_from(["1", "2"]),
            st.sampled_from(["done", "diverged"]),
            st.sampled_from([CPU, GPU]),
            st.sampled_from(["2026-11-20T10:00:00+00:00", "2026-11-21T10:00:00+00:00"]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_records_changes_nothing(
    trials: list[tuple[str, int, float | None, str, str, object, str]], shuffle: random.Random
) -> None:
    records = [
        make_record(
            make_segmenter(label, source=source),
            seed=seed,
            iou=iou,
            status="done" if status == "done" else "diverged",
            environment=CPU if environment is CPU else GPU,
            started_at=started,
        )
        for label, seed, iou, source, status, environment, started in trials
    ]
    board = rank(records)
    shuffled = list(records)
    shuffle.shuffle(shuffled)
    assert rank(shuffled) == board
    means = [row.iou_pooled.mean for row in board.rows]
    known = [mean for mean in means if mean is not None]
    assert known == sorted(known, reverse=True)
    assert means[: len(known)] == known
    shown = sum(len(row.seeds) for row in board.rows) + len(board.failed)
    assert shown + board.superseded == len(records)


def _floor(iou: float | None, seed: int = 0) -> TrialRecord:
    return replace(make_record(make_segmenter("threshold"), seed=seed, iou=iou), best_epoch=None)


@pytest.mark.parametrize(
    ("iou", "floor", "is_above"),
    [(0.6, 0.5, True), (0.5, 0.5, False), (0.4, 0.5, False), (None, 0.5, False), (0.6, None, None)],
)
def test_without_a_verdict_the_means_tell_who_is_above_the_floor(
    iou: float | None, floor: float | None, is_above: bool | None
) -> None:
    rows = {row.label: row for row in rank([make_record(iou=iou), _floor(floor)]).rows}
    assert (rows["atrous_segnet"].is_floor, rows["atrous_segnet"].is_above_floor) == (False, is_above)
    assert (rows["threshold"].is_floor, rows["threshold"].is_above_floor) == (True, None)


def test_above_the_floor_is_below_it_where_lower_is_better() -> None:
    # As if the Dice score were an error.
    def evaluate(done: Sequence[TrialRecord], _: str) -> Evaluation:
        evaluation = from_records(done, "dice")
        contenders = [
            Contender(label=label, scores={one.seed: recorded(one, "dice") for one in trials}, readings={})
            for label, trials in by_label(done).items()
        ]
        return replace(evaluation, assessment=assess(contenders, higher_is_better=False))

    board = rank(
        [make_record(make_segmenter("low"), iou=0.1), make_record(make_segmenter("high"), iou=0.9), _floor(0.5)],
        "calibration_error",
        evaluate,
    )
    assert [(row.rank, row.label, row.is_above_floor) for row in board.rows] == [
        (1, "low", True), (2, "threshold", None), (3, "high", False),
    ]  # fmt: skip


def test_records_alone_carry_intervals_over_seeds_and_no_letters() -> None:
    records = [
        make_record(make_segmenter(label), seed=seed, iou=level + seed / 100)
        for label, level in (("a", 0.5), ("b", 0.9))
        for seed in range(3)
    ]
    board = rank(records)
    assert {(row.score.covers, row.letters, row.rank_low) for row in board.rows} == {("seeds", "", None)}
    assert [one.is_separable for one in board.comparisons] == [False]
    assert board.verdict == (
        "No verdict. A predictions file is missing. "
        "Every seed gives the same difference: without scores by recording, chance can't be told from a gap.",
    )


@pytest.mark.parametrize(("leaks", "said"), [(1, "1 recording is"), (2, "2 recordings are")])
def test_leaks_rank_nothing(leaks: int, said: str) -> None:
    data = replace(DATA, leaks_allowed=leaks)
    board = rank([make_record(data=data), make_record(make_segmenter("b"), iou=0.7, data=data)])
    assert board.unranked.startswith(f"Nothing is ranked: {said} in more than one split")
    assert [(row.label, row.rank, row.score.mean) for row in board.rows] == [("b", 0, 0.7), ("atrous_segnet", 0, 0.6)]
    assert board.verdict == (board.unranked,)


def test_a_noise_budget_is_never_ranked() -> None:
    with pytest.raises(ResultsError, match="noise budget"):
        rank([replace(make_record(), initialisation_seed=3)])


def test_other_prepared_pixels_are_refused() -> None:
    other = make_record(make_segmenter("b"), data=replace(DATA, content_sha256="e" * 64))
    with pytest.raises(ResultsError, match="2 prepared forms of one data set"):
        rank([make_record(), other])
