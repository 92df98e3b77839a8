"""Each network that is installed learns four images by heart: a plugin that can't learn is a bug."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from benchbird.registry import SEGMENTERS, load_registry
from benchbird.seeding import seed_everything

REGISTRY = load_registry(groups={SEGMENTERS})
NETWORKS = [name for name, offer in REGISTRY.segmenters.items() if offer.spec.calibrate is None]

STEPS = 200
ENOUGH = 0.9
SIZE = 128
LEARNING_RATE = 1e-3


def four_images() -> tuple[torch.Tensor, torch.Tensor]:
    """Bright strokes and squares on noise, float32 `(4, 3, 128, 128)` in [-1, 1], and where they are."""
    generator = torch.Generator().manual_seed(7)
    level = torch.rand(4, 1, SIZE, SIZE, generator=generator) * 0.6
    target = torch.zeros(4, 1, SIZE, SIZE)
    for image in range(4):
        for _ in range(3):
            top, left = torch.randint(0, SIZE - 64, (2,), generator=generator).tolist()
            height, width = torch.randint(24, 64, (2,), generator=generator).tolist()
            target[image, 0, top : top + height, left : left + width] = 1
    images = (level + 0.4 * target) * 2 - 1
    return images.expand(4, 3, SIZE, SIZE).contiguous(), target


def pooled_iou(model: torch.nn.Module, images: torch.Tensor, target: torch.Tensor) -> float:
    with torch.no_grad():
        bird = model.eval()(images) > 0
    return float((bird & (target > 0)).sum() / (bird | (target > 0)).sum())


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_four_images_can_be_learnt_by_heart(name: str) -> None:
    spec = REGISTRY.segmenters[name].spec
    seed_everything(0)
    model = spec.build(**spec.complete_options({}))
    images, target = four_images()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    iou, step = 0.0, 0
    while step < STEPS and iou < ENOUGH:
        for _ in range(20):
            step += 1
            model.train()
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(model(images), target).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        iou = pooled_iou(model, images, target)
    print(f"{name}: IoU {iou:.3f} after {step} steps")
    assert iou >= ENOUGH
