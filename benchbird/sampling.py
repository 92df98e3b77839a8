"""Repeated durations and what they say: warm-up, rounds in which contenders take turns, figures, ratios.

Pure: whoever is timed is a function that returns seconds. What others disturbed counts only where there is
nothing better. Owns how often and in which order; devices,
models and units of work are the caller's.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

DISTURBED_SHARE = 0.02
"""An iteration is disturbed that waited for longer than this share of its time while others computed."""

FEW = 6
"""Undisturbed iterations, or rounds, below which the disturbed ones count too; the least with an interval."""

LEVEL = 0.95
"""Of the interval of a median."""

SETTLING = 3
"""A chunk of more iterations than this leaves out its first, which finds the caches full of another's data."""


class Iteration(NamedTuple):
    """One iteration.

    Attributes:
        seconds: that it took.
        waited_s: of all its threads for a core that others held.
        is_crowded: whether others computed on other cores meanwhile, and took caches and memory's bandwidth.
    """

    seconds: float
    waited_s: float = 0.0
    is_crowded: bool = False

    @property
    def is_disturbed(self) -> bool:
        """Whether others kept it from computing as fast as it could."""
        return self.is_crowded or self.waited_s > DISTURBED_SHARE * self.seconds


Chunk = tuple[Iteration, ...]
"""Consecutive iterations of one contender."""

Contender = Callable[[float], Chunk]
"""Iterates for about so many seconds, at least once."""


@dataclass(frozen=True, kw_only=True)
class SamplingRule:
    """How much is measured.

    Attributes:
        warm_up_window: k; warmed up when the median of the last k iterations is near that of the k before.
        warm_up_tolerance: how near, as a share.
        warm_up_min_seconds: least time of a warm-up after the first call.
        warm_up_max_seconds: after which a warm-up ends, stable or not.
        warm_up_max_iterations: likewise.
        chunk_s: what a contender gets of a round; at least one iteration.
        min_rounds: least number of rounds.
        max_rounds: after which a block ends.
        min_iterations: of a row, unless `min_seconds` come first.
        min_seconds: of a row, unless `min_iterations` come first.
        max_seconds: mean over the contenders after which uncertain ratios get no further rounds.
        ratio_tolerance: a ratio is known when the 95 % interval of its median is no wider than ± this share.
    """

    warm_up_window: int = 5
    warm_up_tolerance: float = 0.05
    warm_up_min_seconds: float = 0.3
    warm_up_max_seconds: float = 10.0
    warm_up_max_iterations: int = 5000
    chunk_s: float = 0.1
    min_rounds: int = 6
    max_rounds: int = 400
    min_iterations: int = 100
    min_seconds: float = 3.0
    max_seconds: float = 20.0
    ratio_tolerance: float = 0.01


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """A warm-up that is over.

    Attributes:
        first_call_s: seconds of the very first iteration, with whatever is compiled or chosen in it.
        iterations: that followed it.
        seconds: that those took.
        is_stable: whether they had come to rest by the rule.
    """

    first_call_s: float
    iterations: int
    seconds: float
    is_stable: bool


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What the durations of one contender come to.

    Attributes:
        iterations: that count: the undisturbed ones, or all where those are too few.
        set_aside: disturbed iterations that don't count.
        seconds: sum of those that count.
        p50_ms: median duration of an iteration in milliseconds.
        p90_ms: 90th percentile, interpolated linearly.
        p99_ms: 99th percentile.
        cv: coefficient of variation, standard deviation (n − 1) / mean; 0 for a single iteration.
        round_medians_ms: median duration of each round that has an iteration that counts, in order.
    """

    iterations: int
    set_aside: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    cv: float
    round_medians_ms: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times as fast as its reference a contender is, round by round.

    Attributes:
        median: over rounds.
        least: of a round.
        most: of a round.
        low: lower end of the 95 % interval of the median over rounds; None below six.
        high: upper end.
        rounds: that count: those in which both have an undisturbed iteration, or all where those are too few.
        is_disturbed: whether they were too few.
    """

    median: float
    least: float
    most: float
    low: float | None
    high: float | None
    rounds: int
    is_disturbed: bool

    @property
    def uncertainty(self) -> float:
        """Half the interval as a share of the median; infinite where there is no interval."""
        if self.low is None or self.high is None:
            return math.inf
        return (self.high - self.low) / 2 / self.median


