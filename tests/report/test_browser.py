"""The page in a real browser: it asks for nothing, nothing overflows, it is accessible, and it can be used."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchbird.contract import Sample
from benchbird.index import index_of
from benchbird.ranking import rank_study
from benchbird.report.making import StudyData, Wishes, make_page, make_waiting_page
from benchbird.studies import select_study
from tests.browser import Visit, browse, visit
from tests.predictions_factory import MadeUpImages, write_study

IMAGES = MadeUpImages(without_bird=2, attributes={"snr_db": ["-2", "3", "8"], "noise": ["rain", "wind"]})
LEVELS = {"unet": 0.75, "atrous_segnet": 0.7, "a_segmenter_with_quite_a_long_name_of_its_own": 0.4}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    folder = write_study(results, LEVELS, seeds=(0, 1, 2), images=IMAGES)
    for trial in folder.glob("*/seed-*"):
        lines = [f'{{"epoch": {n}, "train_loss": {1 / n}, "val_iou_pooled": {0.6 - 0.3 / n}}}' for n in range(1, 9)]
        (trial / "curve.jsonl").write_text("\n".join(lines))
    images = np.random.default_rng(0).integers(0, 255, (IMAGES.n_test, 1, 32, 32), dtype=np.uint8)
    with index_of(results / "cache") as index:
        choice = select_study(results, results=results, index=index)
        ranking = rank_study(choice.study.found, index)
        samples = [
            Sample(sample_id=one, recording_id=one, image=folder / one, mask=folder / one)
            for one in _sample_ids(folder)
        ]
        data = StudyData(benchmark="birds.yaml", overrides=(), plugins=(), samples=samples, images=images)
        page = make_page(choice.study, ranking, index, data, Wishes(gallery=8, has_sound=False), lambda done, of: None)
    (results / "report.html").write_text(page, encoding="utf-8")
    return results / "report.html"


def _sample_ids(folder: Path) -> tuple[str, ...]:
    from benchbird.predictions import read_predictions

    return read_predictions(next(folder.glob("*/seed-0/predictions.npz"))).sample_ids


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browse() as opened:
        yield opened


@pytest.fixture
def visited(browser: Any, path: Path) -> Iterator[Visit]:
    visited = visit(browser, path)
    yield visited
    assert visited.complaints == [] and visited.requests == []
    visited.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_asks_for_nothing_and_is_accessible(browser: Any, path: Path, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    visited = visit(browser, path, width, scheme)
    page = visited.page
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
    assert visited.complaints == [] and visited.requests == []
    page.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_of_trials_under_way_too(browser: Any, tmp_path: Path, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    trial = tmp_path / "birdsound" / "0123456789ab" / f"{'a_long_name_' * 8}-00000000" / "seed-0"
    trial.mkdir(parents=True)
    (trial / "curve.jsonl").write_text('{"epoch": 1, "train_loss": 0.5, "val_iou_pooled": 0.2}\n')
    with index_of(tmp_path / "cache") as index:
        made = make_waiting_page(tmp_path, index, datetime(2026, 11, 21, tzinfo=UTC))
    assert made is not None
    (tmp_path / "report.html").write_text(made, encoding="utf-8")
    visited = visit(browser, tmp_path / "report.html", width)
    assert visited.page.evaluate("document.documentElement.scrollWidth") <= width
    assert [one["id"] for one in Axe().run(visited.page).response["violations"]] == []
    assert visited.complaints == [] and visited.requests == []
    visited.page.close()


def test_a_long_name_leaves_room_for_the_score_on_a_phone(browser: Any, path: Path) -> None:
    visited = visit(browser, path, 390)
    page = visited.page
    name = page.locator("#leaderboard tbody th").first
    name.evaluate("one => { one.textContent = 'x'.repeat(60); }")
    assert name.bounding_box()["width"] <= 390 / 2
    page.close()


def test_what_is_printed_has_no_controls_and_cuts_no_table(visited: Visit) -> None:
    page = visited.page
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("nav").is_hidden() and page.locator("#pair").is_hidden()
    assert page.locator("button.download").first.is_hidden()
    assert page.locator(".scroll").first.evaluate("one => getComputedStyle(one).overflowX") == "visible"
    # Dark paper would waste ink.
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def labels(page: Any) -> list[str]:
    return [str(text) for text in page.locator("#leaderboard table").first.locator("tbody th").all_inner_texts()]


def test_the_leaderboard_is_sorted_by_mouse_and_by_keyboard(visited: Visit) -> None:
    page = visited.page
    ranked = labels(page)
    assert ranked[0] == "unet"
    heading = page.locator("#leaderboard thead th", has_text="IoU pooled").first
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending" and labels(page) == ranked
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending" and labels(page) == ranked[::-1]
    name = page.locator("#leaderboard thead th", has_text="segmenter").first
    name.locator("button").focus()
    page.keyboard.press("Enter")
    assert name.get_attribute("aria-sort") == "ascending" and heading.get_attribute("aria-sort") is None
    assert labels(page) == sorted(ranked)


def downloaded(page: Any, button: Any, folder: Path) -> list[list[str]]:
    with page.expect_download() as waited:
        button.focus()
        page.keyboard.press("Enter")
    assert waited.value.suggested_filename.endswith(".csv")
    waited.value.save_as(folder / "table.csv")
    assert (folder / "table.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    with (folder / "table.csv").open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.reader(stream))


def test_a_table_is_downloaded_as_it_is_shown(visited: Visit, tmp_path: Path) -> None:
    page = visited.page
    figure = page.locator("#figure-standing")
    figure.locator("summary").click()
    heading, *rows = downloaded(page, figure.locator("button.download"), tmp_path)
    assert heading == ["segmenter", "IoU pooled", "low", "high", "interval covers", "group"]
    assert [row[0] for row in rows] == list(LEVELS) and all(0 < float(row[1]) < 1 for row in rows)
    assert page.locator(".scroll").count() == page.locator("button.download").count()


def test_the_leaderboard_is_downloaded_in_full_precision(visited: Visit, tmp_path: Path) -> None:
    heading, *rows = downloaded(visited.page, visited.page.locator("#leaderboard button.download").first, tmp_path)
    assert [row[heading.index("label")] for row in rows] == list(LEVELS)
    assert all(len(row[heading.index("iou_pooled")]) > 6 for row in rows)


def test_no_cell_of_a_download_is_a_formula(visited: Visit) -> None:
    cells = ["=1+1", "@x", "−1.5", "79,200", "–", 'a "b", c', "−0.7 to 5.2", "1,2"]
    said = visited.page.evaluate(
        """cells => {
          const table = document.createElement("table");
          for (const cell of cells) table.insertRow().insertCell().textContent = cell;
          return csvOf(table);
        }""",
        cells,
    )
    wanted = ['"\'=1+1"', '"\'@x"', "-1.5", "79200", "", '"a ""b"", c"', '"−0.7 to 5.2"', '"1,2"']
    assert said.split("\r\n") == [*wanted, ""]


def test_what_is_missing_comes_last_whichever_way(visited: Visit) -> None:
    ordered = visited.page.evaluate(
        """() => ["n", ""].flatMap((kind) => [true, false].map((ascending) => {
          const table = document.createElement("table");
          const heading = document.createElement("th");
          heading.className = kind;
          table.createTHead().insertRow().append(heading);
          const body = table.createTBody();
          for (const cell of ["–", "0.5", "–", "0.75"]) body.insertRow().insertCell().textContent = cell;
          sortBy(table, 0, ascending);
          return Array.from(body.rows).map((row) => row.textContent).join(" ");
        }))"""
    )
    assert ordered == ["0.5 0.75 – –", "0.75 0.5 – –"] * 2


def test_points_name_their_image_and_lead_to_it(visited: Visit) -> None:
    page = visited.page
    links = page.locator("#figure-scatter svg a")
    assert 0 < links.count() <= 8
    title = links.first.locator("title")
    before, anchor = title.text_content(), links.first.get_attribute("href")
    image = before.split(":")[0]
    assert image in page.locator(f"{anchor} h3").inner_text()
    page.select_option("#pair-y", label="a_segmenter_with_quite_a_long_name_of_its_own")
    assert title.text_content() != before and title.text_content().startswith(f"{image}: ")
    assert links.first.get_attribute("aria-label") == title.text_content()
    # An image that the filter hides is shown when a link leads to it.
    group = page.locator(anchor).get_attribute("data-group")
    page.get_by_label("best" if group != "best" else "worst", exact=True).check()
    assert page.locator(anchor).is_hidden()
    page.locator("#figure-scatter summary").click()
    page.locator(f'#figure-scatter tbody a[href="{anchor}"]').click()
    assert page.locator(anchor).is_visible()


def test_the_table_of_any_two_is_right_when_it_was_sorted_before(visited: Visit) -> None:
    page = visited.page
    page.locator("#figure-scatter summary").click()
    page.locator("#figure-scatter thead button").nth(1).click()
    page.select_option("#pair-x", label="atrous_segnet")
    titles = [one.text_content() for one in page.locator("#figure-scatter .m title").all()]
    rows = [row.locator("th, td").all_inner_texts() for row in page.locator("#figure-scatter tbody tr").all()]
    assert sorted(titles) == sorted(f"{one}: {x} and {y}" for one, x, y in rows)


def test_few_stops_of_the_tab_key_lie_in_the_gallery(visited: Visit) -> None:
    page = visited.page
    assert page.locator('.panels button[tabindex="0"]').count() == page.locator(".exhibit").count()
    buttons = page.locator(".exhibit").first.locator("button")
    buttons.first.focus()
    page.keyboard.press("ArrowRight")
    assert buttons.nth(1).evaluate("one => one === document.activeElement")
    page.keyboard.press("ArrowLeft")
    assert buttons.first.evaluate("one => one === document.activeElement")
    skip = page.locator(".skip.here")
    skip.focus()
    assert skip.is_visible() and "Skip the 8 images" in skip.inner_text()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('section').id") not in ("gallery", "")


def test_a_table_is_a_stop_only_where_it_can_be_scrolled(visited: Visit) -> None:
    board = visited.page.locator("#leaderboard .scroll").first
    assert board.get_attribute("tabindex") == "0"
    board.evaluate("one => { one.querySelectorAll('tr > :nth-child(n+3)').forEach((cell) => cell.remove()); }")
    board.evaluate("one => { one.style.width = '99%'; }")
    visited.page.locator("#leaderboard .scroll:not([tabindex]):has(th button)").first.wait_for(timeout=5000)
    assert board.get_attribute("tabindex") is None


def test_any_two_segmenters_are_set_against_each_other(visited: Visit) -> None:
    page = visited.page
    points = [mark.get_attribute("cx") for mark in page.locator("#figure-scatter .m").all()]
    assert len(points) == IMAGES.n_test - 2
    page.select_option("#pair-x", label="atrous_segnet")
    page.select_option("#pair-y", label="atrous_segnet")
    marks = page.locator("#figure-scatter .m").all()
    assert [mark.get_attribute("cx") for mark in marks] != points
    assert page.locator("#d-scatter").inner_text() == (
        f"atrous_segnet is better on 0 of {len(points)} images, equal on {len(points)}."
    )
    page.locator("#figure-scatter summary").click()
    rows = page.locator("#figure-scatter tbody tr").all()
    assert len(rows) == len(points) and all(
        cells[0] == cells[1] for cells in (row.locator("td").all_inner_texts() for row in rows)
    )


def test_the_gallery_shows_errors_or_predictions_one_group_or_all(visited: Visit, tmp_path: Path) -> None:
    page = visited.page
    exhibits = page.locator(".exhibit")
    assert exhibits.count() == 8
    picture = page.locator(".exhibit img.errors").first
    page.get_by_label("predictions", exact=True).check()
    picture.screenshot(path=str(tmp_path / "prediction.png"))
    shown = np.asarray(Image.open(tmp_path / "prediction.png").convert("RGB"))
    inside = shown[8:-8, 8:-8].reshape(-1, 3)  # its corners are round
    assert {tuple(pixel) for pixel in inside.tolist()} <= {(0, 0, 0), (255, 255, 255)}
    assert page.locator("#error-legend").is_hidden()
    page.get_by_label("errors", exact=True).check()
    page.get_by_label("worst", exact=True).check()
    visible = [one.get_attribute("data-group") for one in exhibits.all() if one.is_visible()]
    assert visible and set(visible) == {"worst"}


def test_an_image_is_enlarged_and_leafed_through_by_keyboard(visited: Visit) -> None:
    page = visited.page
    first = page.locator(".panels button").first
    first.focus()
    page.keyboard.press("Enter")
    caption = page.locator("#large-caption")
    assert page.locator("#large").is_visible()
    before = caption.inner_text()
    page.keyboard.press("ArrowRight")
    assert caption.inner_text() != before
    page.keyboard.press("ArrowLeft")
    assert caption.inner_text() == before
    page.keyboard.press("Escape")
    assert page.locator("#large").is_hidden()
    assert page.evaluate("document.activeElement === document.querySelector('.panels button')")
