"""The tuned track: whose rate is chosen by what, which trials it is made of, and what its rule on disk is worth."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbird.errors import ResultsError
from benchbird.leaderboard import rank
from benchbird.protocol import Protocol, Tuning, canonical_digest, tuned_protocol
from benchbird.records import Scores, SegmenterIdentity, SplitScores, Status, TrialRecord
from benchbird.results import FoundRecord, RecordFault, RecordScan, trial_hash
from benchbird.tuning import RATE, RULE_FILE, RateChoice, TunedTrack, TuningRule, best_rate, find_rules, read_track
from benchbird.tuning import make_track as make_track_of_scans
from benchbird.tuning import write_rule as write
from tests.record_factory import DATA, PROTOCOL, make_record, make_scores, make_segmenter

RATES = (1e-4, 1e-3, 1e-2)
SEED = 1000
RULE = TuningRule(
    protocol=PROTOCOL.as_dict(),
    data_digest=DATA.digest,
    tuning=Tuning(learning_rates=RATES, seed=SEED),
)
NET, FLOOR = make_segmenter("net"), make_segmenter("threshold")


def at(rate: float) -> Protocol:
    return replace(PROTOCOL, optimizer=replace(PROTOCOL.optimizer, lr=rate))


def trial(rate: float, seed: int, segmenter: SegmenterIdentity = NET, **changes: Any) -> FoundRecord:
    record = make_record(segmenter, seed=seed, protocol=at(rate), **changes)
    name = f"{segmenter.label}-{trial_hash(segmenter)}"
    return FoundRecord(Path("results/birdsound") / record.study / name / f"seed-{seed}" / "record.json", record)


def search(
    scores: Sequence[float | None], segmenter: SegmenterIdentity = NET, status: Status = "done", **changes: Any
) -> list[FoundRecord]:
    return [
        trial(rate, SEED, segmenter, iou=score, status=status, **changes)
        for rate, score in zip(RATES, scores, strict=True)
    ]


def floor(seed: int) -> FoundRecord:
    found = trial(PROTOCOL.optimizer.lr, seed, FLOOR)
    return replace(found, record=replace(found.record, best_epoch=None, last_epoch=None))


def with_test(record: TrialRecord, scores: Scores) -> TrialRecord:
    assert record.scores is not None
    return replace(record, scores=SplitScores(val=record.scores.val, test=scores))


def scan(found: Sequence[FoundRecord]) -> RecordScan:
    return RecordScan(tuple(found), (), ())


def make_track(rule: TuningRule, own: Sequence[FoundRecord], tried: Sequence[FoundRecord]) -> TunedTrack:
    return make_track_of_scans(rule, scan(own), scan(tried))


def chosen(track: TunedTrack) -> dict[str, float | None]:
    return {choice.label: choice.rate for choice in track.choices.values()}


@given(st.dictionaries(st.floats(1e-6, 1), st.none() | st.floats(0, 1), min_size=1))
def test_the_best_rate_is_the_first_of_the_best(validation: dict[float, float | None]) -> None:
    rate = best_rate(validation)
    scored = {one: score for one, score in validation.items() if score is not None}
    if not scored:
        assert rate is None
    else:
        assert rate is not None
        best = max(scored.values())
        assert scored[rate] == best
        assert not [one for one, score in scored.items() if score == best and one < rate]


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_scores_on_test_have_no_part_in_the_choice(validation: list[float], test: list[float]) -> None:
    tried = search(validation)
    scrambled = [
        replace(one, record=with_test(one.record, make_scores(score))) for one, score in zip(tried, test, strict=True)
    ]
    assert make_track(RULE, [], scrambled).choices == make_track(RULE, [], tried).choices


def test_each_network_is_ranked_with_its_own_rate_and_floors_as_they_are() -> None:
    other = make_segmenter("other")
    own = [trial(rate, seed, one, iou=0.1) for rate in RATES for seed in (0, 1) for one in (NET, other)]
    own = [
        replace(one, record=with_test(one.record, make_scores(0.7)))
        if (one.record.segmenter.label, one.record.protocol["optimizer"]["lr"]) in {("net", 1e-2), ("other", 1e-4)}
        else one
        for one in own
    ]
    track = make_track(RULE, [*own, floor(0), floor(1)], [*search((0.1, 0.2, 0.3)), *search((0.3, None, 0.2), other)])
    assert chosen(track) == {"net": 1e-2, "other": 1e-4}
    assert not track.waiting and not track.faults
    leaderboard = rank([one.record for one in track.found])
    assert leaderboard.study == RULE.study
    assert {row.label: (row.iou_pooled.mean, row.seeds) for row in leaderboard.rows} == {
        "net": (0.7, (0, 1)), "other": (0.7, (0, 1)), "threshold": (0.6, (0, 1)),
    }  # fmt: skip
    assert {row.label: row.options.get(RATE) for row in leaderboard.rows} == {
        "net": 1e-2, "other": 1e-4, "threshold": None,
    }  # fmt: skip
    assert {one.record.segmenter.label for one in track.fixed} == {"net", "other", "threshold"}


def test_the_trial_that_chose_is_in_no_result() -> None:
    own = [trial(1e-2, 0), trial(1e-2, SEED), trial(1e-3, SEED), trial(1e-3, 0), floor(SEED), floor(0)]
    track = make_track(RULE, own, search((0.1, 0.2, 0.3)))
    assert {one.record.seed for one in (*track.found, *track.fixed)} == {0}
    assert len(track.found) == 2 and len(track.fixed) == 2


def test_a_search_that_is_not_complete_chooses_nothing() -> None:
    track = make_track(RULE, [trial(1e-2, 0)], search((0.1, 0.2, 0.3))[1:])
    assert (track.choices, track.found) == ({}, ())
    assert track.waiting == ("net has no learning rate yet: 2 of 3 have been tried",)


def test_a_network_that_was_never_searched_is_waited_for() -> None:
    track = make_track(RULE, [trial(1e-3, 0), floor(0)], [])
    assert track.waiting == ("net has no learning rate yet: 0 of 3 have been tried",)
    assert [one.record.segmenter.label for one in track.found] == ["threshold"]


def test_a_network_with_fewer_trials_than_the_fixed_track_is_waited_for() -> None:
    fixed = [trial(1e-3, seed) for seed in (0, 1, 2)]
    tried = search((0.1, 0.2, 0.3))
    assert make_track(RULE, fixed, tried).waiting == ("net has 0 of 3 trials with its learning rate, 0.01",)
    some = make_track(RULE, [*fixed, trial(1e-2, 0), trial(1e-2, 2)], tried)
    assert some.waiting == ("net has 2 of 3 trials with its learning rate, 0.01",)
    assert not make_track(RULE, [*fixed, *(trial(1e-2, seed) for seed in (0, 1, 2))], tried).waiting


def test_a_rate_that_diverges_is_an_answer() -> None:
    tried = [*search((0.1, 0.2, 0.3))[:2], trial(1e-2, SEED, status="diverged", reason="the loss became nan")]
    track = make_track(RULE, [trial(1e-3, 0)], tried)
    assert list(track.choices.values()) == [
        RateChoice(label="net", version=trial_hash(NET), validation={1e-4: 0.1, 1e-3: 0.2, 1e-2: None}, rate=1e-3)
    ]
    assert len(track.found) == 1 and not track.waiting


@pytest.mark.parametrize("status", ["failed", "timeout", "out_of_memory", "protocol_violation"])
def test_any_other_end_of_a_search_is_no_answer(status: Status) -> None:
    tried = [*search((0.1, 0.2, 0.3))[:2], trial(1e-2, SEED, status=status, reason="it did")]
    track = make_track(RULE, [trial(1e-3, 0)], tried)
    assert (track.choices, track.found) == ({}, ())
    [why] = track.waiting
    assert f"its trial with 0.01 ended as {status.replace('_', ' ')}, and `--retry-failed` runs it again" in why


def test_a_record_that_can_not_be_read_is_told() -> None:
    own = RecordScan((trial(1e-2, 0),), (RecordFault(Path("small/seed-1/record.json"), "not JSON"),), ())
    track = make_track_of_scans(RULE, own, scan(search((0.1, 0.2, 0.3))))
    assert track.faults == ("small/seed-1/record.json: not JSON",)


def test_a_choice_by_other_pixels_or_another_initialisation_is_none() -> None:
    tried = search((0.1, 0.2, 0.3))
    other = replace(DATA, content_sha256="e" * 64)
    pixels = [replace(tried[0], record=replace(tried[0].record, data=other)), *tried[1:]]
    track = make_track(RULE, [trial(1e-2, 0)], pixels)
    assert not track.choices and "chose by other pixels" in track.faults[0]
    noise = [replace(tried[0], record=replace(tried[0].record, initialisation_seed=3)), *tried[1:]]
    assert not make_track(RULE, [trial(1e-2, 0)], noise).choices


def test_a_network_that_no_rate_suits_is_listed_as_failed_once() -> None:
    track = make_track(RULE, [], search((None, None, None), status="diverged", reason="the loss became nan"))
    assert chosen(track) == {"net": None}
    leaderboard = rank([one.record for one in track.found])
    assert not leaderboard.rows and not leaderboard.superseded
    assert [(one.label, one.status) for one in leaderboard.failed] == [("net", "diverged")]
    assert leaderboard.failed[0].reason == "no learning rate of 0.0001, 0.001, 0.01 has a score on validation"


def test_each_version_of_a_network_has_its_own_choice_and_the_newest_is_ranked() -> None:
    new, later = make_segmenter("net", source="b"), "2026-11-21T10:00:00+00:00"
    tried = [*search((0.9, 0.2, 0.3)), *search((0.1, 0.5, 0.3), new, started_at=later)]
    own = [trial(1e-4, 0), trial(1e-3, 0)]
    own += [trial(rate, 0, new, started_at=later) for rate in (1e-3, 1e-4)]
    track = make_track(RULE, own, tried)
    assert {version: choice.rate for (_, version), choice in track.choices.items()} == {
        trial_hash(NET): 1e-4, trial_hash(new): 1e-3,
    }  # fmt: skip
    leaderboard = rank([one.record for one in track.found])
    assert [(row.trial_hash, row.options[RATE]) for row in leaderboard.rows] == [(trial_hash(new), 1e-3)]
    assert leaderboard.superseded == 1


def test_a_version_whose_search_is_complete_stays_while_a_newer_one_is_searched() -> None:
    new = make_segmenter("net", source="b")
    tried = [*search((0.9, 0.2, 0.3)), *search((0.1, 0.5, 0.3), new, started_at="2026-11-21T10:00:00+00:00")[:2]]
    track = make_track(RULE, [trial(1e-4, 0)], tried)
    assert [trial_hash(one.record.segmenter) for one in track.found] == [trial_hash(NET)]
    assert track.waiting == ("net has no learning rate yet: 2 of 3 have been tried",)


def test_other_data_and_other_protocols_have_no_part() -> None:
    foreign = [
        replace(one, record=make_record(NET, seed=SEED, protocol=replace(at(rate), epochs=31), val_iou=0.9))
        for one, rate in zip(search((0.9, 0.9, 0.9)), RATES, strict=True)
    ]
    assert not make_track(RULE, [], foreign).choices
    other_data = replace(DATA, digest="e" * 12)
    assert not make_track(RULE, [], search((0.1, 0.2, 0.3), data=other_data)).choices


def test_weights_selected_by_batches_are_compared_by_batches() -> None:
    protocol = replace(PROTOCOL, selection="best_val_iou_batch_mean")
    rule = replace(RULE, protocol=protocol.as_dict())
    tried = []
    for rate, pooled, by_batch in zip(RATES, (0.9, 0.5, 0.1), (0.1, 0.5, 0.9), strict=True):
        one = make_record(NET, seed=SEED, protocol=replace(protocol, optimizer=at(rate).optimizer), val_iou=pooled)
        assert one.scores is not None
        validation = replace(one.scores.val, iou_batch_mean=by_batch)
        record = replace(one, scores=SplitScores(val=validation, test=one.scores.test))
        tried.append(FoundRecord(Path("record.json"), record))
    assert chosen(make_track(rule, [], tried)) == {"net": 1e-2}


@given(st.permutations(RATES))
def test_the_order_of_the_rates_is_no_part_of_the_rule(rates: list[float]) -> None:
    assert tuned_protocol(PROTOCOL.as_dict(), Tuning(learning_rates=tuple(rates), seed=SEED)) == tuned_protocol(
        PROTOCOL.as_dict(), RULE.tuning
    )


@pytest.mark.parametrize(
    "other",
    [
        replace(RULE, tuning=Tuning(learning_rates=RATES[:2], seed=SEED)),
        replace(RULE, tuning=Tuning(learning_rates=RATES, seed=SEED + 1)),
        replace(RULE, protocol=replace(PROTOCOL, epochs=31).as_dict()),
        replace(RULE, protocol=replace(PROTOCOL, optimizer=replace(PROTOCOL.optimizer, weight_decay=0.1)).as_dict()),
        replace(RULE, data_digest="e" * 12),
        replace(RULE, protocol=at(0.5).as_dict()),
    ],
    ids=["rates", "seed", "epochs", "weight decay", "data", "fixed rate"],
)
def test_everything_in_the_rule_is_in_the_digest(other: TuningRule) -> None:
    assert other.study != RULE.study


def test_a_tuned_protocol_is_none_of_its_studies() -> None:
    digests = {canonical_digest(at(rate).as_dict()) for rate in RATES}
    assert RULE.tuned_protocol["digest"] not in digests
    assert RULE.study_at(1e-2) == trial(1e-2, 0).record.study


def test_a_rule_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = write(RULE, tmp_path / "birdsound")
    assert find_rules(tmp_path) == find_rules(tmp_path / "birdsound") == find_rules(folder) == (folder / RULE_FILE,)
    assert read_track(folder / RULE_FILE).rule == RULE


def _document(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / RULE_FILE).read_text()))


@pytest.mark.parametrize(
    "change",
    [
        {"tuning": {"learning_rates": [1e-4, 0.5], "seed": SEED}},
        {"data_digest": "e" * 12},
        {"protocol": {}},
        {"protocol": {"optimizer": None}},
        {"protocol": {**PROTOCOL.as_dict(), "optimizer": {"name": "adam", "weight_decay": 0.0, "lr": "fast"}}},
        {"protocol": {**PROTOCOL.as_dict(), "optimizer": {"name": "adam", "weight_decay": 0.0}}},
        {"protocol": {**PROTOCOL.as_dict(), "optimizer": {"name": "adam", "weight_decay": 0.0, "lr": 10**400}}},
        {"protocol": {**PROTOCOL.as_dict(), "optimizer": {"name": "adam", "weight_decay": 0.0, "lr": True}}},
        {"further": 3},
        {"version": 2},
        {"tuning": None},
        {"tuning": {"learning_rates": [1e-4], "seed": SEED}},
    ],
    ids=range(12),
)
def test_an_altered_rule_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = write(RULE, tmp_path / "birdsound")
    (folder / RULE_FILE).write_text(json.dumps(_document(folder) | change))
    with pytest.raises(ResultsError, match=r"benchbird run"):
        read_track(folder / RULE_FILE)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{" * 5000, b"x" * 70_000_000], ids=range(5))
def test_what_is_no_rule_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RULE_FILE).write_bytes(content)
    with pytest.raises(ResultsError, match=RULE_FILE):
        read_track(tmp_path / RULE_FILE)


def test_a_rule_in_another_folder_is_refused(tmp_path: Path) -> None:
    folder = write(RULE, tmp_path / "birdsound")
    moved = folder.rename(folder.with_name("0" * 12))
    with pytest.raises(ResultsError, match="isn't this folder's"):
        read_track(moved / RULE_FILE)


def test_what_is_no_plain_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / RULE_FILE)
    with pytest.raises(ResultsError, match=RULE_FILE):
        read_track(tmp_path / RULE_FILE)


def test_a_rule_looks_at_no_other_folder_than_its_studies(tmp_path: Path) -> None:
    folder = write(RULE, tmp_path / "birdsound")
    elsewhere = tmp_path / "birdsound" / "somewhere" / "net-0" / "seed-0"
    elsewhere.mkdir(parents=True)
    (elsewhere / "record.json").write_text("nonsense")
    assert read_track(folder / RULE_FILE).faults == ()
