"""Two tracks of one benchmark side by side: who gained by a learning rate of its own, and whether the order holds.

Owns what is compared and what is said of it. Ranking each track is `ranking.py`'s, the choice of rates `tuning.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbird.standings import Comparison, Estimate, Leaderboard, Row
from benchbird.tuning import RateChoice, Version


@dataclass(frozen=True, kw_only=True)
class TrackRow:
    """One network in both tracks.

    Attributes:
        label: of the network.
        rate: its learning rate in the tuned track; None where no rate has a score.
        is_at_edge: whether that is the smallest or the largest that was tried, so that a better one may lie beyond.
        validation: rate → score on validation, ascending.
        fixed: its score on test in the fixed track; None where it, in the same version, has no row there.
        tuned: the same in the tuned track.
        has_same_seeds: whether both scores are of the same seeds.
        fixed_place: its place among the networks that have the same version and seeds in both tracks, from 1; None for
            any other, and where nothing is ranked.
        tuned_place: the same in the tuned track.
    """

    label: str
    rate: float | None
    is_at_edge: bool
    validation: Mapping[float, float | None]
    fixed: Estimate | None
    tuned: Estimate | None
    has_same_seeds: bool
    fixed_place: int | None
    tuned_place: int | None

    @property
    def change(self) -> float | None:
        """Tuned minus fixed, of the means over the same seeds."""
        before, after = (None if one is None else one.mean for one in (self.fixed, self.tuned))
        return None if before is None or after is None or not self.has_same_seeds else after - before


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """Both tracks of a benchmark.

    Attributes:
        fixed_rate: the learning rate of all networks in the fixed track.
        seed: with which rates were tried.
        rows: the networks, in the order of the tuned track; those without a row there last.
        unranked: why nothing is ranked in one of the tracks; empty where both are.
        kendall_tau: agreement of the two orders, from −1 to 1; None for fewer than two networks with places, or for
            equal ones.
        is_tested: whether any pair of networks has been compared in both tracks, with seeds and recordings.
        reversed_pairs: better in the fixed track, better in the tuned one; of pairs separable in both.
        newly_separable: pairs separable in the tuned track alone, better one first.
        no_longer_separable: pairs separable in the fixed track alone, better one first.
    """

    fixed_rate: float
    seed: int
    rows: tuple[TrackRow, ...]
    unranked: str
    kendall_tau: float | None
    is_tested: bool
    reversed_pairs: tuple[tuple[str, str], ...]
    newly_separable: tuple[tuple[str, str], ...]
    no_longer_separable: tuple[tuple[str, str], ...]

    @property
    def order_holds(self) -> bool | None:
        """Whether the networks stand in one order in both tracks; None for fewer than two with places."""
        both = [row for row in self.rows if row.fixed_place is not None]
        return all(row.fixed_place == row.tuned_place for row in both) if len(both) > 1 else None


def compare_tracks(
    fixed: Leaderboard, tuned: Leaderboard, choices: Mapping[Version, RateChoice], *, seed: int, fixed_rate: float
) -> Tracks:
    """Lay two tracks beside one another; floors, which have no learning rate, are left out.

    Args:
        fixed: leaderboard of the fixed track.
        tuned: leaderboard of the tuned track, ranked by the same score.
        choices: label and version of each network → the choice of its rate.
        seed: with which the rates were tried.
        fixed_rate: learning rate of the fixed track.
    """
    after = {row.label: row for row in tuned.rows if (row.label, row.trial_hash) in choices}
    shown = {label: choices[label, row.trial_hash] for label, row in after.items()}
    shown |= {label: choice for (label, _), choice in choices.items() if label not in after}
    before = {row.label: row for row in fixed.rows if row.label in shown and row.trial_hash == shown[row.label].version}
    alike = [label for label, row in after.items() if label in before and before[label].seeds == row.seeds]
    unranked = fixed.unranked or tuned.unranked
    placed = [] if unranked else alike
    fixed_places, tuned_places = _places(before, placed), _places(after, placed)
    first, second = _decided(fixed.comparisons, placed), _decided(tuned.comparisons, placed)
    common = first.keys() & second.keys()
    decided = sorted((pair, first[pair], second[pair]) for pair in common)
    return Tracks(
        fixed_rate=fixed_rate,
        seed=seed,
        rows=tuple(
            TrackRow(
                label=label,
                rate=choice.rate,
                is_at_edge=choice.rate in (min(choice.validation), max(choice.validation)),
                validation=choice.validation,
                fixed=before[label].score if label in before else None,
                tuned=after[label].score if label in after else None,
                has_same_seeds=label in alike,
                fixed_place=fixed_places.get(label),
                tuned_place=tuned_places.get(label),
            )
            for label, choice in shown.items()
        ),
        unranked=unranked,
        kendall_tau=_kendall_tau([fixed_places[label] for label in placed], [tuned_places[label] for label in placed]),
        is_tested=bool(common),
        reversed_pairs=tuple((one, two) for _, one, two in decided if one and two and one != two),
        newly_separable=tuple((two, _other(pair, two)) for pair, one, two in decided if two and not one),
        no_longer_separable=tuple((one, _other(pair, one)) for pair, one, two in decided if one and not two),
    )


def _places(rows: Mapping[str, Row], labels: Sequence[str]) -> dict[str, int]:
    """The places of these labels among themselves; equal ones share theirs."""
    ordered = sorted(rows[label].rank for label in labels)
    return {label: ordered.index(rows[label].rank) + 1 for label in labels}


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
