"""Find the image and mask files of a data set by name: split folders, `Images` and `Masks`, pairs by stem.

Owns which files belong to a data set. It reads folders, links and the manifest, never a picture.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchbird.contract import Sample
from benchbird.data.faults import DataFault, os_reason, printable
from benchbird.data.recordings import RecordingRule, recording_rule, split_of
from benchbird.errors import DataError
from benchbird.records import SPLITS

EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
UNSUPPORTED_EXTENSIONS = (".bmp", ".gif", ".webp", ".npy", ".jp2", ".heic", ".ppm", ".pgm", ".tga", ".avif")
"""Pictures that would go missing in silence if they were passed over like notes and side files."""

_SIDE_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini")
_NO_SPLITS = "has no folders Train, Valid and Test; expected them here, each with Images and Masks in it"
_SPLIT_NAMES = {"train": "Train or Training", "val": "Valid, Val or Validation", "test": "Test"}


@dataclass(frozen=True)
class SplitFiles:
    """What was found of one split.

    Attributes:
        name: `train`, `val` or `test`, or the folder's own name when a single folder was given.
        samples: whole pairs, in the order of their ids.
        n_images: pictures by name in `Images`, whole or not.
        n_masks: pictures by name in `Masks`, whole or not.
        bad_files: those that can't be used, each with its reason; their samples are left out.
    """

    name: str
    samples: tuple[Sample, ...]
    n_images: int
    n_masks: int
    bad_files: tuple[DataFault, ...] = ()


@dataclass(frozen=True)
class Layout:
    """What was found of a data set, with everything that is wrong by name.

    Attributes:
        root: the folder that was given.
        splits: in the order train, val, test.
        structure: what is wrong with its folders, so that it can't be used at all.
        rule: where recording ids come from.
    """

    root: Path
    splits: tuple[SplitFiles, ...]
    structure: tuple[DataFault, ...]
    rule: RecordingRule

    @property
    def faults(self) -> tuple[DataFault, ...]:
        """Files and folders that can't be used."""
        return (*self.structure, *(fault for split in self.splits for fault in split.bad_files))


@dataclass
class _Folder:
    """The pictures of one folder by stem; `broken` holds stems whose file is there and can't be used."""

    files: dict[str, Path] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    faults: list[DataFault] = field(default_factory=list)

    def refuse(self, stem: str, path: str, reason: str) -> None:
        self.files.pop(stem, None)
        self.broken.add(stem)
        self.faults.append(DataFault(path, reason))

    def __len__(self) -> int:
        return len(self.files) + len(self.broken)


def find_layout(root: Path, recording_pattern: str | None = None, *, allow_links: bool = False) -> Layout:
    """Find the pairs of a data root with `Train`, `Valid` and `Test`, in any of the known spellings.

    Args:
        root: the folder.
        recording_pattern: regular expression with a group `recording`, or None.
        allow_links: follow links that leave the folder.

    Raises:
        DataError: the root isn't a folder that can be read, or manifest or pattern can't be used.
    """
    entries = _entries(root)
    rule = recording_rule(root, recording_pattern, allow_links=allow_links)
    border = None if allow_links else root
    faults: list[DataFault] = []
    splits = []
    if not any(split_of(entry.name) for entry in entries):
        return Layout(root, (), (DataFault(str(root), _NO_SPLITS),), rule)
    for split in SPLITS:
        folder = _one_of(border, root, [e for e in entries if split_of(e.name) == split], faults)
        if folder is not None:
            splits.append(_find_split(border, folder, split, rule, faults))
        elif not any(split_of(entry.name) == split for entry in entries):
            faults.append(DataFault(str(root), f"has no folder {_SPLIT_NAMES[split]} for the split {split}"))
    return Layout(root, tuple(splits), tuple(faults), rule)


def find_single_split(folder: Path, recording_pattern: str | None = None, *, allow_links: bool = False) -> Layout:
    """Find the pairs of one split's folder, which holds `Images` and `Masks` itself.

    Raises:
        DataError: as `find_layout`.
    """
    rule = recording_rule(folder, recording_pattern, allow_links=allow_links)
    faults: list[DataFault] = []
    name = folder.resolve().name
    split = _find_split(None if allow_links else folder, folder, split_of(name) or name, rule, faults)
    return Layout(folder, (split,), tuple(faults), rule)


def find_test_split(root: Path, recording_pattern: str | None = None, *, allow_links: bool = False) -> Layout:
    """Find the pairs to test on: the split `Test` of a data root, or a folder with `Images` and `Masks` itself.

    What other splits a data root has, and what may be wrong with them, doesn't matter here.

    Raises:
        DataError: as `find_layout`.
    """
    if holds_one_split(root):
        return find_single_split(root, recording_pattern, allow_links=allow_links)
    border = None if allow_links else root
    rule = recording_rule(root, recording_pattern, allow_links=allow_links)
    faults: list[DataFault] = []
    entries = [entry for entry in _entries(root) if split_of(entry.name) == "test"]
    folder = _one_of(border, root, entries, faults)
    splits = () if folder is None else (_find_split(border, folder, "test", rule, faults),)
    if not entries:
        reason = "has no folder Test, nor Images and Masks itself; expected one of them"
        faults.append(DataFault(str(root), reason))
    return Layout(root, splits, tuple(faults), rule)


