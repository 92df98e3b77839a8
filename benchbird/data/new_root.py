"""A data root that is whole or not there: written under a temporary name beside its place and renamed at the end."""

from __future__ import annotations

import contextlib
import csv
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchbird.data.faults import printable
from benchbird.durable import TEMPORARY_SUFFIX
from benchbird.errors import DataError

SPLIT_FOLDERS = {"train": "Train", "val": "Valid", "test": "Test"}


@contextlib.contextmanager
def new_data_root(root: Path, kinds: Sequence[str]) -> Iterator[Path]:
    """A folder to fill; it becomes `root` at the end, and vanishes where anything is raised.

    Args:
        root: folder to create; it may exist if it is empty.
        kinds: folders of each split, such as `Images`.

    Raises:
        DataError: `root` is a file or holds anything, or the disk refuses.
    """
    refuse_occupied(root)
    place = root.resolve()  # `.` has no name, and a link to an empty folder is none that could be replaced
    partial_root = place.parent / f".{place.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
    try:
        try:
            for folder in SPLIT_FOLDERS.values():
                for kind in kinds:
                    (partial_root / folder / kind).mkdir(parents=True)
            yield partial_root
            if place.exists():
                place.rmdir()  # empty, as seen above; renaming onto a folder fails on Windows
            partial_root.rename(place)
        except BaseException:
            shutil.rmtree(partial_root, ignore_errors=True)
            raise
    except OSError as error:
        raise DataError(
            f"{printable(root)}: could not write the data set: {error.strerror or error}; nothing was left behind. "
            "Make room or choose another folder, then run again"
        ) from error


def refuse_occupied(root: Path) -> None:
    """Refuse a folder that holds anything, or a file.

    Raises:
        DataError: it is one.
    """
    if root.is_dir():
        first = next(iter(sorted(root.iterdir())), None)
        if first is not None:
            raise DataError(
                f"{printable(root)}: holds {printable(first.name)} already, expected a new or empty folder; "
                "choose another"
            )
    elif root.exists() or root.is_symlink():
        raise DataError(f"{printable(root)}: is a file, expected a new or empty folder; choose another")


def write_manifest(root: Path, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    """Write `manifest.csv`, one line a sample."""
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        stream.flush()
        os.fsync(stream.fileno())
