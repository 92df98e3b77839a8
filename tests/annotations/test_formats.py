from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchbird.annotations.boxes import Box, boxes_of, mask_of
from benchbird.annotations.formats import (
    MOST_BYTES,
    SUFFIXES,
    AnnotationFormat,
    Unusable,
    annotations_text,
    read_annotations,
)
from benchbird.errors import DataError

RAVEN = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies\n"
    "1\tWaveform 1\t1\t0.5\t1.25\t2000.0\t4000.0\tLUSMEG\n"
    "1\tSpectrogram 1\t1\t0.5\t1.25\t2000.0\t4000.0\tLUSMEG\n"
    "2\tSpectrogram 1\t2\t3\t3.5\t100\t8000\t\n"
)
AUDACITY = "0.500000\t1.250000\tLUSMEG\n\\\t2000.000000\t4000.000000\n3.0\t3.5\t\n4.0\t4.0\ta point\n"
CSV = 'file,start_s,end_s,low_hz,high_hz,label,channel\na.wav,0.5,1.25,2000,4000,"LUSMEG, male",1\nb.wav,3,3.5,,,,\n'
FIRST = Box(start_s=0.5, end_s=1.25, low_hz=2000, high_hz=4000, label="LUSMEG", channel=1)


def put(folder: Path, content: str | bytes) -> Path:
    path = folder / "x.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def boxes(path: Path) -> list[Box]:
    return [one.box for one in read_annotations(path)]


def test_a_selection_of_two_views_counts_once(tmp_path: Path) -> None:
    assert boxes(put(tmp_path, RAVEN)) == [
        FIRST, Box(start_s=3, end_s=3.5, low_hz=100, high_hz=8000, label="", channel=2)
    ]  # fmt: skip


HEADER = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_views_the_spectrogram_tells_the_band(tmp_path: Path, order: tuple[int, int]) -> None:
    views = ("1\tWaveform 1\t1\t0.5\t1.25\t0\t8000", "1\tSpectrogram 1\t1\t0.5\t1.25\t2000\t4000")
    [one] = read_annotations(put(tmp_path, "\n".join([HEADER, *(views[number] for number in order)])))
    assert (one.box.low_hz, one.box.high_hz, one.line) == (2000, 4000, 2 + order.index(1))


def test_a_table_that_was_merged_of_several_keeps_every_selection(tmp_path: Path) -> None:
    rows = [
        "1\tSpectrogram 1\t1\t0.5\t1\t10\t20\ta.wav", "1\tSpectrogram 1\t1\t0.5\t1\t10\t20\tb.wav",
        "1\tSpectrogram 1\t1\t3\t4\t10\t20\tb.wav", "1\tWaveform 1\t1\t3\t4\t0\t80\tb.wav",
        "1\tSpectrogram 1\t2\t3\t4\t10\t20\tb.wav", "1\tSpectrogram 1\t1\t3\t5\t10\t20\tb.wav",
    ]  # fmt: skip
    found = read_annotations(put(tmp_path, "\n".join([f"{HEADER}\tBegin File", *rows])))
    assert [(one.file, one.line) for one in found] == [
        ("a.wav", 2), ("b.wav", 3), ("b.wav", 4), ("b.wav", 6), ("b.wav", 7)
    ]  # fmt: skip


