"""The predictions file: what a trial's models said of every test image, as numbers that can be checked.

Owns the file's format and what must hold between its arrays. Predicting is `evaluation.py`'s, the scores
that follow from it are `definitions.py`'s. Files may come from anyone: nothing in them is trusted.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchbird.durable import write_durably
from benchbird.errors import ResultsError
from benchbird.metrics import HISTOGRAM_BINS, CountArray, histogram_borders

FORMAT_VERSION = 2

MAX_FILE_BYTES = 2**30
MAX_CONTENT_BYTES = 2 * 2**30
ROOMY_CONTENT_BYTES, MAX_EXPANSION = 2**28, 100
"""Beyond so many bytes, what unpacks to so many times its file's size is no predictions but a bomb."""

MAX_IMAGES = 10**6
MAX_IMAGE_SIZE = 4096
"""Of a protocol (`protocol.Protocol`)."""

MAX_PIXELS = 2**32
"""Of an image at native size; of `MAX_IMAGES` such images every sum is exact."""

_LAST_NAMES = frozenset({"last_counts", "last_native_counts", "val_last_counts", "val_last_native_counts"})
_NAMES = _LAST_NAMES | {
    *("format", "image_size", "sample_ids", "recording_ids", "attributes", "borders"),
    *("counts", "native_counts", "val_counts", "val_native_counts"),
    *("histogram", "val_histogram", "predicted", "reference"),
}
"""What a file may hold; anything else in it is not read."""

BitArray = npt.NDArray[np.uint8]

_NPY_START = np.lib.format.magic(1, 0)
"""Of the .npy format (numpy's `lib.format`); then two bytes of length, a header of that length, the data."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SplitCounts:
    """Counts of one model on one split, image by image in the order of their names.

    Attributes:
        protocol: int64 `(N, 4)`, TP, FP, FN, TN at protocol size.
        native: int64 `(N, 4)` at native size.
    """

    protocol: CountArray
    native: CountArray

    def __len__(self) -> int:
        return len(self.protocol)


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictions:
    """What a trial's selected weights said, and how its last epoch's scored.

    Attributes:
        image_size: side S of the protocol's square, in pixels.
        sample_ids: N names of the test images, ascending.
        recording_ids: N names of their recordings.
        attributes: N mappings, the manifest's other columns.
        test: counts of the selected weights on test.
        val: the same on validation, where they were selected.
        last_test: counts of the last epoch's weights on test; None without gradients.
        last_val: the same on validation.
        histogram: int64 `(N, 2, 64)`, logits of test pixels without and with bird (`metrics.logit_histogram`).
        val_histogram: int64 `(M, 2, 64)` of the validation images.
        predicted: uint8 `(N, ⌈S·S/8⌉)`, test predictions at protocol size, one bit a pixel, rows first.
        reference: the same of the masks.
    """

    image_size: int
    sample_ids: tuple[str, ...]
    recording_ids: tuple[str, ...]
    attributes: tuple[Mapping[str, str], ...]
    test: SplitCounts
    val: SplitCounts
    last_test: SplitCounts | None
    last_val: SplitCounts | None
    histogram: npt.NDArray[np.int64]
    val_histogram: npt.NDArray[np.int64]
    predicted: BitArray
    reference: BitArray

    def __len__(self) -> int:
        return len(self.sample_ids)

    def masks(self, index: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Prediction and reference of one test image, each bool `(S, S)`."""
        size = self.image_size
        predicted, reference = (
            np.unpackbits(packed[index], count=size * size).reshape(size, size).view(np.bool_)
            for packed in (self.predicted, self.reference)
        )
        return predicted, reference


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write a compressed numpy archive of plain arrays (no pickle), whole or not at all.

    Raises:
        ResultsError: the disk refused.
    """
    stream = io.BytesIO()
    arrays: dict[str, Any] = _to_arrays(predictions)
    np.savez_compressed(stream, **arrays)
    write_durably(path, stream.getvalue())


def _to_arrays(predictions: Predictions) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {
        "format": np.array(FORMAT_VERSION),
        "image_size": np.array(predictions.image_size),
        "sample_ids": np.array(predictions.sample_ids, dtype=np.str_),
        "recording_ids": np.array(predictions.recording_ids, dtype=np.str_),
        "attributes": np.array([json.dumps(dict(one), sort_keys=True) for one in predictions.attributes]),
        "histogram": predictions.histogram.astype(np.uint32),
        "val_histogram": predictions.val_histogram.astype(np.uint32),
        "borders": histogram_borders(),
        "predicted": predictions.predicted,
        "reference": predictions.reference,
    }
    for name, counts in _splits(predictions):
        arrays |= {f"{name}counts": counts.protocol, f"{name}native_counts": counts.native}
    return arrays


def _splits(predictions: Predictions) -> Iterator[tuple[str, SplitCounts]]:
    """The counts there are, by what their arrays' names begin with."""
    named = {
        "": predictions.test,
        "val_": predictions.val,
        "last_": predictions.last_test,
        "val_last_": predictions.last_val,
    }
    for name, counts in named.items():
        if counts is not None:
            yield name, counts


