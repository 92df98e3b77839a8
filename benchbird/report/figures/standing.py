"""Who stands where, and at what cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from benchbird.definitions import DEFINITIONS
from benchbird.plain_text import plain_text
from benchbird.report.charts import Axis, Plot, Point, Series, Strip, Strips, linear_axis, log_axis
from benchbird.report.figures.value import Figure, Table, extremes, styles
from benchbird.report.texts import MISSING, amount, name, score
from benchbird.standings import Leaderboard, Row


def standing_figure(leaderboard: Leaderboard) -> Figure | None:
    """Scores with their intervals and tie groups, best at the top; None where nobody has one."""
    title = DEFINITIONS[leaderboard.metric].title
    style = styles(leaderboard)
    shown = [row for row in leaderboard.rows if row.score.mean is not None]
    values = [value for row in shown for value in (row.score.mean, row.score.low, row.score.high) if value is not None]
    strips = tuple(
        Strip(
            name=name(row.label),
            style=style[row.label],
            middle=row.score.mean,
            low=row.score.low,
            high=row.score.high,
            note=f"group {row.letters}" if row.letters else "",
        )
        for row in shown
    )
    rows = tuple(
        (
            name(row.label),
            score(row.score.mean),
            score(row.score.low),
            score(row.score.high),
            row.score.covers,
            row.letters or MISSING,
        )
        for row in shown
    )
    if not shown:
        return None
    return Figure(
        name="standing",
        chart=Strips(title=f"{title} on test with 95 % intervals", x=linear_axis(title, values), strips=strips),
        table=Table(("segmenter", title, "low", "high", "interval covers", "group"), rows, texts=(0, 4, 5)),
        caption="Symbol: mean over seeds; line: 95 % interval."
        + (" Segmenters that share a letter are not separable." if any(row.letters for row in shown) else ""),
        summary=extremes({row.label: row.score.mean for row in shown}, f"mean {title}"),
    )


def cost_figures(leaderboard: Leaderboard) -> list[Figure]:
    """IoU against throughput, against training throughput and against parameters."""
    batch = leaderboard.inference_batch_size
    machine = leaderboard.machines[0] if leaderboard.machines else ""
    slower = [row for row in leaderboard.rows if row.machine == machine]
    where = f" Machine: {plain_text(machine, 120)}." if machine else ""
    if len(leaderboard.machines) > 1:
        where += " Segmenters that were timed on other machines are not drawn."
    speed = "The step line joins those that no other one beats in both."
    figures = [
        _cost(leaderboard, slower, "cost-inference", f"images/s in inference, batch {batch}",
              lambda row: row.inference_images_per_s, f"{speed}{where}", more_is_better=True),
        _cost(leaderboard, slower, "cost-training", "images/s in training",
              lambda row: row.train_images_per_s, f"{speed}{where}", more_is_better=True),
        _cost(leaderboard, leaderboard.rows, "cost-parameters", "parameters",
              lambda row: None if row.parameters is None else float(row.parameters),
              "Fewer parameters to the left. Those without parameters are not drawn.", more_is_better=False),
    ]  # fmt: skip
    return [figure for figure in figures if figure is not None]


def _cost(
    leaderboard: Leaderboard,
    rows: Iterable[Row],
    identity: str,
    label: str,
    value_of: Callable[[Row], float | None],
    caption: str,
    *,
    more_is_better: bool,
) -> Figure | None:
    style = styles(leaderboard)
    definition = DEFINITIONS[leaderboard.metric]
    title = definition.title
    points = [(row, value) for row in rows if row.score.mean is not None and (value := value_of(row))]
    if len(points) < 2:
        return None
    ends = [end for row, _ in points for end in (row.score.mean, row.score.low, row.score.high) if end is not None]
    series = []
    for row, value in points:
        assert row.score.mean is not None
        bars = (
            ((value, row.score.low, row.score.high),)
            if row.score.low is not None and row.score.high is not None
            else ()
        )
        series.append(
            Series(
                name=name(row.label),
                style=style[row.label],
                marks=((value, row.score.mean),),
                bars=bars,
                labels=((value, row.score.mean, name(row.label)),),
            )
        )
    axis = log_axis(label, [value for _, value in points])
    known = [(value, row.score.mean or 0.0) for row, value in points]
    guide = _frontier(known, axis, higher_is_better=definition.higher_is_better) if more_is_better else ()
    table = tuple(
        (name(row.label), score(row.score.mean), score(row.score.low), score(row.score.high), amount(value))
        for row, value in points
    )
    return Figure(
        name=identity,
        chart=Plot(title=f"{title} against {label}", x=axis, y=linear_axis(title, ends), series=tuple(series),
                   guides=(guide,) if guide else ()),
        table=Table(("segmenter", title, "low", "high", label), table),
        caption=f"On test, with 95 % intervals; the horizontal axis is logarithmic. {caption}",
        summary=_cost_summary(points, label, higher_is_better=definition.higher_is_better),
    )  # fmt: skip


def _cost_summary(points: Sequence[tuple[Row, float]], label: str, *, higher_is_better: bool) -> str:
    means = [row.score.mean or 0.0 for row, _ in points]
    at_best, word = (max(means), "highest") if higher_is_better else (min(means), "lowest")
    best = [row.label for row, _ in points if row.score.mean == at_best]
    first = f"{name(best[0])} scores {word}" if len(best) == 1 else f"{len(best)} share the {word} score"
    if not higher_is_better:
        first += ", the best"
    (slow, low), (fast, high) = min(points, key=lambda one: one[1]), max(points, key=lambda one: one[1])
    if low == high:
        return f"{first}; all have {amount(low)} {label}."
    return f"{first}; from {amount(low)} {label} ({name(slow.label)}) to {amount(high)} ({name(fast.label)})."


def pareto(points: Mapping[str, tuple[float, float]], *, higher_is_better: bool) -> list[str]:
    """Names that no other one beats in both values, from the slowest to the fastest.

    Args:
        points: name → speed, of which more is better, and score.
        higher_is_better: of the score.
    """
    sign = 1 if higher_is_better else -1

    def is_beaten(one: tuple[float, float]) -> bool:
        return any(
            other != one and other[0] >= one[0] and sign * other[1] >= sign * one[1] for other in points.values()
        )

    return sorted((name for name, one in points.items() if not is_beaten(one)), key=lambda name: points[name])


def _frontier(points: Sequence[Point], axis: Axis, *, higher_is_better: bool) -> tuple[Point, ...]:
    by_place = {str(place): point for place, point in enumerate(points)}
    best = [by_place[place] for place in pareto(by_place, higher_is_better=higher_is_better)]
    line: list[Point] = [(axis.low, best[0][1])]
    for place, (x, y) in enumerate(best):
        line.append((x, y))
        if place + 1 < len(best):
            line.append((x, best[place + 1][1]))
    return tuple(line)
