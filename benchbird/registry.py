"""Which plugins there are and what they offer: the only module that touches pluggy's manager.

Owns loading, the API check, provenance and the refusal of duplicate names. What a segmenter does is the
plugin's; whether a benchmark may use it is `config.py`'s.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import traceback
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

import pluggy

from benchbird import hookspecs
from benchbird.contract import API_VERSION, DatasetSpec, ReporterSpec, SegmenterSpec
from benchbird.durable import file_sha256
from benchbird.errors import PluginError
from benchbird.records import TrialRecord

logger = logging.getLogger(__name__)

SEGMENTERS, DATASETS, REPORTERS, OBSERVERS = GROUPS = ("segmenters", "datasets", "reporters", "observers")
_SPEC_TYPES: Mapping[str, type] = {
    SEGMENTERS: SegmenterSpec,
    DATASETS: DatasetSpec,
    REPORTERS: ReporterSpec,
}

Spec = TypeVar("Spec", SegmenterSpec, DatasetSpec, ReporterSpec)


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin.

    Attributes:
        name: how pluggy knows it.
        origin: where it came from, for a person: `entry point … of benchbird 0.1.0` or a file's path.
        provenance: the same, fit to be published: `benchbird 0.1.0`, or the file's bare name.
        source_sha256: of its source, 64 hex digits.
        module: the module with the hook implementations.
    """

    name: str
    origin: str
    provenance: str
    source_sha256: str
    module: types.ModuleType


@dataclass(frozen=True)
class Offer(Generic[Spec]):
    """Something a plugin offers, with the plugin it came from."""

    spec: Spec
    plugin: Plugin


@dataclass(frozen=True)
class Registry:
    """Everything the loaded plugins offer, by name, and what could not be loaded."""

    plugins: tuple[Plugin, ...]
    segmenters: Mapping[str, Offer[SegmenterSpec]]
    datasets: Mapping[str, Offer[DatasetSpec]]
    reporters: Mapping[str, Offer[ReporterSpec]]
    warnings: tuple[str, ...]
    _manager: pluggy.PluginManager = field(repr=False)

    def notify_finished(self, record: TrialRecord, folder: Path) -> None:
        """Tell observers of an ended trial, which lies in `folder`; what they raise is logged and changes nothing."""
        told = {"record": record, "folder": folder}
        for implementation in self._manager.hook.benchbird_trial_finished.get_hookimpls():
            try:
                # As pluggy calls it: an implementation may leave out an argument it has no use for.
                implementation.function(*(told[name] for name in implementation.argnames))
            except (Exception, SystemExit) as error:
                logger.warning("%s: benchbird_trial_finished failed: %s", implementation.plugin_name, error)


def load_registry(
    files: Sequence[Path] = (), groups: Collection[str] = GROUPS, provenance: str | None = None
) -> Registry:
    """Load the plugins of `groups` from entry points, and `files`, which the user named.

    A broken entry point becomes a warning. A broken file is an error.

    Args:
        files: Python files.
        groups: of entry points.
        provenance: load the entry points of this distribution alone, such as `benchbird 0.1.0`; None for all.

    Raises:
        PluginError: a named file can't be used, or two plugins offer one name.
    """
    manager = pluggy.PluginManager("benchbird")
    manager.add_hookspecs(hookspecs)
    plugins: list[Plugin] = []
    warnings: list[str] = []
    _folder_sha256.cache_clear()
    for entry_point in _distinct_entry_points(groups):
        if provenance not in (None, _provenance(entry_point)):
            continue
        try:
            plugin = _from_entry_point(entry_point)
            _register(manager, plugin)
            plugins.append(plugin)
        except PluginError as error:
            warnings.append(str(error))
    for path in files:
        plugin = _from_file(path)
        if all(plugin.name != known.name for known in plugins):
            _register(manager, plugin)
            plugins.append(plugin)
    by_name = {plugin.name: plugin for plugin in plugins}
    named_files = {str(path.resolve()) for path in files}

    def collect(group: str) -> dict[str, Offer[Any]]:
        if group not in groups:
            return {}
        return _collect(manager, group, by_name, named_files, warnings)

    return Registry(
        plugins=tuple(plugins),
        segmenters=collect(SEGMENTERS),
        datasets=collect(DATASETS),
        reporters=collect(REPORTERS),
        warnings=tuple(warnings),
        _manager=manager,
    )


def _distinct_entry_points(groups: Collection[str]) -> list[EntryPoint]:
    """Entry points of the groups in the order of their names, each module once."""
    found: dict[str, EntryPoint] = {}
    for group in groups:
        for entry_point in entry_points(group=f"benchbird.{group}"):
            found.setdefault(entry_point.value, entry_point)
    return sorted(found.values(), key=lambda entry_point: (entry_point.name, entry_point.value))


def _provenance(entry_point: EntryPoint) -> str:
    distribution = entry_point.dist
    return f"{distribution.name} {distribution.version}" if distribution else "unknown distribution"


def _from_entry_point(entry_point: EntryPoint) -> Plugin:
    provenance = _provenance(entry_point)
    origin = f"entry point {entry_point.name} = {entry_point.value} of {provenance}"
    module = _guarded(f"{origin}: failed to load", entry_point.load)
    if not isinstance(module, types.ModuleType):
        raise PluginError(f"{origin}: found {type(module).__name__}, expected a module with hook functions")
    _check_api(module, origin)
    return Plugin(
        name=entry_point.value,
        origin=origin,
        provenance=provenance,
        source_sha256=_guarded(f"{origin}: its source can't be recorded", lambda: _source_sha256(module)),
        module=module,
    )


