"""Decode one image or mask file, by content, with limits that hold before the first pixel is read.

Owns which files are pictures, what their values mean and what is refused. It neither resizes nor pairs.

The rule for masks, always the same: alpha is ignored, colours count by their brightest channel, and then
at most two values may occur, of which one is 0; the other one is bird. A mask of a single value other than
0 is all bird. A JPEG can't keep two values exactly: it is cut at half of the scale instead, and refused if
nothing in it reaches that half. Any other mask of many values is refused, never cut in silence.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt

from benchbird.data.faults import os_reason, printable
from benchbird.errors import DataError

if TYPE_CHECKING:
    from PIL import ImageFile

MOST_PIXELS = 64_000_000
MOST_BYTES = 2**28
"""Of a file: 4 for each of so many pixels. What a picture may carry beside its pixels is read whole by its decoder."""

LEAST_SIDE = 16
HALF = 128
"""Where a JPEG mask is cut."""

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
_LONGEST_SIGNATURE = 8
_SUFFIXES = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff")}

ImageArray = npt.NDArray[np.uint8]
MaskArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Header:
    """What a picture says of itself before its pixels are read.

    Attributes:
        kind: `PNG`, `JPEG` or `TIFF`.
        height: rows.
        width: columns.
    """

    kind: str
    height: int
    width: int

    @property
    def size_text(self) -> str:
        """Width and height as people write them."""
        return f"{self.width}x{self.height}"


class Unreadable(DataError):
    """A file is no picture that can be used; `reason` leaves out its path."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{printable(path)}: {printable(reason)}")


def check_header(path: Path) -> Header:
    """Kind and size of a picture, from its header alone.

    Raises:
        Unreadable: not a PNG, JPEG or TIFF by content, cut short, too large or too small.
    """
    with _reading(path), path.open("rb") as stream:
        return _open(path, stream)[1]


def read_image(path: Path) -> ImageArray:
    """Decode an image: uint8 `(H, W)` where it is grey (R = G = B too), else `(H, W, 3)`.

    Alpha is ignored, palettes are looked up, 16-bit grey v becomes round(v / 257).

    Raises:
        Unreadable: as `check_header`, or damaged, or of a kind of pixel that is not read.
    """
    return _decode(path)[1]


def read_mask(path: Path) -> MaskArray:
    """Decode a mask: bool `(H, W)`, true where there is bird; see the rule at the top of the module.

    Raises:
        Unreadable: as `read_image`, or the values don't say what is bird.
    """
    header, pixels = _decode(path)
    values = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    low, high = int(values.min()), int(values.max())
    if header.kind == "JPEG" and low != high:
        if high < HALF:
            raise Unreadable(path, f"a JPEG mask whose brightest value is {high}; expected 255 for bird")
        return np.asarray(values >= HALF)
    is_bird = values == high
    if not (is_bird | (values == low)).all():
        raise Unreadable(
            path,
            f"a mask with {len(np.unique(values))} grey values from {low} to {high}; save it with two: "
            "0 for background and 255 for bird",
        )
    if 0 < low < high:
        raise Unreadable(path, f"a mask with the values {low} and {high}; expected 0 for background and 255 for bird")
    return is_bird if high > 0 else np.zeros_like(is_bird)


def kind_fits_name(path: Path, header: Header) -> bool:
    """Whether a file's extension says what its content is."""
    return path.suffix.casefold() in _SUFFIXES[header.kind]


