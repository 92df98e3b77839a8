"""What a record says of an error: enough to find it, nothing that shouldn't be published."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from benchbird.errors import DataError, Diverged, PluginError, ProtocolViolation
from benchbird.reasons import describe_error, status_of, without_paths


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/data/people/Ada Lovelace")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/srv/birds/a.png", "a.png"),
        ("can't read /srv/birds/a.png: broken", "can't read a.png: broken"),
        ("[Errno 2] No such file: '/srv/birds/a.png'", "[Errno 2] No such file: 'a.png'"),
        ("PosixPath('/srv/birds/a.png')", "PosixPath('a.png')"),
        ('in "/srv/my birds/an owl.png" there', 'in "an owl.png" there'),
        ("weights=/srv/cache/w.pt,", "weights=w.pt,"),
        ("path:/srv/cache/w.pt", "path:w.pt"),
        ("file:///srv/cache/w.pt", "w.pt"),
        ("[/srv/a/x.py, /srv/b/y.py]", "[x.py, y.py]"),
        ("'/srv/a/x' and '/srv/b/y'", "'x' and 'y'"),
        (r"C:\data\birds\a.png", "a.png"),
        ("C:/data/birds/a.png", "a.png"),
        (r"'C:\\data\\birds\\a.png'", "'a.png'"),
        ("/srv/birds/", ""),
        # homes
        ("/home/alice", "~"),
        ("no room in /home/alice: full", "no room in ~: full"),
        ("/home/alice/birds/a.png", "a.png"),
        ("/Users/bob/a.png", "a.png"),
        (r"C:\Users\bob\a.png", "a.png"),
        ("file:///home/alice/a.png", "a.png"),
        ("/root" + "/birds/a.png", "a.png"),
        ("/root", "~"),
        ("/data/people/Ada Lovelace/birds/a.png", "a.png"),
        ("see /data/people/Ada Lovelace for more", "see ~ for more"),
        ("'/data/people/Ada Lovelace/my birds/a.png'", "'a.png'"),
        # what is no absolute path
        ("see https://pytorch.org/docs/stable/notes.html", "see https://pytorch.org/docs/stable/notes.html"),
        ("http://example.org/home/alice/x", "http://example.org/home/alice/x"),
        ("data/train/a.png", "data/train/a.png"),
        ("../data/train/a.png", "../data/train/a.png"),
        ("1/2/3 and and/or, 5 / 7 / 9", "1/2/3 and and/or, 5 / 7 / 9"),
        ("mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)",) * 2,
        ("expected (N, 1, H, W), found (2, 3, 4, 4)",) * 2,
        ("don't, can't", "don't, can't"),
        ("", ""),
    ],
)
def test_absolute_paths_are_cut_down(text: str, expected: str) -> None:
    assert without_paths(text) == expected


@pytest.mark.parametrize("home", ["/", ""])
def test_a_home_at_the_root_is_not_every_slash(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", home)
    assert without_paths("1/2 and https://a.b/c") == "1/2 and https://a.b/c"


@pytest.mark.parametrize("text", ["/a" * 50_000, "/" * 100_000, "'/" * 50_000, "/ab" + "\\" * 100_000, "'/a/" * 20_000])
def test_a_hostile_text_takes_no_time(text: str) -> None:
    without_paths(text[:4096])


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_an_error_is_told_with_type_message_and_place() -> None:
    said = describe_error(raised(ValueError("bad shape")))
    assert said.startswith("ValueError: bad shape (test_reasons.py:")


def test_the_deepest_line_is_told() -> None:
    try:
        torch.zeros(1).reshape(2)
        pytest.fail("reshaped")
    except RuntimeError as error:
        assert "(test_reasons.py:" in describe_error(error)
    try:
        Path("/srv/no/such/folder").read_text()
        pytest.fail("read")
    except OSError as error:
        said = describe_error(error)
    assert said.startswith("FileNotFoundError: [Errno 2] No such file or directory: 'folder' (pathlib.py:")


@pytest.mark.parametrize("kind", [Diverged, ProtocolViolation, PluginError])
def test_our_own_errors_speak_for_themselves(kind: type[Exception]) -> None:
    assert describe_error(raised(kind("the loss became nan"))) == "the loss became nan"
    assert describe_error(raised(kind("/home/alice/plugin.py: failed"))) == "plugin.py: failed"


def test_the_reason_is_one_line_of_bearable_length() -> None:
    said = describe_error(ValueError("\n  first\nsecond" + "x" * 10_000_000))
    assert said == "ValueError: first"
    assert len(describe_error(ValueError("y" * 10_000_000))) < 600


def test_an_error_without_words() -> None:
    assert describe_error(ValueError()) == "ValueError: no message"
    assert describe_error(ValueError(" \n ")) == "ValueError: no message"


def test_an_error_that_cannot_describe_itself() -> None:
    class Shy(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert describe_error(Shy()) == "Shy: no message"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Diverged("x"), "diverged"),
        (ProtocolViolation("x"), "protocol_violation"),
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (ValueError("x"), "failed"),
        (DataError("x"), "failed"),
        (SystemExit(0), "failed"),
    ],
)
def test_the_status_of_an_error(error: BaseException, status: str) -> None:
    assert status_of(error) == status


def test_the_cpus_own_way_to_run_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert status_of(caught.value) == "out_of_memory"
    assert os.sep not in describe_error(caught.value)


def test_no_memory_for_a_mapping_or_a_process_is_out_of_memory() -> None:
    assert status_of(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))) == "out_of_memory"
    assert status_of(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) == "failed"


@pytest.mark.parametrize("kind", [ValueError, PluginError])
def test_a_message_cannot_steer_the_terminal(kind: type[Exception]) -> None:
    said = describe_error(kind("red \x1b[31mand\x1b]0;title\x07 \x9b2Jgone\u202e"))
    assert said.isprintable(), repr(said)
    assert "red" in said and "gone" in said
