"""Repeated durations and what they say: warm-up, rounds in which contenders take turns, figures, ratios.

Pure: whoever is timed is a function that returns seconds. A round is one process' share, since what memory a
process happens to get makes it faster or slower for all its life. What others disturbed counts only where there
is nothing better. Owns how often and in which order; devices, processes, models and units of work are the caller's.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

DISTURBED_SHARE = 0.02
"""An iteration is disturbed that waited for longer than this share of its time while others computed."""

FEW = 6
"""Undisturbed iterations, or rounds, below which the disturbed ones count too; the least with an interval."""

LEVEL = 0.95
"""Of the interval of a median."""

PATIENCE = 3.0
"""Times the longest time that a row gets, where others keep its ratio from being known at all."""

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
        warm_up_again_min_seconds: least time of a warm-up in a later process, which finds the machine at work already.
        warm_up_again_max_seconds: after which it ends.
        chunk_s: most of a turn, of which a contender has two in a round; at least one iteration.
        min_rounds: least number of rounds, each in a process of its own.
        max_rounds: after which a block ends.
        min_iterations: of a row, unless `min_seconds` come first.
        min_seconds: of a row, unless `min_iterations` come first.
        max_seconds: of iterations, mean over the contenders, after which only badly known ratios get further rounds,
            up to `PATIENCE` times as long.
        ratio_tolerance: a ratio is known when the 95 % interval of its median is no wider than ± this share.
        ratio_bound: and badly known while it is wider than ± this one.
    """

    warm_up_window: int = 5
    warm_up_tolerance: float = 0.05
    warm_up_min_seconds: float = 0.3
    warm_up_max_seconds: float = 10.0
    warm_up_max_iterations: int = 5000
    warm_up_again_min_seconds: float = 0.1
    warm_up_again_max_seconds: float = 1.0
    chunk_s: float = 0.3
    min_rounds: int = 6
    max_rounds: int = 100
    min_iterations: int = 100
    min_seconds: float = 3.0
    max_seconds: float = 12.0
    ratio_tolerance: float = 0.01
    ratio_bound: float = 0.025

    @property
    def turn_s(self) -> float:
        """Seconds of a turn: no more than what makes the least number of rounds long enough, twice over."""
        return min(self.chunk_s, self.min_seconds / self.min_rounds)

    def in_process(self, number: int) -> SamplingRule:
        """The same with the warm-up that is due in a timing's process of this number, from 0."""
        if number == 0:
            return self
        return replace(
            self,
            warm_up_min_seconds=min(self.warm_up_min_seconds, self.warm_up_again_min_seconds),
            warm_up_max_seconds=min(self.warm_up_max_seconds, self.warm_up_again_max_seconds),
        )


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
        processes: that iterated, one a round.
        round_medians_ms: median duration of each round that has an iteration that counts, in order.
    """

    iterations: int
    set_aside: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    cv: float
    processes: int
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


def whole_warm_up(warm_ups: Sequence[WarmUp]) -> WarmUp:
    """What the warm-ups of one contender come to, at least one: the first process' first call, all the rest.

    It is stable where more than half of them were.
    """
    return WarmUp(
        first_call_s=warm_ups[0].first_call_s,
        iterations=sum(one.iterations for one in warm_ups),
        seconds=math.fsum(one.seconds for one in warm_ups),
        is_stable=2 * sum(one.is_stable for one in warm_ups) > len(warm_ups),
    )


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


def take_turns(contenders: Sequence[Contender], number: int, rule: SamplingRule) -> dict[int, Chunk]:
    """Hold one round: everyone has a turn, then everyone another one in reverse order.

    One that raises is left out from then on; the others go on.

    Args:
        contenders: who takes turns.
        number: of the round, from 0; decides who begins.
        rule: how long a turn is.

    Returns:
        Position of a contender → all its iterations; none of those that failed.
    """
    chunks: dict[int, Chunk] = dict.fromkeys(range(len(contenders)), ())
    for turn in (2 * number, 2 * number + 1):
        for index in in_turn(list(chunks), turn):
            try:
                chunks[index] += contenders[index](rule.turn_s)
            except (Exception, SystemExit):
                del chunks[index]
    return chunks


def in_turn(contenders: Sequence[int], number: int) -> list[int]:
    """An order: another one begins every second time, and every second time it runs backwards."""
    if not contenders:
        return []
    start = (number // 2) % len(contenders)
    order = [*contenders[start:], *contenders[:start]]
    return order[::-1] if number % 2 else order


def is_enough(rounds: Sequence[Sequence[Chunk]], groups: Sequence[Hashable], rule: SamplingRule) -> bool:
    """Whether contenders have had rounds enough for every figure to be known well enough.

    Args:
        rounds: of each contender, at least one, equally many.
        groups: of each contender; its ratio is to the first of its group.
        rule: how long, how often.
    """
    number = len(rounds[0])
    if number < rule.min_rounds:
        return False
    spent = [math.fsum(one.seconds for chunk in own for one in chunk) for own in rounds]
    for own, seconds in zip(rounds, spent, strict=True):
        if sum(map(len, own)) < rule.min_iterations and seconds < rule.min_seconds:
            return False
    seconds = statistics.fmean(spent)
    if number >= rule.max_rounds or seconds >= PATIENCE * rule.max_seconds:
        return True
    ratios = [
        paired_ratio(rounds[index], rounds[reference])
        for index, reference in enumerate(references(groups))
        if index != reference
    ]
    if seconds >= rule.max_seconds:
        # Those that rest on disturbed rounds too: they are what more of them helps.
        return all(ratio.uncertainty <= rule.ratio_bound for ratio in ratios)
    is_quiet = all(sum(map(len, undisturbed(own))) >= FEW for own in rounds)
    return is_quiet and all(is_known(ratio, rule) for ratio in ratios)


def references(groups: Sequence[Hashable]) -> list[int]:
    """Of each contender the position of the first one of its group."""
    return [groups.index(group) for group in groups]


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
        processes=len(rounds),
        round_medians_ms=tuple(1e3 * statistics.median(durations) for durations in kept),
    )


def undisturbed(rounds: Sequence[Chunk]) -> list[list[float]]:
    """Seconds of each round's undisturbed iterations; of some rounds maybe none."""
    return [[one.seconds for one in chunk if not one.is_disturbed] for chunk in rounds]


def paired_ratio(own: Sequence[Chunk], reference: Sequence[Chunk]) -> Ratio:
    """How many times as fast as the reference: its median over the own one, round by round, equally many."""
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


def is_known(ratio: Ratio, rule: SamplingRule) -> bool:
    """Whether a ratio is known as well as the rule wants."""
    return not ratio.is_disturbed and ratio.uncertainty <= rule.ratio_tolerance


def _ratios(own: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> list[float]:
    """Sorted; of the rounds in which both have an iteration."""
    pairs = zip(own, reference, strict=True)
    return sorted(statistics.median(theirs) / statistics.median(ours) for ours, theirs in pairs if ours and theirs)


def _all(rounds: Sequence[Chunk]) -> list[list[float]]:
    return [[one.seconds for one in chunk] for chunk in rounds]
