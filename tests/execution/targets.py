"""What children run in the tests of `execution/`; they import it by its name."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Report = Callable[[Mapping[str, Any]], None]

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


def count(request: int, report: Report) -> None:
    for number in range(request):
        report({"event": "number", "number": number})


def facts(_: object, report: Report) -> None:
    report({"pid": os.getpid(), "pgid": os.getpgid(0), "cwd": os.getcwd(), "stdin": sys.stdin.read()})


def tick_then_hang(request: int, report: Report) -> None:
    for number in range(request):
        report({"event": "tick", "number": number})
        time.sleep(1)
    time.sleep(600)


def tick_then_end(request: int, report: Report) -> None:
    for number in range(request):
        report({"event": "tick", "number": number})
        time.sleep(0.5)


def leak_sessions(_: object, report: Report) -> None:
    """One in a session of its own, and one by two forks as daemons are made, which starts another."""
    started = subprocess.Popen(SLEEP, start_new_session=True)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        daemon = os.fork()
        if daemon == 0:
            below = subprocess.Popen(SLEEP, start_new_session=True)
            os.write(writing, f"{os.getpid()} {below.pid}".encode())
            time.sleep(600)
        os._exit(0)
    os.wait()
    report({"pids": [started.pid, *map(int, os.read(reading, 100).split())]})


def tell_place(_: object, report: Report) -> None:
    report({"cores": sorted(os.sched_getaffinity(0)), "variable": os.environ.get("BENCHBIRD_TEST")})


def talk(_: object, report: Report) -> None:
    print("by print: ñ → \ud800")
    os.write(1, b"by write\n")
    libc = ctypes.CDLL(None)
    libc.puts(b"by puts")
    libc.fflush(None)
    os.system("echo by a shell; echo on stderr >&2")
    print("last words, without a newline", end="")


def chatter(request: int, report: Report) -> None:
    line = b"x" * 2**16 + b"\n"
    for _ in range(request // len(line) + 1):
        os.write(1, line)
    print("the end")


def leave(request: object, report: Report) -> None:
    sys.exit(request)  # type: ignore[arg-type]


def fail(request: str, report: Report) -> None:
    raise RuntimeError(request)


def crash(request: int, report: Report) -> None:
    report({"event": "before"})
    print("just before")
    os.kill(os.getpid(), request)
    time.sleep(60)


def quit_at_once(request: int, report: Report) -> None:
    report({"event": "before"})
    os._exit(request)


def start_grandchildren(report: Report) -> None:
    """One by exec and one by fork, which holds every pipe of the child."""
    started = subprocess.Popen(SLEEP)
    forked = os.fork()
    if forked == 0:
        time.sleep(600)
        os._exit(0)
    report({"pids": [os.getpid(), started.pid, forked]})


def leak_processes(_: object, report: Report) -> None:
    start_grandchildren(report)


def hang_with_grandchildren(_: object, report: Report) -> None:
    start_grandchildren(report)
    while True:
        pass


def hang_while_reporting(_: object, report: Report) -> None:
    while True:
        report({"event": "tick"})
        time.sleep(0.01)


def leave_a_thread(_: object, report: Report) -> None:
    threading.Thread(target=time.sleep, args=(600,)).start()


def wait_for_interrupt(request: Path, report: Report) -> None:
    try:
        report({"pid": os.getpid()})
        time.sleep(60)
    except KeyboardInterrupt:
        # A second request to end must not cut this short.
        os.kill(os.getpid(), signal.SIGTERM)
        request.write_text("ended in order")
        raise


def refuse_to_end(_: object, report: Report) -> None:
    start_grandchildren(report)
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            continue


def be_deaf(_: object, report: Report) -> None:
    """As in a long call of a library; deaf before anybody can ask, whichever thread the asking reaches."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    report({"pid": os.getpid()})
    time.sleep(60)


def fault_pages(rounds: int, report: Report) -> None:
    """Report how many pages were faulted in by taking, filling and freeing 64 MiB again and again."""

    def fill_and_free() -> int:
        assert b"x" * (64 * 2**20)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    first = fill_and_free()
    report({"faults": [fill_and_free() for _ in range(rounds)][-1] - first})
