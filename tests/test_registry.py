from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import logging
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchbird import registry
from benchbird.contract import SegmenterSpec
from benchbird.errors import PluginError
from benchbird.registry import DATASETS, OBSERVERS, REPORTERS, SEGMENTERS, Registry, load_registry

HEADER = "from benchbird import SegmenterSpec, DatasetSpec, hookimpl\nBENCHBIRD_API = 1\n"


def segmenter(name: str) -> str:
    return f"""
@hookimpl
def benchbird_segmenters():
    return [SegmenterSpec(name={name!r}, build=dict)]
"""


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts distributions, modules and entry points where importlib finds them; no others are found."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    known = set(sys.modules)

    def only_ours(group: str) -> list[importlib.metadata.EntryPoint]:
        points = importlib.metadata.entry_points(group=group)
        return [one for one in points if one.dist is not None and one.dist.name.startswith("test-")]

    monkeypatch.setattr(registry, "entry_points", only_ours)

    def install(distribution: str, modules: dict[str, str], **groups: dict[str, str]) -> None:
        for name, source in modules.items():
            path = site / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        information = site / f"{distribution.replace('-', '_')}-2.5.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.5\n")
        lines = []
        for group, points in groups.items():
            lines += [f"[benchbird.{group}]", *(f"{name} = {value}" for name, value in points.items())]
        (information / "entry_points.txt").write_text("\n".join(lines) + "\n")
        importlib.invalidate_caches()

    yield install
    for name in set(sys.modules) - known:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def plugin_file(tmp_path: Path, install: Install) -> Callable[[str], Path]:
    """A plugin file of the user's, with no entry point beside it."""

    def write(source: str, name: str = "my plugin.py") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(source))
        return path

    return write


def test_an_entry_point_is_loaded_with_its_provenance(install: Install, tmp_path: Path) -> None:
    install("test-one", {"one_plugin.py": HEADER + segmenter("one")}, segmenters={"one": "one_plugin"})
    found = load_registry()
    assert list(found.segmenters) == ["one"]
    assert found.warnings == ()
    plugin = found.segmenters["one"].plugin
    assert plugin.provenance == "test-one 2.5"
    assert plugin.origin == "entry point one = one_plugin of test-one 2.5"
    assert plugin.source_sha256 == hashlib.sha256((tmp_path / "site/one_plugin.py").read_bytes()).hexdigest()
    assert "/" not in plugin.provenance + plugin.origin


BROKEN = {
    "missing module": (None, "ModuleNotFoundError: No module named 'broken_plugin'"),
    "missing import": (
        "import no_such_library\n",
        r"No module named 'no_such_library' \(broken_plugin.py:1\)",
    ),
    "exits": (HEADER + "raise SystemExit(3)", r"SystemExit: 3 \(broken_plugin.py:3\)"),
    "syntax": (HEADER + "\ndef f(:\n", r"SyntaxError: .*\(broken_plugin.py, line 4\)"),
    "no number": ("x = 1", "found no BENCHBIRD_API, expected BENCHBIRD_API = 1"),
    "wrong number": ("BENCHBIRD_API = 2", "found BENCHBIRD_API = 2, expected BENCHBIRD_API = 1"),
    "misspelt hook": (
        HEADER + "@hookimpl\ndef benchbird_segmentors(): return []",
        "not a valid plugin: unknown hook 'benchbird_segmentors'",
    ),
    "wrong argument": (
        HEADER + "@hookimpl\ndef benchbird_segmenters(config): return []",
        "not a valid plugin: .*config",
    ),
    "no mark": (HEADER + "def benchbird_segmenters(): return []", "it implements no hook"),
    "hook raises": (
        HEADER + "@hookimpl\ndef benchbird_segmenters():\n    return 1 / 0",
        r"benchbird_segmenters failed: ZeroDivisionError: division by zero \(broken_plugin.py:5\)",
    ),
    "hook exits": (
        HEADER + "import sys\n@hookimpl\ndef benchbird_segmenters(): sys.exit()",
        "benchbird_segmenters failed: SystemExit",
    ),
    "hook forgets to return": (
        HEADER + "@hookimpl\ndef benchbird_segmenters(): [1]",
        "it returned None, expected a list of SegmenterSpec",
    ),
    "one spec, no list": (
        HEADER + "@hookimpl\ndef benchbird_segmenters(): return SegmenterSpec(name='x', build=dict)",
        "expected a list of SegmenterSpec",
    ),
    "wrong kind": (
        HEADER + "@hookimpl\ndef benchbird_segmenters(): return [DatasetSpec(name='x', find=dict)]",
        "benchbird_segmenters returned DatasetSpec.*, expected SegmenterSpec values",
    ),
    "bad name": (HEADER + segmenter("No Good"), r"ValueError: segmenter name 'No Good'.*broken_plugin.py"),
}


