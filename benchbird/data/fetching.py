"""Public data sets from their archive: the record first, then its files, resumed where they were cut, then verified.

Owns the talk with a Zenodo record (https://developers.zenodo.org) and what is kept of a download that isn't whole. A
record and its files come from outside: names, sizes and checksums are looked at before a byte is asked for. Unpacking
is `unpacking.py`'s.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbird.data.faults import printable
from benchbird.durable import make_folder
from benchbird.errors import DataError

ZENODO = "https://zenodo.org/api/records"
MOST_RECORD_BYTES = 4 * 2**20
MOST_FILES = 1000
MOST_FILE_BYTES = 2**40
MOST_REASON = 200
TIMEOUT_S = 30.0
ATTEMPTS = 6
"""After a cut connection, each going on where the one before ended."""
PAUSE_S = 2.0
"""Before the second attempt; twice as long before each further one."""

_CHUNK_BYTES = 2**20
_CHECKSUM = re.compile(r"(?:md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})")
_NAME = re.compile(r"[\w][\w.,()+ -]{0,199}")

Progress = Callable[[str, int, int], None]
"""Gets a file's name, its bytes that are there, and its size."""


@dataclass(frozen=True, kw_only=True)
class PublicData:
    """A data set that can be fetched.

    Attributes:
        name: the slug.
        summary: one line.
        doi: of its record.
        source: the paper.
    """

    name: str
    summary: str
    doi: str
    source: str

    @property
    def record_id(self) -> str:
        """Its number in the archive."""
        return self.doi.rpartition(".")[2]


PUBLIC = {
    "birdsounds-denoising": PublicData(
        name="birdsounds-denoising",
        summary="Spectrogram images of noisy bird sounds with painted masks, and their recordings.",
        doi="10.5281/zenodo.7191406",
        source="Zhang & Li, WACV 2023 (arXiv 2210.10196)",
    )
}


@dataclass(frozen=True, kw_only=True)
class RecordFile:
    """A file of a record.

    Attributes:
        name: plain, without folders.
        size_bytes: as the record states it.
        checksum: `md5:…` or `sha256:…`.
        url: where it is.
    """

    name: str
    size_bytes: int
    checksum: str
    url: str


@dataclass(frozen=True, kw_only=True)
class PublicRecord:
    """What an archive says of a data set.

    Attributes:
        title: of the record.
        licence: its name, empty where none is told.
        files: all of them.
    """

    title: str
    licence: str
    files: tuple[RecordFile, ...]

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)


def ask_record(data: PublicData, archive: str = ZENODO) -> PublicRecord:
    """Ask the archive what there is.

    Args:
        data: which.
        archive: base address of its records; must be https, but for this machine's own.

    Raises:
        DataError: no answer, or one that can't be used.
    """
    import requests

    url = f"{archive.rstrip('/')}/{data.record_id}"
    _require_safe(url)
    try:
        with requests.get(url, timeout=TIMEOUT_S, stream=True, headers={"Accept": "application/json"}) as answer:
            answer.raise_for_status()
            content = answer.raw.read(MOST_RECORD_BYTES + 1, decode_content=True)
    except requests.RequestException as error:
        raise DataError(f"{url}: could not be reached: {_reason(error)}; is there a connection?") from error
    if len(content) > MOST_RECORD_BYTES:
        raise DataError(f"{url}: an answer of more than {MOST_RECORD_BYTES >> 20} MiB, expected a record")
    try:
        return _record(json.loads(content), url)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{url}: not a record as Zenodo gives it: {error}") from error


def _record(raw: dict[str, Any], url: str) -> PublicRecord:
    metadata = raw.get("metadata") or {}
    licence = metadata.get("license") or {}
    files = tuple(_file(one) for one in raw["files"])
    if not files or len(files) > MOST_FILES:
        raise ValueError(f"{len(files)} files")
    if len({file.name for file in files}) < len(files):
        raise ValueError("two files of one name")
    for file in files:
        _require_safe(file.url)
    return PublicRecord(
        title=str(metadata.get("title", ""))[:500],
        licence=str(licence.get("id", licence) if isinstance(licence, dict) else licence)[:100] if licence else "",
        files=files,
    )


