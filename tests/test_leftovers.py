from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchbird import folder_probes, leftovers
from benchbird.claims import Holder, Watch, claim, this_process
from benchbird.data.building import _partial_folder
from benchbird.leftovers import PREPARING_S, WRITING_S, Cleaning, clean, size_bytes, total_bytes
from benchbird.processes import this_host
from benchbird.records import Status
from benchbird.results import ResultsStore
from tests.record_factory import make_record, make_segmenter

LONG_AGO_S = WRITING_S + 60
HALF = ".weights.safetensors.0123abcd.partial"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def make_trial(results: Path, status: Status | None = None, seed: int = 0) -> Path:
    """A trial with every lasting file, a status and a checkpoint; with a record, where a status is given."""
    record = make_record(make_segmenter("unet"), seed=seed, status=status or "done")
    store = ResultsStore(results)
    folder = store.trial_folder("birdsound", record.study, record.segmenter, seed)
    (folder / "checkpoint").mkdir(parents=True)
    for name in ("state-0.json", "state-0.safetensors", "best-0-12.safetensors"):
        (folder / "checkpoint" / name).write_bytes(b"x" * 100)
    for name in ("curve.jsonl", "log.txt", "predictions.npz", "weights.safetensors"):
        (folder / name).write_bytes(b"y")
    (folder / "status.json").write_text("{}")
    if status is not None:
        store.add(folder, record)
    return folder


def put_claim(folder: Path, holder: Holder | str, number: int = 1) -> Path:
    path = folder / f"claim-{number:06d}.json"
    path.write_text(holder if isinstance(holder, str) else json.dumps(asdict(holder)))
    return path


def put_half(folder: Path, name: str = HALF, age_s: float = LONG_AGO_S) -> Path:
    path = folder / name
    path.write_bytes(b"z" * 10)
    age(path, age_s)
    return path


def age(path: Path, seconds: float) -> None:
    for one in (*path.rglob("*"), path):
        os.utime(one, (time.time() - seconds, time.time() - seconds))


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def dead_holder() -> Holder:
    return replace(this_process(), process=dead_process())


def names(done: Cleaning) -> dict[str, str]:
    return {one.path.name: one.kind for one in done.removed}


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_done_trial_loses_what_only_a_trial_under_way_needs(results: Path, cache: Path) -> None:
    folder = make_trial(results, "done")
    done = clean(results, cache)
    assert names(done) == {"status.json": "status", "checkpoint": "checkpoint"}
    assert total_bytes(done.removed) == 302
    left = {path.name for path in everything(folder)}
    assert left == {"record.json", "curve.jsonl", "log.txt", "predictions.npz", "weights.safetensors"}
    assert clean(results, cache) == Cleaning((), {}, {})


@pytest.mark.parametrize("status", [None, "failed", "diverged"])
def test_any_other_trial_keeps_them(results: Path, cache: Path, status: Status | None) -> None:
    make_trial(results, status)
    before = everything(results)
    assert clean(results, cache).removed == ()
    assert everything(results) == before


def test_a_record_that_is_not_sound_keeps_them(results: Path, cache: Path) -> None:
    record = make_trial(results, "done") / "record.json"
    record.write_bytes(record.read_bytes().replace(b'"attempts": 1', b'"attempts": 2'))
    before = everything(results)
    assert clean(results, cache).removed == ()
    assert everything(results) == before


@pytest.mark.parametrize(
    "strange",
    [
        lambda folder: (folder / "thesis.tex").write_text("all of it"),
        lambda folder: (folder / "state-1.json").mkdir(),
        lambda folder: (folder / "state-1.json").symlink_to("state-0.json"),
    ],
)
def test_a_folder_that_is_not_a_checkpoint_s_stays_whole(
    results: Path, cache: Path, strange: Callable[[Path], object]
) -> None:
    folder = make_trial(results, "done")
    strange(folder / "checkpoint")
    before = everything(folder / "checkpoint")
    assert set(names(clean(results, cache))) == {"status.json"}
    assert everything(folder / "checkpoint") == before


def test_a_dead_claim_goes_and_the_trial_can_be_run(results: Path, cache: Path) -> None:
    folder = make_trial(results)
    put_claim(folder, dead_holder())
    assert names(clean(results, cache)) == {"claim-000001.json": "claim"}
    assert not list(folder.glob("claim-*"))
    assert (folder / "checkpoint" / "state-0.json").exists()


