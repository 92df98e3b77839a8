"""Small prepared splits made in memory or on disk from a seed: bright strokes are bird."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchbird.data.prepared import PreparedSplit
from benchbird.records import Counts


class MemorySplit(PreparedSplit):
    """A prepared split without files: native masks are given."""

    natives: tuple[npt.NDArray[np.bool_], ...]

    def native_mask(self, index: int) -> npt.NDArray[np.bool_]:
        return self.natives[index]


def memory_split(name: str, n_images: int, size: int = 16, seed: int = 0, scale: int = 2) -> MemorySplit:
    """`n_images` grey images of `size` with masks, and native masks `scale` times as big."""
    rng = np.random.default_rng([seed, len(name), n_images])
    coarse = rng.random((n_images, size // 4, size // 4)) < 0.25
    bird = coarse.repeat(4, axis=1).repeat(4, axis=2)
    noise = rng.integers(0, 90, (n_images, 1, size, size))
    images = np.clip(noise + 120 * bird[:, None], 0, 255).astype(np.uint8)
    split = MemorySplit(
        name=name,
        folder=Path("memory"),
        sample_ids=tuple(f"{name}{i:03d}" for i in range(n_images)),
        recording_ids=tuple(f"{name}{i // 2:03d}" for i in range(n_images)),
        attributes=tuple({} for _ in range(n_images)),
        content_hashes=tuple(f"{i:064x}" for i in range(n_images)),
        images=images,
        masks=(bird * 255).astype(np.uint8),
        native_sizes=tuple((size * scale, size * scale) for _ in range(n_images)),
        ceiling=Counts(1, 0, 0, 0),
        pixels_sha256="0" * 64,
    )
    natives = tuple(one.repeat(scale, axis=0).repeat(scale, axis=1) for one in bird)
    object.__setattr__(split, "natives", natives)
    return split