def test_of_one_distribution_alone_no_other_is_imported(install: Install, tmp_path: Path) -> None:
    ran = f"\nfrom pathlib import Path\nPath({str(tmp_path)!r}, __name__).touch()\n"
    for name in ("mine", "rival"):
        source = HEADER + segmenter(name) + ran
        install(f"test-{name}", {f"test_{name}.py": source}, segmenters={name: f"test_{name}"})
    assert set(load_registry(provenance="test-mine 2.5").segmenters) == {"mine"}
    assert ((tmp_path / "test_mine").exists(), (tmp_path / "test_rival").exists()) == (True, False)
    assert set(load_registry(provenance="mine.py").segmenters) == set()
    assert set(load_registry().segmenters) == {"mine", "rival"}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_entry_point_is_one_warning_and_the_others_are_there(case: str, install: Install) -> None:
    source, message = BROKEN[case]
    modules = {} if source is None else {"broken_plugin.py": source}
    install("test-broken", modules, segmenters={"broken": "broken_plugin"})
    install("test-sound", {"sound_plugin.py": HEADER + segmenter("sound")}, segmenters={"sound": "sound_plugin"})
    found = load_registry()
    assert list(found.segmenters) == ["sound"]
    [warning] = found.warnings
    assert warning.startswith("entry point broken = broken_plugin of test-broken 2.5: ")
    assert re.search(message, warning), warning


@pytest.mark.parametrize("case", [case for case, (source, _) in BROKEN.items() if source is not None])
def test_a_broken_file_is_an_error(case: str, plugin_file: Callable[..., Path]) -> None:
    source, message = BROKEN[case]
    assert source is not None
    path = plugin_file(source, "broken_plugin.py")
    with pytest.raises(PluginError, match=message) as caught:
        load_registry([path])
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_that_fails_at_import_fails_again_the_next_time(plugin_file: Callable[..., Path]) -> None:
    path, names = plugin_file("1 / 0"), set(sys.modules)
    for _ in range(2):
        with pytest.raises(PluginError, match="ZeroDivisionError"):
            load_registry([path])
    assert not any(name.startswith("_benchbird_plugin_") for name in set(sys.modules) - names)


def test_an_interrupt_at_import_is_not_a_fault_of_the_plugin(plugin_file: Callable[..., Path]) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_registry([plugin_file("raise KeyboardInterrupt")])


def test_the_first_and_the_last_line_on_the_way_to_an_error(install: Install) -> None:
    install(
        "test-deep",
        {
            "deep/__init__.py": "BENCHBIRD_API = 1\n\nfrom deep import inner\n",
            "deep/inner.py": "def f():\n    raise ValueError('deep down')\n\n\nf()\n",
        },
        segmenters={"deep": "deep"},
    )
    [warning] = load_registry().warnings
    assert "ValueError: deep down (__init__.py:3 … inner.py:2); mend or remove the plugin" in warning


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_bytes(b"\x7fELF\x00\x01\xff\xfe"), "failed to load"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "failed to load"),
    ],
)
def test_what_is_no_python_file(make: Callable[[Path], None], message: str, tmp_path: Path, install: Install) -> None:
    path = tmp_path / "plugin.py"
    make(path)
    with pytest.raises(PluginError, match=message) as caught:
        load_registry([path])
    assert str(path) in str(caught.value)
    with pytest.raises(PluginError, match="can't be read"):
        load_registry([Path("a\0b")])


