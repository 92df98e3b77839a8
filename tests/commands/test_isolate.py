"""`benchbird isolate` from a command line to files that can be listened to."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from PIL import Image

from benchbird.audio.recordings import read_recording
from benchbird.audio.stft import one_sided_istft, one_sided_stft
from benchbird.cli import main
from benchbird.listening import ask_model
from benchbird.restoration import find_trial, own_protocol, request_model, restore_model
from tests.finished_bench import copy_trial, reseal_files, rewrite_record
from tests.small_bench import Bench

RATE_HZ = 16_000


def noise(samples: int, channels: int = 1, seed: int = 0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, 0.02, (samples, channels))


def isolate(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["isolate", *map(str, arguments)])
    shown = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    assert "Traceback" not in shown.err
    return ended.value.code, shown.out, shown.err


def expected_of(trial: Path, audio: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """One channel under the trial's mask, as one window, without any stream."""
    found = find_trial(trial)
    protocol = own_protocol(found)
    model = restore_model(request_model(found, protocol, plugin_files=(), device="cpu"))
    spectrum = one_sided_stft(audio)
    [logits] = ask_model(model, protocol, RATE_HZ)([spectrum])
    return one_sided_istft((logits > 0) * spectrum, len(audio))


def test_what_comes_out_is_the_recording_under_the_mask_of_the_trial(
    trial: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = isolate(capsys, recording, "--trial", trial, "--window", "10", "--residual")
    assert (code, err) == (0, "")
    assert out.startswith(f"{recording}: {tmp_path / 'dawn 05.30_clean.wav'}, {tmp_path / 'dawn 05.30_residual.wav'}: ")
    audio, form = read_recording(recording)
    clean, clean_form = read_recording(tmp_path / "dawn 05.30_clean.wav")
    residual, _ = read_recording(tmp_path / "dawn 05.30_residual.wav")
    assert clean_form == form and clean.shape == audio.shape
    for channel in range(2):
        expected = expected_of(trial, audio[:, channel])
        assert 0.01 < np.std(expected) / np.std(audio[:, channel]) < 0.99
        np.testing.assert_allclose(clean[:-128, channel], expected[:-128], atol=2**-15)
    np.testing.assert_allclose(clean + residual, audio, atol=2**-14)
    share = np.vdot(clean, clean) / np.vdot(audio, audio)
    assert f" {share:.0%} of the sound's energy kept, 3.0 s in " in out


def test_a_soft_mask_keeps_something_of_everything(
    trial: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out" / "soft.flac"
    code, out, err = isolate(capsys, recording, "--trial", trial, "--window", "1", "--mask", "soft", "-o", target)
    assert (code, err) == (0, "") and str(target) in out
    soft, form = read_recording(target)
    assert form.kind == "FLAC" and len(soft) == 3 * RATE_HZ
    assert np.abs(one_sided_stft(soft[:, 0])).min(axis=1).max() > 0


class Page(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def sources(self, tag: str) -> list[bytes]:
        found = [attributes["src"] or "" for name, attributes in self.tags if name == tag]
        return [base64.b64decode(source.partition("base64,")[2]) for source in found]


def test_the_page_shows_and_plays_what_was_there_before_and_after(
    trial: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = recording.rename(tmp_path / "<script>alert(1)<∕script> & \x1b[31m.wav")
    page = tmp_path / "pages" / "one.html"
    code, out, err = isolate(capsys, named, "--trial", trial, "--window", "1", "--residual", "--report", page)
    assert (code, err) == (0, "") and out.endswith(f"page: {page}\n")
    html = page.read_text(encoding="utf-8")
    found = Page(html)
    assert "<script>alert(1)<∕script> & " in found.text and "\x1b" not in html
    assert {name for name, _ in found.tags}.isdisjoint({"script", "link", "iframe", "a"})
    assert "http" not in html.replace("http-equiv", "")
    [policy] = [one["content"] for name, one in found.tags if "http-equiv" in one]
    assert policy is not None and policy.startswith(
        "default-src 'none'; img-src data:; media-src data:; style-src 'sha"
    )
    style = re.search(r"<style>(.*)</style>", html, re.DOTALL)
    assert style is not None
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()}'" in policy
    assert all(attributes["alt"] for name, attributes in found.tags if name == "img")

    files = [named, *(named.with_name(named.stem + suffix) for suffix in ("_clean.wav", "_residual.wav"))]
    sounds = [soundfile.read(io.BytesIO(sound), always_2d=True)[0] for sound in found.sources("audio")]
    for sound, file in zip(sounds, files, strict=True):
        np.testing.assert_allclose(sound, read_recording(file)[0], atol=2**-15)
    pictures = [np.asarray(Image.open(io.BytesIO(picture))) for picture in found.sources("img")]
    assert len(pictures) == 3 and {picture.shape[0] for picture in pictures} == {256}
    before, after, _ = pictures
    assert after.mean() > before.mean(), "less sound, so brighter"


def test_bad_recordings_are_told_and_the_good_ones_cleaned(
    trial: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.wav").write_text("no sound at all\n")
    soundfile.write(tmp_path / "tiny.wav", noise(100), RATE_HZ)
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE_HZ), RATE_HZ)
    names = [tmp_path / name for name in ("text.wav", "tiny.wav", "missing.wav", "silence.wav")]
    code, out, err = isolate(capsys, *names, recording, "--trial", trial, "--window", "1", "-o", tmp_path / "out")
    assert code == 1
    assert err.splitlines() == [
        f"benchbird: {names[0]}: no recording by its content; expected WAV, FLAC, OGG or MP3; convert it, for example "
        "by `ffmpeg -i IN OUT.flac`",
        f"benchbird: {names[1]}: 100 samples, too short to hold a call; expected at least 128",
        f"benchbird: {names[2]}: no such file",
        f"benchbird: {names[3]}: silence: every sample is 0",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dawn 05.30_clean.wav", "silence_clean.wav"]
    assert not read_recording(tmp_path / "out" / "silence_clean.wav")[0].any()
    assert len(out.splitlines()) == 2


def test_a_recording_is_never_replaced(trial: Path, recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = recording.read_bytes()
    code, _, err = isolate(capsys, recording, "--trial", trial, "--window", "1", "-o", recording)
    assert code == 2 and "would replace the recording; choose another -o" in err
    assert recording.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x_residual.wav", "-o", "x.wav", "--residual"], "would replace the recording"),
        (["y.wav", "y_clean.wav"], "would replace the recording y_clean.wav"),
        (["y.wav", "--report", "y.wav"], "expected one that ends in .html"),
        (["y.wav", "--report", "link.html"], "that is a recording"),
        (["y.wav", "-o", "z.wav", "--format", "flac"], "contradict each other"),
    ],
)
def test_no_recording_of_a_command_is_written_over(
    trial: Path,
    recording: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    folder = recording.parent
    monkeypatch.chdir(folder)
    for name in ("x_residual.wav", "y.wav", "y_clean.wav"):
        (folder / name).write_bytes(recording.read_bytes())
    (folder / "link.html").symlink_to("y.wav")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, _, err = isolate(capsys, *arguments, "--trial", trial)
    assert code == 2 and said in err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("mask", ["binary", "soft"])
@pytest.mark.parametrize("encoding", ["PCM_16", "PCM_U8", "PCM_24"])
def test_clean_and_residual_add_up_to_the_recording_even_where_it_is_clipped(
    trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mask: str, encoding: str
) -> None:
    audio = noise(3 * RATE_HZ)
    audio[RATE_HZ : 2 * RATE_HZ] *= 40.0
    soundfile.write(tmp_path / "x.wav", audio, RATE_HZ, subtype=encoding)
    code, _, _ = isolate(capsys, tmp_path / "x.wav", "--trial", trial, "--residual", "--mask", mask, "--window", "1")
    assert code == 0
    audio, clean, residual = (read_recording(tmp_path / f"x{end}.wav")[0] for end in ("", "_clean", "_residual"))
    assert clean.any() and residual.any()
    error = np.abs(audio - clean - residual)
    # Of a clipped recording a part may be louder than the whole, and louder than a file can hold.
    assert np.quantile(error, 0.9) == 0.0 and error.max() < 0.5


def test_a_folder_is_no_recording(trial: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = isolate(capsys, ".", "--trial", trial, "--window", "1")
    assert code == 1 and "a folder, expected a recording" in err


def test_two_recordings_of_one_name_are_refused_before_anything_is_written(
    trial: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b").mkdir()
    other = recording.rename(tmp_path / "b" / "dawn.wav")
    code, _, err = isolate(
        capsys, other, tmp_path / "dawn.flac", "--trial", trial, "--window", "1", "-o", tmp_path / "x"
    )
    assert code == 2 and "would both be written to dawn_clean" in err
    assert not (tmp_path / "x").exists()


def test_a_trial_that_says_nothing_of_its_pictures_needs_a_window(
    trial: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = isolate(capsys, recording, "--trial", trial)
    assert code == 1 and "doesn't tell how long its training pictures were; say it by --window SECONDS" in err


def test_what_is_no_usable_trial_is_refused(
    finished: Bench, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = isolate(capsys, recording, "--trial", tmp_path, "--window", "1")
    assert code == 1 and "holds no record.json; give the folder of one ended trial" in err

    copied = copy_trial(finished, "atrous_segnet", tmp_path / "copies")
    path = copied / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    code, _, err = isolate(capsys, recording, "--trial", copied, "--window", "1")
    assert code == 1 and "weights.safetensors: its SHA-256 isn't the one that the record states" in err


def test_a_protocol_of_another_version_is_refused(finished: Bench, tmp_path: Path) -> None:
    from benchbird.errors import ResultsError
    from benchbird.protocol import canonical_digest, study_digest

    copied = copy_trial(finished, "threshold", tmp_path)
    record = json.loads((copied / "record.json").read_text())
    protocol = {**record["protocol"], "scoring_version": 99}
    protocol["digest"] = canonical_digest({key: value for key, value in protocol.items() if key != "digest"})
    rewrite_record(copied, protocol=protocol, study=study_digest(protocol["digest"], record["data"]["digest"]))
    reseal_files(copied)
    with pytest.raises(ResultsError, match="whose rules this version of benchbird doesn't have"):
        own_protocol(find_trial(copied))
