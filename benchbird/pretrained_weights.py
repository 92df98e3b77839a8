"""Pretrained weights that a library loads from its cache or the network: what to say where that fails.

Owns the sentences, for plugins. What is loaded, and by which library, is theirs.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from benchbird.errors import BenchbirdError

CACHE_VARIABLES = ("TORCH_HOME", "HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")


@contextlib.contextmanager
def loading_weights(what: str, advice: str) -> Iterator[None]:
    """Guard a block in which a library loads weights.

    Args:
        what: which, to follow "pretrained weights".
        advice: a sentence on how to place them by hand; see `hub_advice`.

    Raises:
        BenchbirdError: whatever the library raised, in a sentence that may be published, with the advice.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # downloads may be announced on stdout
            yield
    # No network, no such file, no space, wrong hash, broken archive: each library raises errors of its own.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0].replace(str(Path.home()), "~")
        raise BenchbirdError(
            f"pretrained weights {what} could not be loaded ({type(error).__name__}: {reason}). {advice}"
        ) from error


def hub_advice(repository: str, revision: str) -> str:
    """How to place a repository of the Hugging Face hub by hand, and how to check it."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    return (
        f"To place them by hand, run `hf download {repository} --revision {revision}` where there is a network and "
        f"copy the folder it makes to {publishable_path(folder)}; `hf cache verify {repository} --revision {revision}` "
        "compares the files' SHA-256 with the hub's"
    )


def publishable_path(path: Path) -> str:
    """A path in a cache without the user's name, since an error becomes part of a trial's record."""
    for variable in CACHE_VARIABLES:
        root = os.environ.get(variable)
        if root and path.is_relative_to(root):
            return f"${variable}/{path.relative_to(root)}"
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)
