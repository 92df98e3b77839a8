"""Recordings are read by content, told apart from what isn't one, and written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchbird.audio.new_recordings import as_stored, output_format, write_recordings
from benchbird.audio.recordings import MOST_CHANNELS, AudioFormat, Recording, Unreadable, read_recording
from benchbird.errors import DataError


def noise(samples: int, channels: int = 1) -> npt.NDArray[np.float64]:
    return np.random.default_rng(samples).normal(0.0, 0.05, (samples, channels))


def wav(rate_hz: int = 16_000, channels: int = 1, encoding: str = "PCM_16", kind: str = "WAV") -> AudioFormat:
    return AudioFormat(kind=kind, encoding=encoding, rate_hz=rate_hz, channels=channels)


def refusal(path: Path) -> str:
    with pytest.raises(Unreadable) as refused:
        read_recording(path)
    assert str(path) in str(refused.value)
    return refused.value.reason


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("name", ["bird.wav", "bird.mp3", "bird", "bird.raw", "bïrd ☃.txt"])
def test_a_recording_is_read_by_content_whatever_its_name(tmp_path: Path, kind: str, name: str) -> None:
    audio = noise(16_000, 2)
    soundfile.write(tmp_path / "made", audio, 16_000, format=kind)
    (tmp_path / "made").rename(tmp_path / name)
    found, form = read_recording(tmp_path / name)
    assert (form.kind, form.rate_hz, form.channels) == (kind, 16_000, 2)
    if kind in ("WAV", "FLAC"):
        np.testing.assert_allclose(found, audio, atol=2**-15)
    else:
        assert abs(len(found) - 16_000) < 3000 and found.std() == pytest.approx(audio.std(), rel=0.2)


@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (192_000, 1), (16_000, 5), (44_100, 2)])
def test_any_rate_and_number_of_channels_is_read(tmp_path: Path, rate_hz: int, channels: int) -> None:
    soundfile.write(tmp_path / "x.wav", noise(1000, channels), rate_hz)
    found, form = read_recording(tmp_path / "x.wav")
    assert found.shape == (1000, channels) and (form.rate_hz, form.channels) == (rate_hz, channels)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "0 bytes, expected a recording"),
        (b"this is no sound\n" * 100, "no recording by its content; expected WAV, FLAC, OGG or MP3"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "no recording by its content"),
        (b"RIFF\x10\x00\x00\x00WAVE", "damaged or of an unknown kind"),
        (b"RIFF\x10\x00\x00\x00AVI " + bytes(100), "no recording by its content"),
        (b"fLaC" + bytes(100), "damaged or of an unknown kind"),
        (b"OggS" + bytes(100), "damaged or of an unknown kind"),
        (b"\xff\xfb\x90\x00" + bytes(8), "damaged or of an unknown kind"),
        (b"\xff\xfe<\x00h\x00t\x00", "damaged or of an unknown kind"),
        (b"ID3" + bytes(100), "damaged or of an unknown kind"),
    ],
)
def test_what_is_no_recording_is_refused_in_a_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    assert said in refusal(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "missing.wav") == "no such file"
    assert refusal(tmp_path) == "a folder, expected a recording"
    os.mkfifo(tmp_path / "pipe.wav")
    assert refusal(tmp_path / "pipe.wav") == "no plain file, expected a recording"
    soundfile.write(tmp_path / "many.wav", noise(10, MOST_CHANNELS + 1), 8000)
    assert refusal(tmp_path / "many.wav") == "65 channels, expected at most 64"


def test_a_name_that_steers_a_terminal_is_shown_without_that(tmp_path: Path) -> None:
    with pytest.raises(Unreadable) as refused:
        read_recording(tmp_path / "\x1b[31mred.wav")
    assert "\x1b" not in str(refused.value) and "red.wav" in str(refused.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_named_by_its_time(tmp_path: Path, value: float) -> None:
    audio = noise(32_000, 2)
    audio[20_000, 1] = value
    soundfile.write(tmp_path / "x.wav", audio, 16_000, subtype="FLOAT")
    assert refusal(tmp_path / "x.wav") == "a sample at 1.250 s is no finite number (NaN or infinite)"


def notes(path: Path) -> list[str]:
    with Recording(path) as recording:
        for _ in recording.blocks(1000):
            pass
        return list(recording.notes())


def test_what_a_person_should_know_is_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.wav", noise(5000), 8000)
    assert notes(tmp_path / "good.wav") == []
    soundfile.write(tmp_path / "silence.wav", np.zeros(5000), 8000)
    assert notes(tmp_path / "silence.wav") == ["silence: every sample is 0"]
    loud = noise(5000)
    loud[:50] = 3.0
    soundfile.write(tmp_path / "loud.wav", loud, 8000)
    assert notes(tmp_path / "loud.wav") == ["1.00% of its samples are at full scale: it may be clipped"]


@pytest.mark.parametrize("kind", ["WAV", "MP3"])
def test_a_recording_that_was_cut_is_used_as_far_as_it_goes_and_told(tmp_path: Path, kind: str, capfd: Any) -> None:
    path = tmp_path / "x"
    soundfile.write(path, noise(160_000), 16_000, format=kind)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with Recording(path) as recording:
        assert 60_000 < sum(map(len, recording.blocks(1000))) < 90_000
        [note] = recording.notes()
    assert note.startswith("cut short: ")


def test_a_flac_that_was_cut_is_refused_with_the_stretch(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, noise(160_000), 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert refusal(path).startswith("damaged between 0.0 and ")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["WAV", "FLAC", "OGG"]))
    path = tmp_path / "x"
    soundfile.write(path, noise(3000, 2), 16_000, format=kind)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, min(len(content), 200) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        with Recording(path) as recording:
            for number, block in enumerate(recording.blocks(1000)):
                assert np.isfinite(block).all() and len(block) <= 1000
                if number > 10:
                    break
    except Unreadable as refused:
        assert refused.reason


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 500), max_size=5), st.integers(1, 8), st.sampled_from(["PCM_16", "PCM_24", "FLOAT"]))
def test_what_was_written_is_read_back(tmp_path: Path, sizes: list[int], channels: int, encoding: str) -> None:
    blocks = [noise(size, channels) for size in sizes]
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    parts = (((block, -block)) for block in blocks)
    assert write_recordings(paths, parts, wav(channels=channels, encoding=encoding)) == sum(sizes)
    expected = np.concatenate([np.zeros((0, channels)), *blocks])
    found, form = read_recording(paths[0])
    assert form == wav(channels=channels, encoding=encoding)
    np.testing.assert_allclose(found, expected, atol=2**-15)
    np.testing.assert_allclose(read_recording(paths[1])[0], -expected, atol=2**-15)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.wav"]


def test_louder_than_full_scale_is_cut_off_and_does_not_wrap(tmp_path: Path) -> None:
    write_recordings([tmp_path / "x.wav"], [(np.array([[1.5], [-1.5], [0.0]]),)], wav())
    assert read_recording(tmp_path / "x.wav")[0].ravel().tolist() == [1 - 2**-15, -1.0, 0.0]


def test_a_failure_on_the_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(b"old")

    def breaking() -> Iterator[tuple[npt.NDArray[np.float64]]]:
        yield (noise(100),)
        raise Unreadable(tmp_path / "source.wav", "damaged")

    with pytest.raises(Unreadable):
        write_recordings([path], breaking(), wav())
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_what_a_kind_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="MP3 can't hold 5 channels, at most 2; choose WAV"):
        write_recordings([tmp_path / "x.mp3"], [], wav(channels=5, kind="MP3", encoding="MPEG_LAYER_III"))
    with pytest.raises(DataError, match="could not write OGG of 1 channel at 8000 Hz"):
        write_recordings([tmp_path / "no" / "x.ogg"], [], wav(8000, kind="OGG", encoding="VORBIS"))
    assert not list(tmp_path.iterdir())


def test_beyond_4_gib_a_wav_gets_a_header_that_can_say_so(tmp_path: Path) -> None:
    write_recordings([tmp_path / "x.wav"], [(noise(100),)], wav(), expected_samples=2**31)
    assert (tmp_path / "x.wav").read_bytes().startswith(b"RF64")
    assert read_recording(tmp_path / "x.wav")[1].kind == "WAV"


@pytest.mark.parametrize(
    ("source", "kind", "expected"),
    [
        (wav(), None, ("WAV", "PCM_16")),
        (wav(encoding="FLOAT"), None, ("WAV", "FLOAT")),
        (wav(encoding="MPEG_LAYER_III"), None, ("FLAC", "PCM_24")),
        (wav(kind="FLAC", encoding="PCM_16"), None, ("FLAC", "PCM_16")),
        (wav(kind="MP3", encoding="MPEG_LAYER_III"), None, ("FLAC", "PCM_24")),
        (wav(kind="OGG", encoding="VORBIS"), None, ("FLAC", "PCM_24")),
        (wav(encoding="FLOAT"), "FLAC", ("FLAC", "PCM_24")),
        (wav(), "MP3", ("MP3", "MPEG_LAYER_III")),
        (wav(encoding="ULAW"), None, ("WAV", "PCM_24")),
    ],
)
def test_the_outcome_is_stored_like_the_recording_where_that_loses_nothing(
    source: AudioFormat, kind: str | None, expected: tuple[str, str]
) -> None:
    form = output_format(source, kind)
    assert (form.kind, form.encoding) == expected
    assert (form.rate_hz, form.channels) == (source.rate_hz, source.channels)


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
@pytest.mark.parametrize("encoding", ["PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32"])
def test_whole_numbers_are_the_nearest_ones(tmp_path: Path, kind: str, encoding: str) -> None:
    if encoding not in soundfile.available_subtypes(kind):
        pytest.skip(f"{kind} holds no {encoding}")
    bits = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}[encoding]
    audio = np.concatenate([np.random.default_rng(0).uniform(-1.0, 1.0, 4000), [1.0, -1.0, 1.4, -1.4, 0.0]])[:, None]
    form = wav(encoding=encoding, kind=kind)
    write_recordings([tmp_path / "out"], [[audio]], form)
    found, _ = read_recording(tmp_path / "out")
    np.testing.assert_array_equal(found, as_stored(audio, form))
    within = np.abs(audio) < 1.0 - 2.0 ** (1 - bits)
    assert np.abs(found - audio)[within].max() <= 0.5 / 2 ** (bits - 1) * (1 + 1e-9)
    assert found.max() == 1.0 - 2.0 ** (1 - bits) and found.min() == -1.0


_LIMITED = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from benchbird.audio.new_recordings import output_format, write_recordings
from benchbird.audio.recordings import AudioFormat
from benchbird.errors import DataError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
source = AudioFormat(kind="WAV", encoding="PCM_16", rate_hz=16000, channels=1)
audio = np.random.default_rng(0).normal(0, 0.1, (30000, 1))
folder, kind = Path(sys.argv[1]), sys.argv[2]
form = output_format(source, kind)
write_recordings([folder / "whole"], [[audio]], form)
size = (folder / "whole").stat().st_size
for limit in range(1, size, max(1, size // 12)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    (folder / "out").unlink(missing_ok=True)
    try:
        write_recordings([folder / "out"], [[audio]], form)
    except DataError as error:
        assert "file too large" in str(error), error
    else:
        sys.exit(f"{limit} of {size} bytes passed for a whole file")
    assert sorted(path.name for path in folder.iterdir()) == ["whole"], list(folder.iterdir())
"""


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_disk_that_takes_only_a_part_leaves_no_file(tmp_path: Path, kind: str) -> None:
    """The encoder's last write happens when it is closed, and libsndfile tells nobody that it failed."""
    done = subprocess.run([sys.executable, "-c", _LIMITED, str(tmp_path), kind], capture_output=True, text=True,
                          timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_ogg_that_was_cut_is_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.ogg", noise(48_000), 16_000, format="OGG")
    content = (tmp_path / "x.ogg").read_bytes()
    for size, is_told in ((len(content), False), (len(content) // 2, True)):
        (tmp_path / "x.ogg").write_bytes(content[:size])
        with Recording(tmp_path / "x.ogg") as recording:
            list(recording.blocks())
            assert any("without the mark of an end" in note for note in recording.notes()) == is_told


def test_louder_than_full_scale_is_told_where_an_encoding_can_hold_it(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.full(1000, 1.5), 16_000, subtype="FLOAT")
    with Recording(tmp_path / "x.wav") as recording:
        list(recording.blocks())
        [note] = recording.notes()
    assert note.startswith("its loudest sample is 1.50 of full scale")


def test_a_folder_in_the_place_of_one_file_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    (tmp_path / "first").write_bytes(b"old")
    with pytest.raises(DataError, match="is a folder; what was there before is unchanged"):
        write_recordings([tmp_path / "first", tmp_path / "second"], [[noise(100), noise(100)]], wav())
    assert (tmp_path / "first").read_bytes() == b"old"
