"""The page: everything that a study has to show, in one file that asks for nothing from elsewhere.

Owns what stands where, and the page's security: a strict Content-Security-Policy under which only the script and the
style sheet of this module run, whatever a record says.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchbird.definitions import DEFINITIONS
from benchbird.environment import describe_machine
from benchbird.plain_text import plain_text
from benchbird.record_json import started_moment
from benchbird.records import TrialRecord
from benchbird.report import figures, svg
from benchbird.report.curves import TrialCurve
from benchbird.report.figures import Figure, Table
from benchbird.report.gallery import GROUPS, Exhibit
from benchbird.report.images import ImageScores
from benchbird.report.repeat import Repeat
from benchbird.report.sounds import SoundExample
from benchbird.report.summary import answers
from benchbird.report.texts import MISSING, name, number
from benchbird.reporters import csv
from benchbird.reporters.columns import cells, columns, facts, failures, headline, notes, verdict_lines
from benchbird.standings import Leaderboard
from benchbird.tracks import Tracks
from benchbird.tracks_report import tracks_cells, tracks_summary, tracks_verdict, validation_cells
from benchbird.trial_states import StudyState, TrialState, moment
from benchbird.verdict import p_text, points

_HERE = Path(__file__).parent
_SHORT_GROUPS = tuple(GROUPS)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a page is made of.

    Attributes:
        leaderboard: of the study.
        records: of the study, those of its rows and failed trials.
        curves: of its trials.
        scores: of its test images; None where predictions aren't at hand.
        exhibits: the gallery.
        gallery_left_out: images that didn't fit.
        has_inputs: whether the gallery shows what the networks saw.
        sound_figures: SI-SDR improvement, where there is sound.
        examples: recordings to listen to.
        sound_missing: why there is no sound, a sentence; empty where there is.
        unended: trials without a record.
        repeat: the command that repeats the study.
        notices: what must be said of the study before anything else.
        tracks: of a tuned track, it beside the fixed one; None for any other study.
    """

    leaderboard: Leaderboard
    records: tuple[TrialRecord, ...]
    curves: tuple[TrialCurve, ...]
    scores: ImageScores | None
    exhibits: tuple[Exhibit, ...]
    gallery_left_out: int
    has_inputs: bool
    sound_figures: tuple[Figure, ...]
    examples: tuple[SoundExample, ...]
    sound_missing: str
    unended: tuple[TrialState, ...]
    repeat: Repeat
    notices: tuple[str, ...]
    tracks: Tracks | None = None


def page(contents: Contents) -> str:
    """The page, HTML."""
    board, scores = contents.leaderboard, contents.scores
    title, subtitle = headline(board)
    order = figures.styles(board)
    anchors = {one.sample_id: f"image-{place}" for place, one in enumerate(contents.exhibits)}
    return _rendered(
        "page.html",
        title=title,
        # Without the smallest gap that could be seen: the verdict says it of each pair.
        subtitle=f"{subtitle[0].upper()}{subtitle[1:].split(';')[0].rstrip('.')}.",
        data_json=_data_json(board, scores),
        facts=facts(board),
        notes=notes(board),
        notices=[*_unfinished(contents), *contents.notices],
        sections=_sections(has_tracks=contents.tracks is not None),
        answers=answers(board, scores),
        repeat=contents.repeat,
        leaderboard_table=_leaderboard_table(board),
        standing=figures.standing_figure(board),
        verdict=verdict_lines(board),
        pairs=_pairs(board),
        tracks=_tracks(contents.tracks, board.metric) if contents.tracks is not None else None,
        cost=figures.cost_figures(board),
        expense=figures.expense_table(contents.records, order),
        trials=figures.trial_table(contents.records, order),
        total_time=figures.total_time(contents.records),
        learning=figures.learning_figures(contents.curves, order),
        distribution=figures.distribution_figure(board, scores) if scores is not None else None,
        scatter=figures.scatter_figure(board, scores, anchors) if scores is not None else None,
        strata=figures.stratum_figures(board, scores) if scores is not None else (),
        thresholds=figures.threshold_figure(board, scores) if scores is not None else None,
        sound_figures=contents.sound_figures,
        examples=contents.examples,
        sound_missing=contents.sound_missing,
        exhibits=contents.exhibits,
        has_inputs=contents.has_inputs,
        gallery_left_out=contents.gallery_left_out,
        groups=[group for group in _SHORT_GROUPS if any(one.group == group for one in contents.exhibits)],
        group_titles=GROUPS,
        failed=_failed(contents),
        protocol=Table(("setting", "value"), tuple(_flat(board.protocol)), texts=(0, 1)),
        data=_data(board, contents.records),
        segmenters=_segmenters(contents.records),
        environments=_environments(contents.records),
        when=_when(contents.records),
    )


