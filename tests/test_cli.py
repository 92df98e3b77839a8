from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import click
import pytest

from benchbird import cli
from benchbird.cli import COMMANDS, main
from benchbird.errors import BenchbirdError, ConfigError, DataError, Fault, Interrupted, UsageError

Do = Callable[[Callable[[], object]], int]


@pytest.fixture
def do(monkeypatch: pytest.MonkeyPatch) -> Iterator[Do]:
    """Runs a function as the command `fake`, in this process; gives the exit code."""

    def run(function: Callable[[], object]) -> int:
        module = types.ModuleType("benchbird.commands.fake")
        module.command = click.command("fake")(function)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(COMMANDS, "fake", "Does what the test says.")
        with pytest.raises(SystemExit) as caught:
            main(["fake"])
        assert isinstance(caught.value.code, int)
        return caught.value.code

    yield run


def raiser(error: BaseException) -> Callable[[], NoReturn]:
    def function() -> NoReturn:
        raise error

    return function


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1), (130, 130), ("text", 0)])
def test_a_command_decides_its_exit_code(returned: object, code: int, do: Do) -> None:
    assert do(lambda: returned) == code


def test_a_command_that_exits_by_its_context(do: Do) -> None:
    assert do(lambda: click.get_current_context().exit(1)) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BenchbirdError("x"), 1),
        (DataError("x"), 1),
        (ConfigError([Fault("a.yaml:1:2", "seeds", "found x"), Fault("a.yaml:3:4", "", "found y")]), 1),
        (UsageError("x"), 2),
        (Interrupted("x"), 130),
    ],
)
def test_our_own_errors_are_told_on_stderr(
    error: BenchbirdError, code: int, do: Do, capsys: pytest.CaptureFixture[str]
) -> None:
    assert do(raiser(error)) == code
    assert capsys.readouterr() == ("", f"benchbird: {error}\n")