def test_a_file_is_loaded_from_its_path_alone(plugin_file: Callable[..., Path]) -> None:
    source = (
        HEADER
        + segmenter("mine")
        + "import dataclasses\n@dataclasses.dataclass\nclass Later:\n    x: int\n"
        + "TYPE = Later.__annotations__['x']\n"
    )
    path = plugin_file(source)
    search_path, names = list(sys.path), set(sys.modules)
    found = load_registry([path])
    assert sys.path == search_path
    assert not any(name in sys.modules for name in ("my plugin", "my_plugin"))
    plugin = found.segmenters["mine"].plugin
    assert plugin.provenance == "my plugin.py"
    assert plugin.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    # Compiled as Python compiles it, without the __future__ of the module that loads it.
    assert plugin.module.TYPE is int
    [name] = set(sys.modules) - names
    assert name.startswith("_benchbird_plugin_")


def test_a_file_is_run_once_a_process_and_anew_when_it_changed(plugin_file: Callable[..., Path]) -> None:
    path = plugin_file(HEADER + segmenter("mine"))
    first = load_registry([path, path, path.parent / "." / path.name])
    assert len(first.plugins) == 1
    assert load_registry([path]).plugins[0].module is first.plugins[0].module
    path.write_text(path.read_text() + "# one comment more\n")
    second = load_registry([path]).plugins[0]
    assert second.module is not first.plugins[0].module
    assert second.source_sha256 != first.plugins[0].source_sha256


def test_two_files_with_one_name_are_refused_with_both_paths(plugin_file: Callable[..., Path]) -> None:
    paths = [plugin_file(HEADER + segmenter("twin"), name) for name in ("a.py", "b.py")]
    for order in (paths, paths[::-1]):
        with pytest.raises(PluginError, match="two plugins offer the name 'twin' in segmenters") as caught:
            load_registry(order)
        assert all(str(path) in str(caught.value) for path in paths)


def test_an_entry_point_and_a_file_with_one_name_are_refused_with_both_origins(
    install: Install, plugin_file: Callable[..., Path]
) -> None:
    install("test-one", {"one_plugin.py": HEADER + segmenter("twin")}, segmenters={"one": "one_plugin"})
    path = plugin_file(HEADER + segmenter("twin"))
    with pytest.raises(PluginError) as caught:
        load_registry([path])
    assert "entry point one = one_plugin of test-one 2.5" in str(caught.value)
    assert str(path) in str(caught.value)


def test_offers_are_in_the_order_of_their_names_whatever_the_order_of_loading(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("zebra", "ant", "mole")):
        install(f"test-{name}", {f"p{number}.py": HEADER + segmenter(name)}, segmenters={name: f"p{number}"})
    given = sorted(importlib.metadata.entry_points(group="benchbird.segmenters"))
    ours = [point for point in given if point.name in ("zebra", "ant", "mole")]
    seen = []
    for points in (ours, ours[::-1]):
        monkeypatch.setattr(registry, "entry_points", lambda group, points=points: points)
        found = load_registry(groups={SEGMENTERS})
        seen.append(([*found.segmenters], [plugin.name for plugin in found.plugins]))
    assert seen[0] == seen[1]
    assert seen[0][0] == ["ant", "mole", "zebra"]


def test_only_the_groups_asked_for_are_imported(install: Install) -> None:
    both = HEADER + segmenter("one") + "@hookimpl\ndef benchbird_datasets(): return [DatasetSpec(name='d', find=dict)]"
    install("test-both", {"both.py": both}, segmenters={"b": "both"}, datasets={"b": "both"})
    install("test-heavy", {"heavy.py": "raise SystemError('imported')"}, segmenters={"heavy": "heavy"})
    found = load_registry(groups={DATASETS})
    assert (list(found.segmenters), list(found.datasets), found.warnings) == ([], ["d"], ())
    found = load_registry(groups={SEGMENTERS, DATASETS})
    assert (list(found.segmenters), list(found.datasets)) == (["one"], ["d"])
    assert len(found.plugins) == 1
    assert load_registry(groups={REPORTERS}).plugins == ()


def test_what_is_no_module_is_refused(install: Install) -> None:
    install("test-object", {"thing.py": HEADER + "class Thing: ..."}, segmenters={"thing": "thing:Thing"})
    assert "found type, expected a module" in load_registry().warnings[0]


