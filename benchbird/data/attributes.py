"""Which samples have the attributes that a benchmark asks for (`data.where`).

Owns the comparison, which is of texts, and what is said where it leaves nothing. It reads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchbird.contract import AnySample, GeneratedSample, Splits
from benchbird.data.faults import printable
from benchbird.errors import DataError

_MOST_NAMED = 20
"""Values of a column that an error lists."""


def keep_where(splits: Splits, where: Mapping[str, Sequence[str]]) -> dict[str, tuple[AnySample, ...]]:
    """The samples of each split, in their order, whose attributes have one of the texts asked for.

    Args:
        splits: all samples.
        where: attribute (a column of the manifest) → the texts that are let through; empty for all samples.

    Raises:
        DataError: no sample has such an attribute, none is left, or samples are made, so that their
            attributes aren't known yet.
    """
    everything = [sample for samples in splits.values() for sample in samples]
    for column in where:
        _check_column(everything, column)
    kept = {
        split: tuple(
            sample
            for sample in samples
            if all(sample.attributes.get(column) in texts for column, texts in where.items())
        )
        for split, samples in splits.items()
    }
    if where and not any(kept.values()):
        raise DataError(f"data.where: no sample has {_condition(where)}; {_occurring(everything, where)}")
    return kept


def require_every_split(kept: Splits, found: Splits, where: Mapping[str, Sequence[str]]) -> None:
    """Refuse a choice that empties one split of several.

    Raises:
        DataError: a split has samples, but none with the attributes asked for.
    """
    for split, samples in kept.items():
        if not samples and found[split]:
            raise DataError(
                f"data.where: no sample of the split {split} has {_condition(where)}; there "
                f"{_occurring(found[split], where)}. data.folds deals all samples to splits anew"
            )


def _check_column(samples: Sequence[AnySample], column: str) -> None:
    without = [sample for sample in samples if column not in sample.attributes]
    if made := next((sample for sample in without if isinstance(sample, GeneratedSample)), None):
        raise DataError(
            f"data.where.{printable(column)}: the sample {printable(made.sample_id)} is made, and what it is like is "
            "known only then; expected samples from files (`benchbird data synth DIR` writes them, for data.root)"
        )
    if len(without) == len(samples):
        columns = sorted({name for sample in samples for name in sample.attributes})
        expected = f"expected one of {_listed(columns)}" if columns else "there is no manifest.csv with such columns"
        raise DataError(f"data.where.{printable(column)}: no sample has this column, {expected}")


def _condition(where: Mapping[str, Sequence[str]]) -> str:
    return " and ".join(f"{printable(column)} = {_listed(texts, ' or ')}" for column, texts in where.items())


def _occurring(samples: Sequence[AnySample], where: Mapping[str, Sequence[str]]) -> str:
    parts = []
    for column in where:
        values = sorted({sample.attributes[column] for sample in samples if column in sample.attributes})
        parts.append(f"{printable(column)} is {_listed(values)}" if values else f"{printable(column)} is nowhere")
    return "; ".join(parts)


def _listed(texts: Iterable[str], between: str = ", ") -> str:
    shown = [printable(text) or "(empty)" for text in texts]
    more = [f"and {len(shown) - _MOST_NAMED} more"] if len(shown) > _MOST_NAMED else []
    return between.join(shown[:_MOST_NAMED] + more)