def test_an_error_about_a_strangers_file_paints_nothing(do: Do, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise DataError("\x1b[31mevil\x1b[0m/record.json: damaged\n  \x1b]0;title\x07second line")

    assert do(fail) == 1
    assert capsys.readouterr().err == "benchbird: evil/record.json: damaged\n  second line\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_says_how_to_go_on(error: BaseException, do: Do, capsys: pytest.CaptureFixture[str]) -> None:
    assert do(raiser(error)) == 130
    assert capsys.readouterr().err.strip() == "benchbird: interrupted; the same command begins anew"


BUGS: list[Exception] = [
    ValueError("a bug"),
    EOFError("the fork server is gone"),
    BrokenPipeError(errno.EPIPE, "not that of stdout"),
    OSError(errno.EBADF, "Bad file descriptor"),
    AssertionError(),
    RecursionError("deep"),
]


@pytest.mark.parametrize("error", BUGS, ids=[type(error).__name__ for error in BUGS])
def test_a_bug_leaves_a_log_and_shows_no_traceback(
    error: Exception, do: Do, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert do(raiser(error)) == 3
    said = capsys.readouterr().err
    assert type(error).__name__ in said
    assert "Traceback" not in said
    [log] = tmp_path.iterdir()
    assert str(log) in said
    assert "Traceback (most recent call last)" in log.read_text()
    assert "raise error" in log.read_text()


def test_a_bug_on_a_full_disk_tells_all_it_knows(
    do: Do, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "mkstemp", raiser_of_full_disk)
    assert do(raiser(ValueError("a bug"))) == 3
    said = capsys.readouterr().err
    assert "could not be written (No space left on device)" in said
    assert "Traceback" in said


def raiser_of_full_disk(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for name, summary in COMMANDS.items():
        assert f"{name} {summary}" in said
    assert "Example: benchbird run" in said


def test_the_list_of_commands_is_that_of_the_modules() -> None:
    folder = Path(cli.__file__).with_name("commands")
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    # A module without a `command` helps the others.
    commands = {name for name in modules if re.search(r"^def command\(|^command\b", source(folder, name), re.M)}
    assert commands == set(COMMANDS)


def source(folder: Path, name: str) -> str:
    return (folder / f"{name}.py").read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"Usage: benchbird {name}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["list"], ["run"], []])
def test_a_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Usage: benchbird" in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert re.fullmatch(r"benchbird \d+\.\d+\.\d+\n", capsys.readouterr().out)


SCRIPT = """
    import signal, sys, types, click, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    from benchbird import cli

    @click.command("fake")
    @click.argument("what")
    def command(what):
        if what == "print much":
            for number in range(100_000):
                click.echo(number)
        elif what == "print little":
            print("one line, in the buffer")
        elif what == "wait":
            print("waiting", flush=True)
            time.sleep(60)
        elif what == "fail":
            raise ZeroDivisionError("on purpose")
        elif what == "heavy":
            click.echo(sorted({"torch", "torchvision", "scipy", "pandas", "timm"} & set(sys.modules)))

    module = types.ModuleType("benchbird.commands.fake")
    module.command = command
    sys.modules[module.__name__] = module
    cli.COMMANDS["fake"] = "Does what it is told."
    cli.main()
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the command line in a process of its own."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))

    def run(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(script), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": ""},
        )

    return run


@pytest.mark.parametrize("what", ["print much", "print little"])
def test_a_reader_that_has_seen_enough_is_no_error(what: str, start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("fake", what)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0
    process.stderr.close()


def test_ctrl_c(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("fake", "wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip() == "benchbird: interrupted; the same command begins anew"


def test_a_bug_in_a_real_process(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = start("fake", "fail")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "Traceback" not in err
    [log] = tmp_path.glob("benchbird-*.log")
    assert str(log) in err
    assert "ZeroDivisionError: on purpose" in log.read_text()


def test_a_command_starts_without_anything_heavy(start: Callable[..., subprocess.Popen[str]]) -> None:
    out, err = start("fake", "heavy").communicate(timeout=30)
    assert (out, err) == ("[]\n", "")


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from benchbird.cli import COMMANDS, main
for arguments in [["--help"], *([name, "--help"] for name in COMMANDS)]:
    try:
        main(arguments)
    except SystemExit as ending:
        assert ending.code == 0, arguments
    heavy = {"torch", "torchvision", "scipy", "pandas", "timm", "numpy"} & set(sys.modules)
    assert not heavy, (arguments, heavy)
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60)


def test_a_disk_that_takes_no_output_is_said(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "benchbird", "list", "metrics"], stdout=full, stderr=subprocess.PIPE, text=True,
            check=False, cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "benchbird: what was to be printed could not be written: No space left on device; make room, then run again\n"
    )


@pytest.mark.parametrize(
    ("words", "completed"),
    [("benchbird lea", "leaderboard"), ("benchbird run --dry", "--dry-run"), ("benchbird data che", "check")],
)
def test_a_shell_completes_commands_and_options(words: str, completed: str) -> None:
    environment = {**os.environ, "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1),
                   "_BENCHBIRD_COMPLETE": "bash_complete"}  # fmt: skip
    done = subprocess.run([sys.executable, "-m", "benchbird"], env=environment, capture_output=True, text=True,
                          timeout=60)  # fmt: skip
    assert done.stdout.splitlines() == [f"plain,{completed}"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str) -> None:
    environment = {**os.environ, "_BENCHBIRD_COMPLETE": f"{shell}_source"}
    done = subprocess.run([sys.executable, "-m", "benchbird"], env=environment, capture_output=True, text=True,
                          timeout=60)  # fmt: skip
    assert "_BENCHBIRD_COMPLETE=" in done.stdout and "benchbird" in done.stdout


def test_what_is_named_is_listed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["list", "segmenters", "fpn", "unet", "--json"])
    assert ended.value.code == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)["segmenters"]] == ["fpn", "unet"]
    with pytest.raises(SystemExit) as refused:
        main(["list", "segmenters", "unett"])
    assert refused.value.code == 2
    assert "list segmenters unett: there is none of this name, did you mean 'unet'?" in capsys.readouterr().err
