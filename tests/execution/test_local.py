"""Children as they are: real processes, pipes and signals. Nothing here measures time closer than seconds."""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchbird.errors import ResultsError
from benchbird.execution import local, server
from benchbird.execution.local import Bounds, Ending, Place, run_in_child
from tests.execution import targets
from tests.execution.processes import gone_within

SERVER: Any = forkserver._forkserver


@pytest.fixture(scope="module", autouse=True)
def small_server() -> Iterator[None]:
    """A fork server without torch, for this module alone."""
    SERVER._stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "PRELOADED", ("benchbird.execution.adoption",))
        patch.delenv("PYTHONUNBUFFERED", raising=False)
        patch.delenv("PYTHONSAFEPATH", raising=False)
        yield
        SERVER._stop()


@pytest.fixture
def events() -> list[Mapping[str, Any]]:
    return []


def test_events_arrive_in_order_and_none_is_lost_at_the_end(events: list[Mapping[str, Any]]) -> None:
    ending = run_in_child(targets.count, 3000, log=None, on_event=events.append)
    assert ending == Ending(exit_code=0)
    assert [event["number"] for event in events] == list(range(3000))


def test_a_child_has_a_group_of_its_own_and_nothing_to_read(events: list[Mapping[str, Any]]) -> None:
    run_in_child(targets.facts, None, log=None, on_event=events.append)
    [facts] = events
    assert facts["pgid"] == facts["pid"] != os.getpid()
    assert facts["stdin"] == ""


def test_log_gets_everything_that_is_written_to_the_descriptors(tmp_path: Path) -> None:
    log = tmp_path / "new" / "log.txt"
    run_in_child(targets.talk, None, log=log, on_event=lambda _: None)
    lines = log.read_text(encoding="utf-8").splitlines()
    assert lines == [
        r"by print: ñ → \ud800",
        "by write",
        "by puts",
        "by a shell",
        "on stderr",
        "last words, without a newline",
    ]


def test_log_is_continued_not_replaced(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("of the first attempt\n")
    run_in_child(targets.fail, "of the second", log=log, on_event=lambda _: None)
    text = log.read_text()
    assert text.startswith("of the first attempt\nTraceback")
    assert text.endswith("RuntimeError: of the second\n")


def test_a_log_that_would_fill_the_disk_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOG_LIMIT_BYTES", 2**20)
    monkeypatch.setattr(local, "LOG_KEPT_BYTES", 2**10)
    log = tmp_path / "log.txt"
    log.write_text("the beginning\n")
    run_in_child(targets.chatter, 2**28, log=log, on_event=lambda _: None)
    text = log.read_text()
    assert len(text) < 2**27
    assert "cut here by benchbird" in text
    assert (text[:14], text[-8:]) == ("the beginning\n", "the end\n")


def test_a_log_that_cannot_be_opened_does_not_cost_the_trial(tmp_path: Path, events: list[Mapping[str, Any]]) -> None:
    assert run_in_child(targets.count, 1, log=tmp_path, on_event=events.append).exit_code == 0
    assert len(events) == 1


def test_a_log_below_a_file_is_an_error_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match="could not create the folder"):
        run_in_child(targets.count, 1, log=tmp_path / "file" / "log.txt", on_event=lambda _: None)


@pytest.mark.parametrize(
    ("target", "request_", "exit_code"),
    [
        (targets.leave, 7, 7),
        (targets.leave, None, 0),
        (targets.leave, "a message", 1),
        (targets.quit_at_once, 9, 9),
        (targets.fail, "x", 1),
        (targets.crash, signal.SIGSEGV, -signal.SIGSEGV),
        (targets.crash, signal.SIGKILL, -signal.SIGKILL),
        (targets.crash, signal.SIGTERM, 143),
    ],
)
def test_exit_codes(target: Callable[..., None], request_: object, exit_code: int) -> None:
    ending = run_in_child(target, request_, log=None, on_event=lambda _: None)
    assert ending == Ending(exit_code=exit_code)


@pytest.mark.parametrize(
    ("exit_code", "ran_out_of_memory", "cause"),
    [
        (0, False, "ended with exit code 0"),
        (7, False, "ended with exit code 7"),
        (-signal.SIGSEGV, False, "was killed by SIGSEGV"),
        (-signal.SIGKILL, False, "was killed by SIGKILL"),
        (-signal.SIGKILL, True, "was killed by the system, which ran out of memory"),
        (-99, False, "was killed by signal 99"),
    ],
)
def test_an_ending_tells_its_cause(exit_code: int, ran_out_of_memory: bool, cause: str) -> None:
    ending = Ending(exit_code=exit_code, ran_out_of_memory=ran_out_of_memory)
    assert ending.cause == cause
    assert not ending.was_asked