def test_audacity_s_labels_tell_the_channel_of_a_box(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    masks = [np.zeros((513, 120), dtype=bool) for _ in range(2)]
    drawn: list[Box] = []
    for channel, mask in enumerate(masks, start=1):
        for start in (0, 40, 80):
            low = int(random.integers(0, 400))
            mask[low : low + 50, start + 5 * channel : start + 25] = True
        drawn += [replace(box, channel=channel) for box in boxes_of(mask, 16_000, label="wren")]
    found = boxes(put(tmp_path, annotations_text(drawn, "audacity")))
    assert {box.label for box in found} == {"wren"} and len(found) == 6
    for channel, mask in enumerate(masks, start=1):
        np.testing.assert_array_equal(mask_of([box for box in found if box.channel == channel], 16_000, 120), mask)


@pytest.mark.parametrize(
    ("label", "said", "channel"),
    [
        ("bird [channel 2]", "bird", 2),
        ("[channel 64]", "", 64),
        ("[channel 65]", "[channel 65]", None),
        ("bird [channel 0]", "bird [channel 0]", None),
        ("bird[channel 2]", "bird[channel 2]", None),
        ("bird [Channel 2]", "bird [Channel 2]", None),
        ("[channel 2] bird", "[channel 2] bird", None),
        ("x [channel 3] [channel 1]", "x [channel 3]", 1),
    ],
)
def test_only_that_very_form_tells_a_channel(tmp_path: Path, label: str, said: str, channel: int | None) -> None:
    [box] = boxes(put(tmp_path, f"1\t2\t{label}\n"))
    assert (box.label, box.channel) == (said, channel)


def test_labels_of_a_recording_with_one_channel_stay_bare() -> None:
    assert annotations_text([FIRST], "audacity", channels=1).splitlines()[0].endswith("\tLUSMEG")
    assert annotations_text([FIRST], "audacity", channels=2).splitlines()[0].endswith("\tLUSMEG [channel 1]")
    assert "[channel" not in annotations_text([replace(FIRST, channel=None)], "audacity")


def test_audacity_s_bands_points_and_bare_labels(tmp_path: Path) -> None:
    first, second = boxes(put(tmp_path, AUDACITY))
    assert (first.start_s, first.end_s, first.low_hz, first.high_hz, first.label) == (0.5, 1.25, 2000, 4000, "LUSMEG")
    assert (second.start_s, second.end_s, second.low_hz) == (3.0, 3.5, None)
    [open_band] = boxes(put(tmp_path, "1\t2\tx\n\\\t-1.0\t4000\n"))
    assert open_band.low_hz is None


def test_csv_tells_the_recording(tmp_path: Path) -> None:
    first, second = read_annotations(put(tmp_path, CSV))
    assert (first.file, first.box.label, first.line) == ("a.wav", "LUSMEG, male", 2)
    assert (second.file, second.box.low_hz, second.box.channel) == ("b.wav", None, None)


def test_raven_s_times_in_a_table_of_several_files_are_those_in_the_file(tmp_path: Path) -> None:
    table = (
        "Selection\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tBegin File\tFile Offset (s)\n"
        "1\t100.5\t101.5\t10\t20\tb.wav\t40.5\n"
    )
    [one] = read_annotations(put(tmp_path, table))
    assert (one.file, one.box.start_s, one.box.end_s) == ("b.wav", 40.5, 41.5)


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_line_ends_and_encodings_of_any_system(tmp_path: Path, ending: str, encoding: str) -> None:
    text = RAVEN.replace("LUSMEG", "Rougequeue à front").replace("\n", ending)
    first, _ = boxes(put(tmp_path, text.encode(encoding)))
    assert first.label == "Rougequeue à front"


def test_no_boxes_are_no_fault(tmp_path: Path) -> None:
    assert boxes(put(tmp_path, "")) == []
    assert boxes(put(tmp_path, RAVEN.partition("\n")[0] + "\n")) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("once upon a time\n", ":1: neither a Raven selection table"),
        (RAVEN.replace("3.5", "long"), ":4: end time (s): found 'long', expected a number"),
        (RAVEN.replace("3.5", ""), ":4: end time (s): empty, expected a time in seconds"),
        (RAVEN.replace("3.5", "2.5"), ":4: from 3 to 2.5 s, expected 0 ≤ begin < end"),
        (RAVEN.replace("3.5", "nan"), ":4: a time or frequency is no finite number"),
        (RAVEN.replace("\t2\t3\t", "\t0\t3\t"), ":4: channel: found '0', expected a number from 1"),
        (RAVEN + "3\t" * 20 + "\n", ":5: 21 cells under a header of 8"),
        ("1.0\tend\tx\n", ":1: neither a Raven selection table"),
        ("1\t2\tx\n3\tend\ty\n", ":2: end: found 'end', expected a number"),
        (CSV.replace("4000", "1000"), ":2: from 2000 to 1000 Hz, expected 0 ≤ low < high"),
        (b"RIFF\0\0\0\0WAVE", "no text; expected Raven selection tables"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_named_by_its_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    path = put(tmp_path, content)
    with pytest.raises(Unusable) as refused:
        read_annotations(path)
    assert str(path) in str(refused.value) and said in str(refused.value)


def test_missing_and_huge_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="no such file"):
        read_annotations(tmp_path / "missing.txt")
    path = put(tmp_path, "x")
    with path.open("r+b") as stream:
        stream.truncate(MOST_BYTES + 1)
    with pytest.raises(Unusable, match="larger than 64 MiB"):
        read_annotations(path)


LABELS = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\\"), max_size=20).map(
    lambda text: " ".join(text.split())
)


@st.composite
def any_box(draw: st.DrawFn) -> Box:
    start_s, low_hz = draw(st.floats(0, 1e5)), draw(st.floats(0, 1e5))
    has_band = draw(st.booleans())
    return Box(
        start_s=start_s,
        end_s=start_s + draw(st.floats(1e-3, 100)),
        low_hz=low_hz if has_band else None,
        high_hz=low_hz + draw(st.floats(1, 1e5)) if has_band else None,
        label=draw(LABELS),
        channel=draw(st.integers(1, 8)),
    )


@pytest.mark.parametrize("form", SUFFIXES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(any_box(), max_size=5))
def test_what_is_written_is_read_back(tmp_path: Path, form: AnnotationFormat, written: list[Box]) -> None:
    found = boxes(put(tmp_path, annotations_text(written, form)))
    assert len(found) == len(written)
    for again, box in zip(found, written, strict=True):
        assert again.start_s == pytest.approx(box.start_s, abs=1e-8)
        assert again.end_s == pytest.approx(box.end_s, abs=1e-8)
        assert again.low_hz == (None if box.low_hz is None else pytest.approx(box.low_hz, abs=1e-5))
        assert again.high_hz == (None if box.high_hz is None else pytest.approx(box.high_hz, abs=1e-5))
        assert again.channel == box.channel
        assert again.label == box.label


WORDS = ["Begin Time (s)", "End Time (s)", "start_s", "end_s", "\t", ",", "\n", '"', "1.5", "2", "\\", "x"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(max_size=200)
    | st.binary(max_size=200)
    | st.lists(st.sampled_from(WORDS), max_size=40).map("".join)
)  # fmt: skip
def test_any_text_is_read_or_refused_in_a_sentence(tmp_path: Path, content: str | bytes) -> None:
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
    try:
        for one in read_annotations(put(tmp_path, raw)):
            assert one.box.fault() is None
    except DataError as refused:
        assert str(refused).count("\n") == 0
