"""Follows a document word for word in an empty folder: writes its files, runs its commands, compares what they print.

A fenced block `console` holds commands behind `$ ` with what they print; a line `…` stands for any lines. A block with
`title="NAME"` is a file. Numbers, digests and the machine are another machine's; every word must be the program's own.

    python -m tests.walkthrough docs/tutorial.md FOLDER     # writes what they print into the document, in a new FOLDER
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ELISION = "…"
_FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r'title="([^"]+)"')
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)

_OWN = (
    (re.compile(r"^\| *\d+ \| [a-z]+ +\|.*$", re.MULTILINE), "| a rank |"),
    (re.compile(r"^(?:- .* (?:is better than|are not separable) .*\n)+", re.MULTILINE), "- a verdict\n"),
    (re.compile(r"^†: .*\n", re.MULTILINE), ""),
    (re.compile(r"cache +\S+ \(.*"), "cache FOLDER"),
    (re.compile(r"(?:on|Machine:) [^,\n]+, \d+ cores?, \d+ GiB"), "on MACHINE"),
    (re.compile(r"\b[0-9a-f]{8,64}\b"), "DIGEST"),
    (re.compile(r"(?:\d+ (?:s|min|h|ms)\b ?)+"), "TIME"),
    (re.compile(r"[-−]?\d[\d.,]*(?:e-?\d+)?"), "N"),
    (re.compile(r":?-{2,}:?"), "--"),
    (re.compile(r" +"), " "),
)
"""What another machine prints otherwise: its speed, and what rounding makes of a training, up to who is first."""


@dataclass(frozen=True)
class FileStep:
    """A file that the reader writes."""

    name: str
    text: str


@dataclass(frozen=True)
class CommandStep:
    """A command that the reader runs, with what the document says it prints and where in the document that stands."""

    command: str
    shown: str
    at: tuple[int, int]


def steps(document: str) -> Iterator[FileStep | CommandStep]:
    """What there is to do, in order."""
    for fence in _FENCE.finditer(document):
        if title := _TITLE.search(fence[2]):
            yield FileStep(title[1], fence[3])
        elif fence[1] == "console":
            for command in _COMMAND.finditer(document, fence.start(3), fence.end(3)):
                yield CommandStep(command[1], command[2], command.span(2))


def follow(
    step: FileStep | CommandStep, folder: Path, environment: dict[str, str], limit_s: float = 600
) -> subprocess.CompletedProcess[str]:
    """Do one step in `folder`; what it printed, as a terminal shows it."""
    if isinstance(step, FileStep):
        (folder / step.name).write_text(step.text)
        return subprocess.CompletedProcess([], 0, "")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", step.command], cwd=folder, env=environment, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=limit_s,
    )  # fmt: skip
    done.stdout = done.stdout.replace(environment["HOME"], "~")
    return done


def is_real(shown: str, printed: str) -> bool:
    """Whether the document shows what was printed, up to what is each machine's own."""
    parts = [_any_machine(part) for part in re.split(rf"^{ELISION}\n", shown, flags=re.MULTILINE)]
    return re.fullmatch("(?:.*\n)*?".join(map(re.escape, parts)), _any_machine(printed)) is not None


def _any_machine(text: str) -> str:
    for pattern, word in _OWN:
        text = pattern.sub(word, text)
    return text


def shown_again(shown: str, printed: str) -> str:
    """What the document shows in place of `shown`: as many lines of the output before and after its `…`."""
    before, elision, after = shown.partition(f"{ELISION}\n")
    if not elision:
        return printed
    lines = printed.splitlines(keepends=True)
    head, tail = before.count("\n"), after.count("\n")
    return "".join([*lines[:head], elision, *lines[len(lines) - tail :]])


def reader_environment(home: Path) -> dict[str, str]:
    """That of a reader with an empty home, who has this installation's commands and has set nothing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BENCHBIRD_", "XDG_"))}
    commands = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return {**kept, "PATH": commands, "HOME": str(home)}


def rewrite(path: Path, folder: Path) -> None:
    """Follow the document at `path` in `folder`, which doesn't exist yet, and write into it what was printed."""
    document = path.read_text()
    found = []
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as home:
        for step in steps(document):
            done = follow(step, folder, reader_environment(Path(home)))
            if done.returncode:
                raise SystemExit(f"{step}: ended with exit code {done.returncode}\n{done.stdout}")
            if isinstance(step, CommandStep):
                sys.stdout.write(f"$ {step.command}\n{done.stdout}")
                found.append((step.at, shown_again(step.shown, done.stdout)))
    for (start, end), text in reversed(found):
        document = document[:start] + text + document[end:]
    path.write_text(document)


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]), Path(sys.argv[2]))
