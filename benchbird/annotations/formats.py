r"""Boxes as files: Raven's selection tables, Audacity's labels, and plain CSV; told apart by content.

Owns the formats. Files come from other people's programs and hands: every line that can't be meant is named.

Raven: tab-separated with a header; a selection that is there in two views counts once. Audacity: begin, end and label
by tabs, a second line `\`, low, high where frequencies were selected; it knows no channels, so that they stand at a
label's end, as in `bird [channel 2]`. CSV: a header with `start_s` and `end_s`, and where wanted `low_hz`, `high_hz`,
`label`, `channel`, `file`.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchbird.annotations.boxes import Box
from benchbird.errors import DataError
from benchbird.plain_text import plain_text

AnnotationFormat = Literal["raven", "audacity", "csv"]

MOST_BYTES = 64 * 2**20
MOST_LABEL = 200
MOST_CHANNELS = 64

SUFFIXES: dict[AnnotationFormat, str] = {"raven": ".selections.txt", "audacity": ".labels.txt", "csv": ".csv"}

READABLE = "Raven selection tables, Audacity labels or CSV; masks as pictures aren't read"
"""What a file of annotations may be, in words for people."""

_BEGIN, _END, _LOW, _HIGH = "begin time (s)", "end time (s)", "low freq (hz)", "high freq (hz)"
_OFFSET, _FILE, _VIEW = "file offset (s)", "begin file", "view"
_RAVEN_LABELS = ("species", "annotation", "label", "call", "sound type")
_CSV_COLUMNS = ("start_s", "end_s", "low_hz", "high_hz", "label", "channel", "file")
_LABEL_WITH_CHANNEL = re.compile(r"(?:(?P<label>.*) )?\[channel (?P<channel>[1-9][0-9]?)\]")


class Unusable(DataError):
    """A file of annotations, or a line of it, that can't be meant as it stands."""

    def __init__(self, path: Path, reason: str, line: int | None = None) -> None:
        where = plain_text(os.fspath(path)) + (f":{line}" if line is not None else "")
        super().__init__(f"{where}: {plain_text(reason)}")


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """A box, and the recording that it is in where its file tells.

    Attributes:
        box: where the sound is.
        file: the recording's name, as it stands there; empty where the file is of one recording.
        line: of the file that it was read from, counted from 1.
    """

    box: Box
    file: str = ""
    line: int = 0


def read_annotations(path: Path) -> tuple[Annotation, ...]:
    """All boxes of a file, in its order.

    Raises:
        Unusable: it can't be read, is of no known format, or a line can't be meant; names the line.
    """
    text = _read(path)
    first = text.partition("\n")[0]
    header = [cell.strip().casefold() for cell in first.split("\t")]
    if _BEGIN in header and _END in header:
        return tuple(_from_raven(path, text))
    if {"start_s", "end_s"} <= {cell.strip().strip('"') for cell in first.split(",")}:
        return tuple(_from_csv(path, text))
    if not text.strip():
        return ()
    if len(header) >= 2 and all(map(_is_number, header[:2])):
        return tuple(_from_audacity(path, text))
    raise Unusable(
        path,
        "neither a Raven selection table (its header has 'Begin Time (s)' and 'End Time (s)'), nor Audacity labels "
        "(begin, end and label separated by tabs), nor CSV with the columns start_s and end_s",
        1,
    )


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            raise Unusable(path, "no such file")
        if path.stat().st_size > MOST_BYTES:
            raise Unusable(path, f"larger than {MOST_BYTES >> 20} MiB, which no annotations are")
        content = path.read_bytes()
    except OSError as error:
        raise Unusable(path, (error.strerror or str(error)).lower()) from error
    if b"\0" in content[:4096]:
        raise Unusable(path, f"no text; expected {READABLE}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")  # what older programs on Windows write
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _box(path: Path, line: int, row: Mapping[str, str], names: Sequence[str], label: str, channel: str = "") -> Box:
    """A box from a row's texts.

    Args:
        path: of the file.
        line: of it.
        row: texts by column, empty where there is nothing.
        names: columns of begin, end, low and high.
        label: of the box.
        channel: its number as text, or empty.
    """
    start_s, end_s, low_hz, high_hz = (_number(path, line, name, row.get(name, "")) for name in names)
    if start_s is None or end_s is None:
        raise Unusable(path, f"{names[0] if start_s is None else names[1]}: empty, expected a time in seconds", line)
    box = Box(
        start_s=start_s,
        end_s=end_s,
        low_hz=low_hz,
        high_hz=high_hz,
        label=plain_text(label, MOST_LABEL),
        channel=_channel(path, line, channel),
    )
    if fault := box.fault():
        raise Unusable(path, fault, line)
    return box


