"""The page's beginning says no more than the comparisons do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchbird.index import index_of
from benchbird.ranking import rank_study
from benchbird.report.images import image_scores
from benchbird.report.repeat import repeat_command
from benchbird.report.summary import answers
from benchbird.results import find_records
from benchbird.score_tables import done_trials
from benchbird.standings import Leaderboard
from tests.predictions_factory import MadeUpImages, write_study, write_trial

IMAGES = MadeUpImages(n_recordings=24, attributes={"snr_db": ["-2", "3", "8"], "noise": ["rain", "wind"]})


def told(folder: Path, levels: Mapping[str, float], name: str = "made_up") -> tuple[dict[str, str], Leaderboard]:
    write_study(folder, levels, seeds=(0, 1, 2), images=IMAGES, data=IMAGES.summary(name))
    found = find_records(folder).found
    with index_of(folder / "cache") as index:
        board = rank_study(found, index).leaderboard
    return {one.question: " ".join(one.sentences) for one in answers(board, image_scores(done_trials(found)))}, board


def test_a_clear_winner_is_one(tmp_path: Path) -> None:
    said, board = told(tmp_path, {"unet": 0.8, "atrous_segnet": 0.5}, "synthetic")
    assert board.rows[0].letters != board.rows[1].letters
    assert "It is better than each of the others." in said["Who wins?"]
    assert said["Is it certain?"].startswith("Yes: the first place is decided. unet is better than")
    assert "nothing of this is shown for real recordings" in said["Is it certain?"]
    assert "3 seeds a segmenter and 24 test recordings (48 images)" in said["Is it certain?"]


def test_a_shared_first_place_is_said_to_be_shared(tmp_path: Path) -> None:
    said, board = told(tmp_path, {"unet": 0.61, "atrous_segnet": 0.6, "deeplabv3": 0.3})
    assert board.rows[0].letters == board.rows[1].letters
    second = board.rows[1].label
    assert f"It can't be told apart from {second}: the first place is shared." in said["Who wins?"]
    assert said["Is it certain?"].startswith("No: the first place is undecided.")
    assert "generated" not in said["Is it certain?"]


def test_what_no_verdict_is_about_is_not_claimed_to_be_beaten(tmp_path: Path) -> None:
    """A segmenter of one seed has a row and a mean, but nobody was compared with it."""
    write_trial(tmp_path, "deeplabv3", level=0.79, seed=0, images=IMAGES, data=IMAGES.summary("made_up"))
    said, board = told(tmp_path, {"unet": 0.8, "atrous_segnet": 0.5})
    assert [(row.label, bool(row.letters)) for row in board.rows] == [
        ("unet", True), ("deeplabv3", False), ("atrous_segnet", True),
    ]  # fmt: skip
    assert "better than each of the others but deeplabv3, of which nothing can be said." in said["Who wins?"]
    assert said["Is it certain?"].startswith("Only among those that could be compared, without deeplabv3.")


def test_groups_whose_intervals_overlap_are_no_difference(tmp_path: Path) -> None:
    said, _ = told(tmp_path, {"unet": 0.7, "atrous_segnet": 0.6})
    assert "No clear difference by " in said["Where does it fail?"] and "lowest on" not in said["Where does it fail?"]
    assert "% are bird that it misses, " in said["Where does it fail?"]


def test_the_cost_names_speed_latency_and_size(tmp_path: Path) -> None:
    said, board = told(tmp_path, {"unet": 0.7, "atrous_segnet": 0.6})
    row = board.rows[0]
    assert f"{row.label}: {row.score.mean:.3f} at " in said["At what cost?"]
    assert "ms for an image alone, 0.721 million parameters." in said["At what cost?"]
    assert f"in batches of {board.inference_batch_size}" in said["At what cost?"]


def test_the_command_is_one_for_a_shell(tmp_path: Path) -> None:
    _, board = told(tmp_path, {"unet": 0.7})
    known = repeat_command(board, benchmark="my birds.yaml", overrides=("data.root=a b",), plugins=("p.py",))
    assert known.command == (
        "benchbird run 'my birds.yaml' --profile cpu --set 'data.root=a b' --plugin p.py --seeds 0,1,2"
    )
    assert known.remarks[0].startswith("Checked")
    unknown = repeat_command(replace(board, profile="cpu, full"), benchmark=None)
    assert unknown.command == "benchbird run benchmarks/birdsound.yaml --seeds 0,1,2"
    assert board.protocol_digest in unknown.remarks[0] and unknown.remarks[0].startswith("Not checked")
