"""From a segmenter's identity back to its model: the very source, the options, the seed of its weights.

Owns the checks on the way. Weights of a finished trial are put in by `restoration.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from benchbird.contract import SegmenterSpec
from benchbird.durable import file_sha256
from benchbird.errors import PluginError, ProtocolViolation
from benchbird.records import SegmenterIdentity
from benchbird.registry import SEGMENTERS, Registry, load_registry
from benchbird.seeding import derive_seed, seed_everything


def load_segmenter(
    segmenter: SegmenterIdentity,
    plugin_files: Sequence[Path],
    *,
    otherwise: str = "changed while the run was under way; run again",
) -> SegmenterSpec:
    """A segmenter from the very source whose hash its identity carries; of the named files, no other is run.

    Args:
        segmenter: which.
        plugin_files: plugins that the user named.
        otherwise: what to say of a source with another hash.

    Raises:
        PluginError: it is gone, or its source is another one.
    """
    name = segmenter.name
    registry = _load_own(segmenter, plugin_files)
    if name not in registry.segmenters:
        problems = "; ".join(registry.warnings) or "no plugin offers it any more"
        raise PluginError(f"segmenter {name} can't be loaded: {problems}")
    offer = registry.segmenters[name]
    if offer.plugin.source_sha256 != segmenter.source_sha256:
        raise PluginError(f"segmenter {name}: {offer.plugin.provenance} {otherwise}")
    return offer.spec


def _load_own(segmenter: SegmenterIdentity, plugin_files: Sequence[Path]) -> Registry:
    """What the segmenter comes from: its distribution, or its file.

    A rival that fails, or that turns torch's settings as it is imported, must not touch this segmenter.
    """
    own = [path for path in plugin_files if path.is_file() and file_sha256(path) == segmenter.source_sha256]
    try:
        registry = load_registry(own, groups={SEGMENTERS}, provenance=segmenter.plugin)
        if segmenter.name not in registry.segmenters:
            # What offers it is another file or version than it was: only its name tells which.
            registry = load_registry(plugin_files, groups={SEGMENTERS})
    except PluginError as error:
        # A record is meant to be published, and of a path with spaces nobody else can tell where it ends.
        text = str(error)
        for path in plugin_files:
            text = text.replace(str(path.resolve()), path.name).replace(str(path), path.name)
        raise PluginError(text) from error
    return registry


def build_model(spec: SegmenterSpec, segmenter: SegmenterIdentity, seed: int) -> nn.Module:
    """The segmenter's model on the CPU, its weights drawn from `seed`.

    Raises:
        ProtocolViolation: the plugin built something else.
    """
    seed_everything(derive_seed(seed, "build"))
    model: object = spec.build(**segmenter.options)
    if not isinstance(model, nn.Module):
        raise ProtocolViolation(f"build returned {type(model).__name__}, expected a torch.nn.Module")
    return model
