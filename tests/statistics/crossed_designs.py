"""Hand-made crossed designs of seeds and recordings, for the tests of statistics."""

from __future__ import annotations

import numpy as np

from benchbird.statistics.student import FloatArray


def means_of(cells: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scores `(R,)` and left-out scores `(R, C)` of recordings of equal size with these scores `(R, C)`."""
    n_recordings = cells.shape[1]
    scores = cells.mean(1)
    return scores, (n_recordings * scores[:, None] - cells) / (n_recordings - 1)


def ratios_of(intersection: FloatArray, union: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Pooled scores `(R,)` and `(R, C)` without each recording, by adding up what is left."""
    scores = intersection.sum(1) / union.sum(1)
    kept = ~np.eye(intersection.shape[1], dtype=bool)
    left_out = np.stack([intersection[:, one].sum(1) / union[:, one].sum(1) for one in kept], axis=1)
    return scores, left_out


def orthogonal_cells(
    seed_effect: float, recording_effect: float, interaction: float, seeds: int = 4, recordings: int = 6
) -> FloatArray:
    """Cells `(R, C)` of 0.5 ± effects that are orthogonal and sum to 0, so that every mean square is exact.

    The sample variance over seeds of the effect is seed_effect² * R / (R - 1), over recordings likewise.
    """
    sign_seed = np.where(np.arange(seeds) % 2, 1.0, -1.0)[:, None]
    sign_recording = np.where(np.arange(recordings) % 2, 1.0, -1.0)[None, :]
    cells: FloatArray = 0.5 + seed_effect * sign_seed + recording_effect * sign_recording
    return cells + interaction * sign_seed * sign_recording


def random_cells(seed: int, seeds: int, recordings: int) -> FloatArray:
    """Cells `(R, C)` with effects of seeds and of recordings and noise."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0.6, 0.15, recordings) + rng.normal(0, 0.02, (seeds, 1))
    return np.asarray(level + rng.normal(0, 0.05, (seeds, recordings)), dtype=np.float64)