def waiting_page(studies: Sequence[StudyState], curves: Sequence[TrialCurve], when: str) -> str:
    """The page of studies of which no trial has ended, HTML.

    Args:
        studies: with their trials.
        curves: of these.
        when: they were looked at.
    """
    counts = []
    for one in studies:
        states = ", ".join(f"{number_of} {state}" for state, number_of in one.counts.items())
        counts.append(f"Study {plain_text(one.study, 40)}: {states}.")
    rows = [_waiting_row(trial) for one in studies for trial in one.trials]
    headings = ("segmenter", "seed", "state", "epochs trained", "first started, UTC", "attempts", "what is known")
    return _rendered(
        "waiting.html",
        title=", ".join(dict.fromkeys(name(one.benchmark) for one in studies)),
        counts=counts,
        trials=Table(headings, tuple(rows), texts=(0, 2, 4, 6)),
        learning=figures.learning_figures(curves, {}),
        data_json=_json({"labels": []}),
        when=when,
    )


def _waiting_row(trial: TrialState) -> tuple[str, ...]:
    of = f" of {trial.epochs}" if trial.epochs else ""
    return (
        name(trial.label),
        trial.seed,
        trial.state,
        f"{trial.epoch or 0}{of}",
        moment(trial.started_at) or MISSING,
        MISSING if trial.attempts is None else str(trial.attempts),
        plain_text(" ".join([trial.reason, *trial.log]).strip(), 600) or MISSING,
    )


def _rendered(document: str, **values: Any) -> str:
    """The template of that name with these values; style, script, and the policy that lets only them run are added."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=FileSystemLoader(_HERE), undefined=StrictUndefined
    )
    template = environment.get_template(document)
    style = svg.STYLE + (_HERE / "page.css").read_text(encoding="utf-8")
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    return template.render(
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        draw=_drawn,
        version=version("benchbird"),
        **values,
    )


def _drawn(figure: Figure) -> str:
    description = f"d-{figure.name}" if figure.summary else ""
    return svg.svg(figure.chart, identity=f"t-{figure.name}", description=description)


def _when(records: Sequence[TrialRecord]) -> str:
    """The days on which the trials were started."""
    days = sorted({started_moment(record).strftime("%Y-%m-%d") for record in records})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _sections(*, has_tracks: bool) -> list[tuple[str, str]]:
    return [
        ("short", "In short"),
        ("leaderboard", "Leaderboard"),
        ("certainty", "Is it certain?"),
        *([("tracks", "At one learning rate, and each at its own")] if has_tracks else []),
        ("cost", "Score and cost"),
        ("learning", "How they learned"),
        ("failings", "Where they fail"),
        ("sound", "What it sounds like"),
        ("gallery", "Gallery"),
        ("failed", "Trials that aren't done"),
        ("words", "Words"),
        ("repeat", "How to repeat it"),
    ]


def _unfinished(contents: Contents) -> list[str]:
    if not contents.unended:
        return []
    ended = len(contents.records)
    count = len(contents.unended)
    return [f"Unfinished: {ended} trials have ended, {count} {'has' if count == 1 else 'have'} not."]


def _data_json(board: Leaderboard, scores: ImageScores | None) -> str:
    """What the script needs to set two segmenters against each other; nothing in it can end its element."""
    labels = [row.label for row in board.rows if scores is not None and row.label in scores.iou]
    shown = np.flatnonzero(scores.has_bird).tolist() if scores is not None else []
    document: dict[str, Any] = {
        "labels": [name(label) for label in labels],
        "ids": [plain_text(scores.sample_ids[place], 80) for place in shown] if scores is not None else [],
        "iou": [
            [round(value, 3) for value in np.nan_to_num(scores.iou[label])[shown].tolist()]
            for label in labels
            if scores is not None
        ],
        "box": svg.PLOT_BOX,
        # What the page's own tables are downloaded from is as shown; the leaderboard has more digits than that.
        "leaderboard": csv.render(board),
    }
    return _json(document)


def _json(document: Mapping[str, Any]) -> str:
    """JSON that no `</script>` can end."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


_AT_THE_END = ("options", "pretrained")


