"""The fault suite in its short form; `make faults` carries out all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.suite import CannotBeTried, Fault, load_faults

FAULTS = load_faults()
SHORT = [pytest.param(fault, case, id=f"{fault.number}-{case}") for fault in FAULTS for case in fault.short]


@pytest.mark.parametrize(("fault", "case"), SHORT)
def test_it_holds(fault: Fault, case: str, tmp_path: Path) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    try:
        fault.check(case, folder)
    except CannotBeTried as reason:
        pytest.skip(str(reason))


def test_faults_are_told_apart_and_the_short_form_is_part_of_the_full_one() -> None:
    assert [fault.number for fault in FAULTS] == [f"F{number}" for number in range(1, 15)]
    for fault in FAULTS:
        assert len(set(fault.cases)) == len(fault.cases) > 0
        assert set(fault.short) <= set(fault.cases)
        assert fault.short
