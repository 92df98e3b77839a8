from __future__ import annotations

import errno
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from benchbird import claims
from benchbird.claims import STALE_AFTER_S, Claim, ClaimTicket, Holder, Watch, this_process
from benchbird.errors import ClaimLost, ResultsError

DAY_S = 86_400.0


def claim(folder: Path) -> Claim | None:
    """As a run that looks for the first time."""
    return claims.claim(folder, Watch())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "trial"


def put(folder: Path, holder: Holder | str, *, age_s: float = 0.0, number: int = 1) -> Path:
    """A claim file as another run would have left it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"claim-{number:06d}.json"
    path.write_text(holder if isinstance(holder, str) else json.dumps(asdict(holder)))
    touched = time.time() - age_s
    os.utime(path, (touched, touched))
    return path


def is_free(folder: Path) -> bool:
    held = claim(folder)
    if held is None:
        return False
    held.release()
    return True


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_a_claim_refuses_others_until_it_is_released(folder: Path) -> None:
    held = claim(folder)
    assert held is not None
    assert claim(folder) is None
    held.release()
    assert os.listdir(folder) == []
    with claim(folder) or pytest.fail("released, so free"):
        assert claim(folder) is None
    assert os.listdir(folder) == []


def test_a_claim_can_be_released_twice(folder: Path) -> None:
    held = claim(folder)
    assert held is not None
    held.release()
    held.release()


@pytest.mark.parametrize("age_s", [0, DAY_S, -DAY_S])
def test_a_living_process_keeps_its_claim_whatever_the_clock_says(folder: Path, age_s: float) -> None:
    put(folder, this_process(), age_s=age_s)
    assert claim(folder) is None


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S])
def test_a_clock_that_jumps_steals_nothing(folder: Path, jump_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    held = claim(folder)
    assert held is not None
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump_s)
    assert claim(folder) is None
    held.release()


@pytest.mark.parametrize("age_s", [0, DAY_S])
def test_a_renamed_machine_steals_nothing_and_frees_what_is_dead(
    folder: Path, age_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(folder, this_process(), age_s=age_s)
    monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
    assert claim(folder) is None
    path.unlink()
    put(folder, replace(this_process(), host="before", process=dead_process()))
    assert is_free(folder)


def test_a_dead_process_gives_way(folder: Path) -> None:
    put(folder, replace(this_process(), process=dead_process()))
    held = claim(folder)
    assert held is not None
    assert os.listdir(folder) == ["claim-000002.json"]
    held.release()


def test_a_zombie_gives_way(folder: Path) -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""], stdin=subprocess.PIPE)
    started = claims._process_started(process.pid)
    assert started
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    put(folder, replace(this_process(), process=process.pid, process_started=started))
    assert is_free(folder)
    process.communicate()


def test_a_reused_process_id_gives_way(folder: Path) -> None:
    put(folder, replace(this_process(), process_started="1"))
    assert is_free(folder)


def test_a_claim_from_before_a_restart_of_this_machine_gives_way(folder: Path) -> None:
    put(folder, replace(this_process(), boot="another"))
    assert is_free(folder)


ELSEWHERE = {
    "another machine": lambda: replace(this_process(), boot="another", host="another"),
    "another container": lambda: replace(this_process(), namespace="pid:[1]", host="another"),
    "another container of this name": lambda: replace(this_process(), namespace="pid:[1]"),
}


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1e6

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("place", ELSEWHERE)
@pytest.mark.parametrize("age_s", [0, STALE_AFTER_S - 20, DAY_S, -DAY_S])
def test_elsewhere_silence_counts_from_when_it_was_first_heard(folder: Path, place: str, age_s: float) -> None:
    """Whatever the two clocks say of the file's age."""
    path = put(folder, replace(ELSEWHERE[place](), process=dead_process()), age_s=age_s)
    clock = Clock()
    watch = Watch(clock)
    assert claims.claim(folder, watch) is None
    clock.now += STALE_AFTER_S - 1
    assert claims.claim(folder, watch) is None
    os.utime(path, (1e9, 1e9))  # a beat, though by a clock that went back
    clock.now += 2
    assert claims.claim(folder, watch) is None
    clock.now += STALE_AFTER_S - 1
    assert claims.claim(folder, watch) is None
    clock.now += 1
    held = claims.claim(folder, watch)
    assert held is not None
    assert not path.exists()
    held.release()


def test_a_machine_of_the_same_name_is_another_one(folder: Path) -> None:
    put(folder, replace(this_process(), boot="another", machine="another"))
    assert claim(folder) is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", '{"process": 1}', "\x00" * 10, "[" * 100_000,
     json.dumps({**asdict(this_process()), "process": "../.."})],
    ids=range(9),
)  # fmt: skip
def test_garbage_counts_as_half_written_for_a_while(folder: Path, content: str) -> None:
    path = put(folder, content, age_s=DAY_S)
    clock = Clock()
    watch = Watch(clock)
    assert claims.claim(folder, watch) is None
    clock.now += STALE_AFTER_S
    held = claims.claim(folder, watch)
    assert held is not None
    assert not path.exists()
    held.release()


def test_a_claim_that_cannot_be_read_is_not_stolen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(folder, this_process(), age_s=DAY_S)
    stat = Path.stat

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(Path, "stat", lambda self, **more: refuse() if self == path else stat(self, **more))
    assert claim(folder) is None


