"""Whether a line of a document is a command that the program would take."""

from __future__ import annotations

import shlex

import click

from benchbird.cli import benchbird


def parse(line: str) -> None:
    """Have the command line's own parser read a line that begins with `benchbird`.

    Raises:
        ClickException: it refuses the line.
    """
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = benchbird
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words.pop(0))
        if found is None:
            raise click.UsageError(f"no such command: {line}")
        command = found
    command.make_context(line, words, resilient_parsing=False)
