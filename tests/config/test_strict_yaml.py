"""What strict YAML reads, what it refuses, and where it says so."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird.config.strict_yaml import MAX_BYTES, MAX_FAULTS, Place, dotted, parse, read_text, shown
from benchbird.errors import ConfigError


def faults_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yaml")
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E+3", 1000.0),
        ("1.", 1.0),
        ("-.5", -0.5),
        ("010", 10),
        ("-7", -7),
        ("0x1F", 31),
        ("0o17", 15),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("1:30:00", "1:30:00"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2026-01-01", "2026-01-01"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("=", "="),
        ("nan", "nan"),
        ("'16'", "16"),
        ('"true"', "true"),
        ('""', ""),
        ("'null'", "null"),
    ],
)
def test_scalars_of_yaml_1_2(text: str, value: object) -> None:
    read = parse(f"key: {text}\n", "f.yaml").value
    assert read == {"key": value}
    assert isinstance(read, dict) and type(read["key"]) is type(value)


def test_keys_are_text_even_where_yaml_1_1_sees_truth() -> None:
    assert parse("on: 1\nyes: 2\n<<: 3\n", "f").value == {"on": 1, "yes": 2, "<<": 3}


def test_places_of_keys_values_and_items() -> None:
    places = parse("a: 1\nlist:\n  - x\n  - {b: 2}\n", "f.yaml").places
    assert places["a",] == Place("f.yaml:1:1", "f.yaml:1:4")
    assert places["list",] == Place("f.yaml:2:1", "f.yaml:3:3")
    assert places["list", 0] == Place("f.yaml:3:5", "f.yaml:3:5")
    assert places["list", 1, "b"] == Place("f.yaml:4:6", "f.yaml:4:9")
    assert places[()].value == "f.yaml:1:1"


def test_an_option_has_one_place_without_lines() -> None:
    assert parse("{a: 1}", "--set x", lines=False).places["a",] == Place("--set x", "--set x")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: b: c", "f.yaml:1:5: found ':' inside a value, expected one key a line"),
        ("a:\n\tb: 1", "f.yaml:2:1: found a tab, expected spaces"),
        ("a: [1, 2", "f.yaml:1:9: found the end of the text, expected ',' or ']'"),
        ("a: 'x", "f.yaml:1:6: found the end of the text, expected the closing quote"),
        ("a: @x", "f.yaml:1:4: found character '@', expected a value"),
        ("- 1\nb: 2", "f.yaml:2:1: found a key, expected an entry as far to the right as that of line 1"),
        ("a: &x 1", "f.yaml:1:4: a: found the anchor &x, expected none"),
        ("a: *x", "f.yaml:1:4: a: found the alias *x, expected the value itself"),
        ("a: !!python/object:os.system x", "f.yaml:1:4: a: found the tag 'tag:yaml.org,2002:python/object"),
        ("a: !!int '3'", "f.yaml:1:4: a: found the tag 'tag:yaml.org,2002:int'"),
        ("a: !mine [1]", "f.yaml:1:4: a: found the tag '!mine'"),
        (
            "a: 1\nb: 2\na: 3",
            "f.yaml:3:1: a: found the key a second time, expected it once (first: f.yaml:1:1)",
        ),
        ("x: {b: 1, b: 2}", "f.yaml:1:11: x.b: found the key a second time"),
        ("1: x", "f.yaml:1:1: found 1 as a key, expected text"),
        ("true: x", "f.yaml:1:1: found true as a key, expected text"),
        ("~: x", "f.yaml:1:1: found nothing as a key, expected text"),
        ("'': x", "f.yaml:1:1: found '' as a key, expected text"),
        ("? [a]\n: 1", "f.yaml:1:3: found a key that isn't a single word"),
        ("a: .nan", "f.yaml:1:4: a: found .nan, expected a finite number"),
        ("a: -.INF", "f.yaml:1:4: a: found -.INF, expected a finite number"),
        ("a: 1e999", "f.yaml:1:4: a: found 1e999, expected a finite number"),
        ("a: " + "9" * 5000, "f.yaml:1:4: a: found '9999"),
        ('a: "\\ud800"', "f.yaml:1:4: a: found U+D800 in text"),
        ('a: "\\e[31m"', "f.yaml:1:4: a: found U+001B in text"),
        ("a: \x07", "f.yaml:1:4: found the character U+0007, expected printable text"),
        ('"\\UFFFFFFFF": 1', "f.yaml:1:4: found an escape or number that can't be"),
        ("--- 1\n--- 2", "f.yaml:2:1: found a second document, expected one"),
        ("%YAML 3.0\n---\na", "f.yaml:1:1: found incompatible YAML document"),
    ],
)
def test_refused_with_line_and_column(text: str, fault: str) -> None:
    (found,) = faults_of(text)
    assert found.startswith(fault)


def test_all_faults_that_are_not_syntax_come_at_once() -> None:
    assert [fault.split(": ")[0] for fault in faults_of("a: &x 1\nb: *x\na: 3\nc: !!set {}\n")] == [
        "f.yaml:1:4",
        "f.yaml:2:4",
        "f.yaml:3:1",
        "f.yaml:4:4",
    ]


def test_at_most_a_hundred_faults() -> None:
    assert len(faults_of("a: 1\n" * 5000)) == MAX_FAULTS


@pytest.mark.parametrize("bomb", ["[" * 200_000, "{a: " * 50_000, "- " * 100_000, "? " * 100_000])
def test_depth_is_limited_before_it_costs_anything(bomb: str) -> None:
    started = time.monotonic()
    (fault,) = faults_of(bomb)
    assert "levels" in fault or "single word" in fault
    assert time.monotonic() - started < 5


def test_the_number_of_values_is_limited() -> None:
    (fault,) = faults_of("a: [" + "1," * 50_000 + "1]")
    # The document and its list are two of them.
    assert fault == "f.yaml:1:20001: a[9998]: found more than 10000 values, expected fewer"


def test_length_is_limited() -> None:
    (fault,) = faults_of("x" * (MAX_BYTES + 1))
    assert fault == f"f.yaml: found a longer text, expected at most {MAX_BYTES} characters"


def test_a_file_is_read_as_utf_8_with_or_without_a_mark(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: \xc3\xa9")
    assert parse(read_text(file), "f").value == {"name": "é"}


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def fault(path: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            read_text(path)
        return str(caught.value).removeprefix(str(path))

    assert fault(tmp_path / "none.yaml") == ": no such file"
    assert fault(tmp_path) == ": found a folder, expected a benchmark file (YAML)"
    assert fault(Path("/dev/null")) == ": found a pipe or device, expected a file"
    assert fault(tmp_path / ("x" * 5000)) == ": can't be read: File name too long"
    (tmp_path / "nul").write_bytes(b"a: 1\nb: \xff\n")
    assert fault(tmp_path / "nul") == ":2:4: found byte 0xff, expected UTF-8 text"
    (tmp_path / "big").write_bytes(b"#" * (MAX_BYTES + 1))
    assert fault(tmp_path / "big") == f": found a larger file, expected at most {MAX_BYTES} bytes"


def test_words() -> None:
    assert dotted(("a", 1, "b", "c")) == "a[1].b.c"
    values: list[object] = [None, True, {}, [], "a", 1.5, "\x1b"]
    words = ["nothing", "true", "a mapping", "a list", "'a'", "1.5", "'\\x1b'"]
    assert [shown(value) for value in values] == words
    assert len(shown("x" * 10_000)) == 60


YAML_LIKE = st.text(alphabet=":-[]{}&*!|>'\"%@`#?,\n\t \\x0123.eEabU~<é\x85\u2028\ufeff", max_size=60)


@settings(max_examples=500, deadline=None)
@given(st.one_of(YAML_LIKE, st.text(max_size=60)))
def test_any_text_is_read_or_refused_with_a_config_error(text: str) -> None:
    try:
        document = parse(text, "f.yaml")
    except ConfigError as error:
        assert error.faults and all(fault.where.startswith("f.yaml") for fault in error.faults)
    else:
        assert () in document.places


# Where JSON's text isn't YAML's: control characters, surrogates, line separators, non-characters.
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp"]), max_size=8)
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcxyz_", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(PLAIN)
def test_json_is_read_as_json(value: object) -> None:
    assert parse(json.dumps(value, ensure_ascii=False), "f").value == value