PACKAGE = {
    "pack/__init__.py": "",
    "pack/plugin.py": HEADER + segmenter("packed"),
    "pack/layers/__init__.py": "",
    "pack/layers/attention.py": "x = 1\n",
}


def package_hash() -> str:
    return load_registry().segmenters["packed"].plugin.source_sha256


@pytest.mark.parametrize("name", PACKAGE)
def test_a_packages_hash_changes_with_one_byte_of_any_file(name: str, install: Install, tmp_path: Path) -> None:
    install("test-pack", PACKAGE, segmenters={"packed": "pack.plugin"})
    before = package_hash()
    path = tmp_path / "site" / name
    path.write_bytes(path.read_bytes() + b" ")
    assert package_hash() != before
    path.write_bytes(path.read_bytes()[:-1])
    assert package_hash() == before
    path.rename(path.with_name("renamed.py"))
    assert package_hash() != before


def test_what_is_no_source_does_not_change_a_packages_hash(install: Install, tmp_path: Path) -> None:
    install("test-pack", PACKAGE, segmenters={"packed": "pack.plugin"})
    before = package_hash()
    folder = tmp_path / "site/pack"
    (folder / "notes.txt").touch()
    (folder / ".#plugin.py").symlink_to("someone@somewhere.123")  # an editor's lock
    (folder / "folder.py").mkdir()
    assert package_hash() == before


def test_a_namespace_package_has_a_hash(install: Install, tmp_path: Path) -> None:
    install("test-space", {"space/plugin.py": HEADER + segmenter("packed")}, segmenters={"s": "space.plugin"})
    before = package_hash()
    (tmp_path / "site/space/plugin.py").write_text("changed")
    assert package_hash() != before


def test_source_that_is_gone_is_a_warning(install: Install, tmp_path: Path) -> None:
    install("test-one", {"one_plugin.py": HEADER + segmenter("one")}, segmenters={"one": "one_plugin"})
    load_registry()
    (tmp_path / "site/one_plugin.py").unlink()
    assert "its source can't be recorded: FileNotFoundError" in load_registry().warnings[0]


FOLDER = Path("trial")

OBSERVER = """
seen = []
@hookimpl
def benchbird_trial_finished(folder, record):
    seen.append((record, folder))
"""


def observers(install: Install, **sources: str) -> Registry:
    for name, source in sources.items():
        install(f"test-{name}", {f"{name}_plugin.py": HEADER + source}, observers={name: f"{name}_plugin"})
    return load_registry(groups={OBSERVERS})


@pytest.mark.parametrize("error", ["RuntimeError('no')", "SystemExit(1)"])
def test_an_observer_that_raises_changes_nothing(
    error: str, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    bad = f"@hookimpl\ndef benchbird_trial_finished(record): raise {error}"
    found = observers(install, a=OBSERVER, b=bad, c=OBSERVER)
    record: Any = object()
    with caplog.at_level(logging.WARNING):
        found.notify_finished(record, FOLDER)
    assert [sys.modules[f"{name}_plugin"].seen for name in "ac"] == [[(record, FOLDER)], [(record, FOLDER)]]
    assert "b_plugin: benchbird_trial_finished failed" in caplog.text


def test_an_observer_may_leave_out_what_it_has_no_use_for(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    found = observers(install, a="seen = []\n@hookimpl\ndef benchbird_trial_finished(): seen.append(1)")
    record: Any = object()
    found.notify_finished(record, FOLDER)
    assert sys.modules["a_plugin"].seen == [1]
    assert caplog.text == ""


def test_an_interrupt_in_an_observer_passes_on(install: Install) -> None:
    found = observers(install, a="@hookimpl\ndef benchbird_trial_finished(record): raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        found.notify_finished(None, FOLDER)  # type: ignore[arg-type]


def test_the_built_in_segmenters_come_by_entry_point() -> None:
    found = load_registry(groups={SEGMENTERS})
    assert found.warnings == ()
    assert set(found.segmenters) >= {"atrous_segnet", "deeplabv3", "unet", "threshold"}
    for offer in found.segmenters.values():
        assert isinstance(offer.spec, SegmenterSpec)
        assert "/" not in offer.plugin.provenance
        assert offer.plugin.provenance.startswith("benchbird ")
        assert len(offer.plugin.source_sha256) == 64
