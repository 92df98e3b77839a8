"""What a paper needs of a study: a table, figures, and a paragraph on the methods, ready to be included.

Owns which files there are and the paragraph's wording. Every number in it is the protocol's or the records'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbird.definitions import DEFINITIONS
from benchbird.durable import make_folder, write_durably
from benchbird.plain_text import plain_text
from benchbird.records import TrialRecord
from benchbird.report import figures, pdf, svg
from benchbird.report.curves import TrialCurve
from benchbird.report.figures import Figure
from benchbird.report.images import ImageScores
from benchbird.report.texts import name
from benchbird.reporters import latex
from benchbird.standings import Leaderboard

TABLE, METHODS, DOCUMENT = "table.tex", "methods.tex", "paper.tex"


def write_paper(
    folder: Path,
    leaderboard: Leaderboard,
    records: Sequence[TrialRecord],
    scores: ImageScores | None,
    curves: Sequence[TrialCurve],
    *,
    with_pdf: bool,
) -> list[Path]:
    """Write table, methods and figures, and a document that includes them all; the files.

    Args:
        folder: made where it is missing; files of the same names are replaced.
        leaderboard: of the study.
        records: of it.
        scores: of its test images; None where predictions aren't at hand.
        curves: of its trials.
        with_pdf: whether figures are drawn as PDF too, which LaTeX includes.

    Raises:
        ResultsError: the disk refused.
        UsageError: PDF is wanted and matplotlib isn't there.
    """
    make_folder(folder)
    drawn = list(paper_figures(leaderboard, scores, curves))
    contents: dict[str, bytes] = {
        TABLE: latex.render(leaderboard).encode(),
        METHODS: methods(leaderboard, records).encode(),
        DOCUMENT: _document(drawn if with_pdf else []).encode(),
    }
    for figure in drawn:
        contents[f"{figure.name}.svg"] = svg.svg_file(figure.chart).encode()
        if with_pdf:
            contents[f"{figure.name}.pdf"] = pdf.pdf_file(figure.chart)
    for file, content in contents.items():
        write_durably(folder / file, content)
    return [folder / file for file in contents]


def paper_figures(
    leaderboard: Leaderboard, scores: ImageScores | None, curves: Sequence[TrialCurve]
) -> Iterator[Figure]:
    """Those of the page, without what only a screen needs."""
    if (standing := figures.standing_figure(leaderboard)) is not None:
        yield standing
    yield from figures.cost_figures(leaderboard)
    yield from figures.learning_figures(curves, figures.styles(leaderboard))
    if scores is not None and any(row.label in scores.iou for row in leaderboard.rows):
        if (distribution := figures.distribution_figure(leaderboard, scores)) is not None:
            yield distribution
        yield from figures.stratum_figures(leaderboard, scores)
        yield figures.threshold_figure(leaderboard, scores)


def methods(leaderboard: Leaderboard, records: Sequence[TrialRecord]) -> str:
    """A paragraph on how the study was made, LaTeX."""
    return " ".join(latex.escape(plain_text(sentence, 1000)) for sentence in _sentences(leaderboard, records)) + "\n"


def _sentences(leaderboard: Leaderboard, records: Sequence[TrialRecord]) -> Iterator[str]:
    protocol = leaderboard.protocol
    seeds = sorted({seed for row in leaderboard.rows for seed in row.seeds})
    labels = [name(row.label) for row in leaderboard.rows]
    versions = sorted({record.environment.packages.get("benchbird", "") for record in records} - {""})
    leaks = "no recording is" if not leaderboard.leaks_allowed else f"{leaderboard.leaks_allowed} recordings are"
    program = f"benchbird {', '.join(versions)}".strip()
    yield (
        f"{_listed(labels)} were trained and tested with {program} under one protocol (digest "
        f"{leaderboard.protocol_digest}) on {leaderboard.n_train} training, {leaderboard.n_val} "
        f"validation and {leaderboard.n_test} test images of {name(leaderboard.dataset)} (digest "
        f"{leaderboard.data_digest}); {leaks} in more than one split."
    )
    size = protocol.get("image_size")
    yield f"Images and masks were shrunk to {size} × {size} pixels by the rule {_text(protocol.get('resize', 'area'))}."
    optimizer = _mapping(protocol.get("optimizer"))
    rest = ", ".join(f"{_text(key)} {_text(value)}" for key, value in optimizer.items() if key != "name")
    yield (
        f"Each network was trained for {_text(protocol.get('epochs'))} epochs in batches of "
        f"{_text(protocol.get('batch_size'))} with {_text(optimizer.get('name'))} ({rest}) and the loss "
        f"{_text(protocol.get('loss'))}; weights were selected by "
        f"{_text(protocol.get('selection'))}, and the test split was read once, at the end."
    )
    if tuning := _mapping(protocol.get("tuning")):
        yield (
            f"The learning rate of each network was the one of {_text(tuning.get('learning_rates'))} with the best "
            f"score on validation, found with seed {_text(tuning.get('seed'))}, which no result has; test scores had "
            "no part in the choice."
        )
    definition = DEFINITIONS[leaderboard.metric]
    is_tested = any(one.p_adjusted is not None for one in leaderboard.comparisons)
    paired = "; pairs were compared by paired tests with Holm's correction at 0.05" if is_tested else ""
    yield (
        f"We report {definition.title}, {definition.meaning.rstrip('.')}, as the mean over {len(seeds)} "
        f"{'seed' if len(seeds) == 1 else 'seeds'}, on {leaderboard.n_recordings_test} test recordings, "
        f"{_intervals(leaderboard)}{paired}."
    )
    for machine in leaderboard.machines:
        yield f"Timings are of {plain_text(machine, 120)}."
    failed = len(leaderboard.failed)
    if failed:
        yield f"{failed} {'trial' if failed == 1 else 'trials'} ended without a score and are listed with the table."


def _intervals(leaderboard: Leaderboard) -> str:
    """Over what the intervals are, which fewer seeds or recordings leave less of."""
    covers = sorted({row.score.covers for row in leaderboard.rows if row.score.low is not None})
    return f"with 95 % intervals over {', or over '.join(covers)}" if covers else "without intervals"


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "No segmenters"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return plain_text(f"{value:g}" if isinstance(value, float) else str(value).replace("_", " "), 80)


def _document(drawn: Sequence[Figure]) -> str:
    """A document that includes everything, to be compiled as it is or copied from."""
    parts = [
        r"\documentclass{article}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage[utf8]{inputenc}",
        r"\usepackage{textcomp}",
        *(rf"\usepackage{{{package}}}" for package in latex.PACKAGES),
        r"\begin{document}",
        r"\section*{Methods}",
        rf"\input{{{METHODS}}}",
        rf"\input{{{TABLE}}}",
    ]
    for figure in drawn:
        parts += [
            r"\begin{figure}[tbp]",
            r"\centering",
            rf"\includegraphics[width=.8\linewidth]{{{figure.name}.pdf}}",
            rf"\caption{{{latex.escape(f'{figure.chart.title}. {figure.caption}')}}}",
            rf"\label{{fig:{figure.name}}}",
            r"\end{figure}",
        ]
        if parts.count(r"\begin{figure}[tbp]") % 6 == 0:
            parts.append(r"\clearpage")
    return "\n".join([*parts, r"\end{document}", ""])
