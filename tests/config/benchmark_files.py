"""Benchmark files that several tests read, and how they write one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

SMALL = "name: b\nsegmenters: [unet]\n"

LAYERS = """name: b
data: {sizes: {train: 100, val: 20, test: 30}}
protocol: {epochs: 5, optimizer: {name: sgd, lr: 1e-2}}
segmenters: [{name: unet, options: {encoder: resnet50}}, threshold]
seeds: [0, 1, 2]
profiles:
  cpu:
    data: {sizes: {train: 10}}
    protocol: {optimizer: {lr: 0.5}}
    segmenters: [unet]
    seeds: [7]
  gpu:
    protocol: {precision: bf16}
"""

Write = Callable[[str], Path]
"""Writes a text as `b.yaml` into the working directory."""
