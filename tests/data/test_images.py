from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchbird.data.images import MOST_BYTES, Unreadable, check_header, kind_fits_name, read_image, read_mask
from tests.data.picture_files import encoded, mask_bytes, picture, png_that_claims

PIXELS, BIRD = picture()
GREY = Image.fromarray(PIXELS)


def inverted_palette() -> Image.Image:
    indexed = Image.fromarray(255 - PIXELS).convert("P")
    indexed.putpalette([value for index in range(256) for value in (255 - index,) * 3])
    return indexed


SAME_PICTURE = {
    "grey.png": encoded(PIXELS),
    "grey.tif": encoded(PIXELS, "TIFF"),
    "rgb.png": encoded(GREY.convert("RGB")),
    "rgba.png": encoded(np.dstack([PIXELS] * 3 + [np.full_like(PIXELS, 90)])),
    "la.png": encoded(Image.merge("LA", (GREY, Image.new("L", GREY.size, 3)))),
    "palette.png": encoded(inverted_palette()),
    "grey16.png": encoded(Image.fromarray(PIXELS.astype(np.uint16) * 257)),
    "grey16.tif": encoded(Image.fromarray(PIXELS.astype(np.uint16) * 257), "TIFF"),
    "named_wrongly.jpg": encoded(PIXELS),
}


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", SAME_PICTURE)
def test_every_way_to_store_a_grey_picture_reads_the_same(tmp_path: Path, name: str) -> None:
    image = read_image(put(tmp_path, name, SAME_PICTURE[name]))
    assert image.dtype == np.uint8
    assert np.array_equal(image, PIXELS)


def test_a_colour_picture_keeps_its_channels(tmp_path: Path) -> None:
    colours = np.dstack([PIXELS, PIXELS[::-1], 255 - PIXELS])
    assert np.array_equal(read_image(put(tmp_path, "a.png", encoded(colours))), colours)


def test_a_grey_jpeg_is_close(tmp_path: Path) -> None:
    path = put(tmp_path, "a.png", encoded(PIXELS, "JPEG"))
    assert np.abs(read_image(path).astype(int) - PIXELS).mean() < 15
    assert not kind_fits_name(path, check_header(path))


def test_sixteen_bits_are_rounded_not_cut(tmp_path: Path) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    image = read_image(put(tmp_path, "a.png", encoded(Image.fromarray(values))))
    assert np.array_equal(image, np.floor(values / 257 + 0.5))


def test_one_bit_pictures_are_black_and_white(tmp_path: Path) -> None:
    path = put(tmp_path, "a.png", encoded(Image.fromarray(BIRD)))
    assert np.array_equal(read_image(path), np.where(BIRD, 255, 0))
    assert np.array_equal(read_mask(path), BIRD)


GOOD = encoded(PIXELS)
FLIPPED = bytearray(GOOD)
FLIPPED[len(GOOD) // 2] ^= 0x55
UNUSABLE = {
    "zero_bytes": (b"", "empty file"),
    "cut_in_signature": (GOOD[:4], "cut short after 4 bytes"),
    "cut_in_header": (GOOD[:20], "cut short"),
    "cut_after_header": (GOOD[:33], "cut short"),
    "cut_in_pixels": (GOOD[: len(GOOD) // 2], "cut short"),
    "flipped_byte": (bytes(FLIPPED), "damaged"),
    "text": (b"This is not a picture.\n", "not an image"),
    "gif": (encoded(PIXELS, "GIF"), "not an image"),
    "cmyk": (encoded(GREY.convert("CMYK"), "JPEG"), "CMYK"),
    "float": (encoded(Image.fromarray(PIXELS.astype(np.float32)), "TIFF"), "pixels of kind F"),
    "one_pixel": (encoded(PIXELS[:1, :1]), "too small: 1x1"),
    "low": (encoded(PIXELS[:15]), "too small: 48x15"),
    "bomb": (png_that_claims(2**31 - 1, 2**31 - 1), "too large: 2147483647x2147483647"),
    "just_too_large": (png_that_claims(8001, 8000), "too large: 8001x8000"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_cannot_be_used_is_refused_with_name_and_reason(tmp_path: Path, case: str) -> None:
    content, reason = UNUSABLE[case]
    path = put(tmp_path, f"{case}.png", content)
    for read in (read_image, read_mask):
        with pytest.raises(Unreadable) as caught:
            read(path)
        assert reason in caught.value.reason
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_several_pictures_in_one_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    GREY.save(path, save_all=True, append_images=[GREY])
    with pytest.raises(Unreadable, match="holds 2 pictures"):
        read_image(path)


def test_a_png_without_its_end_chunk_always_loads(tmp_path: Path) -> None:
    path = put(tmp_path, "a.png", GOOD[:-14])
    assert np.array_equal(read_image(path), PIXELS)


def test_a_file_of_too_many_bytes_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(GOOD)
    os.truncate(path, MOST_BYTES)
    assert check_header(path).size_text == "48x32"
    os.truncate(path, 5 * 2**40)  # sparse: no decoder could go through it in time
    with pytest.raises(Unreadable, match="too large: 5242880 MiB, expected at most 256 MiB"):
        check_header(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="no such file"):
        read_image(tmp_path / "gone.png")


@pytest.mark.parametrize(
    "stored",
    [
        encoded(BIRD.astype(np.uint8)),
        mask_bytes(BIRD),
        encoded(BIRD.astype(np.uint8) * 7),
        encoded(np.dstack([np.where(BIRD, 128, 0).astype(np.uint8), *[np.zeros(BIRD.shape, np.uint8)] * 2])),
        encoded(Image.fromarray(np.where(BIRD, 65535, 0).astype(np.uint16))),
    ],
    ids=["0/1", "0/255", "0/7", "red", "16 bit"],
)
def test_a_mask_of_two_values_is_read(tmp_path: Path, stored: bytes) -> None:
    mask = read_mask(put(tmp_path, "a.png", stored))
    assert mask.dtype == np.bool_
    assert np.array_equal(mask, BIRD)


def test_a_mask_may_be_empty_or_full(tmp_path: Path) -> None:
    assert not read_mask(put(tmp_path, "a.png", mask_bytes(BIRD & False))).any()
    assert read_mask(put(tmp_path, "b.png", mask_bytes(BIRD | True))).all()


@pytest.mark.parametrize(
    ("values", "reason"),
    [((0, 100, 200), "3 grey values from 0 to 200"), ((10, 255), "the values 10 and 255")],
)
def test_a_mask_that_would_have_to_be_guessed_is_refused(tmp_path: Path, values: tuple[int, ...], reason: str) -> None:
    pixels = np.resize(np.array(values, dtype=np.uint8), (20, 20))
    with pytest.raises(Unreadable, match=reason):
        read_mask(put(tmp_path, "a.png", encoded(pixels)))


def test_a_jpeg_mask_is_cut_at_half(tmp_path: Path) -> None:
    blocks = np.zeros((32, 32), dtype=np.bool_)
    blocks[8:24, 8:16] = True
    path = put(tmp_path, "a.jpg", encoded(np.where(blocks, 250, 3).astype(np.uint8), "JPEG"))
    assert np.array_equal(read_mask(path), blocks)
    faint = put(tmp_path, "b.jpg", encoded((PIXELS // 4), "JPEG"))
    with pytest.raises(Unreadable, match="JPEG mask whose brightest value"):
        read_mask(faint)
