"""The data of a study: samples found, chosen, dealt to splits, refused where they leak, and identified.

Owns the way from a benchmark's `data` section to the samples of each split, and further sets to test on. No picture is
decoded here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchbird.config.benchmark import BenchmarkConfig
from benchbird.config.schema import SLUG_LENGTH, DataConfig
from benchbird.contract import AnySample, DatasetSpec
from benchbird.data.attributes import keep_where, require_every_split
from benchbird.data.birdsound import find_test
from benchbird.data.contents import SampleIdentity, identify_splits
from benchbird.data.folds import Pool, pool_digest, pool_splits
from benchbird.data.identity import data_digest
from benchbird.data.recordings import split_of
from benchbird.data.rendered import rendered_splits
from benchbird.data.soundness import keep_sound
from benchbird.data.subset import check_further_leaks, check_leaks, draw_subset
from benchbird.errors import BenchbirdError, DataError, PluginError
from benchbird.records import SPLITS, Fold

_SHOWN_FAULTS = 10


@dataclass(frozen=True, kw_only=True)
class StudyData:
    """The samples of a study.

    Attributes:
        dataset: name of the data set.
        splits: split name → samples, sorted by id.
        identities: split name → what identifies each sample.
        digest: the data digest.
        leaks: recordings in more than one split, let through by `data.allow_leaks`.
        notices: what the user should know, such as a subset that is smaller than asked for.
        fold: which part of a cross-validation these splits are, or None.
    """

    dataset: str
    splits: Mapping[str, tuple[AnySample, ...]]
    identities: Mapping[str, tuple[SampleIdentity, ...]]
    digest: str
    leaks: int
    notices: tuple[str, ...]
    fold: Fold | None = None

    def n_recordings(self, split: str) -> int:
        """Distinct recordings in a split."""
        return len({sample.recording_id for sample in self.splits[split]})


def find_data(config: BenchmarkConfig, dataset: DatasetSpec, cache: Path) -> StudyData:
    """Find the benchmark's samples, draw its subset, refuse leaks, and identify the contents.

    Where the benchmark is cross-validated (`data.folds`), `data.fold` says whose splits are wanted; the folds
    there are is what `fold_numbers` tells.

    Raises:
        DataError: samples are missing, recordings straddle splits and that isn't allowed, or a fold is asked
            for that isn't there.
    """
    data = config.data
    samples = _find_samples(dataset, data, cache)
    if data.folds is not None:
        found = _find_fold(config, dataset, pool_splits(samples.kept, data.folds, data.subset_seed), cache)
        return replace(found, notices=samples.notices)
    require_every_split(samples.kept, samples.everything, data.where)
    leaks = check_leaks(samples.kept, allow=data.allow_leaks)
    sizes = {} if data.sizes is None else data.sizes.model_dump()
    splits, shortages = draw_subset(samples.kept, sizes, data.subset_seed)
    notices = [*samples.notices, *map(str, shortages)]
    if leaks:
        notices.append(f"{leaks} recordings are in more than one split (data.allow_leaks): scores will flatter")
    splits = _rendered(splits, config, cache)
    identities = identify_splits(splits, cache)
    return StudyData(
        dataset=dataset.name,
        splits=splits,
        identities=identities,
        digest=data_digest(dataset.name, identities, leaks_allowed=leaks, skip_bad=data.skip_bad),
        leaks=leaks,
        notices=tuple(notices),
    )


def _rendered(
    splits: Mapping[str, tuple[AnySample, ...]], config: BenchmarkConfig, cache: Path
) -> dict[str, tuple[AnySample, ...]]:
    """The samples with the protocol's pictures."""
    return rendered_splits(splits, config.protocol.rendering, config.protocol.spectrum, cache)


def fold_numbers(config: BenchmarkConfig, dataset: DatasetSpec, cache: Path) -> tuple[int, ...]:
    """The folds of a benchmark's cross-validation, from 1 on: 1, 2, … K, or the one that `data.fold` names.

    Args:
        config: with or without `data.folds`; without, there are none.
        dataset: the benchmark's.
        cache: the cache folder.

    Raises:
        DataError: samples are missing, there are too few recordings, or the fold that is named isn't there.
    """
    data = config.data
    if data.folds is None:
        return ()
    pool = pool_splits(_find_samples(dataset, data, cache).kept, data.folds, data.subset_seed)
    return tuple(range(1, len(pool) + 1)) if data.fold is None else (_checked_fold(data.fold, pool),)


def with_fold(config: BenchmarkConfig, number: int) -> BenchmarkConfig:
    """The same benchmark with one fold of its cross-validation chosen, as `find_data` wants it."""
    return replace(config, data=config.data.model_copy(update={"fold": number}))


def _find_fold(config: BenchmarkConfig, dataset: DatasetSpec, pool: Pool, cache: Path) -> StudyData:
    """The study data of the fold that the configuration names."""
    if config.data.fold is None:
        raise DataError(f"data.folds makes {len(pool)} folds, and none is chosen; expected data.fold from 1 on")
    number = _checked_fold(config.data.fold, pool)
    splits = _rendered(pool.splits(number), config, cache)
    identities = identify_splits(splits, cache)
    everyone = [one for samples in identities.values() for one in samples]
    digest = pool_digest(dataset.name, everyone, len(pool), config.data.subset_seed)
    fold = Fold(number=number, of=len(pool), pool_digest=digest)
    return StudyData(
        dataset=dataset.name,
        splits=splits,
        identities=identities,
        digest=data_digest(dataset.name, identities, fold=fold, skip_bad=config.data.skip_bad),
        leaks=0,
        notices=(),
        fold=fold,
    )


