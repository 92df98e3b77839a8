"""The list of commands, and the one place where an error becomes a message and an exit code.

Commands are imported when they are called, so that `--help` answers at once and never loads torch.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
import traceback
from pathlib import Path

import click

from benchbird.errors import BenchbirdError, Interrupted

COMMANDS = {
    "run": "Train, test and time every segmenter of a benchmark, then rank them.",
    "leaderboard": "Print the leaderboard of results on disk.",
    "publish": "Write a leaderboard into a Markdown or LaTeX file, between markers.",
    "list": "List segmenters, data sets or plugins.",
    "data": "Check a data set, or write the embedded one as files.",
}
"""Command → its one line in `--help`; each lives in `benchbird.commands.<name>` as `command`."""


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


def _log_bug() -> Path:
    descriptor, name = tempfile.mkstemp(prefix="benchbird-", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(traceback.format_exc())
    return Path(name)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 user error, 2 usage, 3 bug, 130 interrupt."""
    try:
        code = benchbird.main(args=arguments, prog_name="benchbird", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BenchbirdError as error:
        click.echo(f"benchbird: {error}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("benchbird: interrupted; the same command goes on where it stopped", err=True)
        sys.exit(Interrupted.exit_code)
    except BrokenPipeError:
        # The reader went away (`| head`): not an error, and nothing more can be printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        log = _log_bug()
        click.echo(
            f"benchbird: a bug in benchbird ({type(error).__name__}: {error}); details are in {log}. "
            "Please report it with that file",
            err=True,
        )
        sys.exit(3)