def holds_one_split(folder: Path) -> bool:
    """Whether a folder holds `Images` or `Masks` itself, and so is one split's.

    Raises:
        DataError: it isn't a folder that can be read.
    """
    return any(entry.name.casefold() in ("images", "masks") for entry in _entries(folder))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{printable(folder)}: {os_reason(error)}; expected a folder with Train, Valid and Test in it"
        ) from error


def _one_of(border: Path | None, parent: Path, entries: list[os.DirEntry[str]], faults: list[DataFault]) -> Path | None:
    """The one folder among `entries`; two spellings, a file or a link that leaves the border are faults."""
    if len(entries) > 1:
        names = " and ".join(entry.name for entry in entries)
        faults.append(DataFault(str(parent), f"{names} mean the same folder; expected one of them"))
        return None
    for entry in entries:
        fault = _link_fault(entry, border) if entry.is_dir() else "not a folder"
        if fault is None:
            return Path(entry.path)
        faults.append(DataFault(entry.path, fault))
    return None


def _find_split(
    border: Path | None, folder: Path, name: str, rule: RecordingRule, faults: list[DataFault]
) -> SplitFiles:
    try:
        entries = _entries(folder)
    except DataError as error:
        faults.append(DataFault(str(folder), str(error).partition(": ")[2]))
        return SplitFiles(name, (), 0, 0)
    found: dict[str, _Folder] = {}
    for kind in ("images", "masks"):
        matching = [entry for entry in entries if entry.name.casefold() == kind]
        if not matching:
            faults.append(DataFault(str(folder), f"has no folder {kind.capitalize()}"))
        if (place := _one_of(border, folder, matching, faults)) is not None:
            found[kind] = _pictures(border, place)
    images, masks = found.get("images", _Folder()), found.get("masks", _Folder())
    bad_files = images.faults + masks.faults
    if len(found) < 2:
        # Without one of the folders every single file would be reported as lonely.
        return SplitFiles(name, (), len(images), len(masks), tuple(bad_files))
    if images or masks:
        bad_files += _without_partner(images, masks, "image", "Masks")
        bad_files += _without_partner(masks, images, "mask", "Images")
    elif not images.faults + masks.faults:
        faults.append(DataFault(str(folder), f"holds no picture ({', '.join(EXTENSIONS)}) in Images and Masks"))
    pairs = {stem: (images.files[stem], masks.files[stem]) for stem in sorted(images.files.keys() & masks.files)}
    samples = tuple(_samples(pairs, name, rule, bad_files))
    return SplitFiles(name, samples, len(images), len(masks), tuple(bad_files))


def _samples(
    pairs: Mapping[str, tuple[Path, Path]], split: str, rule: RecordingRule, faults: list[DataFault]
) -> Iterable[Sample]:
    for stem, (image, mask) in pairs.items():
        recording = rule.recording(stem, split, str(image))
        if isinstance(recording, DataFault):
            faults.append(recording)
        else:
            yield Sample(
                sample_id=stem,
                recording_id=recording,
                image=image,
                mask=mask,
                attributes=rule.attributes(stem, split),
            )


def _without_partner(these: _Folder, others: _Folder, kind: str, other_folder: str) -> list[DataFault]:
    partner = {"image": "mask", "mask": "image"}[kind]
    return [
        DataFault(str(path), f"{kind} without its {partner}: expected {stem}{path.suffix} in {other_folder}")
        for stem, path in these.files.items()
        if stem not in others.files and stem not in others.broken
    ]


def _pictures(border: Path | None, folder: Path) -> _Folder:
    result = _Folder()
    try:
        entries = _entries(folder)
    except DataError as error:
        result.faults.append(DataFault(str(folder), str(error).partition(": ")[2]))
        return result
    for entry in entries:
        suffix = Path(entry.name).suffix.casefold()
        if _is_side_file(entry.name):
            continue
        if suffix in UNSUPPORTED_EXTENSIONS:
            reason = f"a picture of kind {suffix}, which is not read; save it as PNG, or take it out"
            result.faults.append(DataFault(entry.path, reason))
        if suffix not in EXTENSIONS:
            continue
        stem = unicodedata.normalize("NFC", Path(entry.name).stem)
        if stem in result.files or stem in result.broken:
            result.refuse(stem, entry.path, f"a second picture named {stem}; expected one of that name")
        elif (fault := _file_fault(entry, border)) is not None:
            result.refuse(stem, entry.path, fault)
        else:
            result.files[stem] = Path(entry.path)
    return result


def _is_side_file(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SIDE_FILES


def _file_fault(entry: os.DirEntry[str], border: Path | None) -> str | None:
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it"
    try:
        mode = entry.stat().st_mode
    except FileNotFoundError:
        return f"a link to nothing ({os.readlink(entry.path)})" if entry.is_symlink() else "vanished while looking"
    except OSError as error:
        return os_reason(error)
    if stat.S_ISDIR(mode):
        return "a folder, not a file"
    # Opening a pipe or a device could wait for ever.
    if not stat.S_ISREG(mode):
        return "not a regular file"
    return _link_fault(entry, border)


def _link_fault(entry: os.DirEntry[str], border: Path | None) -> str | None:
    """What is wrong with a link that leaves the border, which nothing does where there is none."""
    if border is None or not entry.is_symlink() or Path(entry.path).resolve().is_relative_to(border.resolve()):
        return None
    where = os.readlink(entry.path)
    return f"a link that leaves the data folder ({where}); put the file itself there, or set data.allow_links: true"
