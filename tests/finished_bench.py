"""A finished run of the small bench, made once a session: real records, predictions, weights and curves.

Tests read it, and change copies alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchbird.durable import file_sha256
from benchbird.record_json import record_bytes
from benchbird.records import TrialRecord
from benchbird.results import FoundRecord, find_records, read_record
from tests.small_bench import BENCHMARK, Bench, make_bench

PLUGIN = '''\
"""One convolution over the image and a random pattern that no file keeps."""
import torch
from torch import nn

from benchbird import SegmenterSpec, hookimpl

BENCHBIRD_API = 1


class Patterned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(4, 1, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.register_buffer("pattern", torch.randn(1, 1, 16, 16), persistent=False)

    def forward(self, images):
        pattern = self.pattern.expand(len(images), -1, -1, -1)
        return self.layer(torch.cat([self.norm(images), pattern], 1))


@hookimpl
def benchbird_segmenters():
    return [SegmenterSpec(name="patterned", build=Patterned)]
'''


def make_finished_bench(folder: Path) -> Bench:
    """Three segmenters, one of them from a plugin file with buffers, and two seeds: six finished trials."""
    bench = make_bench(folder)
    (folder / "mine.py").write_text(PLUGIN)
    benchmark = BENCHMARK.replace("  - threshold\n", "  - threshold\n  - patterned\n")
    (folder / "small.yaml").write_text(benchmark.replace("seeds: [0]", "seeds: [0, 1]\nplugins: [mine.py]"))
    done = bench.run()
    assert done.returncode == 0, done.stderr
    return bench


def trial_folder(results: Path, label: str, seed: int = 0) -> Path:
    """The folder of a trial below a results root."""
    (folder,) = (path.parent for path in results.rglob(f"{label}-*/seed-{seed}/record.json"))
    return folder


def found_trial(folder: Path) -> FoundRecord:
    """The one trial in a folder."""
    (found,) = find_records(folder).found
    return found


def copy_trial(bench: Bench, label: str, target: Path) -> Path:
    """A copy of a trial's folder in the existing folder `target`."""
    source = trial_folder(bench.results, label)
    return Path(shutil.copytree(source, target / source.name))


def rewrite_record(folder: Path, **changes: Any) -> TrialRecord:
    """Change fields of a trial's record and seal it again, as someone would who knows how."""
    record = replace(read_record(folder / "record.json"), **changes)
    (folder / "record.json").write_bytes(record_bytes(record))
    return record


def reseal_files(folder: Path) -> TrialRecord:
    """Make the record state the hashes that the files have now."""
    record = read_record(folder / "record.json")
    return rewrite_record(folder, files={name: file_sha256(folder / name) for name in record.files})


def document(text: str) -> Mapping[str, Any]:
    """One JSON document."""
    value = json.loads(text)
    assert isinstance(value, dict)
    return value