class _reading:
    """Turns whatever a decoder raises into `Unreadable`, and keeps its warnings off the terminal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> None:
        self._warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        self._warnings.__exit__(None, None, None)
        if error is None or isinstance(error, Unreadable) or not isinstance(error, Exception):
            return
        if isinstance(error, OSError) and error.errno is not None:
            raise Unreadable(self.path, os_reason(error)) from error
        # Pillow answers bad bytes with almost any exception; these two carry words that are meant for people,
        # unless they only wrap another one.
        words = (
            f" ({error})" if isinstance(error, OSError | SyntaxError) and error.__cause__ is None and str(error) else ""
        )
        raise Unreadable(self.path, f"damaged or cut short{words}") from error


def _open(path: Path, stream: BinaryIO) -> tuple[ImageFile.ImageFile, Header]:
    size_bytes = os.fstat(stream.fileno()).st_size
    if size_bytes > MOST_BYTES:
        raise Unreadable(path, f"too large: {size_bytes >> 20} MiB, expected at most {MOST_BYTES >> 20} MiB")
    start = stream.read(_LONGEST_SIGNATURE)
    if not start:
        raise Unreadable(path, "empty file (0 bytes)")
    kind = next((kind for signature, kind in _SIGNATURES if start.startswith(signature)), None)
    if kind is None:
        is_cut = any(signature.startswith(start) for signature, _ in _SIGNATURES)
        what = f"cut short after {len(start)} bytes" if is_cut else "not an image"
        raise Unreadable(path, f"{what}; expected a PNG, JPEG or TIFF")
    stream.seek(0)
    picture = _opener(kind)(stream)
    header = Header(kind, picture.height, picture.width)
    if header.height * header.width > MOST_PIXELS:
        raise Unreadable(path, f"too large: {header.size_text}, expected at most {MOST_PIXELS // 10**6} megapixels")
    if min(header.height, header.width) < LEAST_SIDE:
        raise Unreadable(path, f"too small: {header.size_text}, expected at least {LEAST_SIDE} pixels a side")
    return picture, header


def _opener(kind: str) -> type[ImageFile.ImageFile]:
    """Pillow's reader of one kind, without `Image.open`, which only warns about bombs of medium size."""
    from PIL import JpegImagePlugin, PngImagePlugin, TiffImagePlugin

    return {
        "PNG": PngImagePlugin.PngImageFile,
        "JPEG": JpegImagePlugin.JpegImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
    }[kind]


def _decode(path: Path) -> tuple[Header, ImageArray]:
    with _reading(path), path.open("rb") as stream:
        picture, header = _open(path, stream)
        frames = getattr(picture, "n_frames", 1)
        if frames > 1:
            raise Unreadable(path, f"holds {frames} pictures, expected one")
        if picture.mode == "CMYK":
            raise Unreadable(path, "CMYK (colours for print) is not supported; save it as grey or RGB")
        if picture.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "YCbCr") and not _is_grey16(picture.mode):
            raise Unreadable(path, f"pixels of kind {picture.mode} are not read; save it as 8-bit grey or RGB")
        picture.load()
        return header, _as_grey_or_rgb(picture)


def _is_grey16(mode: str) -> bool:
    return mode.startswith("I;16")


def _as_grey_or_rgb(picture: ImageFile.ImageFile) -> ImageArray:
    if _is_grey16(picture.mode):
        # uint32: 65535 + 128 does not fit 16 bits. (v + 128) // 257 is round(v / 257), which has no ties.
        return ((np.asarray(picture).astype(np.uint32) + 128) // 257).astype(np.uint8)
    if picture.mode in ("1", "L"):
        return np.array(picture.convert("L"))
    if picture.mode == "LA":
        return np.array(picture.getchannel("L"))
    if picture.mode == "PA":
        pixels = np.asarray(picture.convert("RGBA"))[..., :3]
    else:
        pixels = np.asarray(picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGB"))[..., :3]
    return grey_if_equal(pixels)


def grey_if_equal(pixels: ImageArray) -> ImageArray:
    """`(H, W)` where the three channels of `(H, W, 3)` are equal, else the same pixels; contiguous."""
    is_grey = all(np.array_equal(pixels[..., 0], pixels[..., channel]) for channel in (1, 2))
    return np.ascontiguousarray(pixels[..., 0] if is_grey else pixels)
