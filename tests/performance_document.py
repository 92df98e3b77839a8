"""Measured blocks of docs/performance.md: each is replaced by the script that measures it."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import torch

from benchbird.environment import capture_environment, describe_machine

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"


def place(name: str, text: str) -> None:
    """Put `text` between the markers of the block `name`, or at the end where there are none."""
    begin, end = f"<!-- measured: {name} begin -->", f"<!-- measured: {name} end -->"
    document = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
    block = f"{begin}\n\n{text.strip(chr(10))}\n\n{end}"
    if begin in document:
        before, _, rest = document.partition(begin)
        document = before + block + rest.partition(end)[2]
    else:
        document = f"{document.rstrip()}\n\n{block}\n"
    DOCUMENT.write_text(document, encoding="utf-8")


@contextlib.contextmanager
def transcript(name: str, command: str) -> Iterator[None]:
    """Place what the block prints, word by word; the command's arguments stand in it."""
    shown, heard = sys.stdout, io.StringIO()

    class Both(io.TextIOBase):
        def write(self, text: str) -> int:
            heard.write(text)
            return shown.write(text)

        def flush(self) -> None:
            shown.flush()

    with contextlib.redirect_stdout(Both()):
        yield
    place(name, f"{provenance(command)}\n\n```text\n{heard.getvalue().strip()}\n```")


def provenance(command: str) -> str:
    """Command, date, machine and commit of a measurement."""
    commit = _git("rev-parse", "--short", "HEAD") + (
        "+" if _git("status", "--porcelain", "benchbird", "plugins") else ""
    )
    machine = describe_machine(capture_environment(torch.device("cpu")))
    capability = torch.backends.cpu.get_cpu_capability()
    return (
        f"    {command}\n\n{date.today().isoformat()}, {machine}, {capability}, torch {torch.__version__}, "
        f"commit {commit}."
    )


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _git(*words: str) -> str:
    result = subprocess.run(["git", *words], cwd=DOCUMENT.parent, capture_output=True, text=True, check=False)
    return result.stdout.strip() or ("unknown" if words[0] == "rev-parse" else "")