@pytest.mark.parametrize(("kills", "ran_out"), [((3, 3), False), ((3, 4), True)])
def test_a_kill_is_the_systems_where_it_has_counted_one_more(
    kills: tuple[int, int], ran_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter(kills)
    monkeypatch.setattr(local, "_kills_for_memory", lambda: next(counts))
    ending = run_in_child(targets.crash, signal.SIGKILL, log=None, on_event=lambda _: None)
    assert ending == Ending(exit_code=-signal.SIGKILL, ran_out_of_memory=ran_out)


def test_silence_kills_and_every_event_puts_it_off(events: list[Mapping[str, Any]]) -> None:
    ending = run_in_child(targets.tick_then_hang, 4, log=None, on_event=events.append, bounds=Bounds(silence_s=1.5))
    assert ending == Ending(exit_code=-signal.SIGKILL, ended_for="silence")
    assert len(events) == 4  # one each second: longer in all than the silence that is allowed


def test_stopping_asks_the_child_to_end(tmp_path: Path) -> None:
    stop = threading.Event()
    ending = run_in_child(
        targets.wait_for_interrupt,
        tmp_path / "note",
        log=None,
        on_event=lambda _: stop.set(),
        bounds=Bounds(wall_s=20, stop=stop),
    )
    assert ending.was_asked
    assert (tmp_path / "note").read_text() == "ended in order"


def test_a_child_that_is_deaf_to_stopping_was_asked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "GRACE_S", 0.5)
    stop = threading.Event()
    ending = run_in_child(
        targets.be_deaf, None, log=None, on_event=lambda _: stop.set(), bounds=Bounds(wall_s=20, stop=stop)
    )
    assert ending == Ending(exit_code=-signal.SIGKILL, ended_for="stop")
    assert ending.was_asked and not ending.ran_out_of_memory


def test_a_child_whose_claim_is_lost_is_killed_and_not_asked(tmp_path: Path) -> None:
    lost = threading.Event()
    ending = run_in_child(
        targets.wait_for_interrupt, tmp_path / "note", log=None, on_event=lambda _: lost.set(),
        bounds=Bounds(wall_s=20, lost=lost),
    )  # fmt: skip
    assert ending == Ending(exit_code=-signal.SIGKILL, ended_for="claim")
    assert not (tmp_path / "note").exists()


def test_a_child_whose_fork_server_is_killed_ends_and_nothing_is_said_of_it(tmp_path: Path) -> None:
    pids: list[int] = []

    def listen(event: Mapping[str, Any]) -> None:
        pids.append(event["pid"])
        os.kill(SERVER._forkserver_pid, signal.SIGKILL)

    ending = run_in_child(
        targets.wait_for_interrupt, tmp_path / "note", log=None, on_event=listen, bounds=Bounds(wall_s=20)
    )
    assert (ending.ended_for, ending.was_asked) == ("server", False)
    assert gone_within(pids, 2)


def test_an_exit_code_of_255_is_the_childs_own_where_its_server_lives() -> None:
    ending = run_in_child(targets.quit_at_once, 255, log=None, on_event=lambda _: None)
    assert ending == Ending(exit_code=255)


def test_what_ends_every_process_of_a_group_leaves_the_server_to_its_run(events: list[Mapping[str, Any]]) -> None:
    run_in_child(targets.count, 1, log=None, on_event=events.append)
    pid = SERVER._forkserver_pid
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(pid, number)
    time.sleep(0.2)
    assert run_in_child(targets.count, 1, log=None, on_event=events.append) == Ending(exit_code=0)
    assert SERVER._forkserver_pid == pid


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system can't bind a process to a processor")
def test_a_child_keeps_to_its_cores(events: list[Mapping[str, Any]]) -> None:
    place = Place(cores=(min(os.sched_getaffinity(0)),), environment={"BENCHBIRD_TEST": "here"})
    run_in_child(targets.tell_place, None, log=None, on_event=events.append, place=place)
    assert events == [{"cores": list(place.cores or ()), "variable": "here"}]
    run_in_child(targets.tell_place, None, log=None, on_event=events.append)
    assert events[1] == {"cores": sorted(os.sched_getaffinity(0)), "variable": None}


def test_a_crash_leaves_its_events_and_its_last_words(tmp_path: Path, events: list[Mapping[str, Any]]) -> None:
    log = tmp_path / "log.txt"
    run_in_child(targets.crash, signal.SIGSEGV, log=log, on_event=events.append)
    assert events == [{"event": "before"}]
    assert log.read_text().startswith("just before\nFatal Python error: Segmentation fault")


def test_a_child_does_not_wait_for_a_thread_that_never_ends() -> None:
    ending = run_in_child(targets.leave_a_thread, None, log=None, on_event=lambda _: None, bounds=Bounds(wall_s=30))
    assert ending == Ending(exit_code=0)


def test_processes_that_a_child_left_behind_end_with_it(events: list[Mapping[str, Any]]) -> None:
    ending = run_in_child(targets.leak_processes, None, log=None, on_event=events.append, bounds=Bounds(wall_s=30))
    assert ending == Ending(exit_code=0)
    assert gone_within(events[0]["pids"], 2)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system doesn't tell whose an orphan was")
