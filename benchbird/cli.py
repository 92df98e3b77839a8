"""The list of commands, and the one place where an error becomes a message and an exit code.

Commands are imported when they are called, so that `--help` answers at once and never loads torch.
"""

from __future__ import annotations

import errno
import gc
import importlib
import logging
import os
import select
import signal
import sys
import tempfile
import threading
import traceback
from typing import Any

import click

from benchbird.errors import BenchbirdError, Interrupted
from benchbird.plain_text import without_controls

COMMANDS = {
    "run": "Train, test and time every segmenter of a benchmark, then rank them.",
    "status": "Show which trials are done, failed, under way or left behind.",
    "leaderboard": "Print the leaderboard of results on disk.",
    "scores": "Print every score: by definition, stratum, recording or threshold.",
    "publish": "Write a leaderboard into a Markdown or LaTeX file, between markers.",
    "verify": "Check results: every file's hash, every score from its predictions.",
    "compare": "Tell whether two results differ beyond the noise.",
    "new": "Write a benchmark or a plugin to begin with.",
    "plugin": "Check whether a segmenter keeps the contract, and what it costs.",
    "show": "Draw samples of a data set with their masks.",
    "report": "Write a page with everything that a study has to show.",
    "isolate": "Clean recordings: keep what a trained model takes for bird.",
    "predict": "Mark what a trained model takes for bird in recordings, for Raven or Audacity.",
    "export": "Write a trained model as an ONNX file for other programs.",
    "sound": "Score how much cleaner a study's masks make the test recordings.",
    "time": "Time training and inference, in figures that a paper can quote.",
    "noise": "Measure how much a segmenter's score moves with the seed alone.",
    "list": "List segmenters, data sets or plugins.",
    "data": "Check a data set, make one of annotated recordings, or write the embedded one.",
    "clean": "Remove what runs that died left behind.",
    "doctor": "Check this machine: software, devices, folders, plugins.",
}
"""Command → its one line in `--help`; each lives in `benchbird.commands.<name>` as `command`."""


STDOUT = 1

COLLECT_AFTER = 100_000
"""Objects after which Python looks for garbage: a command's live until its end, and looking cost it a twentieth."""

_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
"""What a disk answers that takes nothing more."""

RESUMING = frozenset({"run", "noise", "time", "data"})
"""Commands that go on where they were stopped."""

TERMINATED = 128 + signal.SIGTERM
"""Exit code of a command that SIGTERM ended."""


class _Unexplained(Exception):
    """Carries an exception, as its cause, past click's own ideas of what it means."""


class CommandList(click.Group):
    """Loads a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"benchbird.commands.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command asked for."""
        try:
            return super().invoke(ctx)
        except (EOFError, BrokenPipeError) as error:
            # Click would take the first for Ctrl-D and end with exit code 1, in silence, for the second.
            raise _Unexplained from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table in `--help`, without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"benchbird {version('benchbird')}")
        ctx.exit()


@click.group(cls=CommandList, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Log what happens inside, on stderr.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
              help="Print the version.")  # fmt: skip
def benchbird(verbose: bool) -> None:
    """Benchmark segmenters of birds in noisy spectrograms under one identical protocol.

    Example: benchbird run benchmarks/birdsound.yaml
    """
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 user error, 2 usage, 3 bug, 130 Ctrl-C, 143 SIGTERM."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _end)
    gc.set_threshold(COLLECT_AFTER)
    sys.exit(_exit_code(arguments))


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as orderly as Ctrl-C."""


def _end(_signal: int, _frame: object) -> None:
    raise _Terminated


def _exit_code(arguments: list[str] | None) -> int:
    try:
        code = benchbird.main(args=arguments, prog_name="benchbird", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BenchbirdError as error:
        # Paths and names in it may be a stranger's.
        click.echo(f"benchbird: {without_controls(str(error))}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        _be_deaf()
        name = next(iter(sys.argv[1:] if arguments is None else arguments), "")
        advice = "goes on where it stopped" if name in RESUMING else "begins anew"
        if isinstance(error.__cause__ or error, _Terminated):
            click.echo(f"benchbird: asked to end (SIGTERM); the same command {advice}", err=True)
            return TERMINATED
        click.echo(f"benchbird: interrupted; the same command {advice}", err=True)
        return Interrupted.exit_code
    except Exception as error:
        cause = error.__cause__ if isinstance(error, _Unexplained) and error.__cause__ else error
        if isinstance(cause, BrokenPipeError) and _reader_is_gone():
            # `| head` has seen enough: not an error, and nothing more can be printed.
            _close_output()
            return 0
        if isinstance(cause, OSError) and cause.errno in _REFUSALS:
            _close_output()
            what = cause.filename or "what was to be printed"
            click.echo(f"benchbird: {what} could not be written: {cause.strerror}; make room, then run again", err=True)
            return 1
        _tell_of_bug(cause)
        return 3


def _be_deaf() -> None:
    """Ignore further requests to end: the exit code is decided, and Python's own end would die of the next one."""
    if threading.current_thread() is threading.main_thread():
        for request in (signal.SIGINT, signal.SIGTERM):
            signal.signal(request, signal.SIG_IGN)


def _close_output() -> None:
    """Have what is still to be printed go nowhere, or the interpreter would fail at it once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)


def _reader_is_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(STDOUT, 0)
    return any(state & select.POLLERR for _, state in poll.poll(0))


def _tell_of_bug(error: BaseException) -> None:
    details = "".join(traceback.format_exception(error))
    try:
        descriptor, log = tempfile.mkstemp(prefix="benchbird-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(details)
        where = f"details are in {log}. Please report it with that file"
    except OSError as refusal:
        where = f"details could not be written ({refusal.strerror}), so here they are:\n{details}"
    click.echo(f"benchbird: a bug in benchbird ({type(error).__name__}: {error}); {where}", err=True)
