"""The page as a document: what stands in it, and that nothing of a record can become markup or script."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchbird.index import index_of
from benchbird.protocol import Protocol
from benchbird.ranking import rank_study
from benchbird.record_json import record_bytes
from benchbird.report.making import Wishes, _sound_missing, make_page, make_waiting_page, write_page
from benchbird.results import FoundRecord, add_record, read_record
from benchbird.studies import Study, select_study
from tests.predictions_factory import MadeUpImages, write_study, write_trial
from tests.record_factory import PROTOCOL, make_record, make_segmenter

EVIL = "<script>alert(1)</script>"
IMAGES = MadeUpImages(without_bird=2, attributes={"snr_db": ["-2", "3", "8"], "noise": [EVIL, "wind"]})


class Reader(HTMLParser):
    """Collects what a browser would act upon."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.contents: dict[str, list[str]] = {"script": [], "style": []}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in self.contents:
            self.contents[tag].append("")

    def handle_data(self, data: str) -> None:
        last = self.tags[-1][0] if self.tags else ""
        if last in self.contents and self.get_starttag_text() is not None and self.cdata_elem == last:
            self.contents[last][-1] += data
        else:
            self.text.append(data)


def page_of(results: Path, gallery: int = 6) -> str:
    with index_of(results / "cache") as index:
        choice = select_study(results, results=results, index=index)
        ranking = rank_study(choice.study.found, index)
        wishes = Wishes(gallery=gallery)
        return make_page(choice.study, ranking, index, None, wishes, lambda done, of: None)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    results = tmp_path_factory.mktemp("results")
    folder = write_study(results, {"unet": 0.7, "evil": 0.6, "style": 0.5}, seeds=(0, 1), images=IMAGES)
    # No folder of ours is named so, but records come from other people.
    for label, name in (("evil", EVIL), ("style", "</style>")):
        for path in folder.glob(f"{label}-*/seed-*/record.json"):
            record = read_record(path)
            path.write_bytes(record_bytes(replace(record, segmenter=replace(record.segmenter, label=name))))
    add_record(
        _made(folder / "other-00000000" / "seed-7"),
        make_record(make_segmenter("other"), seed=7, status="failed", reason=f"it said {EVIL}",
                    data=IMAGES.summary(), protocol=_protocol()),
    )  # fmt: skip
    unended = _made(folder / "waiting-00000000" / "seed-0")
    (unended / "status.json").write_text(json.dumps({"status": "interrupted", "epochs": 5}))
    (unended / "curve.jsonl").write_text(json.dumps({"epoch": 1, "train_loss": 0.5, "val_iou_pooled": 0.2}))
    return page_of(results)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _protocol() -> Protocol:
    return replace(PROTOCOL, image_size=IMAGES.image_size)


def test_only_the_page_s_own_script_and_style_may_run(page: str) -> None:
    reader = read(page)
    policy = next(attributes["content"] for tag, attributes in reader.tags if attributes.get("http-equiv"))
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:; media-src data:;")
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        [content] = [
            text for text, (_, attributes) in zip(
                reader.contents[kind], [one for one in reader.tags if one[0] == kind], strict=True
            ) if attributes.get("type") != "application/json"
        ]  # fmt: skip
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_names_are_text_wherever_they_stand(page: str) -> None:
    reader = read(page)
    assert len([tag for tag, _ in reader.tags if tag == "script"]) == 2
    assert page.count("<script") == 2 and page.count("</style>") == 1
    assert any(EVIL in text for text in reader.text)
    for tag, attributes in reader.tags:
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href"):
            target = attributes.get(name) or "#"
            assert target.startswith(("#", "data:")), target
    [text] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert EVIL in json.loads(text)["labels"]


def test_it_says_what_a_reader_asks_for(page: str) -> None:
    text = " ".join(read(page).text)
    for words in ("Who wins?", "Is it certain?", "At what cost?", "Where does it fail?", "How do I repeat it?"):
        assert words in text
    assert "unet has the best mean IoU pooled on test: 0." in text
    assert "benchbird run benchmarks/birdsound.yaml --profile cpu --seeds 0,1,7" in text
    assert "seed 7: failed: it said" in text
    assert "waiting" in text and "interrupted, epoch 1 of 5" in text
    assert "Unfinished: 7 trials have ended, 1 has not." in text
    assert "Give" not in text or "--benchmark" in text


