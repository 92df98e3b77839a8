"""The contract's points as pytest's tests: one test for each point of each segmenter.

For plugin authors' own suites, by `contract_tests` or `pytest --benchbird`. pytest loads this wherever benchbird is
installed, so that it imports nothing heavy and does nothing unless it is asked. The points are `testing.py`'s.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from benchbird.contract import OptionValue, SegmenterSpec
from benchbird.contract_points import POINTS, keys_for
from benchbird.errors import PluginError
from benchbird.plugin_check import file_and_name, specs_of

IMAGE_SIZE = 64


def contract_tests(
    what: str | Path | SegmenterSpec | Iterable[SegmenterSpec],
    *,
    options: Mapping[str, OptionValue] | None = None,
    image_size: int = IMAGE_SIZE,
) -> Callable[..., None]:
    """Make a test function that holds one test for each point of the contract.

    `test_contract = contract_tests("my_net")` is all that a file of tests needs; pytest names them
    `test_contract[my_net-build]` and so on. A segmenter is looked at once, by the first of its tests. A point that
    can't be looked at, since one before it is broken, is skipped.

    Args:
        what: the name of an installed segmenter, a plugin's file, a spec, or what a hook returns.
        options: those that differ from the defaults.
        image_size: side of the square test images in pixels, rounded up to the spec's `size_multiple`.

    Raises:
        CollectError: pytest's own: there is no such segmenter, its plugin can't be loaded, or `what` is none of these.
    """
    try:
        points = _points(what, options or {}, image_size)
    except PluginError as error:
        raise pytest.Collector.CollectError(str(error)) from error

    @pytest.mark.parametrize("point", points, ids=[point.id for point in points])
    def test_contract(point: _PointTest) -> None:
        point.check()

    # Where pytest says the test stands: in the author's file, not here.
    test_contract.place_as = sys._getframe(1).f_code  # type: ignore[attr-defined]
    return test_contract


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--benchbird`."""
    parser.getgroup("benchbird").addoption(
        "--benchbird", action="append", default=[], metavar="FILE|NAME",
        help="Also test that this segmenter, by its plugin's file or its name, keeps benchbird's contract. "
             "Can be repeated.",
    )  # fmt: skip


@pytest.hookimpl(tryfirst=True)  # before those that choose among the tests, such as -k
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the tests that `--benchbird` asks for."""
    targets: list[str] = config.getoption("--benchbird")
    for target in targets:
        try:
            points = _points(target, {}, IMAGE_SIZE)
        except PluginError as error:
            raise pytest.UsageError(f"--benchbird {target}: {error}") from error
        items += [_PointItem.from_parent(session, point=point) for point in points]


@dataclass(frozen=True)
class _Examination:
    """One segmenter with its options, looked at when the first of its points is asked for."""

    spec: SegmenterSpec
    options: Mapping[str, OptionValue]
    image_size: int

    @cached_property
    def failures(self) -> Mapping[str, tuple[str, ...]]:
        """Key of each point that could be looked at → its failures."""
        from benchbird.testing import contract_points

        points = contract_points(self.spec, options=self.options, image_size=self.image_size)
        return {point.key: point.failures for point in points}


@dataclass(frozen=True)
class _PointTest:
    """One point of one segmenter, to be tested."""

    examination: _Examination
    key: str

    @property
    def id(self) -> str:
        return f"{self.examination.spec.name}-{self.key}"

    def check(self) -> None:
        """Fail with the sentences that say what to change, and nothing of benchbird's own workings."""
        failures = self.examination.failures.get(self.key)
        if failures is None:
            pytest.skip("not looked at, since a point before it is broken")
        if failures:
            broken = f"segmenter {self.examination.spec.name} breaks the contract: {POINTS[self.key]}"
            pytest.fail("\n".join([broken, *(f"- {failure}" for failure in failures)]), pytrace=False)


class _PointItem(pytest.Item):
    """A point that `--benchbird` asked for, in no file of tests."""

    def __init__(self, *, point: _PointTest, parent: pytest.Session) -> None:
        super().__init__(f"contract[{point.id}]", parent, nodeid=f"benchbird::contract[{point.id}]")
        self.point = point

    def runtest(self) -> None:
        self.point.check()

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.config.rootpath / "benchbird", None, self.name


def _points(
    what: str | Path | SegmenterSpec | Iterable[SegmenterSpec], options: Mapping[str, OptionValue], image_size: int
) -> list[_PointTest]:
    specs = specs_of(*file_and_name(str(what))) if isinstance(what, str | Path) else _given_specs(what)
    examinations = [_Examination(spec, options, image_size) for spec in specs]
    return [_PointTest(one, key) for one in examinations for key in keys_for(one.spec)]


def _given_specs(what: object) -> tuple[SegmenterSpec, ...]:
    expected = "expected a segmenter's name, a plugin's file, or what its benchbird_segmenters() returns"
    given = tuple(what) if isinstance(what, Iterable) else (what,)
    if wrong := [one for one in given if not isinstance(one, SegmenterSpec)]:
        raise PluginError(f"contract_tests got {wrong[0]!r}; {expected}")
    if not given:  # pytest would take no tests at all for success
        raise PluginError(f"contract_tests got no segmenter; {expected}")
    return given
