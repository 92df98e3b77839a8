"""Published results beside our own scores: which cells and notes, and the same as Markdown and LaTeX.

Owns the words and the order of that block. What may be said of a row is `benchbird/literature.py`'s; nothing
here is ranked. Cells are text of one line that nobody has escaped yet: the two renderers do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbird.literature import PublishedRow, PublishedTable, comparable_metric, consistency, why
from benchbird.plain_text import plain_text
from benchbird.reporters import latex, markdown
from benchbird.reporters.columns import MISSING, shown_name

_HEADINGS = ("system", "source", "IoU %", "IoU by", "Dice %", "surplus", "comparable?")
_IS_NUMBER = (False, False, True, False, True, True, False)
_DEFINITIONS = {
    None: MISSING,
    "unknown_averaging": "unknown",
    "batch_mean_foreground": "batch mean",
    "two_class_batch_mean": "two-class batch mean",
}
_KINDS = {"segmenter": "", "audio_only": ", audio only", "prompted": ", prompted"}
_OWN = {"iou_pooled": "pooled", "iou_batch_mean": "batch", "miou_two_class_batch_mean": "two-class"}
"""Our scores that a published row may have, in the order in which an own row shows them."""
_LIMIT = 160


@dataclass(frozen=True, kw_only=True)
class PublishedBlock:
    """Published rows and our own, as text of one line each, unescaped.

    Attributes:
        heading: above the table.
        headings: of the columns.
        rows: one text a column; published ones first.
        notes: below the table, a sentence or two each.
    """

    heading: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def published_block(
    tables: Sequence[PublishedTable],
    own: Mapping[str, Mapping[str, float | None]],
    dataset: str,
    image_size: int | None,
) -> PublishedBlock:
    """Lay out published results and our own.

    Args:
        tables: as `literature.load_published` reads them.
        own: label → score name (`iou_pooled`, `iou_batch_mean`, `miou_two_class_batch_mean`, `dice`) → mean over
            seeds, a fraction in [0, 1]; None or missing where there is none. Kept in its order.
        dataset: name of the data set that ours were measured on.
        image_size: side of its images, in pixels; None where unknown.

    Returns:
        Published rows by source, then by printed IoU, then ours, unranked. IoU and Dice are per cent.
    """
    rows = sorted((row for table in tables for row in table.rows), key=_by_source_then_iou)
    occurring = {comparable_metric(row) for row in rows if row.test_iou is not None}
    metrics = [metric for metric in _OWN if metric in occurring] or ["iou_pooled"]
    shown_dataset = shown_name(dataset)
    size = f", {image_size}×{image_size}" if image_size is not None else ""
    titles = ", ".join(dict.fromkeys(shown_name(table.title) for table in tables)) or "nothing"
    return PublishedBlock(
        heading=f"Published results on {titles} beside this benchmark on {shown_dataset}{size}: no ranking.",
        headings=_HEADINGS,
        rows=(
            *(_published_row(row, dataset, image_size) for row in rows),
            *(_own_row(label, scores, metrics, f"measured on {shown_dataset}{size}") for label, scores in own.items()),
        ),
        notes=tuple(_notes(rows, metrics)),
    )


def markdown_block(block: PublishedBlock) -> str:
    """Heading, pipe table and a list of notes; ends in a newline."""
    table = markdown.table(block.headings, block.rows, _IS_NUMBER)
    notes = "\n".join(f"- {markdown.escape_line(note)}" for note in block.notes)
    return "\n\n".join([f"**{markdown.escape(block.heading)}**", table, notes]) + "\n"


def latex_block(block: PublishedBlock) -> str:
    """A `table` environment with booktabs rules; ends in a newline."""
    alignment = "".join("r" if is_number else "l" for is_number in _IS_NUMBER[:-1])
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs} and \usepackage{graphicx}.",
            r"\begin{table}[tbp]",
            r"\centering",
            rf"\caption{{{latex.escape(block.heading)}}}",
            r"\label{tab:benchbird-published}",
            # Shrunk where it is wider than the page, never enlarged.
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            # The reasons are sentences: they wrap, or nothing else could be read.
            rf"\begin{{tabular}}{{{alignment}p{{0.5\linewidth}}}}",
            r"\toprule",
            _latex_row(block.headings),
            r"\midrule",
            *map(_latex_row, block.rows),
            r"\bottomrule",
            r"\end{tabular}%",
            "}",
            r"\par\smallskip",
            r"{\footnotesize\raggedright",
            *(latex.escape(note) + r"\par" for note in block.notes),
            "}",
            r"\end{table}",
            "",
        ]
    )


def _latex_row(texts: Sequence[str]) -> str:
    return " & ".join(map(latex.escape, texts)) + r" \\"


def _by_source_then_iou(row: PublishedRow) -> tuple[str, bool, float]:
    return row.source.casefold(), row.test_iou is None, -(row.test_iou or 0.0)


def _published_row(row: PublishedRow, dataset: str, image_size: int | None) -> tuple[str, ...]:
    found = consistency(row)
    return (
        shown_name(row.system),
        shown_name(row.source),
        _percent(row.test_iou),
        _DEFINITIONS[row.definition] + _KINDS[row.kind],
        _percent(row.test_dice),
        MISSING if found is None else _points(found.surplus_points),
        plain_text(why(row, dataset, image_size), _LIMIT),
    )


def _own_row(label: str, scores: Mapping[str, float | None], metrics: Sequence[str], where: str) -> tuple[str, ...]:
    return (
        shown_name(label),
        "this benchmark",
        "/".join(_percent(scores.get(metric)) for metric in metrics),
        "/".join(_OWN[metric] for metric in metrics),
        _percent(scores.get("dice")),
        MISSING,  # 0 by definition: both are pooled
        where,
    )


def _notes(rows: Sequence[PublishedRow], metrics: Sequence[str]) -> list[str]:
    names = " / ".join(metrics)
    lines = [
        "IoU and Dice: on test, in per cent, published ones as printed but rounded to one decimal. "
        f"This benchmark's rows show {names}. Compare only figures with one definition, data set and image size.",
        "IoU by: how a system's IoU was averaged. batch: mean over batches of the bird's IoU. two-class: mean over "
        "batches of the mean IoU of bird and background, far higher on the same predictions.",
        "surplus: printed IoU − Dice/(2−Dice), in points. It is 0 for one image and for pooled pixels; a surplus "
        "shows averages over images, batches or classes, or two different rules. Rows of unlike surplus were hardly "
        "averaged alike: they are not one scale.",
    ]
    if apart := [_f1_and_dice(row) for row in rows if (found := consistency(row)) and found.f1_is_dice is False]:
        listed = ", ".join(apart)
        lines.append(f"F1 and Dice are one number on the same pixels, averaged alike, but differ in print: {listed}.")
    if rows:
        stated = [f"{shown_name(row.system)} {shown_name(row.pretrained)}" for row in rows if row.pretrained]
        lines.append(f"Pretraining: {', '.join([*stated, 'not stated here for the others'])}.")
    # Our word first: a name such as `# x` would open a block of its own at the beginning of a bullet.
    lines += [f"On {shown_name(row.system)}: {plain_text(row.remark, 300).rstrip('.')}." for row in rows if row.remark]
    return lines


def _f1_and_dice(row: PublishedRow) -> str:
    return f"{shown_name(row.system)} ({_percent(row.test_f1)} and {_percent(row.test_dice)})"


def _percent(fraction: float | None) -> str:
    return MISSING if fraction is None else f"{100 * fraction:.1f}"


def _points(points: float) -> str:
    # `+ 0.0` makes a rounded −0 a 0.
    return f"{round(points, 1) + 0.0:+.1f}".replace("-", "−")