def test_processes_in_sessions_of_their_own_end_with_the_child(
    events: list[Mapping[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    ending = run_in_child(targets.leak_sessions, None, log=None, on_event=events.append, bounds=Bounds(wall_s=30))
    assert ending == Ending(exit_code=0)
    assert len(events[0]["pids"]) == 3
    assert gone_within(events[0]["pids"], 2)
    run_in_child(targets.count, 1, log=None, on_event=events.append)
    assert "unexpected pid" not in capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system doesn't tell whose an orphan was")
def test_the_end_of_a_child_leaves_those_at_its_side_alone(events: list[Mapping[str, Any]]) -> None:
    other: list[Mapping[str, Any]] = []
    begun = threading.Event()

    def listen(event: Mapping[str, Any]) -> None:
        other.append(event)
        begun.set()

    def run_other() -> None:
        run_in_child(targets.tick_then_end, 4, log=None, on_event=listen)

    thread = threading.Thread(target=run_other)
    thread.start()
    assert begun.wait(10)
    for _ in range(5):
        run_in_child(targets.leak_sessions, None, log=None, on_event=events.append, bounds=Bounds(wall_s=30))
    thread.join()
    assert [event["number"] for event in other] == [0, 1, 2, 3]


def test_timeout_kills_the_whole_group(events: list[Mapping[str, Any]]) -> None:
    ending = run_in_child(
        targets.hang_with_grandchildren, None, log=None, on_event=events.append, bounds=Bounds(wall_s=1.5)
    )
    assert ending == Ending(exit_code=-signal.SIGKILL, ended_for="time")
    assert gone_within(events[0]["pids"], 2)


def test_timeout_strikes_a_child_that_never_stops_reporting(events: list[Mapping[str, Any]]) -> None:
    ending = run_in_child(
        targets.hang_while_reporting, None, log=None, on_event=events.append, bounds=Bounds(wall_s=1.5)
    )
    assert ending.ended_for == "time"
    assert events


@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError, ValueError])
def test_what_the_listener_raises_ends_the_child_in_order_and_passes_on(
    error: type[BaseException], tmp_path: Path
) -> None:
    pids: list[int] = []

    def listen(event: Mapping[str, Any]) -> None:
        pids.append(event["pid"])
        raise error

    with pytest.raises(error):
        run_in_child(targets.wait_for_interrupt, tmp_path / "note", log=None, on_event=listen, bounds=Bounds(wall_s=20))
    assert (tmp_path / "note").read_text() == "ended in order"
    assert gone_within(pids, 1)


def test_a_child_that_will_not_end_is_killed_with_what_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "GRACE_S", 0.5)
    pids: list[int] = []

    def listen(event: Mapping[str, Any]) -> None:
        pids.extend(event["pids"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_child(targets.refuse_to_end, None, log=None, on_event=listen, bounds=Bounds(wall_s=20))
    assert gone_within(pids, 2)


def test_a_request_that_cannot_be_sent_leaves_nothing_open() -> None:
    run_in_child(targets.count, 1, log=None, on_event=lambda _: None)
    before = psutil.Process().num_fds()
    with pytest.raises(Exception, match=r"pickle|local object"):
        run_in_child(targets.count, lambda: None, log=None, on_event=lambda _: None)
    assert psutil.Process().num_fds() == before


def test_many_children_leave_no_descriptor_and_no_thread() -> None:
    run_in_child(targets.count, 1, log=None, on_event=lambda _: None)
    before = psutil.Process().num_fds(), threading.active_count()
    for _ in range(5):
        run_in_child(targets.count, 1, log=None, on_event=lambda _: None)
    assert (psutil.Process().num_fds(), threading.active_count()) == before


def test_children_of_two_threads_do_not_hold_each_others_pipes(events: list[Mapping[str, Any]]) -> None:
    """The short one must end while the long one, started after it, still runs."""
    endings: dict[str, float] = {}

    def run(name: str, target: Callable[..., None], timeout_s: float) -> None:
        run_in_child(target, 1, log=None, on_event=events.append, bounds=Bounds(wall_s=timeout_s))
        endings[name] = time.monotonic()

    threads = [
        threading.Thread(target=run, args=("long", targets.hang_while_reporting, 3)),
        threading.Thread(target=run, args=("short", targets.count, 20)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert endings["short"] < endings["long"]


def test_a_dead_fork_server_is_replaced(events: list[Mapping[str, Any]]) -> None:
    server.warm_up()
    os.kill(SERVER._forkserver_pid, signal.SIGKILL)
    time.sleep(0.2)
    assert run_in_child(targets.count, 1, log=None, on_event=events.append).exit_code == 0
    assert len(events) == 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_a_child_keeps_the_memory_it_freed(events: list[Mapping[str, Any]]) -> None:
    run_in_child(targets.fault_pages, 20, log=None, on_event=events.append)
    # Given back to the system, 64 MiB would be faulted in anew each time: 16 384 pages of 4 KiB, or 32 of 2 MiB.
    assert events[0]["faults"] < 20 * 16
