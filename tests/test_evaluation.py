"""Predictions kept for later readings: scores from them, and from them alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score
from torch import nn

from benchbird.batches import ResidentSplit
from benchbird.errors import Diverged
from benchbird.evaluation import predict_split, validate
from benchbird.protocol import Protocol
from tests.split_factory import memory_split

CPU = torch.device("cpu")


def model() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))


def logits_of(network: nn.Module, images: np.ndarray) -> torch.Tensor:
    network.eval()
    with torch.no_grad():
        scaled = (torch.tensor(images / 255, dtype=torch.float32) - 0.5) / 0.5
        result: torch.Tensor = network(scaled.repeat(1, 3, 1, 1))
    return result


def test_predictions_give_the_scores_of_an_independent_computation() -> None:
    split = memory_split("test", 19)
    network = model()
    prediction = predict_split(network, split, Protocol(image_size=16, batch_size=4), CPU)

    predicted = np.unpackbits(prediction.predicted, axis=1, count=256).astype(bool)
    logits = logits_of(network, split.images)
    assert np.array_equal(predicted, (logits > 0).flatten(1).numpy())
    actual = (split.masks >= 128).reshape(19, -1)
    assert np.array_equal(np.unpackbits(prediction.reference, axis=1, count=256).astype(bool), actual)
    scores = prediction.scores()
    assert scores.iou_pooled == pytest.approx(jaccard_score(actual.ravel(), predicted.ravel()), abs=1e-12)
    native = nn.functional.interpolate(logits, size=(32, 32), mode="bilinear", align_corners=False) > 0
    natives = np.stack([split.native_mask(i) for i in range(19)])
    assert scores.iou_native == pytest.approx(jaccard_score(natives.ravel(), native.flatten().numpy()), abs=1e-12)
    assert prediction.histogram.sum() == 19 * 256


@pytest.mark.parametrize("batch_size", [1, 3, 16, 64])
def test_scores_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    split = memory_split("test", 19)
    reference = predict_split(model(), split, Protocol(image_size=16, batch_size=5), CPU)
    other = predict_split(model(), split, Protocol(image_size=16, batch_size=batch_size), CPU)
    assert np.array_equal(reference.counts.protocol, other.counts.protocol)
    assert np.array_equal(reference.counts.native, other.counts.native)
    assert np.array_equal(reference.histogram, other.histogram)
    assert np.array_equal(reference.predicted, other.predicted)


def test_validation_counts_the_same_pixels_image_by_image_and_leaves_the_mode_alone() -> None:
    split = memory_split("val", 9)
    protocol = Protocol(image_size=16, batch_size=4)
    network = model().train()
    counts = validate(network, ResidentSplit(split, protocol, CPU), protocol)
    assert counts.dtype == np.int64 and counts.shape == (9, 4)
    assert np.array_equal(counts, predict_split(network, split, protocol, CPU).counts.protocol)
    assert network.training


def test_bf16_channels_last_stay_near_the_plain_protocol() -> None:
    split = memory_split("test", 9)
    plain = predict_split(model(), split, Protocol(image_size=16, batch_size=4), CPU).scores()
    fast_protocol = Protocol(image_size=16, batch_size=4, precision="bf16", channels_last=True)
    fast = predict_split(model(), split, fast_protocol, CPU).scores()
    assert plain.iou_pooled is not None
    assert fast.iou_pooled == pytest.approx(plain.iou_pooled, abs=0.02)


def test_a_logit_that_is_not_finite_is_divergence() -> None:
    class Infinite(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, :1] / 0

    with pytest.raises(Diverged, match="logits on the test split"):
        predict_split(Infinite(), memory_split("test", 3), Protocol(image_size=16), CPU)


def test_colour_images_and_channels_last_keep_their_values() -> None:
    split = memory_split("train", 4)
    colour = np.repeat(split.images, 3, axis=1)
    colour[:, 1] //= 2
    object.__setattr__(split, "images", colour)
    index = torch.tensor([2, 0])
    for channels_last in (False, True):
        resident = ResidentSplit(split, Protocol(channels_last=channels_last), CPU)
        pictures = resident.pictures(index)
        assert pictures.shape == (2, 3, 16, 16)
        expected = (torch.tensor(colour[[2, 0]] / 255, dtype=torch.float32) - 0.5) / 0.5
        torch.testing.assert_close(pictures, expected, atol=1e-6, rtol=0)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        assert pictures.is_contiguous(memory_format=layout)
