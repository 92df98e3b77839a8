"""Warm-up, rounds, figures and ratios on contenders that only claim to have worked."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbird import sampling
from benchbird.sampling import Chunk, Contender, Iteration, SamplingRule, WarmUp

SECONDS = st.floats(1e-6, 1e3)
RULE = SamplingRule(
    warm_up_window=3, warm_up_min_seconds=0.0, warm_up_max_seconds=100.0, warm_up_max_iterations=50,
    chunk_s=0.1, min_rounds=6, max_rounds=40, min_iterations=20, min_seconds=3.0, max_seconds=1e9,
)  # fmt: skip


def iterating(*durations: float) -> Callable[[], float]:
    """So many iterations, then the last again and again."""
    return itertools.chain(durations, itertools.repeat(durations[-1])).__next__


def steady(seconds: float, waited_s: float = 0.0) -> Contender:
    return lambda budget: sampling.chunk(lambda: Iteration(seconds, waited_s), budget)


def rounds_of(*chunks: list[float]) -> list[Chunk]:
    return [tuple(Iteration(seconds) for seconds in chunk) for chunk in chunks]


def held(contenders: Sequence[Contender], groups: Sequence[str], rule: SamplingRule = RULE) -> list[list[Chunk]]:
    """Rounds of contenders that never fail, held until it is enough."""
    rounds: list[list[Chunk]] = [[] for _ in contenders]
    for number in itertools.count():
        if sampling.is_enough(rounds, groups, rule):
            break
        for index, chunk in sampling.take_turns(contenders, number, rule).items():
            rounds[index].append(chunk)
    return rounds


def once(iterate: Callable[[], Iteration]) -> Contender:
    """One iteration a turn."""
    return lambda _budget: (iterate(),)


class TestWarmUp:
    def test_it_ends_when_the_last_durations_are_like_those_before(self) -> None:
        done = sampling.warm_up(iterating(60.0, 9, 5, 3, 2, 1.02, 1.0, 1.0), RULE)
        assert done.first_call_s == 60.0
        assert done.is_stable
        # The first two windows of three whose medians are within 5 %: 2, 1.02, 1 and 1, 1, 1.
        assert done.iterations == 9
        assert done.seconds == pytest.approx(9 + 5 + 3 + 2 + 1.02 + 4)

    def test_it_lasts_for_its_least_time(self) -> None:
        rule = SamplingRule(warm_up_window=3, warm_up_min_seconds=2.0)
        assert sampling.warm_up(iterating(0.125), rule).iterations == 16

    def test_restless_durations_end_it_at_its_bounds(self) -> None:
        restless = itertools.count(1.0).__next__
        done = sampling.warm_up(restless, RULE)
        assert not done.is_stable
        assert 100 <= done.seconds < 100 + done.iterations + 2
        rule = SamplingRule(warm_up_max_iterations=7, warm_up_max_seconds=1e9)
        assert sampling.warm_up(itertools.count(1.0, 0.5).__next__, rule).iterations == 7

    @pytest.mark.parametrize(("durations", "is_stable"), [((70.0, 70.0, 70.0), True), ((70.0, 70.0, 40.0), False)])
    def test_slow_iterations_are_judged_by_what_there_is_of_them(
        self, durations: tuple[float, ...], is_stable: bool
    ) -> None:
        done = sampling.warm_up(iterating(*durations), RULE)
        assert (done.iterations, done.is_stable) == (2, is_stable)

    def test_one_iteration_that_takes_all_the_time_is_not_called_stable(self) -> None:
        done = sampling.warm_up(iterating(5.0, 200.0), RULE)
        assert (done.iterations, done.is_stable) == (1, False)

    def test_later_processes_need_less(self) -> None:
        rule = SamplingRule()
        assert rule.in_process(0) == rule
        later = rule.in_process(3)
        assert later.warm_up_min_seconds < rule.warm_up_min_seconds
        assert later.warm_up_max_seconds < rule.warm_up_max_seconds
        bounded = SamplingRule(warm_up_min_seconds=0.0, warm_up_max_seconds=1.0).in_process(1)
        assert (bounded.warm_up_min_seconds, bounded.warm_up_max_seconds) == (0.0, 1.0)

    @pytest.mark.parametrize(("stable", "is_stable"), [(1, False), (2, False), (3, True)])
    def test_those_of_several_processes_are_one(self, stable: int, is_stable: bool) -> None:
        every = [
            WarmUp(first_call_s=9.0 - number, iterations=3, seconds=0.5, is_stable=number < stable)
            for number in range(4)
        ]  # fmt: skip
        expected = WarmUp(first_call_s=9.0, iterations=12, seconds=2.0, is_stable=is_stable)
        assert sampling.whole_warm_up(every) == expected


class TestChunk:
    @given(seconds=SECONDS, budget=st.floats(0, 10))
    def test_there_is_at_least_one_iteration_and_no_more_than_fill_the_time(
        self, seconds: float, budget: float
    ) -> None:
        taken: list[float] = []

        def iterate() -> Iteration:
            taken.append(seconds)
            return Iteration(seconds)

        if budget / seconds > 1e4:
            return
        sampling.chunk(iterate, budget)
        assert len(taken) >= 1
        assert len(taken) == 1 or sum(taken[:-1]) < budget

    def test_the_first_of_many_does_not_count(self) -> None:
        durations = iter([9.0, 1.0, 1.0, 1.0])
        assert [one.seconds for one in sampling.chunk(lambda: Iteration(next(durations)), 12.0)] == [1.0, 1.0, 1.0]

    def test_of_few_each_counts(self) -> None:
        durations = iter([2.0, 1.0, 1.0])
        assert [one.seconds for one in sampling.chunk(lambda: Iteration(next(durations)), 4.0)] == [2.0, 1.0, 1.0]


class TestTurns:
    @pytest.mark.parametrize(("min_seconds", "turn_s"), [(3.0, 0.3), (60.0, 0.3), (0.6, 0.1), (0.0, 0.0)])
    def test_they_are_no_longer_than_is_asked_for(self, min_seconds: float, turn_s: float) -> None:
        assert SamplingRule(min_seconds=min_seconds).turn_s == pytest.approx(turn_s)

    @given(count=st.integers(0, 6), number=st.integers(0, 40))
    def test_everyone_has_one_turn(self, count: int, number: int) -> None:
        assert sorted(sampling.in_turn(range(count), number)) == list(range(count))

    @given(count=st.integers(2, 6))
    def test_everyone_begins_as_often_as_anyone_and_follows_others(self, count: int) -> None:
        orders = [sampling.in_turn(range(count), number) for number in range(2 * count)]
        assert {first: [order[0] for order in orders].count(first) for first in range(count)} == dict.fromkeys(
            range(count), 2
        )
        before = {order[order.index(0) - 1] for order in orders if order.index(0) > 0}
        assert len(before) >= min(2, count - 1)

    def test_a_round_goes_through_all_and_back(self) -> None:
        log: list[str] = []

        def contender(name: str) -> Contender:
            def run(seconds: float) -> Chunk:
                assert seconds == RULE.chunk_s
                log.append(name)
                return (Iteration(float(len(log))),)

            return run

        rounds = [sampling.take_turns([contender("a"), contender("b")], number, RULE) for number in range(2)]
        assert log == ["a", "b", "b", "a", "b", "a", "a", "b"]
        assert rounds[0] == {0: (Iteration(1.0), Iteration(4.0)), 1: (Iteration(2.0), Iteration(3.0))}

    @pytest.mark.parametrize("turn", [1, 2])
    def test_one_that_raises_is_left_out_and_the_others_go_on(self, turn: int) -> None:
        turns = itertools.count(1)

        def fails(_budget: float) -> Chunk:
            if next(turns) == turn:
                raise RuntimeError("out of memory")
            return (Iteration(1.0),)

        chunks = sampling.take_turns([fails, once(lambda: Iteration(1.0)), once(lambda: Iteration(2.0))], 0, RULE)
        assert chunks == {1: (Iteration(1.0),) * 2, 2: (Iteration(2.0),) * 2}

    def test_nothing_is_left_when_all_have_failed(self) -> None:
        def exits(_budget: float) -> Chunk:
            raise SystemExit(1)

        assert sampling.take_turns([exits, exits], 3, RULE) == {}
        assert sampling.take_turns([], 3, RULE) == {}

    def test_an_interrupt_is_nobodys_failure(self) -> None:
        def interrupted(_budget: float) -> Chunk:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            sampling.take_turns([interrupted, steady(1.0)], 0, RULE)


class TestEnough:
    @pytest.mark.parametrize(
        ("seconds", "rounds"),
        # Two turns of 0.1 s a round; of a turn of more than three iterations the first doesn't count.
        [(0.001, 6), (0.1, 10), (0.25, 6), (1.0, 6), (60.0, 6)],
    )
    def test_it_is_so_many_iterations_or_seconds_and_rounds(self, seconds: float, rounds: int) -> None:
        assert len(held([steady(seconds)], [""])[0]) == rounds

    def test_nothing_is_never_enough(self) -> None:
        assert not sampling.is_enough([[], []], ["", ""], SamplingRule(min_iterations=0, min_seconds=0.0))

    def test_processes_that_differ_make_for_more_of_them_until_the_ratio_is_known(self) -> None:
        """Iterations agree within a process and not from one to the next."""
        processes = iter([1.0, 2.0, 1.5, 3.0, 1.0, 2.5])
        rounds: list[list[Chunk]] = [[], []]
        while not sampling.is_enough(rounds, ["fp32", "fp32"], RULE):
            rounds[0].append((Iteration(1.0),) * 20)
            rounds[1].append((Iteration(next(processes, 1.0)),) * 20)
        assert 6 < len(rounds[0]) < RULE.max_rounds
        assert sampling.is_known(sampling.paired_ratio(rounds[1], rounds[0]), RULE)

    def test_a_ratio_that_stays_uncertain_ends_at_a_bound(self) -> None:
        def restless() -> Contender:
            durations = itertools.cycle([1.0, 1.0, 2.0, 2.0, 4.0, 4.0])
            return once(lambda: Iteration(next(durations)))

        assert len(held([steady(1.0), restless()], ["", ""])[0]) == RULE.max_rounds
        by_time = held([steady(1.0), restless()], ["", ""], SamplingRule(max_seconds=30.0))
        spent = [sum(one.seconds for chunk in own for one in chunk) for own in by_time]
        assert sampling.PATIENCE * 30.0 <= statistics.fmean(spent) < sampling.PATIENCE * 30.0 + 5

    @pytest.mark.parametrize(("apart", "rounds"), [(0.004, 6), (0.015, 11), (0.03, 31)])
    def test_a_badly_known_ratio_gets_more_time_than_one_that_is_nearly_known(self, apart: float, rounds: int) -> None:
        """The other contender takes `apart` less or more in every second process."""
        rule = SamplingRule(max_seconds=10.0)
        given: list[list[Chunk]] = [[], []]
        while not sampling.is_enough(given, ["", ""], rule):
            sign = 1 if len(given[0]) % 2 else -1
            given[0].append((Iteration(0.1),) * 10)
            given[1].append((Iteration(0.1 * (1 + sign * apart)),) * 10)
        assert len(given[0]) == pytest.approx(rounds, abs=1)

    def test_contenders_of_other_groups_are_not_compared(self) -> None:
        durations = itertools.cycle([1.0, 1.0, 2.0, 2.0, 4.0, 4.0])
        found = held([steady(1.0), once(lambda: Iteration(next(durations)))], ["fp32", "bf16"])
        assert len(found[0]) == RULE.min_rounds

    def test_disturbed_iterations_make_for_more_rounds(self) -> None:
        numbers = itertools.count()

        def disturbed_at_first() -> Iteration:
            return Iteration(1.0, 0.5 if next(numbers) < 20 else 0.0)

        assert len(held([once(disturbed_at_first)], [""])[0]) == 10 + sampling.FEW // 2
        assert len(held([steady(1.0, 0.5)], [""])[0]) == RULE.max_rounds


class TestFigures:
    @given(chunks=st.lists(st.lists(SECONDS, min_size=1, max_size=9), min_size=1, max_size=9))
    def test_they_are_numpys(self, chunks: list[list[float]]) -> None:
        found = sampling.figures(rounds_of(*chunks))
        values = 1e3 * np.concatenate(chunks)
        assert (found.p50_ms, found.p90_ms, found.p99_ms) == pytest.approx(tuple(np.percentile(values, [50, 90, 99])))
        assert found.iterations == len(values)
        assert (found.set_aside, found.processes) == (0, len(chunks))
        assert found.seconds == pytest.approx(values.sum() / 1e3)
        assert found.round_medians_ms == pytest.approx([1e3 * statistics.median(chunk) for chunk in chunks])
        expected = values.std(ddof=1) / values.mean() if len(values) > 1 else 0.0
        assert found.cv == pytest.approx(expected, abs=1e-9)

    def test_disturbed_iterations_are_set_aside(self) -> None:
        quiet, disturbed = Iteration(1.0, 0.01), Iteration(3.0, 1.5)
        found = sampling.figures([(quiet, disturbed), (disturbed,), (quiet,) * 5])
        assert (found.iterations, found.set_aside, found.p99_ms) == (6, 2, 1000.0)
        assert found.round_medians_ms == (1000.0, 1000.0)

    def test_where_hardly_any_is_undisturbed_all_count(self) -> None:
        quiet, disturbed = Iteration(1.0), Iteration(3.0, 1.5)
        found = sampling.figures([(quiet,) * 5, (disturbed,) * 6])
        assert (found.iterations, found.set_aside, found.p50_ms) == (11, 0, 3000.0)


class TestRatio:
    @given(pairs=st.lists(st.tuples(SECONDS, SECONDS), min_size=6, max_size=30))
    def test_the_median_lies_in_its_interval_and_within_least_and_most(self, pairs: list[tuple[float, float]]) -> None:
        own, reference = (rounds_of(*([pair[side]] for pair in pairs)) for side in (0, 1))
        found = sampling.paired_ratio(own, reference)
        assert found.low is not None and found.high is not None
        assert found.least <= found.low <= found.median <= found.high <= found.most
        backwards = sampling.paired_ratio(reference, own)
        assert (found.least, found.most) == pytest.approx((1 / backwards.most, 1 / backwards.least))

    @given(factor=st.floats(0.1, 10), noise=st.lists(SECONDS, min_size=6, max_size=30))
    def test_noise_that_meets_both_alike_leaves_it_alone(self, factor: float, noise: list[float]) -> None:
        reference = rounds_of(*([one] for one in noise))
        own = rounds_of(*([one / factor] for one in noise))
        found = sampling.paired_ratio(own, reference)
        assert (found.least, found.median, found.most) == pytest.approx((factor,) * 3)
        assert found.uncertainty == pytest.approx(0.0, abs=1e-9)

    def test_it_is_that_of_the_speeds(self) -> None:
        found = sampling.paired_ratio(rounds_of([1.0, 9.0, 1.0]), rounds_of([2.0]))
        assert (found.median, found.rounds) == (2.0, 1)
        assert found.low is None
        assert found.uncertainty == float("inf")

    def test_rounds_count_in_which_both_were_undisturbed(self) -> None:
        quiet, slow = (Iteration(1.0),), (Iteration(7.0, 6.0),)
        reference = [(Iteration(2.0),)] * 9
        found = sampling.paired_ratio([quiet] * 6 + [slow] * 3, reference)
        assert (found.least, found.most, found.rounds, found.is_disturbed) == (2.0, 2.0, 6, False)

    def test_too_few_of_them_are_no_ground_for_a_ratio(self) -> None:
        quiet, slow = (Iteration(1.0),), (Iteration(1.0, 0.9),)
        found = sampling.paired_ratio([quiet] * 5 + [slow] * 4, [(Iteration(2.0),)] * 9)
        assert (found.rounds, found.is_disturbed, found.uncertainty) == (9, True, 0.0)
        assert not sampling.is_known(found, RULE)

    def test_how_fast_a_process_is_does_not_matter(self) -> None:
        """Each process has a speed of its own, which both contenders share."""
        speeds = [1.0, 1.1, 0.9, 1.05, 0.95, 1.2]
        found = sampling.paired_ratio(rounds_of(*([one] for one in speeds)), rounds_of(*([3 * one] for one in speeds)))
        assert (found.median, found.low, found.high) == pytest.approx((3.0, 3.0, 3.0))

    def test_the_reference_is_the_first_of_its_group(self) -> None:
        assert sampling.references(["fp32", "fp32", "bf16", "bf16", "fp32"]) == [0, 0, 2, 2, 0]


@pytest.mark.parametrize(
    ("count", "ranks"),
    # Of tables of the sign test: the largest d with 2·P(B(n, 1/2) < d) <= 5 %.
    [(1, None), (5, None), (6, 1), (8, 1), (9, 2), (10, 2), (15, 4), (20, 6), (30, 10), (50, 18), (100, 40)],
)
def test_the_interval_of_a_median_is_that_of_the_sign_test(count: int, ranks: int | None) -> None:
    found = sampling.median_interval([float(number) for number in range(1, count + 1)])
    assert found == (None if ranks is None else (ranks, count + 1 - ranks))


@given(values=st.lists(st.floats(0, 1e6), min_size=1, max_size=50), share=st.floats(0, 1))
def test_percentiles_are_numpys(values: list[float], share: float) -> None:
    ordered = sorted(values)
    expected = float(np.percentile(ordered, 100 * share))
    assert sampling.percentile(ordered, share) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(limit=st.integers(0, 3000), start=st.integers(1, 64), bound=st.integers(64, 2000))
def test_the_largest_that_fits_is_found_in_few_tries(limit: int, start: int, bound: int) -> None:
    tried: list[int] = []

    def fits(number: int) -> bool:
        tried.append(number)
        return number <= limit

    assert sampling.largest_that_fits(fits, start, bound) == min(limit, bound)
    assert all(1 <= number <= bound for number in tried)
    assert len(tried) == len(set(tried)) <= 24


def test_what_waits_is_disturbed() -> None:
    assert not Iteration(1.0).is_disturbed
    assert not Iteration(1.0, 0.02).is_disturbed
    assert Iteration(1.0, 0.021).is_disturbed


def test_a_generator_of_durations_ends_no_test_in_silence() -> None:
    durations: Iterator[float] = iter([])
    with pytest.raises(StopIteration):
        sampling.warm_up(lambda: next(durations), RULE)
