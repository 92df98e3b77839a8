"""What is timed, from the words of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbird.errors import BenchbirdError, ConfigError, UsageError
from benchbird.throughput.target import DEFAULT_SIZE, is_benchmark, load_target

BENCHMARK = "name: small\nprotocol: {image_size: 32}\nsegmenters: [unet]\nprofiles: {cpu: {protocol: {epochs: 1}}}\n"


def load(*words: str, size: int | None = None, profile: str | None = None, overrides: tuple[str, ...] = ()) -> object:
    return load_target(words, profile=profile, overrides=overrides, size=size)


def test_a_file_is_a_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(BENCHMARK)
    config = load_target([str(path)], profile="cpu", overrides=[], size=None)
    assert (config.name, config.profile, config.protocol.image_size) == ("small", "cpu", 32)


@pytest.mark.parametrize("word", ["gone.yaml", "gone.yml", "folder/gone", "./unet"])
def test_a_path_is_meant_as_a_benchmark_even_if_nothing_is_there(word: str) -> None:
    assert is_benchmark([word])
    with pytest.raises(ConfigError, match="no such file"):
        load(word)


def test_a_file_of_any_name_is_a_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench").write_text(BENCHMARK)
    assert is_benchmark(["bench"])
    assert not is_benchmark(["unet"])


def test_names_have_the_default_protocol_but_for_the_size() -> None:
    config = load_target(["unet", "threshold"], profile=None, overrides=[], size=None)
    assert [entry.label for entry in config.segmenters] == ["unet", "threshold"]
    assert config.protocol.image_size == DEFAULT_SIZE
    assert load_target(["unet"], profile=None, overrides=[], size=64).protocol.image_size == 64


def test_options_follow_a_name_and_are_read_as_yaml() -> None:
    config = load_target(["some:a=1,b=true,c=text,d=1e-3"], profile=None, overrides=[], size=None)
    (entry,) = config.segmenters
    assert (entry.name, entry.label) == ("some", "some")
    assert entry.options == {"a": 1, "b": True, "c": "text", "d": 1e-3}


def test_a_name_that_comes_twice_is_told_apart_by_what_is_chosen() -> None:
    words = ["unet:encoder=resnet18", "unet:encoder=tu-resnet18,pretrained=none", "unet", "threshold"]
    config = load_target(words, profile=None, overrides=[], size=None)
    labels = [entry.label for entry in config.segmenters]
    assert labels == ["unet-resnet18", "unet-tu-resnet18-none", "unet", "threshold"]


def test_overrides_hold_for_names_too() -> None:
    config = load_target(["unet"], profile=None, overrides=["protocol.precision=bf16", "protocol.epochs=3"], size=32)
    assert (config.protocol.precision, config.protocol.epochs, config.protocol.image_size) == ("bf16", 3, 32)


@pytest.mark.parametrize(
    ("words", "options", "error", "parts"),
    [
        (("unet", "x.yaml"), {}, UsageError, ["unet, x.yaml", "expected one benchmark file or segmenters"]),
        (("a.yaml", "b.yaml"), {}, UsageError, ["a.yaml, b.yaml", "--only"]),
        (("x.yaml",), {"size": 64}, UsageError, ["--size 64", "--set protocol.image_size=64"]),
        (("unet",), {"profile": "cpu"}, UsageError, ["--profile cpu", "no benchmark file"]),
        (("Unet",), {}, ConfigError, ["Unet", "expected a benchmark file", "unet:encoder=resnet18"]),
        (("unet:encoder",), {}, ConfigError, ["unet:encoder", "expected"]),
        (("unet:",), {}, ConfigError, ["unet:", "expected"]),
        (("unet:=x",), {}, ConfigError, ["unet:=x"]),
        (("unet:a=[",), {}, ConfigError, ["unet:a=["]),
        (("",), {}, ConfigError, ["expected"]),
        (("unet\x1b[31m",), {}, ConfigError, ["\\x1b"]),
        (("unet", "unet"), {}, ConfigError, ["unet", "a second time"]),
        (("unet",), {"overrides": ("protocol.epochs=x",)}, ConfigError, ["--set protocol.epochs=x", "'x'"]),
        (("unet",), {"overrides": ("protocol.epoch=1",)}, ConfigError, ["protocol.epoch", "epochs"]),
        (("unet",), {"size": 5}, ConfigError, ["--size 5", "at least 16"]),
    ],
)
def test_a_mistake_is_told(words: tuple[str, ...], options: dict[str, object], error: type[BenchbirdError],
                           parts: list[str]) -> None:  # fmt: skip
    with pytest.raises(error) as caught:
        load(*words, **options)  # type: ignore[arg-type]
    for part in parts:
        assert part in str(caught.value)
