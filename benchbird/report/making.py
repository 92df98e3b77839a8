"""From the records of a study to its page.

Owns which trials are looked at, and what is left out where something isn't at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchbird.contract import AnySample
from benchbird.durable import write_durably
from benchbird.errors import BenchbirdError, ResultsError
from benchbird.index import Index
from benchbird.leaderboard import by_label, newest_versions
from benchbird.pooling import has_predictions
from benchbird.predictions import Predictions
from benchbird.ranking import Ranking
from benchbird.report.curves import trial_curves
from benchbird.report.figures import Figure
from benchbird.report.gallery import Exhibit, chosen_images, exhibits
from benchbird.report.images import ImageScores, image_scores
from benchbird.report.page import Contents, page, waiting_page
from benchbird.report.paper import write_paper
from benchbird.report.repeat import repeat_command
from benchbird.report.sounds import SoundExample, sound_examples, sound_figure
from benchbird.results import FoundRecord
from benchbird.score_tables import Trial
from benchbird.sound_study import sound_tables
from benchbird.studies import Study
from benchbird.tracks_report import lay_side_by_side
from benchbird.trial_states import FAILED, TrialState, read_states

GALLERY_IMAGES = 16


@dataclass(frozen=True, eq=False, kw_only=True)
class StudyData:
    """The data that a study was made on, found anew.

    Attributes:
        benchmark: the file that names them, as a command would.
        overrides: `KEY=VALUE` each.
        plugins: plugin files that were named beside it.
        samples: the test split, in the order of its ids.
        images: uint8 `(N, C, S, S)`, what the networks saw of it; None where they can't be had.
    """

    benchmark: str
    overrides: tuple[str, ...]
    plugins: tuple[str, ...]
    samples: Sequence[AnySample]
    images: npt.NDArray[np.uint8] | None


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a page is to hold.

    Attributes:
        gallery: most images in it.
        has_sound: whether recordings are cleaned and scored, which takes a tenth of a second for each and mask.
    """

    gallery: int = GALLERY_IMAGES
    has_sound: bool = True


def make_page(
    study: Study,
    ranking: Ranking,
    index: Index,
    data: StudyData | None,
    wishes: Wishes,
    progress: Callable[[int, int], None],
) -> str:
    """The page of a study, HTML.

    Args:
        study: with its records.
        ranking: of these.
        index: remembers which records were checked.
        data: of the study, where they are at hand.
        wishes: what to show.
        progress: gets sounds cleaned, and in all.

    Raises:
        ResultsError: predictions that can't be read, or aren't those that their record states.
    """
    board = ranking.leaderboard
    shown, trials, scores = _looked_at(study, ranking)
    if scores is not None and data is not None and _ids(data.samples) != list(scores.sample_ids):
        raise ResultsError("the data's test samples are not those of the trials; give the run's --set and --profile")
    first = _first_predictions(board_labels=[row.label for row in board.rows], trials=trials) if scores else {}
    sound_figures, examples, sound_missing = _sound(study, scores, first, data, wishes, progress)
    pictures, left_out = _gallery(_networks(ranking), scores, first, data, wishes, _size_of(examples))
    unended = _unended(study, index)
    return page(
        Contents(
            leaderboard=board,
            records=tuple(one.record for one in shown),
            curves=trial_curves(shown, unended),
            scores=scores,
            exhibits=pictures,
            gallery_left_out=left_out,
            has_inputs=data is not None and data.images is not None,
            sound_figures=sound_figures,
            examples=examples,
            sound_missing=sound_missing,
            unended=unended,
            repeat=repeat_command(
                board,
                benchmark=data.benchmark if data is not None else None,
                overrides=data.overrides if data is not None else (),
                plugins=data.plugins if data is not None else (),
            ),
            notices=ranking.notices,
            tracks=None if study.tuned is None else lay_side_by_side(study.tuned, board, index),
        )
    )


def make_waiting_page(folder: Path, index: Index, now: datetime) -> str | None:
    """The page of a folder in which no trial has ended, HTML; None where none was begun, or one has ended.

    A record that can't be read is of a trial that has ended, too.

    Args:
        folder: a results root, or any folder below one.
        index: remembers which records were checked.
        now: what the page is dated by.
    """
    studies = [one for one in read_states(folder, index).studies if not one.is_noise]
    trials = [trial for one in studies for trial in one.trials]
    if not trials or any(trial.state in ("done", "damaged", *FAILED) for trial in trials):
        return None
    when = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return waiting_page(studies, trial_curves((), trials), when)


def make_paper(folder: Path, study: Study, ranking: Ranking, *, with_pdf: bool) -> list[Path]:
    """Write what a paper needs of a study into a folder (`paper.write_paper`); the files.

    Raises:
        ResultsError: predictions that can't be read, or the disk refused.
        UsageError: PDF is wanted and matplotlib isn't there.
    """
    board = ranking.leaderboard
    shown, _, scores = _looked_at(study, ranking)
    records = [one.record for one in shown]
    return write_paper(folder, board, records, scores, trial_curves(shown, ()), with_pdf=with_pdf)


