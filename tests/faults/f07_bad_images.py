"""F7: images and masks that are cut, damaged, too large, mismatched or no images at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.picture_files import (
    encoded,
    mask_bytes,
    picture,
    png_that_claims,
    write_data_root,
    write_pair,
)
from tests.faults.suite import CannotBeTried, Fault
from tests.faults.watched_commands import Answer, Sandbox, make_sandbox

SHARED = Path(os.environ.get("BENCHBIRD_BAD_IMAGES", Path(__file__).parents[3] / "shared" / "data" / "bad-images"))
MOST_BYTES = 2**30

SHARED_REASONS = {
    "zero_bytes": "empty file", "cut_0004": "cut short", "cut_0020": "cut short", "cut_0033": "cut short",
    "cut_1866": "cut short", "bad_crc": "damaged", "text": "not an image", "mask_cut": "cut short", "cmyk": "CMYK",
    "one_pixel": "too small", "bomb_30000x30000": "too large", "big_12000x12000": "too large",
    "bomb_header_only": "too large", "no_mask": "without its mask", "no_image": "without its image",
    "mask_other_size": "80x48, its image is 96x64", "mask_transposed": "64x96, its image is 96x64",
    "mask_grey": "grey values", "directory": "a folder",
}  # fmt: skip
"""What the folder's own table says of each file, by its stem; what isn't here loads."""


@dataclass(frozen=True)
class Bad:
    """A broken pair: the bytes of its image and its mask, None for a good one, and words of the reason.

    An image of more bytes than it is given has a hole behind them, which takes no room on the disk.
    """

    reason: str
    image: bytes | None = None
    mask: bytes | None = None
    size_bytes: int | None = None


_PIXELS, _BIRD = picture(7)
_GOOD, _MASK = encoded(_PIXELS), mask_bytes(_BIRD)


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def _cmyk() -> bytes:
    return encoded(Image.new("CMYK", (48, 32), (10, 20, 30, 40)), "JPEG")


MADE: Mapping[str, Bad] = {
    "empty image": Bad("empty file", image=b""),
    "empty mask": Bad("empty file", mask=b""),
    "image cut in its signature": Bad("cut short", image=_GOOD[:4]),
    "image cut in its header": Bad("cut short", image=_GOOD[:20]),
    "image cut after its header": Bad("cut short", image=_GOOD[:33]),
    "image cut in its pixels": Bad("", image=_GOOD[: len(_GOOD) // 2]),
    "mask cut in its pixels": Bad("", mask=_MASK[: len(_MASK) // 2]),
    "image with a flipped byte": Bad("", image=_flipped(_GOOD)),
    "text as image": Bad("not an image", image=b"this is a bird\n" * 9),
    "HTML as mask": Bad("not an image", mask=b"<!doctype html><p>404</p>"),
    "CMYK image": Bad("CMYK", image=_cmyk()),
    "one pixel": Bad("too small", image=encoded(np.zeros((1, 1), np.uint8)), mask=encoded(np.zeros((1, 1), np.uint8))),
    "header of 30000 x 30000": Bad("too large", image=png_that_claims(30000, 30000)),
    "mask's header of 30000 x 30000": Bad("too large", mask=png_that_claims(30000, 30000)),
    "image with a chunk of 1.2 GB": Bad(
        "too large: 1144 MiB", image=_GOOD[:33] + (1_200_000_000).to_bytes(4, "big") + b"prIv", size_bytes=1_200_000_000
    ),
    "header of 2147483647 x 2147483647": Bad("too large", image=png_that_claims(2**31 - 1, 2**31 - 1)),
    "mask of another size": Bad("24x16, its image is 48x32", mask=encoded(np.zeros((16, 24), np.uint8))),
    "mask transposed": Bad("32x48, its image is 48x32", mask=mask_bytes(_BIRD.T)),
    "grey mask": Bad("grey values", mask=_GOOD),
}


def _bench(folder: Path) -> tuple[Sandbox, Path]:
    """A sandbox with a sound data set in `birds` and a benchmark on it."""
    sandbox = make_sandbox(folder)
    birds = write_data_root(sandbox.work / "birds", train=5, val=3, test=3)
    (sandbox.work / "small.yaml").write_text(json.dumps({
        "name": "small", "data": {"root": "birds"}, "segmenters": ["threshold"],
        "protocol": {"image_size": 16, "batch_size": 2, "epochs": 1},
    }))  # fmt: skip
    return sandbox, birds


def _check_list(sandbox: Sandbox, root: Path, expected: Mapping[str, tuple[str, str]]) -> Answer:
    """`data check` names every bad file with its reason, in text and as JSON, in one pass each.

    Args:
        sandbox: where to check.
        root: the data set.
        expected: stem → the folder its fault is in (empty for either), and words of the reason.
    """
    shown = sandbox.call("data", "check", str(root))
    answer = sandbox.call("data", "check", str(root), "--json")
    for one in (shown, answer):
        assert one.code == 1
        assert one.peak_bytes < MOST_BYTES, f"took {one.peak_bytes / 2**20:.0f} MiB"
    bad = {Path(fault["path"]).stem: fault for fault in json.loads(answer.stdout)["bad"]}
    for stem, (kind, reason) in expected.items():
        assert stem in bad, f"{stem} isn't listed"
        assert reason in bad[stem]["reason"], f"{stem}: {bad[stem]['reason']}"
        assert kind in bad[stem]["path"], f"{stem}: {bad[stem]['path']}"
        assert f"{bad[stem]['path']}: " in shown.stdout, f"{stem} isn't in the text"
    # Links don't survive every copy of a folder; then they are files of text.
    others = bad.keys() - expected.keys() - {"link_outside", "link_dangling"}
    assert not others, f"listed as bad, too: {others}"
    return answer


def _check_run(sandbox: Sandbox, names: Mapping[str, str]) -> None:
    """A run refuses, unless the bad samples are left out, and then its data are others.

    Args:
        sandbox: with a benchmark.
        names: file name of each bad file → words of its reason.
    """
    refused = sandbox.call("run", "small.yaml", "--device", "cpu")
    assert refused.code == 1
    for name, reason in names.items():
        assert re.search(rf"{re.escape(name)}: .*{re.escape(reason)}", refused.stderr), refused.stderr
    assert not list((sandbox.work / "results").rglob("record.json"))
    digests = {}
    for arguments in ((), ("--set", "data.skip_bad=true")):
        dry = sandbox.call("run", "small.yaml", "--device", "cpu", "--dry-run", *arguments)
        found = re.search(r"data ([0-9a-f]{12})", dry.stderr)
        digests[arguments] = found[1] if found else None
    plain, skipping = digests.values()
    assert skipping is not None
    assert skipping != plain, "leaving samples out must be another study"


def _write(birds: Path, name: str, bad: Bad) -> None:
    write_pair(birds / "Train", name, bad.image, bad.mask, seed=7)
    if bad.size_bytes is not None:
        os.truncate(birds / "Train" / "Images" / name, bad.size_bytes)


def _made(case: str, folder: Path) -> None:
    sandbox, birds = _bench(folder)
    bad = MADE[case]
    _write(birds, "bad.png", bad)
    kind = "Masks" if bad.image is None else "Images"
    _check_list(sandbox, birds, {"bad": (kind if case != "one pixel" else "", bad.reason)})
    _check_run(sandbox, {"bad.png": bad.reason})


STRUCTURES = {
    "image without mask": "without its mask",
    "mask without image": "without its image",
    "folder named as an image": "a folder",
    "link to nothing": "",
    "link out of the data set": "",
    "named pipe": "",
}
"""Where the file isn't to blame → words of the reason."""