def test_files_that_only_look_like_claims_are_left_alone(folder: Path) -> None:
    folder.mkdir()
    for name in ("claim-.json", "claim-x.json", "claim-²\u00b2.json", "claim-1.txt"):
        (folder / name).touch()
    assert is_free(folder)
    assert len(os.listdir(folder)) == 4


def test_the_heart_beats_and_survives_a_bad_moment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_S", 0.01)
    utime, beats = os.utime, threading.Semaphore(0)
    refusals = iter([OSError(errno.ESTALE, "stale"), OSError(errno.EIO, "I/O")])

    def flaky(path: Any) -> None:
        for refusal in refusals:
            raise refusal
        utime(path)
        beats.release()

    monkeypatch.setattr(os, "utime", flaky)
    held = claim(folder)
    assert held is not None
    assert beats.acquire(timeout=10)
    held.release()
    assert not held._thread.is_alive()


@pytest.mark.parametrize("taken", ["gone", "by another"])
def test_a_heart_that_lost_its_claim_says_so_and_stops(
    folder: Path, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_S", 0.05)
    held = claim(folder)
    assert held is not None and held.ticket.is_valid() and not held.lost.is_set()
    held.ticket.check()
    held.path.unlink()
    if taken == "by another":
        newer = put(folder, this_process())  # of the same number
        assert newer == held.path
        os.utime(newer, (1000, 1000))
    assert held.lost.wait(10)
    held._thread.join(10)
    assert not held.ticket.is_valid()
    with pytest.raises(ClaimLost, match="another run has taken this trial over"):
        held.ticket.check()
    if taken == "by another":
        assert newer.stat().st_mtime == 1000, "a stranger's claim must not be kept alive"


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"token": 5}'])
def test_a_ticket_fits_its_own_claim_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "claim-000001.json").write_text(content)
    assert not ClaimTicket(tmp_path / "claim-000001.json", "token").is_valid()


def test_a_file_system_that_does_not_answer_takes_no_claim_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = claim(folder)
    assert held is not None

    def stale(*_arguments: Any, **_options: Any) -> str:
        raise OSError(errno.ESTALE, "stale")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", stale)
        held.ticket.check()
    held.release()


def test_a_lost_claim_is_not_released_for_its_new_holder(folder: Path) -> None:
    held = claim(folder)
    assert held is not None
    # Another machine took the claim for stale, finished, and a third now holds the same number.
    newer = put(folder, this_process())
    held.release()
    assert newer.exists()


def test_release_does_not_fail_where_the_folder_is_gone(folder: Path) -> None:
    held = claim(folder)
    assert held is not None
    held.path.unlink()
    folder.rmdir()
    held.release()


def test_a_file_in_place_of_the_folder_is_an_error_of_the_user(folder: Path) -> None:
    folder.touch()
    with pytest.raises(ResultsError, match="could not create the folder"):
        claim(folder)


NO_LINKS = OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
def test_a_disk_that_refuses_leaves_no_claim(folder: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(error: OSError) -> Callable[..., NoReturn]:
        def refusal(*_: object, **__: object) -> NoReturn:
            raise error

        return refusal

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse(full if links else NO_LINKS))
        patch.setattr(Path, "open", refuse(full))
        with pytest.raises(ResultsError, match=f"{folder}: could not claim the trial: No space left"):
            claim(folder)
    assert os.listdir(folder) == []
    assert is_free(folder)


def test_a_file_system_without_hard_links_will_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise NO_LINKS

    monkeypatch.setattr(os, "link", refuse)
    held = claim(folder)
    assert held is not None
    assert os.listdir(folder) == ["claim-000001.json"]
    assert claims._create(held.path, "another's") is False
    assert claims.read_holder(held.path) == held.holder
    assert claim(folder) is None
    held.release()
    assert is_free(folder)


def test_a_link_whose_answer_was_lost_is_ours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def link_and_be_asked_again(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", link_and_be_asked_again)
    held = claim(folder)
    assert held is not None
    assert os.listdir(folder) == ["claim-000001.json"]
    held.release()


def race(folders: list[Path], start: Any, finished: Any, results: Any) -> None:
    """Claim each folder once, together with the other racers; a winner holds on until all have tried."""
    for position, folder in enumerate(folders):
        start.wait()
        held = claim(folder)
        results.put((position, held is not None))
        finished.wait()
        if held is not None:
            held.release()


def fresh(folder: Path) -> None:
    folder.mkdir()


def stale(folder: Path) -> None:
    put(folder, replace(this_process(), process_started="1"))


def twice_stale(folder: Path) -> None:
    put(folder, replace(this_process(), process_started="1"), number=7)
    put(folder, replace(this_process(), boot="another"), number=9)


@pytest.mark.parametrize("prepare", [fresh, stale, twice_stale])
def test_of_eight_processes_exactly_one_wins(prepare: Callable[[Path], None], tmp_path: Path) -> None:
    racers, rounds = 8, 40
    folders = [tmp_path / str(number) for number in range(rounds)]
    for folder in folders:
        prepare(folder)
    context = multiprocessing.get_context("fork")  # quick to start, and this test process holds no thread
    start, finished, results = context.Barrier(racers), context.Barrier(racers), context.SimpleQueue()
    processes = [context.Process(target=race, args=(folders, start, finished, results)) for _ in range(racers)]
    for process in processes:
        process.start()
    outcomes = [results.get() for _ in range(racers * rounds)]
    for process in processes:
        process.join()
    winners = [sum(won for position, won in outcomes if position == number) for number in range(rounds)]
    assert winners == [1] * rounds
    assert [os.listdir(folder) for folder in folders] == [[]] * rounds
