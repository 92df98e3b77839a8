"""F12: files and names made by somebody who means harm."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from benchbird.records import TrialRecord
from benchbird.results import add_record
from tests.data.picture_files import write_data_root
from tests.faults.hostile_plugins import Harm
from tests.faults.malicious_files import FILES
from tests.faults.suite import Fault
from tests.faults.watched_commands import Answer, Sandbox, make_sandbox
from tests.predictions_factory import MadeUpImages, write_study
from tests.record_factory import CPU, DATA, make_record, make_segmenter

MOST_BYTES = 512 * 2**20
TORCH_BYTES = 768 * 2**20
"""What `run` takes beside that, whatever it is given: it imports torch before it reads the benchmark."""

MORE_S = 5.0
"""Processor time beyond a plain command's."""

TEXTS = {
    "path": "../../x",
    "pipe": "a|b | 0.999 |",
    "script": "<script>alert(1)</script>",
    "end of script": "</script><b>",
    "formula": "=cmd()",
    "formula of a plus": "+cmd|' /C calc'!A0",
    "LaTeX": r"\input{/etc/passwd}\end{table}",
    "ANSI escapes": "\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b2J",
    "10 kB": "long " * 2000,
    "lines": "one\r\n| forged | row |\u2028three\0",
    "writing turned round": "\u202etxt.exe\u200b",
    "link": "![image](http://x/y.png) https://example.org",
}


@cache
def _plain(command: str) -> Answer:
    """The same command on what means no harm: a study, a data set, a benchmark that isn't there."""
    with tempfile.TemporaryDirectory() as folder:
        sandbox = make_sandbox(Path(folder))
        results = str(sandbox.work / "results")
        write_study(Path(results), {"unet": 0.7, "threshold": 0.5})
        write_data_root(sandbox.work / "birds")
        words = {"data": ("check", "birds"), "run": ("gone.yaml",), "run --dry-run": ("gone.yaml",),
                 "compare": (results, results)}  # fmt: skip
        return sandbox.call(*command.split(), *words.get(command, (results,)))


def _watch(answer: Answer) -> Answer:
    """Neither memory nor time out of proportion."""
    most_bytes = MOST_BYTES + (TORCH_BYTES if answer.command.startswith("run") else 0)
    assert answer.peak_bytes < most_bytes, f"{answer.command} took {answer.peak_bytes / 2**20:.0f} MiB"
    usual_s = _plain(answer.command).cpu_s
    assert answer.cpu_s < usual_s + MORE_S, f"{answer.command} took {answer.cpu_s:.1f} s, usually {usual_s:.1f} s"
    return answer


def _in_records(text: str, folder: Path) -> None:
    """Labels, options, reasons, names and machines of records; the four formats and `verify`."""
    sandbox = make_sandbox(folder)
    segmenter = make_segmenter("evil", options={"encoder": text, text: 1}, pretraining=text)
    segmenter = replace(segmenter, label=text, name=text, plugin=text)
    machine = replace(CPU, machine=text, cpu=text)
    data = replace(DATA, name=text)
    shared: dict[str, Any] = {"benchmark": text, "profile": text, "data": data, "environment": machine}
    records: list[TrialRecord] = [
        make_record(segmenter, **shared),
        make_record(segmenter, seed=1, status="failed", reason=f"it said {text}", **shared),
        make_record(segmenter, seed=2, status="failed", reason=text, **shared),
    ]
    for record in records:
        add_record(sandbox.work / "results" / "evil" / "study" / "evil-12345678" / f"seed-{record.seed}", record)
    documents = {}
    for reporter in ("markdown", "latex", "csv", "json"):
        answer = _watch(sandbox.call("leaderboard", "results", "--format", reporter))
        assert answer.code == 0, answer.stderr
        documents[reporter] = answer.stdout
    _check_markdown(documents["markdown"])
    _check_latex(documents["latex"])
    rows = list(csv.reader(io.StringIO(documents["csv"])))
    assert len(rows) == 4
    assert len({len(row) for row in rows}) == 1
    assert not [cell for row in rows for cell in row if re.match(r"[=+\-@\t\r]", cell)]
    assert len(json.loads(documents["json"])["failed"]) == 2
    _watch(sandbox.call("verify", "results"))
    _watch(sandbox.call("compare", "results", "results"))


def _check_markdown(document: str) -> None:
    lines = [line for line in document.splitlines() if line.startswith("|")]
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    assert len(lines) == 3, "a row was forged, or is missing"
    assert len(cells) == 1, "a cell was forged"
    assert not re.search(r"<[/a-z!]", document), "a tag came through"
    assert not re.search(r"(?<!\\)\]\(", document), "a link came through"
    assert "https://" not in document


def _check_latex(document: str) -> None:
    for command in (r"\input", "/etc/passwd}"):
        assert command not in document
    assert document.count(r"\end{table}") == 1
    plain = re.sub(r"\\[\\{}]", "", document)
    assert plain.count("{") == plain.count("}")