def _number(path: Path, line: int, name: str, text: str) -> float | None:
    if text and not _is_number(text):
        raise Unusable(path, f"{name}: found {text[:40]!r}, expected a number", line)
    return float(text) if text else None


def _channel(path: Path, line: int, text: str) -> int | None:
    if text and not (text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST_CHANNELS):
        raise Unusable(path, f"channel: found {text[:40]!r}, expected a number from 1 to {MOST_CHANNELS}", line)
    return int(text) if text else None


def _rows(path: Path, text: str, delimiter: str) -> Iterable[tuple[int, Mapping[str, str]]]:
    """Line number and cells by the header's names, in lower case; empty lines are left out."""
    # Between tabs, a quotation mark is one like any other letter.
    reader = csv.reader(
        io.StringIO(text), delimiter=delimiter, quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    )
    try:
        header = [name.strip().casefold() for name in next(reader)]
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(header):
                raise Unusable(path, f"{len(cells)} cells under a header of {len(header)}", reader.line_num)
            yield reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=False))
    except csv.Error as error:
        raise Unusable(path, str(error), reader.line_num) from error


def _from_raven(path: Path, text: str) -> Iterable[Annotation]:
    for line, row in _selections(_rows(path, text, "\t")):
        file = row.get(_FILE, "")
        label = next((row[name] for name in _RAVEN_LABELS if row.get(name)), "")
        box = _box(path, line, row, (_BEGIN, _END, _LOW, _HIGH), label, row.get("channel", ""))
        yield Annotation(box=_within_file(path, line, box, row) if file else box, file=file, line=line)


def _selections(rows: Iterable[tuple[int, Mapping[str, str]]]) -> Iterable[tuple[int, Mapping[str, str]]]:
    """One row a selection: that of the spectrogram where it is there in several views.

    Numbers begin again in a table that was merged of several, so that file and times are part of what tells one.
    """
    chosen: dict[tuple[str, ...], tuple[int, Mapping[str, str]]] = {}
    for line, row in rows:
        key = tuple(row.get(name, "") for name in (_FILE, "selection", "channel", _BEGIN, _END))
        if not row.get("selection"):
            key = (*key, str(line))
        # A waveform has no frequencies: Raven lets such a row reach over all of them.
        if key not in chosen or (_is_spectrogram(row) and not _is_spectrogram(chosen[key][1])):
            chosen[key] = (line, row)
    return chosen.values()


def _is_spectrogram(row: Mapping[str, str]) -> bool:
    return row.get(_VIEW, "").casefold().startswith("spectrogram")


def _within_file(path: Path, line: int, box: Box, row: Mapping[str, str]) -> Box:
    """In a table of several files, times go on from file to file; the offset tells the one in the file."""
    offset = row.get(_OFFSET, "")
    if not offset:
        return box
    if not _is_number(offset) or not float(offset) >= 0:
        raise Unusable(path, f"{_OFFSET}: found {offset[:40]!r}, expected a number from 0 on", line)
    start_s = float(offset)
    return Box(start_s=start_s, end_s=start_s + box.end_s - box.start_s, low_hz=box.low_hz, high_hz=box.high_hz,
               label=box.label, channel=box.channel)  # fmt: skip


