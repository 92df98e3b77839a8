from __future__ import annotations

import dataclasses

import pytest

from benchbird.data.synthetic.options import SyntheticOptions, option_faults


def test_the_defaults_are_sound() -> None:
    assert option_faults(dataclasses.asdict(SyntheticOptions())) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("seed", 1.5),
        ("seed", True),
        ("sample_rate", 4000),
        ("sample_rate", 16000.0),
        ("seconds_min", 0.2),
        ("seconds_max", 99),
        ("snr_db_min", -21),
        ("snr_db_max", float("nan")),
        ("snr_db_max", "20"),
        ("empty_share", 1.01),
        ("pair_share", -0.1),
        ("distractor_share", None),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: object) -> None:
    ((field, fault),) = option_faults({name: value})
    assert field == name and repr(value) in fault and "expected" in fault
    with pytest.raises(ValueError, match=name):
        SyntheticOptions(**{name: value})  # type: ignore[arg-type]


def test_every_fault_is_found_in_one_go() -> None:
    found = option_faults({"seed": -1, "pair_share": 2, "colour": "blue"})
    assert [field for field, _ in found] == ["seed", "pair_share", "colour"]


@pytest.mark.parametrize("pair", [("seconds_min", 4.0, "seconds_max", 3.0), ("snr_db_min", 9, "snr_db_max", 3)])
def test_a_least_above_its_most_is_a_fault(pair: tuple[str, float, str, float]) -> None:
    low, least, high, most = pair
    ((field, fault),) = option_faults({low: least, high: most})
    assert field == low and high in fault


def test_one_end_is_checked_against_the_default_of_the_other() -> None:
    ((field, _),) = option_faults({"snr_db_max": -10.0})
    assert field == "snr_db_min"


def test_options_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SyntheticOptions().seed = 3  # type: ignore[misc]