def _checked_fold(number: int, pool: Pool) -> int:
    if number > len(pool):
        raise DataError(f"data.fold is {number}, and there are {len(pool)} folds; expected 1 to {len(pool)}")
    return number


@dataclass(frozen=True, kw_only=True)
class AlsoTest:
    """A further set of samples that trained models are scored on; part of no study's identity.

    Attributes:
        name: the folder's, as a slug, unique among the benchmark's.
        root: the folder.
        samples: its test split, or all of it where it is one split's folder; sorted by id.
        digest: the data digest of these samples alone.
        leaks: its recordings that are in the study's train or val, let through by `data.allow_leaks`.
    """

    name: str
    root: Path
    samples: tuple[AnySample, ...]
    digest: str
    leaks: int = 0


def find_also_test(config: BenchmarkConfig, cache: Path, study: StudyData) -> tuple[AlsoTest, ...]:
    """The samples of `data.also_test`, laid out as the data set `birdsound` is, in the order of the file.

    `data.where`, `data.sizes` and `data.folds` say nothing of them; `data.recording_pattern` does.

    Args:
        config: the benchmark.
        cache: the cache folder.
        study: the data that the models were trained on; of a cross-validation, those of one fold.

    Raises:
        DataError: everything that is wrong by name in one of the folders, nothing in it, or recordings in it that
            the study trains or selects on and that `data.allow_leaks` doesn't let through.
    """
    found: list[AlsoTest] = []
    for root in config.data.also_test:
        laid_out = find_test(root, config.data.recording_pattern, allow_links=config.data.allow_links)
        samples = _rendered({"test": laid_out}, config, cache)["test"]
        identities = identify_splits({"test": samples}, cache)
        name = _new_slug(root, [one.name for one in found])
        allow = config.data.allow_leaks
        found.append(
            AlsoTest(
                name=name,
                root=root,
                samples=samples,
                digest=data_digest("birdsound", identities),
                leaks=check_further_leaks(name, identities["test"], study.identities, allow=allow),
            )
        )
    return tuple(found)


def _new_slug(root: Path, taken: Sequence[str]) -> str:
    """A folder's name as a slug; `test` and the like say too little and get the parent's name before them."""
    name = root.name if split_of(root.name) is None else f"{root.parent.name}-{root.name}"
    slug = re.sub(r"[^a-z0-9_-]+", "-", name.casefold()).strip("-_")[:SLUG_LENGTH]
    slug = slug if slug[:1].isalpha() else f"set-{slug}".strip("-")[:SLUG_LENGTH]
    candidates = (slug, *(f"{slug[: SLUG_LENGTH - 4]}-{number}" for number in range(2, len(taken) + 3)))
    return next(one for one in candidates if one not in taken)


@dataclass(frozen=True, kw_only=True)
class _Samples:
    """What a data set has, and what of it the benchmark wants and can use."""

    everything: Mapping[str, Sequence[AnySample]]
    kept: Mapping[str, Sequence[AnySample]]
    notices: tuple[str, ...]


def _find_samples(dataset: DatasetSpec, data: DataConfig, cache: Path) -> _Samples:
    everything = _find(dataset, data)
    kept = keep_where(everything, data.where)
    if not data.skip_bad:
        return _Samples(everything=everything, kept=kept, notices=())
    sound, faults = keep_sound(kept, cache)
    left_out = sum(map(len, kept.values())) - sum(map(len, sound.values()))
    samples = "1 sample is" if left_out == 1 else f"{left_out} samples are"
    notices = [f"{samples} left out (data.skip_bad)"] if left_out else []
    notices += [f"  {fault}" for fault in faults[:_SHOWN_FAULTS]]
    if len(faults) > _SHOWN_FAULTS:
        notices.append(f"  and {len(faults) - _SHOWN_FAULTS} more; `benchbird data check` lists them all")
    return _Samples(everything=everything, kept=sound, notices=tuple(notices))


def _find(dataset: DatasetSpec, data: DataConfig) -> dict[str, Sequence[AnySample]]:
    """What the data set finds, checked: a plugin's author may have got it wrong."""
    options = {
        "recording_pattern": data.recording_pattern,
        "allow_links": data.allow_links,
        "skip_bad": data.skip_bad,
        "sizes": None if data.sizes is None else data.sizes.model_dump(),
        "synthetic": dict(data.synthetic),
        **data.options,
    }
    try:
        found = dict(dataset.find(data.root, options))
    except BenchbirdError:
        raise
    except Exception as error:
        raise PluginError(f"data set {dataset.name}: find failed: {type(error).__name__}: {error}") from error
    if set(found) != set(SPLITS):
        raise PluginError(
            f"data set {dataset.name}: find returned the splits {', '.join(sorted(map(str, found)))}; "
            f"expected {', '.join(SPLITS)}"
        )
    for name, samples in found.items():
        ids = [sample.sample_id for sample in samples]
        if repeated := sorted({one for one in ids if ids.count(one) > 1}) if len(set(ids)) < len(ids) else []:
            raise PluginError(f"data set {dataset.name}: sample ids occur twice in {name}: {repeated[:5]}")
    return {name: found[name] for name in SPLITS}
