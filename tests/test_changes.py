"""What differs between two results besides their scores."""

from __future__ import annotations

from dataclasses import replace

from benchbird.changes import environment_changes, segmenter_changes, study_changes
from tests.comparison_factory import OTHER_PROTOCOL
from tests.record_factory import GPU, make_record, make_segmenter


def test_protocol_and_data_are_compared_key_by_key() -> None:
    first, second = make_record(), make_record(protocol=OTHER_PROTOCOL, data=replace(make_record().data, n_val=81))
    changes = {change.key: (change.before, change.after) for change in study_changes([first], [second])}
    assert changes == {"protocol.optimizer.lr": (1e-3, 1e-4), "data.n_val": (80, 81)}
    assert study_changes([first], [first]) == ()


def test_a_key_of_one_side_alone_differs() -> None:
    first = make_record()
    second = replace(first, protocol={**first.protocol, "warmup": {"epochs": 3}, "compile": 0})
    found = [(change.key, change.before, change.after) for change in study_changes([first], [second])]
    assert found == [("protocol.compile", False, 0), ("protocol.warmup.epochs", None, 3)]


def test_only_what_can_change_numbers_is_listed_of_a_machine() -> None:
    first = make_record()
    newer = replace(GPU, packages={"torch": "2.15.0", "timm": "1.0"})
    found = {one.key: (one.before, one.after) for one in environment_changes([first], [make_record(environment=newer)])}
    assert found == {
        "environment.device": ("cpu", "cuda"),
        "environment.accelerator": (None, GPU.accelerator),
        "environment.packages.torch": ("2.14.1", "2.15.0"),
        "environment.packages.timm": (None, "1.0"),
    }
    mixed = environment_changes([first], [first, make_record(environment=GPU)])
    assert next(one.after for one in mixed if one.key == "environment.device") == ["cpu", "cuda"]


def test_the_learning_rates_of_a_tuned_track_are_a_change() -> None:
    first, second = (
        make_record(replace(make_segmenter("net"), non_default_options={"learning rate": rate}))
        for rate in (1e-3, 1e-4)
    )
    assert [(one.key, one.before, one.after) for one in segmenter_changes(first, second)] == [
        ("learning rate", 1e-3, 1e-4)
    ]


def test_a_segmenter_s_changes_leave_its_label_out() -> None:
    first = make_record(make_segmenter("a", name="unet", options={"encoder": "resnet18"}))
    second = make_record(make_segmenter("b", name="unet", options={"encoder": "resnet34"}, pretraining="imagenet"))
    found = [change.key for change in segmenter_changes(first, second)]
    assert found == ["options.encoder", "pretraining"]
