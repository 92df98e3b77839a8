"""The predictions file: exact there and back, and nothing in it believed."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird import predictions as module
from benchbird.errors import ResultsError
from benchbird.predictions import Predictions, SplitCounts, contradictions, read_predictions, write_predictions
from tests.predictions_factory import random_predictions

Arrays = dict[str, npt.NDArray[Any]]


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    path = tmp_path_factory.mktemp("good") / "predictions.npz"
    write_predictions(path, random_predictions(1, image_size=5))
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def _write(path: Path, arrays: Mapping[str, npt.NDArray[Any]], **changed: Any) -> Path:
    kept = {name: array for name, array in {**arrays, **changed}.items() if array is not None}
    np.savez_compressed(path, **kept)
    return path


def _refused(path: Path) -> str:
    with pytest.raises(ResultsError) as caught:
        read_predictions(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def assert_same(first: Predictions, second: Predictions) -> None:
    for field in fields(Predictions):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, SplitCounts):
            assert np.array_equal(one.protocol, other.protocol)
            assert np.array_equal(one.native, other.native)
            assert (one.protocol.dtype, one.native.dtype) == (other.protocol.dtype, other.native.dtype)
        elif isinstance(one, np.ndarray):
            assert np.array_equal(one, other)
            assert one.dtype == other.dtype
        else:
            assert one == other


_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)


@given(
    st.integers(0, 10_000), st.integers(1, 7), st.booleans(), st.data()
)  # fmt: skip
@settings(max_examples=40, deadline=None, database=None)
def test_there_and_back(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int, has_last: bool, data: st.DataObject
) -> None:
    predictions = random_predictions(seed, n_images=3, image_size=size)
    names = sorted(data.draw(st.lists(_NAMES, min_size=3, max_size=3, unique=True)))
    attributes = data.draw(st.lists(st.dictionaries(_NAMES, st.text(max_size=5), max_size=3), min_size=3, max_size=3))
    predictions = replace(
        predictions,
        sample_ids=tuple(names),
        recording_ids=tuple(reversed(names)),
        attributes=tuple(attributes),
        last_test=predictions.last_test if has_last else None,
        last_val=predictions.last_val if has_last else None,
    )
    path = tmp_path_factory.mktemp("there") / "p.npz"
    write_predictions(path, predictions)
    assert_same(read_predictions(path), predictions)


def test_masks_are_those_that_were_packed() -> None:
    predictions = random_predictions(3, image_size=5)
    predicted, reference = predictions.masks(2)
    assert predicted.shape == (5, 5)
    assert predicted.dtype == np.bool_
    tp, fp, fn, tn = predictions.test.protocol[2].tolist()
    assert (predicted & reference).sum() == tp
    assert (predicted & ~reference).sum() == fp
    assert (~predicted & reference).sum() == fn
    assert (~predicted & ~reference).sum() == tn


def _bump(array: npt.NDArray[Any], place: tuple[int, ...], by: int) -> npt.NDArray[Any]:
    changed = array.copy()
    changed[place] += by
    return changed


CONTRADICTIONS: dict[str, tuple[Callable[[Arrays], dict[str, Any]], str]] = {
    "names": (lambda a: {"sample_ids": a["sample_ids"][::-1]}, "sample_ids: not in ascending order"),
    "a name twice": (lambda a: {"sample_ids": np.array(["x"] * 7)}, "sample_ids: not in ascending order"),
    "counts": (lambda a: {"counts": _bump(a["counts"], (1, 3), 1)}, "counts: don't add up to the 25 pixels"),
    "hits": (
        lambda a: {"counts": a["counts"] + np.array([-1, 1, 1, -1])},
        "predicted: other hits than in counts",
    ),
    "negative": (
        lambda a: {"native_counts": _bump(a["native_counts"], (0, 0), -(10**6))},
        "native_counts: found a number that no image has pixels",
    ),
    "overflow": (
        lambda a: {"native_counts": _bump(a["native_counts"], (0, 0), 2**62)},
        "native_counts: found a number that no image has pixels",
    ),
    "val_counts": (lambda a: {"val_counts": _bump(a["val_counts"], (1, 3), 1)}, "val_counts: don't add up"),
    "last_counts": (lambda a: {"last_counts": _bump(a["last_counts"], (1, 3), 1)}, "last_counts: don't add up"),
    "last bird": (
        lambda a: {"last_counts": a["last_counts"] + [[1, 0, 0, -1]]},
        "last_counts: other bird pixels than in counts",
    ),
    "last native bird": (
        lambda a: {"last_native_counts": a["last_native_counts"] + [[1, 0, 0, -1]]},
        "last_native_counts: other bird pixels than in native_counts",
    ),
    "last val bird": (
        lambda a: {"val_last_counts": a["val_last_counts"] + [[1, 0, 0, -1]]},
        "val_last_counts: other bird pixels than in val_counts",
    ),
    "last val native bird": (
        lambda a: {"val_last_native_counts": a["val_last_native_counts"] + [[1, 0, 0, 0]]},
        "val_last_native_counts: other bird pixels than in val_native_counts",
    ),
    "reference": (lambda a: {"reference": _bump(a["reference"], (0, 0), 128)}, "reference: other bird pixels"),
    "predicted": (
        lambda a: {"predicted": a["predicted"] ^ np.array([128, 0, 0, 0], np.uint8)},
        "predicted: other predicted pixels",
    ),
    "bits behind": (lambda a: {"reference": a["reference"] | 1}, "reference: found bits behind an image's last pixel"),
    "a bit behind": (
        lambda a: {"predicted": a["predicted"] | np.array([0, 0, 0, 64], np.uint8)},
        "predicted: found bits behind an image's last pixel",
    ),
    "histogram": (lambda a: {"histogram": _bump(a["histogram"], (0, 0, 0), 1)}, "histogram: doesn't add up"),
    "histogram of birds": (
        lambda a: {"histogram": a["histogram"][:, ::-1]},
        "histogram: doesn't add up to the pixels with and without bird",
    ),
    "negative histogram": (
        lambda a: {"val_histogram": _bump(_bump(a["val_histogram"].astype(np.int64), (0, 0, 0), -100), (0, 0, 1), 100)},
        "val_histogram: found a negative number",
    ),
    "val_histogram": (lambda a: {"val_histogram": _bump(a["val_histogram"], (0, 1, 0), 1)}, "val_histogram: doesn't"),
}


@pytest.mark.parametrize(("change", "said"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_contradiction_is_found_and_names_the_array(
    change: Callable[[Arrays], dict[str, Any]], said: str, arrays: Arrays, tmp_path: Path
) -> None:
    assert said in _refused(_write(tmp_path / "p.npz", arrays, **change(arrays)))


FORMS: dict[str, tuple[Callable[[Arrays], dict[str, Any]], str]] = {
    "no image": (
        lambda a: {
            name: a[name][:0]
            for name in a
            if not name.startswith("val") and name not in ("format", "image_size", "borders")
        },
        "sample_ids: there is no test image",
    ),
    "missing": (lambda a: {"histogram": None}, "histogram: not there"),
    "no format": (lambda a: {"format": None}, "format: not there"),
    "half of the last": (lambda a: {"last_counts": None}, "last_counts: not there"),
    "other format": (lambda a: {"format": np.array(3)}, "format: found 3, expected 2"),
    "format as text": (lambda a: {"format": np.array("2")}, "format: found <U1 (), expected ()"),
    "format as list": (lambda a: {"format": np.array([2])}, "format: found int64 (1,)"),
    "borders": (lambda a: {"borders": a["borders"] * 2}, "borders: other borders"),
    "borders as text": (lambda a: {"borders": a["borders"].astype(str)}, "borders: other borders"),
    "size 0": (lambda a: {"image_size": np.array(0)}, "image_size: found 0, expected 1 to 4096"),
    "size below 0": (lambda a: {"image_size": np.array(-5)}, "image_size: found -5, expected 1 to 4096"),
    "huge size": (lambda a: {"image_size": np.array(2**62)}, "image_size: found 4611686018427387904"),
    "size as float": (lambda a: {"image_size": np.array(5.0)}, "image_size: found float64"),
    "other size": (lambda a: {"image_size": np.array(9)}, "predicted: found uint8 (7, 4), expected (7, 11)"),
    "names in two axes": (lambda a: {"sample_ids": a["sample_ids"][:, None]}, "sample_ids: found <U10 (7, 1)"),
    "one name": (lambda a: {"sample_ids": np.array("x")}, "sample_ids: found shape ()"),
    "names as bytes": (lambda a: {"sample_ids": a["sample_ids"].astype("S")}, "sample_ids: found |S10"),
    "fewer recordings": (lambda a: {"recording_ids": a["recording_ids"][1:]}, "recording_ids: found <U11 (6,)"),
    "val counts in no axis": (lambda a: {"val_counts": np.array(1)}, "val_counts: found shape ()"),
    "val counts transposed": (lambda a: {"val_counts": a["val_counts"].T}, "val_counts: found int64 (4, 3)"),
    "counts as float": (lambda a: {"counts": a["counts"] * 1.0}, "counts: found float64"),
    "counts as truth": (lambda a: {"counts": a["counts"] > 0}, "counts: found bool"),
    "masks of 16 bits": (lambda a: {"predicted": a["predicted"].astype(np.uint16)}, "predicted: found uint16"),
    "attributes no JSON": (lambda a: {"attributes": np.array(["{"] * 7)}, "attributes: no JSON: "),
    "attributes a list": (lambda a: {"attributes": np.array(["[]"] * 7)}, "attributes: found something else"),
    "attributes nested": (lambda a: {"attributes": np.array(["[" * 100_000] * 7)}, "attributes: no JSON: "),
}


@pytest.mark.parametrize(("change", "said"), FORMS.values(), ids=FORMS)
def test_another_form_is_refused(
    change: Callable[[Arrays], dict[str, Any]], said: str, arrays: Arrays, tmp_path: Path
) -> None:
    assert said in _refused(_write(tmp_path / "p.npz", arrays, **change(arrays)))


class _Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (os.mkdir, (str(self.path),))


def test_a_pickle_inside_is_never_loaded(arrays: Arrays, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    objects = np.array([_Canary(canary)] * 7, dtype=object)
    path = tmp_path / "p.npz"
    for name in ("sample_ids", "format", "something_else"):
        np.savez(path, allow_pickle=True, **{**arrays, name: objects})
        if name == "something_else":
            read_predictions(path)  # what isn't expected is not even looked at
        else:
            assert f"{name}: damaged: Object arrays cannot be loaded" in _refused(path)
    path.write_bytes(pickle.dumps(_Canary(canary)))
    _refused(path)
    stream = io.BytesIO()
    np.lib.format.write_array(stream, objects, allow_pickle=True)
    path.write_bytes(stream.getvalue())
    _refused(path)
    assert not canary.exists()
    pickle.loads(pickle.dumps(_Canary(canary)))
    assert canary.exists(), "the canary must be able to sing"


def test_arrays_are_those_that_numpy_reads(arrays: Arrays, tmp_path: Path) -> None:
    """In another order of memory or of bytes, and with a header of the next version too."""
    expected = read_predictions(_write(tmp_path / "p.npz", arrays))
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        for name, array in arrays.items():
            stream = io.BytesIO()
            other = np.asarray(array, order="F")
            if other.dtype.kind in "iuf":
                other = other.astype(other.dtype.newbyteorder(">"))
            np.lib.format.write_array(stream, other, version=(2, 0) if name == "counts" else (1, 0))
            archive.writestr(f"{name}.npy", stream.getvalue())
    found = read_predictions(tmp_path / "other.npz")
    assert (found.sample_ids, found.attributes) == (expected.sample_ids, expected.attributes)
    for one in ("histogram", "val_histogram", "predicted", "reference"):
        assert np.array_equal(getattr(found, one), getattr(expected, one)), one
    assert np.array_equal(found.test.protocol, expected.test.protocol)
    assert np.array_equal(found.masks(1)[0], expected.masks(1)[0])


def test_no_archive(arrays: Arrays, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    assert _refused(path).startswith("no such plain file")
    tmp_path.joinpath("folder").mkdir()
    assert _refused(tmp_path / "folder").startswith("no such plain file")
    _write(tmp_path / "real.npz", arrays)
    path.symlink_to(tmp_path / "real.npz")
    assert _refused(path).startswith("no such plain file")
    path.unlink()
    for content in (b"", b"PK", b"hello" * 100, b"\x93NUMPY" + b"\0" * 50):
        path.write_bytes(content)
        assert _refused(path).startswith("not a whole archive")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("format", b"raw")
    assert _refused(path) == "format: found raw bytes, expected an array"


def test_every_truncation_and_many_damages_are_refused(arrays: Arrays, tmp_path: Path) -> None:
    path = _write(tmp_path / "p.npz", arrays)
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        _refused(path)
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 4):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(damaged))
        try:
            read_predictions(path)
        except ResultsError as error:
            assert str(path) in str(error)  # some damage hits what nobody reads


def test_declared_sizes_are_checked_before_anything_is_unpacked(
    arrays: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "p.npz", arrays)
    monkeypatch.setattr(module, "MAX_CONTENT_BYTES", 1000)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("unpacked"))
    assert _refused(path) == "unpacks to more than 1000 bytes; not read"
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 100)
    assert _refused(path).startswith("larger than 100 bytes")


def test_a_large_file_that_unpacks_to_many_times_its_size_is_a_bomb(
    arrays: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "p.npz", arrays)
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    monkeypatch.setattr(module, "MAX_EXPANSION", 1)
    monkeypatch.setattr(module, "ROOMY_CONTENT_BYTES", unpacked)
    read_predictions(path)
    monkeypatch.setattr(module, "ROOMY_CONTENT_BYTES", unpacked - 1)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("unpacked"))
    assert _refused(path) == f"unpacks to {unpacked} bytes, more than 1 times its size; not read"


def test_more_images_than_any_set_has(arrays: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IMAGES", 6)
    assert "sample_ids: found shape (7,), expected one entry an image, at most 6" in _refused(
        _write(tmp_path / "p.npz", arrays)
    )


def _bomb(path: Path, arrays: Arrays, header: str) -> None:
    """An archive whose member `counts` claims this header and holds next to nothing, its sizes being true."""
    _write(path, arrays, counts=None)
    text = header.encode().ljust(117) + b"\n"
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("counts.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + b"\0" * 64)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is what limits memory on Linux")
@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000, 4), }",
        "{'descr': '<U2000000000', 'fortran_order': False, 'shape': (7, 4), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (4000000000000000000, 4), }",
    ],
)
def test_a_lying_header_takes_no_memory(header: str, arrays: Arrays, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    _bomb(path, arrays, header)
    limit = 2**31
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from benchbird.errors import ResultsError; from benchbird.predictions import read_predictions\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n"
        "try:\n    read_predictions(Path(sys.argv[1]))\nexcept ResultsError as error:\n    print(error)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"{path}: counts: damaged")


def test_nothing_is_found_in_sound_predictions() -> None:
    for seed in range(20):
        for size in (1, 2, 3, 4, 8):
            assert list(contradictions(random_predictions(seed, image_size=size))) == []


def test_a_disk_that_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="could not write"):
        write_predictions(tmp_path / "absent" / "p.npz", random_predictions())