def write_page(path: Path, study: Study, ranking: Ranking, index: Index, data: StudyData | None) -> str:
    """Write the page beside a study's trials, without sound; a sentence on why it couldn't be, empty where it could."""
    try:
        page_text = make_page(study, ranking, index, data, Wishes(has_sound=False), lambda done, of: None)
        write_durably(path, page_text.encode())
    except BenchbirdError as error:
        return f"no report was written: {error}"
    return ""


def _looked_at(study: Study, ranking: Ranking) -> tuple[list[FoundRecord], dict[str, list[Trial]], ImageScores | None]:
    """The newest version of each trial, those with predictions by label, and what they say of the test images."""
    places = {id(one.record): one for one in study.found}
    shown = [places[id(record)] for record in newest_versions(study.records)[0]]
    trials = _with_predictions(shown)
    ranked = [row.label for row in ranking.leaderboard.rows if row.label in trials]
    return shown, trials, image_scores({label: trials[label] for label in ranked})


def _networks(ranking: Ranking) -> list[str]:
    """Labels of what was trained by gradients, best first; of everything where nothing was."""
    rows = ranking.leaderboard.rows
    return [row.label for row in rows if not row.is_floor] or [row.label for row in rows]


def _with_predictions(found: Sequence[FoundRecord]) -> dict[str, list[Trial]]:
    places = {id(one.record): one for one in found}
    done = [one.record for one in found if one.record.status == "done" and has_predictions(one)]
    return {label: [Trial(places[id(record)]) for record in records] for label, records in by_label(done).items()}


def _ids(samples: Sequence[AnySample]) -> list[str]:
    return [sample.sample_id for sample in samples]


def _first_predictions(board_labels: Sequence[str], trials: dict[str, list[Trial]]) -> dict[str, Predictions]:
    """Those of each segmenter's first seed, best segmenter first."""
    return {label: trials[label][0].predictions() for label in board_labels if label in trials}


def _gallery(
    networks: Sequence[str],
    scores: ImageScores | None,
    predictions: dict[str, Predictions],
    data: StudyData | None,
    wishes: Wishes,
    spent: int,
) -> tuple[tuple[Exhibit, ...], int]:
    if scores is None:
        return (), 0
    chosen = chosen_images(scores, [label for label in networks if label in scores.iou], wishes.gallery)
    images = data.images if data is not None else None
    input_of = None if images is None else lambda place: np.asarray(images[place])
    return exhibits(scores, chosen, predictions, input_of, spent)


def _sound(
    study: Study,
    scores: ImageScores | None,
    predictions: dict[str, Predictions],
    data: StudyData | None,
    wishes: Wishes,
    progress: Callable[[int, int], None],
) -> tuple[tuple[Figure, ...], tuple[SoundExample, ...], str]:
    """Its figures and recordings, or why there are none, a sentence."""
    if missing := _sound_missing(study, scores, data, wishes):
        return (), (), missing
    assert data is not None and scores is not None, "else it is missing"
    spectrum = study.records[0].protocol.get("spectrum", "mirrored")
    examples = sound_examples(scores, predictions, data.samples, spectrum)
    if not examples:
        return (), (), "No test image has a recording and a reference beside it, so that there is no sound to clean."
    style = {label: place for place, label in enumerate(predictions)}
    tables = sound_tables(study.found, data.samples, None, progress)
    return tuple(sound_figure(table, style, place) for place, table in enumerate(tables)), examples, ""


def _sound_missing(study: Study, scores: ImageScores | None, data: StudyData | None, wishes: Wishes) -> str:
    if any(one.folds for one in study.found):
        return (
            "No sound is cleaned for a cross-validation: its test images come from the splits of all folds, and a "
            "benchmark's file names the recordings of one at a time."
        )
    if scores is None:
        return "The trials' predictions aren't at hand, so that there are no masks to clean recordings by."
    if data is None:
        return "This page was made without the data; benchbird report with --benchmark FILE cleans the recordings."
    return "" if wishes.has_sound else "No recording was cleaned for this page; benchbird report does it."


def _size_of(examples: Sequence[SoundExample]) -> int:
    return sum(len(track.sound) + len(track.picture) for example in examples for track in example.tracks)


def _unended(study: Study, index: Index) -> tuple[TrialState, ...]:
    """Trials of the study that have no record."""
    ended = {part.path.parent for one in study.found for part in (one.folds or (one,))}
    states = read_states(study.folder, index)
    return tuple(
        trial
        for one in states.studies
        if not one.is_noise
        for trial in one.trials
        if trial.folder not in ended and trial.state not in ("done", "damaged")
    )
