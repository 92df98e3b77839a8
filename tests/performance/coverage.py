"""Do the intervals cover and the differences keep their level, on simulated counts with a known truth?

    python tests/performance/coverage.py --runs 4000 --output coverage.md

A recording has a true level (beta, mean 0.65) shared by its two channels; a seed adds its own effect, and a seed
and a recording together another. Channels have unions of log-normal size, alike within a recording. The score is
sum I / sum U of rounded pixel counts; its truth is the mean level, since size and level are independent. Levels
may pass 1 by a little: cutting them off would move the truth.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchbird.statistics.jackknife import MeanSquares, mean_squares, variance_parts
from benchbird.statistics.student import FloatArray, banerjee_half_width, power, quantile, satterthwaite

MEAN_LEVEL = 0.65
CHANNELS = 2
CHANNEL_SD = 0.03
UNION_PIXELS = 2000
UNION_SHARED = 0.7
"""Share of the variance of log union that channels of a recording have in common."""

LEVEL = 0.95
RESAMPLES = 400
CHUNK_NUMBERS = 2_000_000
"""Float64 numbers of one batch of runs: 16 MB an array."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One simulated situation; standard deviations in units of the score.

    Attributes:
        seeds: R.
        recordings: C, each of two channels.
        seed_sd: of a seed's effect on all recordings.
        recording_sd: of the recordings' level.
        interaction_sd: of segmenter x seed x recording.
        segmenter_sd: of segmenter x recording, in all seeds alike: how differently two segmenters find
            recordings hard.
        size_sigma: of the log-normal unions.
    """

    seeds: int
    recordings: int = 40
    seed_sd: float = 0.016
    recording_sd: float = 0.15
    interaction_sd: float = 0.05
    segmenter_sd: float = 0.0
    size_sigma: float = 0.5

    @property
    def recordings_se(self) -> float:
        """Standard error of a pooled score that the recordings alone cause, to first order."""
        within = np.exp(self.size_sigma**2 * np.array([1.0, UNION_SHARED])).mean()  # E[U²] / E[U]² of two channels
        return float(self.recording_sd * np.sqrt(within / self.recordings))


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Share of runs whose nominal 95 % interval holds the truth, by method; `weighted` is crossed with sizes."""

    crossed: float
    weighted: float
    seeds_student: float
    seeds_bootstrap: float
    images: float


@dataclass(frozen=True, kw_only=True)
class Rejections:
    """Share of runs in which a pair is called separable, by critical value; `planned` is planning's forecast."""

    banerjee: float
    satterthwaite: float
    planned: float


