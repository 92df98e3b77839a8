"""Why a trial failed, in words that may be published: its status, and one line without paths.

Owns how an exception is classed and described; nothing is caught here.
"""

from __future__ import annotations

import contextlib
import errno
import re
import traceback
from pathlib import Path

import torch

from benchbird.errors import Diverged, PluginError, ProtocolViolation
from benchbird.plain_text import plain_text
from benchbird.records import Status

_OUT_OF_MEMORY_SIGNS = ("can't allocate memory", "ALLOC_FAILED", "out of memory")


def status_of(error: BaseException) -> Status:
    """How a trial that raised `error` ended."""
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, ProtocolViolation):
        return "protocol_violation"
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "out_of_memory"
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:  # of mapped memory, or a process that can't fork
        return "out_of_memory"
    # The CPU's allocator and CUDA's libraries raise a plain RuntimeError.
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY_SIGNS):
        return "out_of_memory"
    return "failed"


def describe_error(error: BaseException) -> str:
    """One line that may be published: type, message without paths, and the deepest line of code."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    own = isinstance(error, Diverged | ProtocolViolation | PluginError)
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # a plugin's own exception may fail to describe itself
        lines = []
    # It goes to a terminal too, which would obey the escapes of a plugin's message.
    message = without_paths(plain_text(lines[0][:4096]) if lines else "") or "no message"
    return message[:500] if own else f"{type(error).__name__}: {message[:500]}{place}"


_DRIVE = r"(?:[A-Za-z]:)?"
_NAME = r"[^\s\\/'\":;,()]+"
_SOMEONES_HOME = re.compile(rf"(?<![\w.]){_DRIVE}(?:\\+|/)(?:(?:home|Users)(?:\\+|/){_NAME}|root(?![\w.-]))")
_QUOTED_PATH = re.compile(rf"(['\"])(?:~|{_DRIVE})(?:\\+|/)[^'\"]*[\\/]([^'\"\\/]*)\1")
_PATH = re.compile(
    rf"(?<![\w./])(?:file://)?(?:~|{_DRIVE}(?:\\+|/){_NAME})(?:\\+|/)(?:{_NAME}(?:\\+|/))*((?:{_NAME})?)"
)


def without_paths(text: str) -> str:
    """The text with every absolute path cut down to its last part: a record is meant to be published.

    A home folder, whose last part would be a user's name, becomes `~`. Web addresses stay.
    """
    with contextlib.suppress(RuntimeError):  # where there is no telling the home
        home = Path.home()
        if home != Path(home.anchor):
            text = text.replace(str(home), "~")
    text = _SOMEONES_HOME.sub("~", text)
    text = _QUOTED_PATH.sub(r"\1\2\1", text)  # a quoted path may hold spaces
    return _PATH.sub(r"\1", text)