ELSEWHERE = replace(this_process(), boot="another", host="another")
LIVING = {"alive": this_process(), "elsewhere": ELSEWHERE, "garbage": "{", "a container": replace(ELSEWHERE, boot="b")}


@pytest.mark.parametrize("holder", LIVING.values(), ids=LIVING)
def test_nothing_goes_where_a_run_may_be_at_work(results: Path, cache: Path, holder: Holder | str) -> None:
    folder = make_trial(results, "done")
    put_claim(folder, dead_holder(), 1)
    put_claim(folder, holder, 2)
    put_half(folder)
    before = everything(results)
    done = clean(results, cache)
    assert done.removed == ()
    assert list(done.kept) == [folder]
    assert everything(results) == before


def test_a_silent_claim_from_elsewhere_is_told_of(results: Path, cache: Path) -> None:
    path = put_claim(make_trial(results), ELSEWHERE)
    assert clean(results, cache).kept == {}
    age(path, 500)
    (why,) = clean(results, cache).kept.values()
    assert "takes it over" in why
    assert path.exists()


def test_a_run_can_not_begin_meanwhile(results: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_trial(results, "done")
    seen = []
    remove = leftovers._remove

    def look(path: Path) -> str:
        seen.append(claim(folder, Watch()))
        return remove(path)

    monkeypatch.setattr(leftovers, "_remove", look)
    assert len(clean(results, cache).removed) == 2
    assert seen == [None, None]
    held = claim(folder, Watch())
    assert held is not None, "given back"
    held.release()


def test_a_run_that_begins_first_keeps_all(results: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_trial(results, "done")
    monkeypatch.setattr(leftovers, "claim", lambda *_: None)
    done = clean(results, cache)
    assert (done.removed, list(done.kept)) == ((), [folder])


def test_half_written_files_go_once_nobody_can_be_writing(results: Path, cache: Path) -> None:
    folder = make_trial(results)
    put_half(folder)
    put_half(folder / "checkpoint", ".state-1.json.89abcdef.partial")
    fresh = put_half(folder, ".curve.jsonl.0000aaaa.partial", age_s=1)
    future = put_half(folder, ".curve.jsonl.0000bbbb.partial", age_s=-86_400)
    strangers = put_half(folder, "film.partial")
    done = clean(results, cache)
    assert set(names(done)) == {HALF, ".state-1.json.89abcdef.partial"}
    assert all(path.exists() for path in (fresh, future, strangers, folder / "checkpoint" / "state-0.json"))


def test_age_is_told_by_the_clock_of_the_file_system(
    results: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_half(make_trial(results), age_s=1)
    put_prepared(cache, "00000000", 1, age_s=60)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 2 * PREPARING_S)
    assert clean(results, cache).removed == ()


def test_nothing_is_followed_out_of_the_folder(results: Path, cache: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    put_half(outside, age_s=2 * PREPARING_S)
    (outside / "state-0.json").write_text("mine")
    # Beside each link something goes, so that each folder is looked at.
    linked = make_trial(results, "done")
    shutil.rmtree(linked / "checkpoint")
    (linked / "checkpoint").symlink_to(outside)
    (linked / ".x.01234567.partial").symlink_to(outside / "state-0.json")
    os.utime(linked / ".x.01234567.partial", (0, 0), follow_symlinks=False)
    put_half(linked)
    other = make_trial(results, "done", 1)
    (other / "status.json").unlink()
    (other / "status.json").symlink_to(outside / "state-0.json")
    (results / "linked").symlink_to(outside)
    cache.mkdir()
    (cache / "prepared").symlink_to(outside)
    before = everything(tmp_path)
    goes = {linked / "status.json", linked / HALF, other / "checkpoint"}
    assert {one.path for one in clean(results, cache).removed} == goes
    left = before - goes - {path for path in before if path.parent == other / "checkpoint"}
    assert everything(tmp_path) == left


def test_a_link_within_what_goes_is_not_followed(results: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    half = results / "birdsound" / "s" / "unet-12345678" / "seed-0" / ".x.01234567.partial"
    half.mkdir(parents=True)
    (half / "link").symlink_to(tmp_path / "mine")
    old = time.time() - LONG_AGO_S
    os.utime(half / "link", (old, old), follow_symlinks=False)
    os.utime(half, (old, old))
    assert names(clean(results, cache)) == {half.name: "half-written"}
    assert (tmp_path / "mine" / "file").exists()


def put_prepared(cache: Path, host: str, process: int, age_s: float) -> Path:
    folder = cache / "prepared" / f".train-16-abc.{host}.{process}.0123abcd.partial"
    folder.mkdir(parents=True)
    (folder / "images.npy").write_bytes(b"i" * 50)
    age(folder, age_s)
    return folder


def test_data_that_are_being_prepared_stay(results: Path, cache: Path) -> None:
    results.mkdir()
    with _partial_folder(cache / "prepared" / "train-16-abc") as half:
        age(half, 2 * PREPARING_S)
        done = clean(results, cache)
        assert done.kept == {half: f"process {os.getpid()} is preparing it"}
        assert half.exists()


@pytest.mark.parametrize(
    ("host", "age_s", "goes"),
    [
        (this_host(), LONG_AGO_S, True),
        (this_host(), 30, False),
        ("00000000", LONG_AGO_S, False),
        ("00000000", PREPARING_S + 60, True),
    ],
)
def test_half_prepared_data_go_when_nobody_can_be_at_it(
    results: Path, cache: Path, host: str, age_s: float, goes: bool
) -> None:
    results.mkdir()
    half = put_prepared(cache, host, dead_process(), age_s)
    done = clean(results, cache)
    assert names(done) == ({half.name: "half-prepared data"} if goes else {})
    assert set(done.kept) == (set() if goes else {half})
    assert half.exists() is not goes


def test_half_prepared_data_with_one_fresh_file_stay(results: Path, cache: Path) -> None:
    results.mkdir()
    half = put_prepared(cache, "00000000", 1, 2 * PREPARING_S)
    os.utime(half / "images.npy")
    assert clean(results, cache).removed == ()
    assert half.exists()


def test_whole_data_and_others_files_in_the_cache_stay(results: Path, cache: Path) -> None:
    results.mkdir()
    (cache / "prepared" / "train-16-abc").mkdir(parents=True)
    (cache / "index.sqlite").write_bytes(b"")
    put_half(cache, "big.partial", 2 * PREPARING_S)
    put_half(cache, ".hashes.json.0123abcd.partial", 2 * PREPARING_S)
    age(cache / "prepared", 2 * PREPARING_S)
    assert set(names(clean(results, cache))) == {".hashes.json.0123abcd.partial"}
    assert {path.name for path in everything(cache)} == {"prepared", "train-16-abc", "index.sqlite", "big.partial"}


def test_a_rehearsal_removes_nothing_and_says_the_same(results: Path, cache: Path) -> None:
    put_claim(make_trial(results, "done"), dead_holder())
    put_half(make_trial(results, None, 1))
    put_prepared(cache, this_host(), dead_process(), LONG_AGO_S)
    before = everything(results) | everything(cache)
    rehearsed = clean(results, cache, rehearse=True)
    assert everything(results) | everything(cache) == before
    assert clean(results, cache) == rehearsed
    assert len(rehearsed.removed) == 5


def test_what_can_not_be_removed_is_told_and_the_rest_goes(
    results: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_trial(results, "done")
    unlink = os.unlink

    def refuse(path: Path | str, **options: int) -> None:
        if os.path.basename(path) == "status.json":
            raise PermissionError(1, "Operation not permitted")
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    done = clean(results, cache)
    assert done.failed == {folder / "status.json": "Operation not permitted"}
    assert set(names(done)) == {"checkpoint"}


def test_a_folder_that_can_not_be_claimed_is_told(results: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_trial(results, "done")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    done = clean(results, cache)
    assert list(done.failed) == [folder]
    assert "could not claim" in done.failed[folder]
    assert (folder / "checkpoint").exists()


def test_sizes_and_a_folder_that_is_gone(tmp_path: Path) -> None:
    assert size_bytes(tmp_path / "absent") == 0
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"12345")
    assert size_bytes(tmp_path / "a") == 5
    assert folder_probes.time_there(tmp_path / "absent") == pytest.approx(time.time(), abs=5)


def test_a_rehearsal_promises_nothing_in_a_folder_that_cannot_be_written_to(
    results: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial(results, "done")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != trial and access(path, mode))
    rehearsed = clean(results, cache, rehearse=True)
    assert rehearsed.removed == () and rehearsed.failed == {trial: "the folder can't be written to"}
    monkeypatch.undo()
    assert len(clean(results, cache, rehearse=True).removed) == 2
