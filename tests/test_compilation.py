"""Compiled models: the same answers, one graph for each shape, and a clear word where it can't be done."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch import nn

from benchbird import backend
from benchbird.batches import ResidentSplit
from benchbird.compilation import begin_pass, compiled
from benchbird.errors import UsageError
from benchbird.evaluation import predict_split, validate
from benchbird.protocol import Protocol
from tests.split_factory import memory_split

CPU = torch.device("cpu")
PLAIN = Protocol(image_size=16, batch_size=4)
COMPILED = Protocol(image_size=16, batch_size=4, compile=True)


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))


def test_a_plain_protocol_leaves_the_model_alone() -> None:
    model = small_model()
    assert compiled(model, PLAIN) is model


def test_predictions_are_the_models_and_incomplete_batches_make_no_further_graph() -> None:
    model = small_model()
    split = memory_split("test", 10)
    expected = predict_split(model, split, PLAIN, CPU)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    found = predict_split(compiled(model, COMPILED), split, COMPILED, CPU)
    counts = validate(compiled(model, COMPILED), ResidentSplit(split, COMPILED, CPU), COMPILED)
    # 4, 4 and 2 images, three times over, by two wrappers of one model.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert found.counts.protocol.shape == (10, 4)
    assert (abs(found.counts.protocol - expected.counts.protocol) <= 2).all()
    assert (counts == found.counts.protocol).all()
    assert (abs(found.histogram - expected.histogram).sum(axis=(1, 2)) <= 4).all()


def test_only_cuda_graphs_are_told_that_a_pass_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: told.append("begin"))
    for protocol in (PLAIN, COMPILED):
        begin_pass(protocol)
    assert told == []
    with backend.autocast(Protocol(compile="cuda_graphs"), CPU):
        pass
    assert told == ["begin"]


def test_cuda_graphs_are_asked_for_by_their_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    class OnCuda(nn.Module):
        def parameters(self, recurse: bool = True) -> Any:
            return iter([type("Parameter", (), {"device": torch.device("cuda", 0)})()])

    def fake_compile(model: nn.Module, **settings: Any) -> nn.Module:
        asked.append(settings)
        return model

    monkeypatch.setattr(torch, "compile", fake_compile)
    compiled(OnCuda(), Protocol(compile="cuda_graphs"))
    compiled(OnCuda(), Protocol(compile=True))
    assert asked == [{"dynamic": False, "mode": "reduce-overhead"}, {"dynamic": False, "mode": "default"}]


def test_cuda_graphs_without_cuda_are_refused() -> None:
    with pytest.raises(UsageError, match="cuda_graphs needs a CUDA device, this trial computes on cpu; use true"):
        compiled(small_model(), Protocol(compile="cuda_graphs"))


def test_a_machine_without_a_compiler_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match=r"needs a C\+\+ compiler on a CPU, and there is no g\+\+ or clang"):
        compiled(small_model(), COMPILED)
