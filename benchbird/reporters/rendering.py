"""Calls a reporter by its name and checks what it gives back; reporters may be anyone's."""

from __future__ import annotations

from benchbird.contract import ReporterSpec
from benchbird.errors import PluginError, UsageError
from benchbird.registry import Offer, Registry
from benchbird.standings import Leaderboard


def find_reporter(registry: Registry, name: str) -> Offer[ReporterSpec]:
    """The reporter of that name.

    Raises:
        UsageError: no plugin offers it; lists those offered and what could not be loaded.
    """
    if name not in registry.reporters:
        offered = ", ".join(registry.reporters) or "none"
        raise UsageError("\n".join([f"--format {name!r}: expected one of {offered}", *registry.warnings]))
    return registry.reporters[name]


def render_leaderboard(offer: Offer[ReporterSpec], leaderboard: Leaderboard) -> str:
    """The reporter's document, ending in a newline.

    Raises:
        PluginError: the reporter failed or returned something else than text.
    """
    try:
        document = offer.spec.render(leaderboard)
    except Exception as error:
        raise PluginError(
            f"{offer.plugin.origin}: reporter {offer.spec.name} failed: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(document, str):
        raise PluginError(
            f"{offer.plugin.origin}: reporter {offer.spec.name} returned {type(document).__name__}, expected text"
        )
    return document if document.endswith("\n") else document + "\n"