def _file(raw: dict[str, Any]) -> RecordFile:
    name, size, checksum = raw["key"], raw["size"], str(raw["checksum"]).lower()
    links = raw["links"]
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ValueError(f"a file is named {str(name)[:80]!r}")
    if not isinstance(size, int) or not 0 <= size <= MOST_FILE_BYTES:
        raise ValueError(f"{name}: a size of {size!r}")
    if _CHECKSUM.fullmatch(checksum) is None:
        raise ValueError(f"{name}: the checksum {checksum[:80]!r}")
    return RecordFile(name=name, size_bytes=size, checksum=checksum, url=str(links.get("content") or links["self"]))


def _require_safe(url: str) -> None:
    if not re.match(r"https://|http://(?:127\.0\.0\.1|localhost|\[::1\])[:/]", url):
        raise DataError(f"{printable(url[:200])}: expected an address that begins with https://")


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return printable(_shortened(lines[0]) if lines else type(error).__name__)


def _shortened(text: str) -> str:
    """A text as it is, or its first words."""
    if len(text) <= MOST_REASON:
        return text
    start = text[: MOST_REASON - 1]
    return f"{start.rpartition(' ')[0] or start[:-1]} …"


def download(file: RecordFile, folder: Path, progress: Progress) -> Path:
    """The file in `folder`, whole and verified; what is there of it already is used.

    Raises:
        DataError: it couldn't be had in several attempts, or isn't what the record says; what was had of a file
            that was cut stays, so that the same command goes on with it.
    """
    import pooch
    import requests

    make_folder(folder)
    fetcher = _Resuming(file, folder / f"{file.name}.part", progress)
    try:
        with _quiet(pooch):
            found = pooch.retrieve(file.url, known_hash=file.checksum, fname=file.name, path=folder, downloader=fetcher)
    except (requests.RequestException, _Cut) as error:
        raise DataError(
            f"{file.name}: cut after {fetcher.had_bytes()} of {file.size_bytes} bytes ({_reason(error)}); "
            "the same command goes on from there"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{file.name}: its content isn't what the record's checksum says ({file.checksum}); it was removed, "
            "run again to fetch it anew"
        ) from error
    except OSError as error:
        raise DataError(f"{printable(folder)}: could not write {file.name}: {error.strerror or error}") from error
    progress(file.name, file.size_bytes, file.size_bytes)
    return Path(found)


@contextlib.contextmanager
def _quiet(pooch: Any) -> Iterator[None]:
    """Keep pooch's own messages off the terminal."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("CRITICAL")
    try:
        yield
    finally:
        logger.setLevel(level)


class _Cut(Exception):
    """Fewer bytes came than there are."""


class _Resuming:
    """A pooch downloader that goes on where a download was cut, in this run or in an earlier one."""

    def __init__(self, file: RecordFile, part: Path, progress: Progress) -> None:
        self._file, self._part, self._progress = file, part, progress

    def had_bytes(self) -> int:
        """Bytes that are there."""
        return self._part.stat().st_size if self._part.exists() else 0

    def __call__(self, url: str, output_file: Any, _pooch: Any, check_only: bool = False) -> bool | None:
        """Fetch `url` into `output_file`."""
        import requests

        if self.had_bytes() > self._file.size_bytes:
            self._part.unlink()
        pause_s = PAUSE_S
        for attempt in range(ATTEMPTS):
            try:
                self._go_on(url)
                break
            except (requests.RequestException, _Cut):
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(pause_s)
                pause_s *= 2
        shutil.move(self._part, output_file)
        return None

    def _go_on(self, url: str) -> None:
        import requests

        had = self.had_bytes()
        if had == self._file.size_bytes:
            return
        headers = {"Range": f"bytes={had}-", "Accept-Encoding": "identity"}
        with requests.get(url, timeout=TIMEOUT_S, stream=True, headers=headers) as answer:
            answer.raise_for_status()
            _require_safe(answer.url)
            # Else what came before a cut would be thrown away with the news of it; the size is compared below.
            answer.raw.enforce_content_length = False
            goes_on = answer.status_code == requests.codes.partial_content
            with self._part.open("ab" if goes_on else "wb") as stream:
                had = stream.tell()
                for chunk in answer.iter_content(_CHUNK_BYTES):
                    had += len(chunk)
                    if had > self._file.size_bytes:
                        raise ValueError("more bytes than the record states")
                    stream.write(chunk)
                    self._progress(self._file.name, had, self._file.size_bytes)
                stream.flush()
                os.fsync(stream.fileno())
        if had < self._file.size_bytes:
            raise _Cut("the connection was closed")
