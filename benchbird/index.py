"""The index: a file of answers that can be worked out again, so that a second reading is quick.

Owns nothing that matters: keys are hashes of what an answer follows from, so a stale answer can't be found,
and a file that is missing, damaged, locked or read-only only costs time.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchbird.cache_folder import cache_folder
from benchbird.processes import this_host

INDEX_FILE = f"index-{this_host()}.sqlite"
"""One for each machine: SQLite's write-ahead log needs memory that all writers share, which a cache folder on a network
file system hasn't."""

logger = logging.getLogger(__name__)


class Index:
    """A map from text to bytes in one SQLite file (write-ahead log: readers and a writer at once).

    Args:
        path: of the file, made when the first answer is put in; None remembers nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def get(self, key: str) -> bytes | None:
        """The answer under `key`, or None."""
        return self.get_all([key]).get(key)

    def get_all(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The answers under those of a handful of `keys` that have one."""
        if self._path is None or not self._path.exists():
            return {}
        with self._errors_are_harmless():
            query = f"SELECT key, answer FROM answers WHERE key IN ({', '.join('?' * len(keys))})"
            rows = self._connected().execute(query, keys).fetchall()
            # A file of someone else's may hold anything.
            return {key: answer for key, answer in rows if isinstance(key, str) and isinstance(answer, bytes)}
        return {}

    def put(self, key: str, answer: bytes) -> None:
        """Remember `answer` under `key`, if that is possible."""
        self.put_all({key: answer})

    def put_all(self, answers: Mapping[str, bytes]) -> None:
        """Remember all of them or none, in one transaction."""
        if self._path is None:
            return
        with self._errors_are_harmless():
            connection = self._connected()
            with connection:
                connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", answers.items())

    def close(self) -> None:
        """Give the file back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            assert self._path is not None, "callers have looked"
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=2.0)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                # Nothing in here is worth waiting for the disk.
                connection.execute("PRAGMA synchronous=OFF")
                connection.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer BLOB NOT NULL)")
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    @contextlib.contextmanager
    def _errors_are_harmless(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            logger.info("%s can't be used (%s): everything is worked out anew", self._path, error)
            self.close()
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
                # Not a database, or a torn one: made anew by the next run.
                assert self._path is not None
                for suffix in ("", "-wal", "-shm"):
                    with contextlib.suppress(OSError):
                        self._path.with_name(self._path.name + suffix).unlink()
            self._path = None


def index_of(cache: Path | None) -> Index:
    """The index in the cache folder that `--cache` names, or in the default one."""
    return Index(cache_folder(cache) / INDEX_FILE)
