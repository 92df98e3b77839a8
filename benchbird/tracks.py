"""Two tracks of one benchmark side by side: who gained by a learning rate of its own, and whether the order holds.

Owns what is compared and what is said of it. Ranking each track is `ranking.py`'s, the choice of rates `tuning.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbird.standings import Comparison, Estimate, Leaderboard


@dataclass(frozen=True, kw_only=True)
class TrackRow:
    """One network in both tracks.

    Attributes:
        label: of the network.
        rate: its learning rate in the tuned track; None where no rate has a score.
        is_at_edge: whether that is the smallest or the largest that was tried, so that a better one may lie beyond.
        validation: rate → score on validation, ascending.
        fixed: its score on test in the fixed track; None where it has no row there.
        tuned: the same in the tuned track.
        fixed_place: its place among the networks that have a row in both tracks, from 1; None for any other.
        tuned_place: the same in the tuned track.
    """

    label: str
    rate: float | None
    is_at_edge: bool
    validation: Mapping[float, float | None]
    fixed: Estimate | None
    tuned: Estimate | None
    fixed_place: int | None
    tuned_place: int | None

    @property
    def gain(self) -> float | None:
        """Tuned minus fixed, of the means."""
        before, after = (None if one is None else one.mean for one in (self.fixed, self.tuned))
        return None if before is None or after is None else after - before


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """Both tracks of a benchmark.

    Attributes:
        fixed_rate: the learning rate of all networks in the fixed track.
        seed: with which rates were tried.
        rows: the networks, in the order of the tuned track; those without a row there last.
        kendall_tau: agreement of the two orders, from −1 to 1; None for fewer than two networks in both, or equal ones.
        is_tested: whether any pair of networks has been compared in both tracks, with seeds and recordings.
        reversed_pairs: better in the fixed track, better in the tuned one; of pairs separable in both.
        newly_separable: pairs separable in the tuned track alone, better one first.
        no_longer_separable: pairs separable in the fixed track alone, better one first.
    """

    fixed_rate: float
    seed: int
    rows: tuple[TrackRow, ...]
    kendall_tau: float | None
    is_tested: bool
    reversed_pairs: tuple[tuple[str, str], ...]
    newly_separable: tuple[tuple[str, str], ...]
    no_longer_separable: tuple[tuple[str, str], ...]

    @property
    def order_holds(self) -> bool | None:
        """Whether the networks stand in one order in both tracks; None for fewer than two of them."""
        both = [row for row in self.rows if row.fixed_place is not None]
        return all(row.fixed_place == row.tuned_place for row in both) if len(both) > 1 else None


def compare_tracks(
    fixed: Leaderboard,
    tuned: Leaderboard,
    validation: Mapping[str, Mapping[float, float | None]],
    rates: Mapping[str, float | None],
    *,
    seed: int,
) -> Tracks:
    """Lay two tracks beside one another; floors, which have no learning rate, are left out.

    Args:
        fixed: leaderboard of the fixed track.
        tuned: leaderboard of the tuned track, ranked by the same score.
        validation: label of each network → rate → score on validation.
        rates: label of each network → the chosen rate.
        seed: with which the rates were tried.
    """
    before = {row.label: row.score for row in fixed.rows}
    after = {row.label: row.score for row in tuned.rows}
    both = [label for label in after if label in before and label in validation]
    fixed_places, tuned_places = _places(fixed, both), _places(tuned, both)
    order = [label for label in after if label in validation]
    order += [label for label in validation if label not in after]
    first, second = _decided(fixed.comparisons, both), _decided(tuned.comparisons, both)
    common = first.keys() & second.keys()
    decided = sorted((pair, first[pair], second[pair]) for pair in common)
    return Tracks(
        fixed_rate=float(fixed.protocol["optimizer"]["lr"]),
        seed=seed,
        rows=tuple(
            TrackRow(
                label=label,
                rate=rates[label],
                is_at_edge=rates[label] in (min(validation[label]), max(validation[label])),
                validation=validation[label],
                fixed=before.get(label),
                tuned=after.get(label),
                fixed_place=fixed_places.get(label),
                tuned_place=tuned_places.get(label),
            )
            for label in order
        ),
        kendall_tau=_kendall_tau([fixed_places[label] for label in both], [tuned_places[label] for label in both]),
        is_tested=bool(common),
        reversed_pairs=tuple((one, two) for _, one, two in decided if one and two and one != two),
        newly_separable=tuple((two, _other(pair, two)) for pair, one, two in decided if two and not one),
        no_longer_separable=tuple((one, _other(pair, one)) for pair, one, two in decided if one and not two),
    )


def _places(leaderboard: Leaderboard, labels: Sequence[str]) -> dict[str, int]:
    """The places of these labels among themselves; equal ones share theirs."""
    ranks = {row.label: row.rank for row in leaderboard.rows if row.label in labels}
    ordered = sorted(ranks.values())
    return {label: ordered.index(rank) + 1 for label, rank in ranks.items()}


def _decided(comparisons: Sequence[Comparison], labels: Sequence[str]) -> dict[tuple[str, str], str]:
    """Pair, in alphabetical order → the better one, empty where they aren't separable; tested pairs alone."""
    decided = {}
    for one in comparisons:
        if one.first in labels and one.second in labels and one.covers == "seeds and recordings":
            first, second = sorted((one.first, one.second))
            decided[first, second] = one.first if one.is_separable else ""
    return decided


def _other(pair: tuple[str, str], label: str) -> str:
    return pair[1] if pair[0] == label else pair[0]


def _kendall_tau(first: Sequence[int], second: Sequence[int]) -> float | None:
    if len(first) < 2:
        return None
    from scipy.stats import kendalltau

    tau = float(kendalltau(first, second).statistic)
    return None if tau != tau else tau  # NaN where all of one side share a place