def _from_csv(path: Path, text: str) -> Iterable[Annotation]:
    for line, row in _rows(path, text, ","):
        box = _box(path, line, row, _CSV_COLUMNS[:4], row.get("label", ""), row.get("channel", ""))
        yield Annotation(box=box, file=row.get("file", ""), line=line)


def _from_audacity(path: Path, text: str) -> Iterable[Annotation]:
    names = ("begin", "end", "low", "high")
    lines = text.split("\n")
    for number, content in enumerate(lines, start=1):
        if not content.strip() or content.startswith("\\"):
            continue
        cells = [*content.split("\t"), "", ""]
        low, high = _audacity_band(lines[number] if number < len(lines) else "")
        row = dict(zip(names, (cells[0].strip(), cells[1].strip(), low, high), strict=True))
        if row["begin"] == row["end"]:
            continue  # a label at a point in time, without extent
        box = _box(path, number, row, names, *_label_and_channel(cells[2].strip()))
        yield Annotation(box=box, line=number)


def _label_and_channel(text: str) -> tuple[str, str]:
    """What a label says apart from its channel, and that channel; a number that is none's is part of the label."""
    match = _LABEL_WITH_CHANNEL.fullmatch(text)
    if match is None or int(match["channel"]) > MOST_CHANNELS:
        return text, ""
    return match["label"] or "", match["channel"]


def _audacity_band(following: str) -> tuple[str, str]:
    """Low and high of the line behind a label, empty where it has none; Audacity writes −1 for an open edge."""
    if not following.startswith("\\"):
        return "", ""
    cells = [cell.strip() for cell in [*following.split("\t"), "", ""]]
    low, high = cells[1], cells[2]
    is_open = [not text or (_is_number(text) and float(text) < 0) for text in (low, high)]
    return ("", "") if any(is_open) else (low, high)


def annotations_text(boxes: Iterable[Box], form: AnnotationFormat, channels: int | None = None) -> str:
    """The text of a file that a person opens in the program of that name.

    Args:
        boxes: in the order in which they are written.
        form: of the file.
        channels: of the recording, None where it isn't known. Of a recording with one channel, Audacity's labels don't
            tell it.
    """
    if form == "audacity":
        return _to_audacity(tuple(boxes), channels)
    return {"raven": _to_raven, "csv": _to_csv}[form](tuple(boxes))


def _to_raven(boxes: Sequence[Box]) -> str:
    lines = ["Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation"]
    lines += [
        f"{number}\tSpectrogram 1\t{box.channel or 1}\t{box.start_s:.9f}\t{box.end_s:.9f}\t{_hertz(box.low_hz)}\t"
        f"{_hertz(box.high_hz)}\t{plain_text(box.label)}"
        for number, box in enumerate(boxes, start=1)
    ]
    return "\n".join(lines) + "\n"


def _to_audacity(boxes: Sequence[Box], channels: int | None) -> str:
    lines = []
    for box in boxes:
        channel = f"[channel {box.channel}]" if box.channel is not None and channels != 1 else ""
        label = f"{plain_text(box.label)} {channel}".strip()
        lines.append(f"{box.start_s:.9f}\t{box.end_s:.9f}\t{label}")
        if box.low_hz is not None:
            lines.append(f"\\\t{_hertz(box.low_hz)}\t{_hertz(box.high_hz)}")
    return "".join(f"{line}\n" for line in lines)


def _to_csv(boxes: Sequence[Box]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS[:6])
    for box in boxes:
        times = (f"{box.start_s:.9f}", f"{box.end_s:.9f}")
        writer.writerow((*times, _hertz(box.low_hz), _hertz(box.high_hz), plain_text(box.label), box.channel or 1))
    return stream.getvalue()


def _hertz(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
