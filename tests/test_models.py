"""A trial gets its own segmenter, from the source that was planned, and runs no rival's file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchbird import models
from benchbird.durable import file_sha256
from benchbird.errors import PluginError, ProtocolViolation
from benchbird.models import build_model, load_segmenter
from benchbird.records import SegmenterIdentity
from benchbird.registry import Registry, load_registry
from tests.record_factory import make_segmenter

PLUGIN = """\
from pathlib import Path

from torch import nn

from benchbird import SegmenterSpec, hookimpl

BENCHBIRD_API = 1
Path(__file__).with_suffix(".ran").touch()


@hookimpl
def benchbird_segmenters():
    return [SegmenterSpec(name="{name}", build={build})]
"""


def write_plugin(folder: Path, name: str, build: str = "lambda: nn.Conv2d(3, 1, 3, padding=1)") -> Path:
    path = folder / f"{name}.py"
    path.write_text(PLUGIN.format(name=name, build=build))
    return path


def identity(path: Path) -> SegmenterIdentity:
    return replace(make_segmenter(path.stem), options={}, plugin=path.name, source_sha256=file_sha256(path))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [write_plugin(tmp_path, name) for name in ("rival", "mine", "other")]


def test_of_several_files_only_the_segmenters_own_is_run(files: list[Path]) -> None:
    spec = load_segmenter(identity(files[1]), files)
    assert spec.name == "mine"
    assert [path.with_suffix(".ran").exists() for path in files] == [False, True, False]


def test_of_what_is_installed_only_the_segmenters_own_distribution_is_loaded(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load(files: list[Path], **options: Any) -> Registry:
        asked.append((files, options["provenance"]))
        return load_registry(files, **options)

    monkeypatch.setattr(models, "load_registry", load)
    load_segmenter(identity(files[1]), files)
    assert asked == [([files[1]], "mine.py")]


def test_a_rivals_file_that_fails_does_not_matter(files: list[Path]) -> None:
    files[0].write_text("raise SystemExit('broken')")
    assert load_segmenter(identity(files[1]), files).name == "mine"


def test_a_file_that_is_another_one_now_is_refused(files: list[Path]) -> None:
    planned = identity(files[1])
    files[1].write_text(files[1].read_text() + "# a change\n")
    with pytest.raises(PluginError, match=r"segmenter mine: .*mine\.py changed while the run was under way; run again"):
        load_segmenter(planned, files)


def test_a_file_that_is_gone_is_named_without_its_folder(files: list[Path]) -> None:
    planned = identity(files[1])
    files[1].unlink()
    with pytest.raises(PluginError) as caught:
        load_segmenter(planned, files)
    assert "mine" in str(caught.value)
    assert str(files[1].parent) not in str(caught.value)


def test_the_weights_follow_from_the_seed(files: list[Path]) -> None:
    segmenter = identity(files[1])
    spec = load_segmenter(segmenter, files)
    first, again, other = (next(build_model(spec, segmenter, seed).parameters()) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert isinstance(build_model(spec, segmenter, 3), nn.Module)


def test_what_is_no_module_is_refused(tmp_path: Path) -> None:
    path = write_plugin(tmp_path, "mine", build="lambda: 'a model'")
    with pytest.raises(ProtocolViolation, match=r"build returned str, expected a torch\.nn\.Module"):
        build_model(load_segmenter(identity(path), [path]), identity(path), 0)
