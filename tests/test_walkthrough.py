"""What the walkthrough takes for the program's own words, and what for another machine's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.walkthrough import CommandStep, FileStep, follow, is_real, reader_environment, rewrite, shown_again, steps

DOCUMENT = """\
# Title

```yaml title="a.yaml"
name: a
```

```sh
not followed
```

```console
$ cat a.yaml
name: a
$ echo one && \\
    echo two
one
…
```
"""


def test_files_and_commands_come_in_order() -> None:
    found = list(steps(DOCUMENT))
    assert found[0] == FileStep("a.yaml", "name: a\n")
    commands = [step for step in found if isinstance(step, CommandStep)]
    assert [(step.command, step.shown) for step in commands] == [
        ("cat a.yaml", "name: a\n"),
        ("echo one && \\\n    echo two", "one\n…\n"),
    ]
    assert [DOCUMENT[slice(*step.at)] for step in commands] == [step.shown for step in commands]


def test_a_step_prints_what_a_terminal_shows(tmp_path: Path) -> None:
    environment = reader_environment(tmp_path)
    assert follow(FileStep("a.txt", "text"), tmp_path, environment).returncode == 0
    done = follow(CommandStep("cat a.txt; echo $HOME/x >&2; false", "", (0, 0)), tmp_path, environment)
    assert (done.stdout, done.returncode) == ("text~/x\n", 1)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("3 done in 2 s\n", "12 done in 1 min 4 s\n"),
        ("a\n…\nd\n", "a\nb\nc\nd\n"),
        ("a\n…\n", "a\n"),
        ("…\nd\n", "c\nd\n"),
        ("Machine: Some Chip, 2 cores, 24 GiB.\n", "Machine: Other (R), 16 cores, 128 GiB.\n"),
        ("study 0123456789ab\n", "study ba9876543210\n"),
        ("|--:|:-----|\n", "|---:|:---|\n"),
        ("| 1 | a | unet | 0.5 |\n| 2 | a | x | 0.4 |\n", "| 1 | ab | x | 0.5 |\n| 2 | b | unet † | 0.4 |\n"),
        ("- a is better than b on 3.\n", "- a and c are not separable on 3.\n- c and b are not separable on 3.\n"),
    ],
)
def test_another_machines_output_is_real(shown: str, printed: str) -> None:
    assert is_real(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("3 done\n", "3 failed\n"),
        ("a\n", "a\nb\n"),
        ("a\nb\n", "a\n"),
        ("a\n…\nd\n", "b\nd\n"),
        ("", "warning: something\n"),
        ("a.c\n", "abc\n"),
        ("| 1 | a | unet | 0.5 |\n", "| 1 | a | unet | 0.5 |\n| 2 | a | x | 0.5 |\n"),
    ],
)
def test_other_words_are_not(shown: str, printed: str) -> None:
    assert not is_real(shown, printed)


def test_a_document_shows_again_as_much_as_it_did() -> None:
    assert shown_again("x\n", "a\nb\n") == "a\nb\n"
    assert shown_again("x\n…\ny\ny\n", "a\nb\nc\nd\n") == "a\n…\nc\nd\n"
    assert shown_again("x\n…\n", "a\nb\n") == "a\n…\n"


def test_a_document_is_rewritten_with_what_is_printed(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(DOCUMENT.replace("name: a\n$", "stale\n$"))
    rewrite(document, tmp_path / "folder")
    assert document.read_text() == DOCUMENT
    document.write_text(DOCUMENT.replace("cat a.yaml", "cat b.yaml"))
    with pytest.raises(SystemExit, match=r"b\.yaml"):
        rewrite(document, tmp_path / "other")
    assert isinstance(follow(FileStep("c", ""), tmp_path, {}), subprocess.CompletedProcess)