def _structure(case: str, folder: Path) -> None:
    """What is wrong isn't in the file: a partner is missing, or something else bears its name."""
    sandbox, birds = _bench(folder)
    write_pair(birds / "Train", "bad.png", seed=7)
    image, mask = (birds / "Train" / kind / "bad.png" for kind in ("Images", "Masks"))
    (mask if case == "image without mask" else image).unlink()
    if case == "folder named as an image":
        image.mkdir()
    elif case == "link to nothing":
        image.symlink_to("gone.png")
    elif case == "link out of the data set":
        write_pair(sandbox.work, "elsewhere.png", seed=7)
        image.symlink_to(sandbox.work / "Images" / "elsewhere.png")
    elif case == "named pipe":
        os.mkfifo(image)
    reason = STRUCTURES[case]
    _check_list(sandbox, birds, {"bad": ("", reason)})
    _check_run(sandbox, {"bad.png": reason})


def _all_made(folder: Path) -> None:
    """Every made-up file in one data set: one pass lists them all, and the run without them completes."""
    sandbox, birds = _bench(folder)
    for case, bad in MADE.items():
        _write(birds, f"{case}.png", bad)
    _check_list(sandbox, birds, {case: ("", bad.reason) for case, bad in MADE.items()})
    _check_run(sandbox, {f"{case}.png": bad.reason for case, bad in MADE.items()})
    done = sandbox.call("run", "small.yaml", "--device", "cpu", "--set", "data.skip_bad=true")
    assert done.code == 0, done.stderr
    assert f"{len(MADE)} samples are left out" in done.stderr
    [record] = (sandbox.work / "results").rglob("record.json")
    assert json.loads(record.read_text())["data"]["n_train"] == 5


def _require_shared() -> None:
    if not (SHARED / "Images").is_dir():
        raise CannotBeTried("the shared folder of bad images is not there; set BENCHBIRD_BAD_IMAGES")


def _shared(name: str, folder: Path) -> None:
    """One file of the shared folder in a sound data set."""
    _require_shared()
    if name == "all":
        sandbox = make_sandbox(folder)
        _check_list(sandbox, SHARED, {stem: ("", reason) for stem, reason in SHARED_REASONS.items()})
        return
    sandbox, birds = _bench(folder)
    for kind in ("Images", "Masks"):
        for path in (SHARED / kind).glob(f"{name}.*"):
            target = birds / "Train" / kind / path.name
            if path.is_dir():
                target.mkdir()
            else:
                shutil.copy(path, target)
    _check_list(sandbox, birds, {name: ("Masks" if name == "mask_cut" else "", SHARED_REASONS[name])})
    _check_run(sandbox, {f"{name}{'.jpg' if name == 'cmyk' else '.png'}": SHARED_REASONS[name]})


SHARED_PREFIX = "shared "


def check(case: str, folder: Path) -> None:
    """Carry out one case."""
    if case == TOGETHER:
        _all_made(folder)
    elif case in MADE:
        _made(case, folder)
    elif case in STRUCTURES:
        _structure(case, folder)
    else:
        _shared(case.removeprefix(SHARED_PREFIX), folder)


TOGETHER = "all of the made-up files at once"

FAULT = Fault(
    number="F7",
    title="images and masks that are cut, damaged, huge, mismatched, missing, or no images",
    promise="one pass names each with its reason in < 1 GiB; a run refuses, or leaves them out under another digest",
    cases=[TOGETHER, *MADE, *STRUCTURES, *(SHARED_PREFIX + name for name in ("all", *SHARED_REASONS))],
    short=[TOGETHER, SHARED_PREFIX + "all"],
    case_s=10,
    check=check,
)
