from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from benchbird.contract import GeneratedSample
from benchbird.data import embedded
from benchbird.errors import DataError


def test_it_offers_its_spec() -> None:
    (spec,) = embedded.benchbird_datasets()
    assert (spec.name, spec.needs_root) == ("synthetic", False)


def test_sizes_are_those_asked_for_and_else_the_defaults() -> None:
    splits = embedded.find(None, {"sizes": {"train": 7, "val": None}})
    assert {split: len(samples) for split, samples in splits.items()} == {"train": 7, "val": 200, "test": 300}
    for samples in splits.values():
        ids = [sample.sample_id for sample in samples]
        assert ids == sorted(set(ids))


def test_a_sample_renders_in_another_process_and_its_content_names_it() -> None:
    (sample, other) = embedded.find(None, {"sizes": {"val": 2, "train": 1, "test": 1}})["val"]
    assert isinstance(sample, GeneratedSample) and isinstance(other, GeneratedSample)
    image, mask, attributes = pickle.loads(pickle.dumps(sample.render))()
    assert (image.dtype, mask.dtype) == (np.uint8, np.bool_)
    assert image.shape == mask.shape and image.shape[0] == 1024
    assert sample.content != other.content
    assert set(attributes) == {"voice", "noise", "distractor", "snr_db", "clipped", "codec_hz", "channel",
                               "sample_rate", "seconds"}  # fmt: skip
    assert attributes["sample_rate"] == "16000" and 2.4 <= float(attributes["seconds"]) <= 5.0
    assert all(isinstance(value, str) for value in attributes.values())


def test_options_are_part_of_the_content() -> None:
    def content(**options: float) -> str:
        sample = embedded.find(None, {"sizes": {"train": 1}, "synthetic": options})["train"][0]
        assert isinstance(sample, GeneratedSample)
        return sample.content

    assert content() == content(seed=0)
    assert content() != content(seed=1)


def test_wrong_options_are_all_named() -> None:
    with pytest.raises(DataError) as caught:
        embedded.find(None, {"synthetic": {"seed": -1, "colour": 3}})
    assert "data.synthetic.seed" in str(caught.value) and "data.synthetic.colour" in str(caught.value)


@pytest.mark.parametrize("sizes", [3, {"training": 4}, {"train": 0}, {"train": True}, {"train": "4"}])
def test_wrong_sizes_are_refused(sizes: object) -> None:
    with pytest.raises(DataError, match=r"sizes of the embedded set: found .*, expected a mapping of train"):
        embedded.find(None, {"sizes": sizes})


def test_a_root_is_refused() -> None:
    with pytest.raises(DataError, match="reads no files"):
        embedded.find(Path("somewhere"), {})
