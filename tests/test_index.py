"""The index forgets rather than fails: whatever is done to its file only costs time."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from benchbird.index import INDEX_FILE, Index, index_of


def test_what_was_put_is_there_for_the_next(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "index.sqlite"
    with Index(path) as index:
        assert index.get("a") is None
        assert not path.exists()
        index.put("a", b"\x00\xff")
        index.put("a", b"new")
        assert (index.get("a"), index.get("b")) == (b"new", None)
    with Index(path) as index:
        assert index.get("a") == b"new"


def test_several_at_once(tmp_path: Path) -> None:
    with Index(tmp_path / "index.sqlite") as index:
        assert index.get_all(["a"]) == {}
        index.put_all({"a": b"1", "b": b"", "c": b"3"})
        assert index.get_all(["b", "x", "a", "a"]) == {"a": b"1", "b": b""}
        assert index.get_all([]) == {}
        index.put_all({})
        index.put_all({"a": b"2"})
        assert index.get_all(["a", "c"]) == {"a": b"2", "c": b"3"}
    with Index(None) as nothing:
        nothing.put_all({"a": b"1"})
        assert nothing.get_all(["a"]) == {}


def test_without_a_file_nothing_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Index(None) as index:
        index.put("a", b"x")
        assert index.get("a") is None
    assert list(tmp_path.iterdir()) == []


def test_it_lies_in_the_cache_folder(tmp_path: Path) -> None:
    with index_of(tmp_path) as index:
        index.put("a", b"x")
    assert (tmp_path / INDEX_FILE).is_file()


def _made(path: Path) -> Path:
    with Index(path) as index:
        for number in range(200):
            index.put(f"key {number}", b"x" * 500)
    return path


def _works(path: Path) -> None:
    """Neither reading nor writing raises anything, and what is read was written."""
    with Index(path) as index:
        assert index.get("key 1") in (None, b"x" * 500)
        index.put("other", b"y")
        assert index.get("other") in (None, b"y")


@pytest.mark.parametrize("content", [b"", b"hello", b"hello" * 5000, b"SQLite format 3\x00" + b"\x01" * 9000])
def test_another_file_in_its_place_is_replaced(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    path.write_bytes(content)
    _works(path)
    with Index(path) as index:  # the run after that has one again
        index.put("a", b"x")
    with Index(path) as index:
        assert index.get("a") == b"x"


def test_a_damaged_or_cut_file(tmp_path: Path) -> None:
    content = _made(tmp_path / "index.sqlite").read_bytes()
    for start in range(0, len(content), 3001):
        path = tmp_path / "damaged.sqlite"
        for name in ("damaged.sqlite", "damaged.sqlite-wal", "damaged.sqlite-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        path.write_bytes(content[:start] + b"\xff" * 900 + content[start + 900 :])
        _works(path)
        path.write_bytes(content[:start])
        _works(path)


def test_a_damaged_file_takes_its_companions_with_it(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    path.write_bytes(b"no database" * 500)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).write_bytes(b"of the one before")
    with Index(path) as index:
        assert index.get("a") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "table",
    [
        "CREATE TABLE answers (key TEXT PRIMARY KEY, answer)",
        "CREATE TABLE answers (other INTEGER)",
        "CREATE VIEW answers AS SELECT 1 AS key, 2 AS answer",
    ],
)
def test_someone_else_s_database(table: str, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(table)
    if table.endswith("answer)"):
        connection.executemany("INSERT INTO answers VALUES (?, ?)", [("key 1", "text"), ("number", 5), ("none", None)])
    connection.commit()
    connection.close()
    with Index(path) as index:
        assert [index.get(key) for key in ("key 1", "number", "none")] == [None] * 3
        assert index.get_all(["key 1", "number", "none"]) == {}
    _works(path)


def test_a_folder_in_its_place_or_a_file_in_its_folder_s(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").mkdir()
    _works(tmp_path / "index.sqlite")
    (tmp_path / "file").write_text("x")
    _works(tmp_path / "file" / "index.sqlite")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_read_only(tmp_path: Path) -> None:
    path = _made(tmp_path / "index.sqlite")
    path.chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        _works(path)
    finally:
        tmp_path.chmod(0o700)


def test_a_lock_is_not_waited_for_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _made(tmp_path / "index.sqlite")
    connect = sqlite3.connect
    waits: list[Path] = []

    def quick(name: Path, timeout: float) -> sqlite3.Connection:
        waits.append(name)
        return connect(name, timeout=timeout / 100)

    monkeypatch.setattr(sqlite3, "connect", quick)
    holder = connect(path)
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("INSERT OR REPLACE INTO answers VALUES ('held', x'00')")
    try:
        with Index(path) as index:
            index.put("a", b"x")  # waits, then gives up
            index.put("b", b"x")
            assert index.get("key 1") is None
        assert len(waits) == 1
    finally:
        holder.rollback()
        holder.close()
    with Index(path) as index:
        assert (index.get("key 1"), index.get("a")) == (b"x" * 500, None)


def test_two_writers_at_once(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    code = (
        "import sys; from pathlib import Path; from benchbird.index import Index\n"
        "with Index(Path(sys.argv[1])) as index:\n"
        "    for number in range(300):\n"
        "        index.put(f'{sys.argv[2]} {number}', sys.argv[2].encode() * 50)\n"
        "        index.put(f'both {number}', b'same')\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, path, name], stderr=subprocess.PIPE, text=True)
        for name in ("first", "second")
    ]
    assert [writer.communicate(timeout=60)[1] for writer in writers] == ["", ""]
    assert [writer.returncode for writer in writers] == [0, 0]
    with Index(path) as index:
        for name in ("first", "second"):
            found = [index.get(f"{name} {number}") for number in range(300)]
            assert found == [name.encode() * 50] * 300
        assert index.get("both 7") == b"same"