def test_identities_are_unique_and_links_lead_somewhere(page: str) -> None:
    reader = read(page)
    identities = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(identities) == len(set(identities))
    links = [str(attributes["href"])[1:] for tag, attributes in reader.tags if tag == "a"]
    assert set(links) <= set(identities)


def test_every_chart_has_a_table_behind_it(page: str) -> None:
    reader = read(page)
    figures = [attributes["id"] for tag, attributes in reader.tags if tag == "figure" and "id" in attributes]
    assert {"figure-standing", "figure-cost-inference", "figure-distribution", "figure-scatter", "figure-thresholds",
            "figure-by-snr-db", "figure-by-noise", "figure-curve-val-0"} <= set(map(str, figures))  # fmt: skip
    for figure in figures:
        inside = page.split(f'id="{figure}"', 1)[1].split("</figure>", 1)[0]
        assert inside.count("<svg") == 1 and inside.count("<table") == 1, figure


def test_every_chart_says_what_it_shows(page: str) -> None:
    reader = read(page)
    identities = {attributes.get("id") for _, attributes in reader.tags}
    charts = [attributes for tag, attributes in reader.tags if tag == "svg" and attributes.get("class") == "chart"]
    for attributes in charts:
        assert attributes["aria-describedby"] in identities, attributes
    text = " ".join(reader.text)
    assert "The mean IoU pooled is highest for unet, 0." in text and ", and lowest for </style>, 0." in text
    assert "The IoU of the median image is highest for unet" in text
    assert "unet is better on " in text and "The curve of unet peaks at logit " in text
    assert "It ends at 0.5000 (seed 0, interrupted)." in text


def test_terms_are_explained(page: str) -> None:
    text = page.split('<section id="words"', 1)[1].split("</section>", 1)[0]
    for term in ("IoU pooled", "native", "ceiling", "seed", "interval", "group", "minimum detectable difference",
                 "Holm", "floor, †", "SI-SDR"):  # fmt: skip
        assert re.search(rf"<dt>{term}[^<]*</dt><dd>[^<]{{40,}}\.</dd>", text), term


def test_the_cost_of_the_trials_is_told(page: str) -> None:
    text = " ".join(read(page).text)
    # Seven trials of 61.5 s, one of them failed.
    assert "The 7 trials together took 7 min 10 s of wall-clock time" in text
    rows = re.findall(r"<tr>(.*?)</tr>", page.split("Time and memory of each trial</caption>")[1].split("</table>")[0])
    cells = [re.findall(r">([^<>]*)</t[hd]>", row) for row in rows]
    assert ["unet", "1", "done", "61.5", "900", "1"] in cells and ["other", "7", "failed", "61.5", "–", "1"] in cells


def test_it_says_why_there_is_no_sound(page: str) -> None:
    assert "This page was made without the data; benchbird report with --benchmark FILE" in page


