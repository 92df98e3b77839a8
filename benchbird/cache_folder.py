"""Where what can be made again is kept: prepared data and the index.

Owns the choice of the folder; it makes and reads nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT_VARIABLE = "BENCHBIRD_CACHE"


def cache_folder(option: Path | None) -> Path:
    """The folder: `--cache DIR`, else `BENCHBIRD_CACHE`, else the user's cache folder."""
    if option is not None:
        return option.expanduser()
    if chosen := os.environ.get(ENVIRONMENT_VARIABLE):
        return Path(chosen).expanduser()
    # The XDG specification says that a relative path there must be ignored.
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".cache") / "benchbird"