def _leaderboard_table(board: Leaderboard) -> Table:
    headings, rows = cells(board)
    shown = columns(board)
    # On a small screen the score must be seen before what explains it.
    first = ("segmenter", "#", DEFINITIONS[board.metric].title, "95 %", "group", "ranks", "n")

    def rank(place: int) -> int:
        heading = headings[place]
        return first.index(heading) if heading in first else len(first) + (heading in _AT_THE_END)

    order = sorted(range(len(headings)), key=rank)
    return Table(
        tuple(headings[place] for place in order),
        tuple(tuple(row[place] for place in order) for row in rows),
        texts=tuple(at for at, place in enumerate(order) if not shown[place].is_number),
    )


def _pairs(board: Leaderboard) -> Table:
    rows = []
    for one in board.comparisons:
        span = "–" if one.low is None or one.high is None else f"{points(one.low)} to {points(one.high)}"
        probability = "–" if one.probability is None else f"{100 * one.probability:.0f} %"
        verdict = "better" if one.is_separable else "not separable"
        rows.append((name(one.first), name(one.second), verdict, points(one.difference), span, p_text(one.p_adjusted),
                     probability))  # fmt: skip
    headings = ("first", "second", "verdict", "difference, points", "95 %", "p after Holm", "first is better on")
    return Table(headings, tuple(rows), texts=(0, 1, 2))


@dataclass(frozen=True, kw_only=True)
class _TracksShown:
    """Both tracks as the page shows them."""

    summary: str
    verdict: list[str]
    both: Table
    validation: Table


def _tracks(tracks: Tracks, metric: str) -> _TracksShown:
    both, validation = tracks_cells(tracks, metric), validation_cells(tracks)
    return _TracksShown(
        summary=tracks_summary(tracks),
        verdict=tracks_verdict(tracks),
        both=Table(tuple(both[0]), tuple(map(tuple, both[1]))),
        validation=Table(tuple(validation[0]), tuple(map(tuple, validation[1]))),
    )


def _failed(contents: Contents) -> Table:
    rows = [(label, fate) for label, fate in failures(contents.leaderboard)]
    for one in contents.unended:
        epoch = f", epoch {one.epoch}" + (f" of {one.epochs}" if one.epochs else "") if one.epoch else ""
        rows.append((name(one.label), f"seed {one.seed}: {one.state}{epoch}"))
    return Table(("segmenter", "what became of it"), tuple(rows), texts=(0, 1))


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Every key of nested mappings by its path, and its value."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        path = plain_text(f"{before}{key}", 80)
        if isinstance(value, Mapping):
            rows += _flat(value, f"{path}.")
        else:
            rows.append((path, plain_text(value if isinstance(value, str) else json.dumps(value), 200)))
    return rows


def _data(board: Leaderboard, records: Sequence[TrialRecord]) -> Table:
    rows = [
        ("data set", name(board.dataset)),
        ("data digest", board.data_digest),
        ("study digest", board.study),
        ("training images", str(board.n_train)),
        ("validation images", str(board.n_val)),
        ("test images", f"{board.n_test} of {board.n_recordings_test} recordings"),
        ("recordings in more than one split", str(board.leaks_allowed)),
        ("resolution ceiling, IoU native", number(board.ceiling_iou_native, 3)),
    ]
    hashes = sorted({record.data.content_sha256 for record in records})
    rows += [("SHA-256 of the prepared pixels", plain_text(one, 80)) for one in hashes]
    return Table(("fact", "value"), tuple(rows), texts=(0, 1))


def _segmenters(records: Sequence[TrialRecord]) -> Table:
    rows = dict.fromkeys(
        (
            name(one.segmenter.label),
            name(one.segmenter.name),
            plain_text(json.dumps(dict(one.segmenter.options), sort_keys=True), 300),
            plain_text(one.segmenter.pretraining, 60),
            plain_text(one.segmenter.plugin, 120),
            plain_text(one.segmenter.source_sha256, 80),
        )
        for one in records
    )
    headings = ("label", "segmenter", "options", "pretrained", "plugin", "SHA-256 of its source")
    return Table(headings, tuple(rows), texts=tuple(range(6)))


def _environments(records: Sequence[TrialRecord]) -> Table:
    found: dict[tuple[str, str, str], int] = {}
    for record in records:
        environment = record.environment
        packages = ", ".join(f"{package} {installed}" for package, installed in environment.packages.items())
        key = (
            plain_text(describe_machine(environment), 200),
            plain_text(f"{environment.os}, Python {environment.python}, {environment.threads} threads", 200),
            plain_text(packages, 400),
        )
        found[key] = found.get(key, 0) + 1
    rows = tuple((*key, str(count)) for key, count in found.items())
    return Table(("machine", "system", "packages", "trials"), rows, texts=(0, 1, 2))