def test_it_says_why_there_is_no_sound_of_a_cross_validation(tmp_path: Path) -> None:
    fold = FoundRecord(path=tmp_path / "seed-0" / "record.json", record=make_record())
    pooled = Study("0" * 12, tmp_path, (replace(fold, folds=(fold, fold)),), 0)
    assert _sound_missing(pooled, None, None, Wishes()).startswith("No sound is cleaned for a cross-validation: ")
    assert _sound_missing(replace(pooled, found=(fold,)), None, None, Wishes()).startswith("The trials' predictions")


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_one_segmenter_has_a_page_too(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    write_study(tmp_path, {"unet": 0.7}, seeds=seeds, images=IMAGES)
    text = " ".join(read(page_of(tmp_path)).text)
    assert "There is nothing to compare: it takes two segmenters." in text


def test_without_predictions_the_records_still_make_a_page(tmp_path: Path) -> None:
    folder = write_trial(tmp_path, "unet", images=IMAGES)
    (folder / "predictions.npz").unlink()
    text = " ".join(read(page_of(tmp_path)).text)
    assert "Unknown: the trials' predictions aren't at hand." in text and "1 trial has no predictions file" in text


def test_undefined_scores_are_said_to_be_undefined(tmp_path: Path) -> None:
    for label in ("unet", "atrous_segnet"):
        add_record(_made(tmp_path / "b" / "s" / f"{label}-00000000" / "seed-0"),
                   make_record(make_segmenter(label), iou=None))  # fmt: skip
    text = " ".join(read(page_of(tmp_path)).text)
    for words in ("Nobody yet: no segmenter has a score.", "There is nothing to compare: no segmenter has a score.",
                  "No segmenter has both a score and a timing.", "No segmenter's score is defined"):  # fmt: skip
        assert words in text
    assert 'id="figure-standing' not in page_of(tmp_path) and "nan" not in text.lower().split()


def test_without_a_bird_nothing_is_drawn_of_single_images(tmp_path: Path) -> None:
    images = MadeUpImages(n_recordings=6, images_per_recording=1, without_bird=6)
    write_study(tmp_path, {"unet": 0.7, "other": 0.5}, seeds=(0, 1), images=images)
    page = page_of(tmp_path)
    assert "No test image shows a bird" in page and 'id="figure-thresholds"' in page
    assert 'id="figure-scatter"' not in page and 'id="figure-distribution"' not in page
    assert "2 share the highest score" in page and "peaks at" not in page
    assert "The mean IoU pooled of each is 0.000." in page


def test_of_many_names_only_some_are_listed(tmp_path: Path) -> None:
    write_study(tmp_path, {f"net_{number:02d}": 0.3 + 0.03 * number for number in range(12)}, seeds=(0,), images=IMAGES)
    text = " ".join(read(page_of(tmp_path)).text)
    assert re.search(r"Neither faster nor better than some other one: (net_\d\d, ){4}net_\d\d and 6 others\.", text)


def test_one_image_of_one_trial_has_a_page(tmp_path: Path) -> None:
    images = MadeUpImages(n_recordings=1, images_per_recording=1, n_val=1)
    write_study(tmp_path, {"unet": 0.7}, seeds=(0,), images=images)
    assert 'id="image-0"' in page_of(tmp_path)


def test_a_study_of_failures_alone_says_so(tmp_path: Path) -> None:
    add_record(_made(tmp_path / "birdsound" / "s" / "unet-00000000" / "seed-0"),
               make_record(status="diverged", reason="the loss was NaN"))  # fmt: skip
    text = " ".join(read(page_of(tmp_path)).text)
    assert "Nobody yet: no segmenter has a score." in text and "diverged: the loss was NaN" in text


def test_a_study_of_which_no_trial_has_ended_has_a_page(tmp_path: Path) -> None:
    study = tmp_path / "birdsound" / "0123456789ab"
    for seed, text in ((0, "interrupted"), (1, EVIL)):
        folder = _made(study / "unet-00000000" / f"seed-{seed}")
        status = {"status": text, "epochs": 5, "attempts": 2, "started_at": "2026-11-20T10:00:00+00:00"}
        (folder / "status.json").write_text(json.dumps(status))
    curve = json.dumps({"epoch": 1, "train_loss": 0.5, "val_iou_pooled": 0.2})
    (study / "unet-00000000" / "seed-0" / "curve.jsonl").write_text(curve)
    now = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    with index_of(tmp_path / "cache") as index:
        page = make_waiting_page(tmp_path, index, now)
        assert page is not None
        text = " ".join(read(page).text)
        assert "No trial has ended yet" in text and "Study 0123456789ab: 1 interrupted, 1 waiting." in text
        assert "1 of 5" in text and "2026-11-20 10:00" in text and "by 2026-11-21 09:30 UTC" in text
        assert 'id="figure-curve-val-0"' in page and page.count("<script") == 2
        add_record(_made(study / "unet-00000000" / "seed-2"), make_record(seed=2, status="failed", reason="x"))
        assert make_waiting_page(tmp_path, index, now) is None
        assert make_waiting_page(_made(tmp_path / "empty"), index, now) is None


def test_a_page_that_cannot_be_written_is_a_sentence_and_no_failure(tmp_path: Path) -> None:
    write_study(tmp_path / "results", {"unet": 0.7}, seeds=(0,), images=IMAGES)
    (tmp_path / "report.html").mkdir()
    with index_of(tmp_path / "cache") as index:
        choice = select_study(tmp_path / "results", results=tmp_path, index=index)
        ranking = rank_study(choice.study.found, index)
        said = write_page(tmp_path / "report.html", choice.study, ranking, index, None)
        assert said.startswith("no report was written: ") and "report.html" in said
        assert write_page(tmp_path / "page.html", choice.study, ranking, index, None) == ""
    assert (tmp_path / "page.html").exists()
