"""`benchbird show`: a picture of samples with their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchbird.cli import main
from benchbird.data import birdsound
from benchbird.data.contact_sheet import PANEL_HEIGHT, PANEL_WIDTH, contact_sheet, draw_samples
from tests.small_bench import Bench


def show(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["show", *map(str, arguments)])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err and shown.out == "" and isinstance(ended.value.code, int)
    return ended.value.code, shown.err


def test_a_root_s_samples_are_drawn_with_their_masks(
    finished: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = show(capsys, finished.folder / "birds", "--split", "test", "--number", "5", "-o", tmp_path / "a.png")
    assert code == 0 and f"wrote {tmp_path / 'a.png'}: 5 of 8 samples of test" in err
    sheet = np.asarray(Image.open(tmp_path / "a.png"))
    assert sheet.shape[0] >= 2 * PANEL_HEIGHT and sheet.shape[1] >= 6 * PANEL_WIDTH
    code, _ = show(capsys, finished.folder / "birds", "--split", "test", "--number", "5", "-o", tmp_path / "b.png")
    assert code == 0 and (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_colour_is_where_the_mask_is(finished: Bench) -> None:
    [sample] = draw_samples(birdsound.find(finished.folder / "birds", {})["test"], 1, 0)
    sheet = np.asarray(contact_sheet([sample])).astype(int)
    panels = sheet[30 : 30 + PANEL_HEIGHT]
    plain, marked = panels[:, 10 : 10 + PANEL_WIDTH], panels[:, 20 + PANEL_WIDTH : 20 + 2 * PANEL_WIDTH]
    assert (plain.max(-1) - plain.min(-1)).max() == 0
    mask = Image.open(sample.mask).convert("L").resize((PANEL_WIDTH, PANEL_HEIGHT), Image.Resampling.BOX)  # type: ignore[union-attr]
    is_bird = np.asarray(mask)
    is_coloured = marked[..., 0] - marked[..., 2] > 60
    assert is_coloured[is_bird == 255].all() and not is_coloured[is_bird == 0].any()


def test_a_benchmark_s_own_data_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\ndata: {name: synthetic, sizes: {train: 3, val: 1, test: 1}}\nsegmenters: [threshold]\n"
    )
    code, err = show(capsys, tmp_path / "tiny.yaml", "-o", tmp_path / "new" / "a.png", "--cache", tmp_path / "cache")
    assert code == 0 and "3 of 3 samples of train" in err and (tmp_path / "new" / "a.png").stat().st_size > 10_000


def test_what_has_no_samples_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = show(capsys, tmp_path, "-o", tmp_path / "a.png")
    assert code == 1 and str(tmp_path) in err and not (tmp_path / "a.png").exists()
    code, err = show(capsys, tmp_path, "--set", "data.root=x")
    assert code == 2 and "go with a benchmark's YAML" in err
