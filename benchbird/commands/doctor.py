"""`benchbird doctor`: whether this machine is fit to run benchmarks."""

from __future__ import annotations

import dataclasses
import json
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from benchbird.diagnosis import Check

COLOURS = {"ok": "green", "notice": "yellow", "wrong": "red"}
VERDICT_WIDTH = max(map(len, COLOURS))
NAME_WIDTH = 9


@click.command(epilog="Example: benchbird doctor --data ~/BirdSoundsDenoising")
@click.option("--data", type=click.Path(path_type=Path), metavar="ROOT", help="Look at this data set's folders too.")
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              metavar="DIR", help="Where trials are to be kept.")  # fmt: skip
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR",
              help="Where prepared data are to be kept.  [default: as for run]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def command(ctx: click.Context, data: Path | None, results: Path, cache: Path | None, as_json: bool) -> None:
    """Check this machine: software, devices, folders, plugins.

    One line a check: `ok`; `notice`, which runs and deserves a look; `wrong`, with how to mend it. Nothing is
    sent, and nothing written but a probe file that is gone at once. Exit code 1 if anything is wrong.
    """  # fmt: skip
    from benchbird.cache_folder import cache_folder
    from benchbird.diagnosis import diagnose

    checks = []
    for check in diagnose(results=results, cache=cache_folder(cache), data=data):
        checks.append(check)
        if not as_json:  # at once: importing torch takes seconds
            for line in _lines(check):
                click.echo(line)
    wrong = sum(check.verdict == "wrong" for check in checks)
    if as_json:
        click.echo(json.dumps({"wrong": wrong, "checks": [dataclasses.asdict(check) for check in checks]}, indent=2))
    else:
        click.echo("\n" + _summary(checks, wrong))
    ctx.exit(1 if wrong else 0)


def _lines(check: Check) -> Iterator[str]:
    from benchbird.plain_text import plain_text

    indent = " " * (VERDICT_WIDTH + NAME_WIDTH + 4)
    width = max(min(shutil.get_terminal_size((120, 24)).columns, 120), 60)
    found = textwrap.wrap(plain_text(check.found, 1000), width - len(indent)) or [""]
    verdict = click.style(check.verdict.ljust(VERDICT_WIDTH), fg=COLOURS[check.verdict])
    yield f"{verdict}  {check.name:<{NAME_WIDTH}}  {found[0]}"
    yield from (indent + line for line in found[1:])
    if check.mend:
        yield from textwrap.wrap(f"→ {plain_text(check.mend, 600)}", width, initial_indent=indent,
                                 subsequent_indent=indent + "  ")  # fmt: skip


def _summary(checks: list[Check], wrong: int) -> str:
    notices = sum(check.verdict == "notice" for check in checks)
    if wrong:
        return f"{wrong} of {len(checks)} checks found something wrong"
    more = f", {notices} with a notice" if notices else ""
    return f"this machine is fit to run benchmarks: {len(checks)} checks{more}"