def _in_benchmark(text: str, folder: Path) -> None:
    """Names, labels, profiles, segmenters and options of a benchmark file: refused, each at its place."""
    sandbox = make_sandbox(folder)
    write_data_root(sandbox.work / "birds")
    benchmark = {
        "name": text, "data": {"root": "birds", "recording_pattern": text, "where": {text: text}, "name": text},
        "segmenters": [{"name": text, "label": text}, {"name": "atrous_segnet", "options": {text: text}}],
        "plugins": [text[:200]], "profiles": {text: {"name": text}},
    }  # fmt: skip
    (sandbox.work / "evil.yaml").write_text(json.dumps(benchmark))
    named = {"name": "fine", "data": {"root": "birds"},
             "segmenters": [{"name": "atrous_segnet", "options": {text: text, "base_channels": text}}]}  # fmt: skip
    (sandbox.work / "options.yaml").write_text(json.dumps(named))
    word = text.replace("\0", "")  # no command line can hold it
    options = ("--profile", word, "--set", f"name={word}", "--only", word)
    for arguments in (("evil.yaml",), ("options.yaml",), ("options.yaml", *options)):
        answer = _watch(sandbox.call("run", *arguments, "--device", "cpu", "--dry-run"))
        assert answer.code in (1, 2), answer.stdout
        assert answer.stderr.strip()
        assert answer.stdout == ""
        assert max(map(len, answer.stderr.splitlines())) < 2000, "a line that nobody can read"
    assert not (sandbox.work / "results").exists()


def _in_recordings(text: str, folder: Path) -> None:
    """Names of files, recordings and strata of a data set, and of predictions."""
    sandbox = make_sandbox(folder)
    birds = write_data_root(sandbox.work / "birds")
    stem = re.sub("[/\0]", "∕", text)[:60].strip() or "x"
    for kind in ("Images", "Masks"):
        next((birds / "Train" / kind).iterdir()).rename(birds / "Train" / kind / f"{stem}.png")
    next((birds / "Test" / "Images").iterdir()).write_bytes(text.encode())
    with (birds / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = [(path.stem, f"{text} {number}", text) for number, path in enumerate(birds.glob("*/Images/*"))]
        csv.writer(stream).writerows([("name", "recording", text.replace("\0", "") or "kind"), *rows])
    answer = _watch(sandbox.call("data", "check", "birds"))
    assert answer.code == 1
    assert not answer.stderr or answer.stderr.startswith("benchbird: ") or "%" in answer.stderr, answer.stderr
    images = MadeUpImages(n_recordings=6, attributes={"kind": (text, "other"), text: ("a", "b")})
    write_study(sandbox.work / "results", {"unet": 0.7, "threshold": 0.5}, images=images)
    for arguments in (("--by", "kind"), ("--by", "recording"), ("--by", text.replace("\0", ""))):
        _watch(sandbox.call("scores", "results", *arguments))


def _in_plugins(text: str, folder: Path) -> None:
    """What a plugin says as it fails to load, and as its trial fails."""
    sandbox = make_sandbox(folder)
    write_data_root(sandbox.work / "birds", train=4, val=2, test=2)
    (sandbox.work / "refuses.py").write_text(f"BENCHBIRD_API = 1\nraise RuntimeError({text!r})\n")
    (sandbox.work / "raises.py").write_text(
        Harm(name="raises", before=f"if is_trial(): raise RuntimeError({text!r})").text()
    )
    (sandbox.work / "small.yaml").write_text(json.dumps({
        "name": "small", "data": {"root": "birds"}, "segmenters": ["raises"],
        "protocol": {"image_size": 16, "batch_size": 2, "epochs": 1},
    }))  # fmt: skip
    refused = _watch(sandbox.call("run", "small.yaml", "--device", "cpu", "--plugin", "refuses.py"))
    assert refused.code == 1
    assert "refuses.py: failed to load" in refused.stderr
    failed = sandbox.call("run", "small.yaml", "--device", "cpu", "--plugin", "raises.py")
    assert failed.code == 1
    assert "raises" in failed.stdout
    [record] = (sandbox.work / "results").rglob("record.json")
    assert len(json.loads(record.read_text())["reason"]) < 1000
    assert not re.search(r"<[/a-z!]", failed.stdout)
    assert max(map(len, failed.stderr.splitlines())) < 2000


PLACES: dict[str, Callable[[str, Path], None]] = {
    "records": _in_records,
    "a benchmark": _in_benchmark,
    "recordings": _in_recordings,
    "plugins": _in_plugins,
}


def check(case: str, folder: Path) -> None:
    """Carry out one case."""
    if case in FILES:
        sandbox: Sandbox = make_sandbox(folder)
        for answer in FILES[case](sandbox):
            _watch(answer)
        return
    text, _, place = case.partition(" in ")
    PLACES[place](TEXTS[text], folder)


FAULT = Fault(
    number="F12",
    title="malicious files (pickles, headers of 100 GB, bombs, YAML tags) and names (paths, markup, formulas, escapes)",
    promise="no code of theirs runs, nothing is written elsewhere, < 512 MiB, < 5 s more, every format escaped",
    cases=[*FILES, *(f"{text} in {place}" for place in PLACES for text in TEXTS)],
    short=["pickle as weights", "pickle as predictions", "tags of Python objects in YAML",
           "script in records", "lines in recordings"],
    case_s=8,
    check=check,
)  # fmt: skip