def _from_file(path: Path) -> Plugin:
    origin = str(path)
    try:
        source = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PluginError(f"{origin}: the plugin can't be read: {reason}; expected a Python file") from error
    digest = hashlib.sha256(source).hexdigest()
    module = _run_file(str(path.resolve()), source, f"_benchbird_plugin_{digest[:12]}", origin)
    _check_api(module, origin)
    return Plugin(name=str(path.resolve()), origin=origin, provenance=path.name, source_sha256=digest, module=module)


def _run_file(file: str, source: bytes, name: str, origin: str) -> types.ModuleType:
    """The module made of `source`, run once a process, as by an import."""
    known = sys.modules.get(name)
    if known is not None and known.__file__ == file:
        return known
    module = types.ModuleType(name)
    module.__file__ = file
    # Registered before it runs, as the import system does: dataclasses and pickle look themselves up there.
    sys.modules[name] = module

    def execute() -> None:
        # Not inherited: this module's own `from __future__ import annotations` would hold in the plugin.
        exec(compile(source, file, "exec", dont_inherit=True), module.__dict__)

    try:
        _guarded(f"{origin}: failed to load", execute)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _guarded(what_failed: str, action: Callable[[], Any]) -> Any:
    """Run a plugin's own code; whatever it raises becomes a PluginError with the plugin's line."""
    try:
        return action()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        found = f"{type(error).__name__}: {error}{_lines_in_plugin(error)}"
        raise PluginError(f"{what_failed}: {found}; mend or remove the plugin") from error


def _lines_in_plugin(error: BaseException) -> str:
    """The plugin's first line on the way to the error, and the line that raised it."""
    if isinstance(error, SyntaxError):
        return ""  # says so itself
    places = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "importlib" not in frame.filename
    ]
    return f" ({' … '.join(dict.fromkeys((places[0], places[-1])))})" if places else ""


def _check_api(module: types.ModuleType, origin: str) -> None:
    api = getattr(module, "BENCHBIRD_API", None)
    if api != API_VERSION:
        found = "no BENCHBIRD_API" if api is None else f"BENCHBIRD_API = {api!r}"
        raise PluginError(
            f"{origin}: found {found}, expected BENCHBIRD_API = {API_VERSION}; "
            "write that line into the module, or install a version of the plugin for this benchbird"
        )


def _register(manager: pluggy.PluginManager, plugin: Plugin) -> None:
    try:
        manager.register(plugin.module, name=plugin.name)
        manager.check_pending()
        if not manager.get_hookcallers(plugin.module):
            raise ValueError("it implements no hook; mark a function such as benchbird_segmenters with @hookimpl")
    except (pluggy.PluginValidationError, ValueError) as error:
        if manager.has_plugin(plugin.name):
            manager.unregister(name=plugin.name)
        reason = " ".join(str(error).split())
        raise PluginError(f"{plugin.origin}: not a valid plugin: {reason}") from error


def _collect(
    manager: pluggy.PluginManager,
    group: str,
    plugins: Mapping[str, Plugin],
    named_files: Collection[str],
    warnings: list[str],
) -> dict[str, Offer[Any]]:
    """The offers of one group, sorted by name; called one by one so that each keeps its provenance."""
    offers: dict[str, Offer[Any]] = {}
    hook: pluggy.HookCaller = getattr(manager.hook, f"benchbird_{group}")
    for implementation in sorted(hook.get_hookimpls(), key=lambda one: one.plugin_name):
        plugin = plugins[implementation.plugin_name]
        try:
            specs = _checked_specs(plugin, group, implementation.function)
        except PluginError as error:
            if plugin.name in named_files:
                raise
            warnings.append(str(error))
            continue
        for spec in specs:
            if spec.name in offers:
                raise PluginError(
                    f"two plugins offer the name {spec.name!r} in {group}: "
                    f"{offers[spec.name].plugin.origin}, and {plugin.origin}; rename one or remove one"
                )
            offers[spec.name] = Offer(spec=spec, plugin=plugin)
    return dict(sorted(offers.items()))


def _checked_specs(plugin: Plugin, group: str, hook: Callable[[], object]) -> list[Any]:
    def call() -> list[Any]:
        returned = hook()
        if not isinstance(returned, Iterable):
            raise TypeError(f"it returned {returned!r}, expected a list of {_SPEC_TYPES[group].__name__}")
        return list(returned)

    specs: list[Any] = _guarded(f"{plugin.origin}: benchbird_{group} failed", call)
    for spec in specs:
        if not isinstance(spec, _SPEC_TYPES[group]):
            raise PluginError(
                f"{plugin.origin}: benchbird_{group} returned {spec!r}, expected {_SPEC_TYPES[group].__name__} values"
            )
    return specs


def _source_sha256(module: types.ModuleType) -> str:
    """Hash of a module's file, or of every Python file of the package it belongs to."""
    if getattr(module, "__file__", None) is None:
        raise ValueError("the module has no file")
    file = Path(str(module.__file__))
    package = module.__name__.partition(".")[0]
    if package == module.__name__ and not hasattr(module, "__path__"):
        return file_sha256(file)
    # A namespace package has no file of its own.
    return _folder_sha256(Path(sys.modules[package].__file__ or file).parent)


@cache
def _folder_sha256(folder: Path) -> str:
    """Remembered while plugins are loaded, since one package may hold several."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        if path.is_file():  # an editor's lock is a dangling link
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(bytes.fromhex(file_sha256(path)))
    return digest.hexdigest()