def simulate_counts(
    cell: Cell, segmenters: int, runs: int, rng: np.random.Generator, gap: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Intersections `(runs, K, R, C, 2)` and unions `(runs, 1, 1, C, 2)` in pixels; the first leads by gap."""
    shape = (runs, segmenters, cell.seeds, cell.recordings, CHANNELS)
    evidence = MEAN_LEVEL * (1 - MEAN_LEVEL) / cell.recording_sd**2 - 1
    level = rng.beta(MEAN_LEVEL * evidence, (1 - MEAN_LEVEL) * evidence, (runs, 1, 1, cell.recordings, 1))
    level = level + rng.normal(0, CHANNEL_SD, (runs, 1, 1, cell.recordings, CHANNELS))
    lead = np.where(np.arange(segmenters) == 0, gap, 0.0)[:, None, None, None]
    level = level + lead + rng.normal(0, cell.segmenter_sd, (runs, segmenters, 1, cell.recordings, 1))
    level = level + rng.normal(0, cell.seed_sd, (*shape[:3], 1, 1))
    level = level + rng.normal(0, cell.interaction_sd, (*shape[:4], 1))
    shared = rng.normal(size=(runs, 1, 1, cell.recordings, 1))
    own = rng.normal(size=(runs, 1, 1, cell.recordings, CHANNELS))
    log_union = np.sqrt(UNION_SHARED) * shared + np.sqrt(1 - UNION_SHARED) * own
    union = np.rint(UNION_PIXELS * np.exp(cell.size_sigma * log_union))
    return np.rint(level * union), union


def pooled(intersection: FloatArray, union: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Score `(...)` over the last axis of clusters, and `(..., C)` the score without each."""
    all_intersection, all_union = intersection.sum(-1, keepdims=True), union.sum(-1, keepdims=True)
    left_out = (all_intersection - intersection) / (all_union - union)
    return (all_intersection / all_union)[..., 0], left_out


def simulate_coverage(cell: Cell, runs: int, rng: np.random.Generator) -> Coverage:
    """Cover of `crossed_interval`'s method, of seeds alone and of images taken for recordings."""
    held = np.zeros(5)
    for batch in _batches(runs, cell.seeds * cell.recordings * CHANNELS + cell.seeds * RESAMPLES):
        intersection, union = simulate_counts(cell, 1, batch, rng)
        intersection, union = intersection[:, 0], union[:, 0]  # (runs, R, C, 2), (runs, 1, C, 2)
        sizes = union[:, 0].sum(-1)  # (runs, C)
        effective = sizes.sum(-1) ** 2 / (sizes**2).sum(-1)
        scores, left_out = pooled(intersection.sum(-1), union.sum(-1))  # (runs, R), (runs, R, C)
        squares = mean_squares(scores, left_out)
        images = mean_squares(*pooled(intersection.reshape(batch, cell.seeds, -1), union.reshape(batch, 1, -1)))
        seeds_error = scores.std(-1, ddof=1) / np.sqrt(cell.seeds)
        distance = np.abs(scores.mean(-1) - MEAN_LEVEL)
        held += [
            (distance <= _student_half_width(squares, cell.recordings - 1)).sum(),
            (distance <= _student_half_width(squares, np.maximum(effective - 1, 1))).sum(),
            (distance <= quantile(cell.seeds - 1, 1 - LEVEL) * seeds_error).sum(),
            _bootstrap_holds(scores, rng).sum(),
            (distance <= _student_half_width(images, images.n_recordings - 1)).sum(),
        ]
    crossed, weighted, student, bootstrap, by_image = (held / runs).tolist()
    return Coverage(
        crossed=crossed, weighted=weighted, seeds_student=student, seeds_bootstrap=bootstrap, images=by_image
    )


def simulate_rejections(
    cell: Cell, segmenters: int, runs: int, rng: np.random.Generator, gap: float = 0.0
) -> Rejections:
    """Runs in which any pair is separable after Holm's adjustment over all pairs.

    Holm rejects something exactly where the smallest p is at most alpha / m, so one critical value is enough.
    """
    first, second = np.triu_indices(segmenters, 1)
    tail = (1 - LEVEL) / len(first)
    rejected, planned = np.zeros(2), 0.0
    for batch in _batches(runs, len(first) * cell.seeds * cell.recordings):
        intersection, union = simulate_counts(cell, segmenters, batch, rng, gap)
        scores, left_out = pooled(intersection.sum(-1), union.sum(-1))  # (runs, K, R), (runs, K, R, C)
        scores, left_out = scores[:, first] - scores[:, second], left_out[:, first] - left_out[:, second]
        squares = mean_squares(scores, left_out)
        variances = variance_parts(squares)  # (2, runs, pairs)
        df = np.array([cell.seeds - 1.0, cell.recordings - 1.0]).reshape(2, 1, 1)
        distance = np.abs(scores.mean(-1))  # (runs, pairs)
        rejected[0] += (distance > banerjee_half_width(variances, df, tail)).any(-1).sum()
        rejected[1] += (distance > _student_half_width(squares, cell.recordings - 1, tail)).any(-1).sum()
        planned += batch * power(gap, variances.mean((1, 2)), df[:, 0, 0], tail)
    banerjee, student = (rejected / runs).tolist()
    return Rejections(banerjee=banerjee, satterthwaite=student, planned=planned / runs)


def _batches(runs: int, numbers_a_run: int) -> Iterable[int]:
    size = max(1, CHUNK_NUMBERS // numbers_a_run)
    return (min(size, runs - start) for start in range(0, runs, size))


def _student_half_width(squares: MeanSquares, recordings_df: FloatArray | float, tail: float = 1 - LEVEL) -> FloatArray:
    variances = variance_parts(squares)
    seeds_df = np.full_like(variances[0], squares.n_seeds - 1)
    df = satterthwaite(variances, np.stack([seeds_df, np.broadcast_to(recordings_df, seeds_df.shape)]))
    half: FloatArray = quantile(df, tail) * np.sqrt(variances.sum(0))
    return half


def _bootstrap_holds(scores: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Percentile bootstrap over seeds; bool `(runs,)`."""
    runs, seeds = scores.shape
    drawn = rng.integers(0, seeds, (runs, RESAMPLES, seeds))
    means = scores[np.arange(runs)[:, None, None], drawn].mean(-1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    holds: npt.NDArray[np.bool_] = (low <= MEAN_LEVEL) & (high >= MEAN_LEVEL)
    return holds


def coverage_cells() -> list[tuple[Cell, float, float]]:
    """Situations, each with the least and the greatest cover asked of the crossed interval (0 to 1: none)."""
    several = [Cell(seeds=seeds) for seeds in (3, 5, 10)]
    # Seed noise equals the recordings' noise: in the mean over seeds, and in one seed.
    even = [replace(cell, seed_sd=cell.recordings_se * np.sqrt(cell.seeds)) for cell in several]
    even += [replace(cell, seed_sd=cell.recordings_se) for cell in several]
    few = [Cell(seeds=seeds, recordings=count) for count in (3, 4, 5, 6, 8, 11, 20) for seeds in (3, 5)]
    still = [Cell(seeds=seeds, seed_sd=0.0) for seeds in (2, 3, 5)]
    uneven = [Cell(seeds=5, recordings=count, size_sigma=1.0) for count in (5, 8, 40)]
    return [
        *((cell, 0.93, 0.97) for cell in several),
        *((cell, 0.92 if cell.seeds == 3 else 0.0, 1.0) for cell in even),
        *((cell, 0.0, 1.0) for cell in [*few, *still, *uneven]),
    ]


def coverage_table(runs: int, rng: np.random.Generator) -> tuple[list[str], bool]:
    """Markdown rows, and whether a requirement was missed."""
    rows = [
        "| seeds | recordings | seed sd | size sigma | crossed | with weights | seeds, Student | seeds, bootstrap "
        "| images independent | asked of crossed |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    missed = False
    for cell, low, high in coverage_cells():
        found = simulate_coverage(cell, runs, rng)
        fails = not low <= found.crossed <= high
        asked = f"{low:.0%} to {high:.0%}{', missed' if fails else ''}" if low else ""
        shares = (found.crossed, found.weighted, found.seeds_student, found.seeds_bootstrap, found.images)
        rows.append(
            f"| {cell.seeds} | {cell.recordings} | {cell.seed_sd:.4f} | {cell.size_sigma} | "
            + " | ".join(f"{100 * share:.1f} %" for share in shares)
            + f" | {asked} |"
        )
        missed |= fails
    return rows, missed


def family_table(runs: int, rng: np.random.Generator) -> tuple[list[str], bool]:
    """Any false separable pair among equal segmenters, Holm over all pairs at 5 %."""
    rows = [
        "| segmenters | seeds | seed sd | segmenter x recording sd | Banerjee | Satterthwaite | asked |",
        "|---|---|---|---|---|---|---|",
    ]
    allowed = 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    missed = False
    for segmenters in (3, 5, 13):
        for seeds in (3, 5):
            for seed_sd, segmenter_sd in ((0.008, 0.05), (0.016, 0.0), (0.016, 0.05), (0.03, 0.05)):
                cell = Cell(seeds=seeds, seed_sd=seed_sd, segmenter_sd=segmenter_sd)
                found = simulate_rejections(cell, segmenters, runs, rng)
                fails = found.banerjee > allowed
                rows.append(
                    f"| {segmenters} | {seeds} | {seed_sd} | {segmenter_sd} | {100 * found.banerjee:.2f} % | "
                    f"{100 * found.satterthwaite:.2f} % | at most 5 %{', missed' if fails else ''} |"
                )
                missed |= bool(fails)
    return rows, missed


def power_table(runs: int, rng: np.random.Generator) -> tuple[list[str], bool]:
    """A true gap of 0.03 between two segmenters on 40 recordings.

    80 % are asked where both find the same recordings hard (segmenter x recording sd 0; segmenter x seed x
    recording sd 0.05 throughout) and seeds vary little. With a segmenter x recording sd of 0.05 the recordings
    alone leave the difference an error of 0.012: no method and no number of seeds reaches 80 % there.
    """
    rows = [
        "| seeds | seed sd | segmenter x recording sd | Banerjee | Satterthwaite | planned | asked |",
        "|---|---|---|---|---|---|---|",
    ]
    missed = False
    for seeds in (5, 10, 3):
        for seed_sd in (0.004, 0.008, 0.016):
            for segmenter_sd in (0.0, 0.02, 0.05):
                cell = Cell(seeds=seeds, seed_sd=seed_sd, segmenter_sd=segmenter_sd)
                found = simulate_rejections(cell, 2, runs, rng, gap=0.03)
                asks = seeds == 5 and seed_sd <= 0.008 and segmenter_sd == 0
                fails = asks and found.banerjee < 0.8
                shares = (found.banerjee, found.satterthwaite, found.planned)
                rows.append(
                    f"| {seeds} | {seed_sd} | {segmenter_sd} | "
                    + " | ".join(f"{100 * share:.0f} %" for share in shares)
                    + f" | {'at least 80 %' if asks else ''}{', missed' if fails else ''} |"
                )
                missed |= fails
    return rows, missed


HEADER = """# Do the intervals hold?

Simulated counts with a known truth, analysed by the code that makes the leaderboard's intervals and verdicts:

    python tests/performance/coverage.py --runs {runs} --output docs/coverage.md

A recording has a true IoU (beta, mean 0.65, sd 0.15) that its two channels share up to sd 0.03; a seed adds its own
effect (*seed sd*), a seed and a recording together another (sd 0.05). *size sigma*: of the log-normal union sizes.
*crossed*: the interval over seeds and recordings; *with weights*: with the effective number of recordings, as the
leaderboard has it. Beside it what papers do: Student's t over seeds, a bootstrap over seeds, images taken as
independent. In the second and third table tau is how much segmenters differ from recording to recording;
*Banerjee* is what decides in benchbird, *Satterthwaite* what a plain t would say, *planned* what the minimum
detectable difference promises."""

TABLES: dict[str, Callable[[int, np.random.Generator], tuple[list[str], bool]]] = {
    "Cover of nominal 95 % intervals": coverage_table,
    "False separable pairs among equal segmenters": family_table,
    "Power for a gap of 0.03 on 40 recordings": power_table,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    started, lines, any_missed = time.perf_counter(), [HEADER.format(runs=options.runs), ""], False
    for title, table in TABLES.items():
        rows, missed = table(options.runs, rng)
        lines += [f"## {title}", "", *rows, ""]
        any_missed |= missed
    lines.append(f"{options.runs} runs a row, seed {options.seed}, in {time.perf_counter() - started:.0f} s")
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if options.output is not None:
        options.output.write_text(text, encoding="utf-8")
    return int(any_missed)


if __name__ == "__main__":
    raise SystemExit(main())
