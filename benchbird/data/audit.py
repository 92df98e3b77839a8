"""What is wrong with a data set, all of it in one pass, and what it consists of.

Owns the check that people run before a benchmark. It mends nothing and prints nothing.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbird.contract import Sample
from benchbird.data.contents import UNREADABLE, hash_files
from benchbird.data.faults import DataFault
from benchbird.data.images import Unreadable, check_header, kind_fits_name
from benchbird.data.layouts import SplitFiles, find_layout, find_single_split, holds_one_split
from benchbird.data.pairs import Pair, load_pair
from benchbird.data.subset import leaks
from benchbird.data.workers import map_ordered


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """What a split consists of.

    Attributes:
        name: `train`, `val`, `test`, or the folder's name.
        n_images: image files by name.
        n_masks: mask files by name.
        n_usable: pairs that load.
        n_recordings: recordings of those pairs.
        n_empty_masks: of those pairs, masks without bird.
        bird_share: smallest, median and largest share of bird pixels in those masks; None without any.
        widths: smallest and largest width of those pairs in pixels; None without any.
        heights: the same for the height.
    """

    name: str
    n_images: int
    n_masks: int
    n_usable: int
    n_recordings: int
    n_empty_masks: int
    bird_share: tuple[float, float, float] | None
    widths: tuple[int, int] | None
    heights: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Everything that a check of a data set found.

    Attributes:
        root: the folder that was checked; paths in faults, warnings and duplicates are relative to it.
        recording_rule: where recording ids came from.
        splits: what each split consists of.
        faults: what can't be used, in order of path.
        warnings: what loads and deserves a look, in order of path.
        leaks: recording → the splits it is in, more than one.
        duplicates: groups of image files with the same bytes.
    """

    root: Path
    recording_rule: str
    splits: tuple[SplitSummary, ...]
    faults: tuple[DataFault, ...]
    warnings: tuple[DataFault, ...]
    leaks: dict[str, tuple[str, ...]]
    duplicates: tuple[tuple[str, ...], ...]

    @property
    def is_good(self) -> bool:
        """Whether a run would take the data as they are."""
        return not self.faults and not self.leaks


@dataclass(frozen=True)
class _Inspection:
    """What a worker says of one sample; `size` is (height, width), None where it doesn't load."""

    faults: tuple[DataFault, ...]
    warnings: tuple[DataFault, ...] = ()
    size: tuple[int, int] | None = None
    bird_share: float = 0.0


def audit(
    root: Path,
    recording_pattern: str | None = None,
    *,
    allow_links: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> Audit:
    """Check a data root, or one split's folder with `Images` and `Masks` in it.

    Args:
        root: the folder.
        recording_pattern: regular expression with a group `recording`, or None.
        allow_links: follow links that leave the folder.
        workers: processes; None for one a core.
        progress: show a bar on stderr where that is a terminal.

    Raises:
        DataError: the folder, the manifest or the pattern can't be used at all.
    """
    find = find_single_split if holds_one_split(root) else find_layout
    layout = find(root, recording_pattern, allow_links=allow_links)
    samples = [sample for split in layout.splits for sample in split.samples]
    inspections = list(map_ordered(_inspect, samples, description="check", workers=workers, progress=progress))
    by_sample = dict(zip(map(id, samples), inspections, strict=True))
    usable = [sample for sample in samples if by_sample[id(sample)].size is not None]
    faults = [*layout.faults, *(fault for one in inspections for fault in one.faults)]
    return Audit(
        root=root,
        recording_rule=layout.rule.description,
        splits=tuple(
            _summary(split, [(sample, by_sample[id(sample)]) for sample in split.samples]) for split in layout.splits
        ),
        faults=_relative(faults, root),
        warnings=_relative((warning for one in inspections for warning in one.warnings), root),
        leaks=leaks({split.name: split.samples for split in layout.splits}),
        duplicates=_duplicates(usable, root, progress=progress),
    )


def _inspect(sample: Sample) -> _Inspection:
    pair = load_pair(sample)
    if not isinstance(pair, Pair):
        return _Inspection(pair)
    warnings = []
    for path in (sample.image, sample.mask):
        try:
            header = check_header(path)
        except Unreadable as error:
            return _Inspection((DataFault(str(path), error.reason),))
        if not kind_fits_name(path, header):
            warnings.append(DataFault(str(path), f"a {header.kind} named {path.suffix}; read by its content"))
        if path == sample.mask and header.kind == "JPEG":
            warnings.append(DataFault(str(path), "a JPEG mask, which is not exact; cut at half"))
    low, high = int(pair.image.min()), int(pair.image.max())
    if low == high:
        warnings.append(DataFault(str(sample.image), f"flat: every pixel is {low}"))
    bird_share = float(pair.mask.mean())
    if bird_share == 1:
        warnings.append(DataFault(str(sample.mask), "every pixel is bird"))
    return _Inspection((), tuple(warnings), (pair.mask.shape[0], pair.mask.shape[1]), bird_share)


def _summary(split: SplitFiles, inspected: Sequence[tuple[Sample, _Inspection]]) -> SplitSummary:
    usable = [(sample, one, one.size) for sample, one in inspected if one.size is not None]
    shares = [one.bird_share for _, one, _ in usable]
    heights, widths = [size[0] for *_, size in usable], [size[1] for *_, size in usable]
    return SplitSummary(
        name=split.name,
        n_images=split.n_images,
        n_masks=split.n_masks,
        n_usable=len(usable),
        n_recordings=len({sample.recording_id for sample, *_ in usable}),
        n_empty_masks=sum(share == 0 for share in shares),
        bird_share=(min(shares), statistics.median(shares), max(shares)) if shares else None,
        widths=(min(widths), max(widths)) if widths else None,
        heights=(min(heights), max(heights)) if heights else None,
    )


def _duplicates(samples: Iterable[Sample], root: Path, *, progress: bool) -> tuple[tuple[str, ...], ...]:
    groups: dict[str, list[str]] = defaultdict(list)
    for path, sha256 in hash_files((sample.image for sample in samples), None, progress=progress).items():
        groups[sha256].append(_below(str(path), root))
    return tuple(sorted(tuple(sorted(g)) for sha256, g in groups.items() if len(g) > 1 and sha256 != UNREADABLE))


def _relative(faults: Iterable[DataFault], root: Path) -> tuple[DataFault, ...]:
    return tuple(sorted({DataFault(_below(fault.path, root), fault.reason) for fault in faults}))


def _below(path: str, root: Path) -> str:
    return str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else path