def read_predictions(path: Path) -> Predictions:
    """Read a predictions file that someone else may have written.

    Raises:
        ResultsError: missing, not such a file, of another format, too large, or its arrays contradict one
            another (`contradictions`); names the file and the array.
    """
    arrays = _load(path)
    try:
        predictions = _from_arrays(arrays)
    except KeyError as error:
        raise ResultsError(f"{path}: {error.args[0]}: not there, so this is no whole predictions file") from error
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise ResultsError(f"{path}: {error}") from error
    if faults := list(contradictions(predictions)):
        raise ResultsError(f"{path}: {'; '.join(faults)}")
    return predictions


def _load(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        if path.is_symlink() or not path.is_file():
            raise ResultsError(f"{path}: no such plain file; scores beyond the record's need it")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ResultsError(f"{path}: larger than {MAX_FILE_BYTES} bytes, which no predictions file is")
        with zipfile.ZipFile(path) as archive:
            # The sizes in the archive's directory are checked before a byte is unpacked.
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > MAX_CONTENT_BYTES:
                raise ResultsError(f"{path}: unpacks to more than {MAX_CONTENT_BYTES} bytes; not read")
            if unpacked > max(ROOMY_CONTENT_BYTES, MAX_EXPANSION * path.stat().st_size):
                raise ResultsError(
                    f"{path}: unpacks to {unpacked} bytes, more than {MAX_EXPANSION} times its size; not read"
                )
            there = {name.removesuffix(".npy"): name for name in archive.namelist()}
            return {name: _member(archive, there[name], path) for name in sorted(_NAMES & there.keys())}
    except ResultsError:
        raise
    except OSError as error:
        raise ResultsError(f"{path}: could not be read: {error.strerror or error}") from error
    except Exception as error:  # zipfile answers damage with almost anything
        raise ResultsError(f"{path}: not a whole archive of arrays: {error}") from error


def _member(archive: zipfile.ZipFile, member: str, path: Path) -> npt.NDArray[Any]:
    name = member.removesuffix(".npy")
    try:
        content = archive.read(member)
        if content.startswith(np.lib.format.MAGIC_PREFIX):
            return _array(content)
    except Exception as error:  # as above
        raise ResultsError(f"{path}: {name}: damaged: {error}") from error
    raise ResultsError(f"{path}: {name}: found raw bytes, expected an array")


def _array(content: bytes) -> npt.NDArray[Any]:
    """The array in the bytes of an .npy file, read-only."""
    if content.startswith(_NPY_START):
        end = len(_NPY_START) + 2
        data = end + int.from_bytes(content[len(_NPY_START) : end], "little")
        shape, is_fortran, dtype = _npy_header(content[:data])
        if not dtype.hasobject:
            return np.ndarray(shape, dtype, buffer=content, offset=data, order="F" if is_fortran else "C")
    # Another version, which only long headers need; or objects, which numpy refuses.
    return np.asarray(np.lib.format.read_array(io.BytesIO(content), allow_pickle=False))


@lru_cache(maxsize=512)
def _npy_header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type. Remembered: numpy parses it as Python source, and a study's files have the same ones."""
    stream = io.BytesIO(header)
    np.lib.format.read_magic(stream)
    return np.lib.format.read_array_header_1_0(stream)


def _from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> Predictions:
    if (version := _integer(arrays, "format")) != FORMAT_VERSION:
        raise ValueError(f"format: found {version}, expected {FORMAT_VERSION}")
    if not np.array_equal(arrays["borders"], histogram_borders()):
        raise ValueError("borders: other borders of the logit histogram than this version's")
    size = _integer(arrays, "image_size")
    if not 1 <= size <= MAX_IMAGE_SIZE:
        raise ValueError(f"image_size: found {size}, expected 1 to {MAX_IMAGE_SIZE}")
    n, m = (_length(arrays, name) for name in ("sample_ids", "val_counts"))
    bits = -(-size * size // 8)

    def integers(name: str, *shape: int) -> npt.NDArray[np.int64]:
        return _shaped(arrays, name, "iu", shape).astype(np.int64)

    def counts(name: str, length: int) -> SplitCounts:
        return SplitCounts(
            protocol=integers(f"{name}counts", length, 4), native=integers(f"{name}native_counts", length, 4)
        )

    def bytes_of(name: str) -> BitArray:
        array = _shaped(arrays, name, "u", (n, bits))
        if array.dtype.itemsize != 1:
            raise ValueError(f"{name}: found {array.dtype}, expected uint8")
        return array

    has_last = not _LAST_NAMES.isdisjoint(arrays)
    return Predictions(
        image_size=size,
        sample_ids=tuple(map(str, _shaped(arrays, "sample_ids", "U", (n,)))),
        recording_ids=tuple(map(str, _shaped(arrays, "recording_ids", "U", (n,)))),
        attributes=tuple(map(_attributes, _shaped(arrays, "attributes", "U", (n,)))),
        test=counts("", n),
        val=counts("val_", m),
        last_test=counts("last_", n) if has_last else None,
        last_val=counts("val_last_", m) if has_last else None,
        histogram=integers("histogram", n, 2, HISTOGRAM_BINS),
        val_histogram=integers("val_histogram", m, 2, HISTOGRAM_BINS),
        predicted=bytes_of("predicted"),
        reference=bytes_of("reference"),
    )


def _integer(arrays: Mapping[str, npt.NDArray[Any]], name: str) -> int:
    return int(_shaped(arrays, name, "iu", ()))


def _length(arrays: Mapping[str, npt.NDArray[Any]], name: str) -> int:
    """Of the first axis; nothing is made of an array that has too many images."""
    shape = arrays[name].shape
    if not shape or shape[0] > MAX_IMAGES:
        raise ValueError(f"{name}: found shape {shape}, expected one entry an image, at most {MAX_IMAGES}")
    return int(shape[0])


def _shaped(arrays: Mapping[str, npt.NDArray[Any]], name: str, kinds: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    array = arrays[name]
    if array.shape != shape or array.dtype.kind not in kinds:
        raise ValueError(f"{name}: found {array.dtype} {array.shape}, expected {shape}")
    return array


def _attributes(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"attributes: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("attributes: found something else than a mapping")
    return {str(key): str(value) for key, value in found.items()}


def contradictions(predictions: Predictions) -> Iterator[str]:
    """What can't be true of a predictions file, `array: what` each.

    Counts must add up to the pixels, agree with the stored masks and with the histograms.
    """
    if not len(predictions):
        yield "sample_ids: there is no test image"
        return
    if list(predictions.sample_ids) != sorted(set(predictions.sample_ids)):
        yield "sample_ids: not in ascending order, each once"
    pixels = predictions.image_size**2
    for name, counts in _splits(predictions):
        for array, of in ((counts.protocol, "counts"), (counts.native, "native_counts")):
            if (array < 0).any() or (array > MAX_PIXELS).any():
                yield f"{name}{of}: found a number that no image has pixels, negative or above {MAX_PIXELS}"
        if (counts.protocol.sum(1) != pixels).any():
            yield f"{name}counts: don't add up to the {pixels} pixels of an image"
    yield from _mask_contradictions(predictions)
    yield from _bird_contradictions(predictions)
    for name, histogram, own in (
        ("histogram", predictions.histogram, predictions.test),
        ("val_histogram", predictions.val_histogram, predictions.val),
    ):
        bird = own.protocol[:, 0] + own.protocol[:, 2]
        if (histogram < 0).any():
            yield f"{name}: found a negative number"
        if (histogram.sum((1, 2)) != pixels).any() or (histogram[:, 1].sum(1) != bird).any():
            yield f"{name}: doesn't add up to the pixels with and without bird"


def _bird_contradictions(predictions: Predictions) -> Iterator[str]:
    """What the last epoch's counts say of the masks, which are the same whatever is predicted."""
    for prefix, own, last in (
        ("", predictions.test, predictions.last_test),
        ("val_", predictions.val, predictions.last_val),
    ):
        if last is not None:
            for of, first, second in (
                ("counts", own.protocol, last.protocol),
                ("native_counts", own.native, last.native),
            ):
                if (_birds(first) != _birds(second)).any():
                    yield f"{prefix}last_{of}: other bird pixels than in {prefix}{of}"


def _birds(counts: CountArray) -> npt.NDArray[np.int64]:
    """Pixels with bird, and pixels, of each image: `(2, N)`."""
    return np.stack([counts[:, 0] + counts[:, 2], counts.sum(1)])


def _mask_contradictions(predictions: Predictions) -> Iterator[str]:
    def ones(packed: BitArray) -> npt.NDArray[np.int64]:
        return np.asarray(np.bitwise_count(packed).sum(1, dtype=np.int64))

    tp, fp, fn, _ = predictions.test.protocol.T
    if (ones(predictions.reference) != tp + fn).any():
        yield "reference: other bird pixels than in counts"
    if (ones(predictions.predicted) != tp + fp).any():
        yield "predicted: other predicted pixels than in counts"
    if (ones(predictions.predicted & predictions.reference) != tp).any():
        yield "predicted: other hits than in counts"
    # Bits behind the last pixel would count above, but are in no mask.
    beyond = np.uint8(0xFF >> (predictions.image_size**2 % 8 or 8))
    for name, packed in (("reference", predictions.reference), ("predicted", predictions.predicted)):
        if (packed[:, -1] & beyond).any():
            yield f"{name}: found bits behind an image's last pixel"
