"""The errors benchbird raises for people, and the exit code each one ends a command with.

    BenchbirdError            1   something the user can mend
    ├── ConfigError           1   the benchmark file, a profile or a --set
    ├── PluginError           1   a plugin, or the choice of a segmenter, data set or reporter
    ├── DataError             1   images, masks, splits, the cache
    ├── ResultsError          1   records, claims, checkpoints, published tables
    │   ├── DiskRefused       1   a write that failed: disk full, read-only, forbidden
    │   └── ClaimLost         1   another run has taken the trial over
    ├── ProtocolViolation     1   a model or plugin broke the contract or the protocol
    ├── Diverged              1   a loss or logit that is not a finite number
    ├── UsageError            2   a command line that can't be meant as it stands
    └── Interrupted         130   the user asked to stop

A message says what was found, where, what was expected and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class BenchbirdError(Exception):
    """Root of every error that a person caused and a person can mend."""

    exit_code = 1


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a benchmark file.

    Attributes:
        where: `file:line:column`, or the option it came from (`--set protocol.epochs=x`).
        key: dotted key path, empty for the file as a whole.
        message: what was found and what was expected.
    """

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.message) if part)


class ConfigError(BenchbirdError):
    """The benchmark can't be used as written; carries every fault found, not the first one."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class PluginError(BenchbirdError):
    """A plugin could not be loaded or does not keep the contract, or a name that no plugin offers."""


class DataError(BenchbirdError):
    """Images, masks, splits or the cache are not what they must be."""


class ResultsError(BenchbirdError):
    """A record, claim, checkpoint or published table can't be read or written."""


class DiskRefused(ResultsError):
    """A file or folder could not be written; whatever was there before is whole."""


class ClaimLost(ResultsError):
    """The trial belongs to another run by now, since this one was silent for long; nothing more may be written."""


class ProtocolViolation(BenchbirdError):
    """A model or plugin broke the contract: wrong shape, wrong dtype, a flipped global flag."""


class Diverged(BenchbirdError):
    """Training or prediction left the finite numbers."""


class UsageError(BenchbirdError):
    """The command line asks for something that can't be meant."""

    exit_code = 2


class Interrupted(BenchbirdError):
    """The user asked to stop; what was finished stays, the rest goes on at the next run."""

    exit_code = 130