@dataclass(frozen=True)
class Rounds:
    """What a block's rounds brought.

    Attributes:
        chunks: of each contender, round by round; of one that failed, until then.
        failures: position of a contender → what it raised.
    """

    chunks: tuple[tuple[Chunk, ...], ...]
    failures: dict[int, BaseException]


def warm_up(iterate: Callable[[], float], rule: SamplingRule) -> WarmUp:
    """Iterate until the durations have come to rest.

    Args:
        iterate: does one iteration and returns its seconds.
        rule: when that is, and when to stop waiting for it.
    """
    first = iterate()
    durations: list[float] = []
    seconds = 0.0
    while True:
        durations.append(iterate())
        seconds += durations[-1]
        is_over = seconds >= rule.warm_up_max_seconds or len(durations) >= rule.warm_up_max_iterations
        # Few iterations that already took the whole time are judged by what there is of them.
        window = min(rule.warm_up_window, len(durations) // 2) if is_over else rule.warm_up_window
        is_stable = is_at_rest(durations, window, rule.warm_up_tolerance)
        if is_over or (is_stable and seconds >= rule.warm_up_min_seconds):
            return WarmUp(first_call_s=first, iterations=len(durations), seconds=seconds, is_stable=is_stable)


def is_at_rest(durations: Sequence[float], window: int, tolerance: float) -> bool:
    """Whether the median of the last `window` durations is within `tolerance` of that of the window before."""
    if window < 1 or len(durations) < 2 * window:
        return False
    before = statistics.median(durations[-2 * window : -window])
    return abs(statistics.median(durations[-window:]) - before) <= tolerance * before


def chunk(iterate: Callable[[], Iteration], seconds: float) -> Chunk:
    """Iterate for about `seconds`, at least once; a long chunk's first iteration doesn't count."""
    iterations: list[Iteration] = []
    total = 0.0
    while not iterations or total < seconds:
        iterations.append(iterate())
        total += iterations[-1].seconds
    return tuple(iterations[1:] if len(iterations) > SETTLING else iterations)


def interleave(
    contenders: Sequence[Contender],
    groups: Sequence[Hashable],
    rule: SamplingRule,
    after_round: Callable[[int], object] = lambda _: None,
) -> Rounds:
    """Let contenders take turns, round by round, until every figure is known well enough.

    One that raises is left out from then on; the others go on.

    Args:
        contenders: who takes turns.
        groups: of each contender; its ratio is to the first of its group.
        rule: how long, how often.
        after_round: called with the number of rounds that are over.
    """
    chunks: list[list[Chunk]] = [[] for _ in contenders]
    failures: dict[int, BaseException] = {}
    number = 0
    while True:
        alive = [index for index in range(len(contenders)) if index not in failures]
        if not alive or _is_enough(chunks, alive, groups, rule, number):
            return Rounds(tuple(tuple(rounds) for rounds in chunks), failures)
        for index in in_turn(alive, number):
            try:
                chunks[index].append(contenders[index](rule.chunk_s))
            except (Exception, SystemExit) as error:
                failures[index] = error
        number += 1
        after_round(number)


def in_turn(contenders: Sequence[int], number: int) -> list[int]:
    """The order of a round: another one begins each time, and every second round runs backwards."""
    start = (number // 2) % len(contenders)
    order = [*contenders[start:], *contenders[:start]]
    return order[::-1] if number % 2 else order


def references(groups: Sequence[Hashable], contenders: Iterable[int]) -> dict[int, int]:
    """Contender → the first one of its group."""
    first: dict[Hashable, int] = {}
    return {index: first.setdefault(groups[index], index) for index in contenders}


def figures(rounds: Sequence[Chunk]) -> Figures:
    """Sum up the iterations of one contender, at least one."""
    everything = sum(map(len, rounds))
    quiet = undisturbed(rounds)
    kept = [durations for durations in (quiet if sum(map(len, quiet)) >= FEW else _all(rounds)) if durations]
    ordered = sorted(duration for durations in kept for duration in durations)
    mean = statistics.fmean(ordered)
    spread = statistics.stdev(ordered) if len(ordered) > 1 else 0.0
    return Figures(
        iterations=len(ordered),
        set_aside=everything - len(ordered),
        seconds=math.fsum(ordered),
        p50_ms=1e3 * percentile(ordered, 0.50),
        p90_ms=1e3 * percentile(ordered, 0.90),
        p99_ms=1e3 * percentile(ordered, 0.99),
        cv=spread / mean if mean > 0 else 0.0,
        round_medians_ms=tuple(1e3 * statistics.median(durations) for durations in kept),
    )


def undisturbed(rounds: Sequence[Chunk]) -> list[list[float]]:
    """Seconds of each round's undisturbed iterations; of some rounds maybe none."""
    return [[one.seconds for one in chunk if not one.is_disturbed] for chunk in rounds]


def paired_ratio(own: Sequence[Chunk], reference: Sequence[Chunk]) -> Ratio:
    """How many times as fast as the reference: its median over the own one, in each round that both have."""
    quiet = _ratios(undisturbed(own), undisturbed(reference))
    ratios = quiet if len(quiet) >= FEW else _ratios(_all(own), _all(reference))
    low, high = median_interval(ratios) or (None, None)
    return Ratio(median=statistics.median(ratios), least=ratios[0], most=ratios[-1], low=low, high=high,
                 rounds=len(ratios), is_disturbed=len(quiet) < FEW)  # fmt: skip


def median_interval(ordered: Sequence[float]) -> tuple[float, float] | None:
    """The interval of the median by ranks, at least 95 %; None for fewer than six values.

    Args:
        ordered: sorted values, independent of one another.
    """
    tail, rank = 0.0, 0
    while (tail := tail + math.comb(len(ordered), rank) / 2 ** len(ordered)) <= (1 - LEVEL) / 2:
        rank += 1
    return (ordered[rank - 1], ordered[-rank]) if rank else None


def percentile(ordered: Sequence[float], share: float) -> float:
    """Linear interpolation between the nearest ranks of sorted values."""
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def largest_that_fits(fits: Callable[[int], bool], start: int, bound: int) -> int:
    """The largest whole number up to `bound` that fits, by doubling and then bisection; 0 if none does.

    Args:
        fits: whether a number does; if one does, every smaller one is taken to.
        start: where to begin, >= 1.
        bound: >= start.
    """
    good, bad = 0, start
    while fits(bad):
        good = bad
        if good == bound:
            return bound
        bad = min(2 * good, bound)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def _is_enough(
    chunks: Sequence[Sequence[Chunk]],
    alive: Sequence[int],
    groups: Sequence[Hashable],
    rule: SamplingRule,
    number: int,
) -> bool:
    if number < rule.min_rounds:
        return False
    spent = {index: math.fsum(one.seconds for chunk in chunks[index] for one in chunk) for index in alive}
    for index in alive:
        iterations = sum(map(len, chunks[index]))
        if iterations < rule.min_iterations and spent[index] < rule.min_seconds:
            return False
    if number >= rule.max_rounds or statistics.fmean(spent.values()) >= rule.max_seconds:
        return True
    return all(sum(map(len, undisturbed(chunks[index]))) >= FEW for index in alive) and all(
        is_known(paired_ratio(chunks[index], chunks[reference]), rule)
        for index, reference in references(groups, alive).items()
        if index != reference
    )


def is_known(ratio: Ratio, rule: SamplingRule) -> bool:
    """Whether a ratio is known as well as the rule wants."""
    return not ratio.is_disturbed and ratio.uncertainty <= rule.ratio_tolerance


def _ratios(own: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> list[float]:
    """Sorted; of the rounds in which both have an iteration."""
    pairs = zip(own, reference, strict=False)
    return sorted(statistics.median(theirs) / statistics.median(ours) for ours, theirs in pairs if ours and theirs)


def _all(rounds: Sequence[Chunk]) -> list[list[float]]:
    return [[one.seconds for one in chunk] for chunk in rounds]
