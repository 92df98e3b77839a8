"""A benchmark file: its layers, its paths, and every fault with the place where it stands."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchbird.config.benchmark import BenchmarkConfig, load_benchmark, only, profile_names, with_seeds
from benchbird.errors import ConfigError
from benchbird.protocol import RESIZE_VERSIONS, OptimizerSettings, Protocol

ROOT = Path(__file__).parents[2]
SMALL = "name: b\nsegmenters: [unet]\n"

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes `b.yaml` into the working directory, so that messages name it so."""
    monkeypatch.chdir(tmp_path)

    def write_benchmark(text: str) -> Path:
        Path("b.yaml").write_text(text, encoding="utf-8")
        return Path("b.yaml")

    return write_benchmark


def faults_of(path: Path, profile: str | None = None, overrides: Sequence[str] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_benchmark(path, profile=profile, overrides=overrides)
    return [str(fault) for fault in caught.value.faults]


def test_defaults(write: Write) -> None:
    config = load_benchmark(write(SMALL))
    assert config.protocol == Protocol()
    assert (config.profile, config.profile_names, config.seeds, config.plugins) == ("full", (), (0,), ())
    assert (config.data.name, config.data.root, config.data.sizes) == ("birdsound", None, None)
    assert config.data.dataset == "synthetic"
    assert config.limits.trial_seconds is None
    assert [(entry.name, entry.label, entry.options) for entry in config.segmenters] == [("unet", "unet", {})]


def test_every_key(write: Write) -> None:
    config = load_benchmark(
        write(
            """
name: my-study_2
data:
  name: birdsound
  root: data
  sizes: {train: 10, val: 2, test: 3}
  subset_seed: 7
  where: {kind: human_mask, clipped: ["yes", no], snr_db: [3, 2.5]}
  also_test: [other, ../more]
  recording_pattern: '(?P<recording>XC\\d+)'
  allow_leaks: true
  synthetic: {seed: 3, snr_db_min: -3}
  options: {anything: [1, two]}
protocol: {image_size: 64, optimizer: {name: sgd, lr: 1, weight_decay: 1e-2}, precision: bf16}
segmenters:
  - atrous_segnet
  - {name: unet, label: unet-small, options: {encoder: resnet18, depth: null}}
plugins: [mine.py]
seeds: [3, 1]
limits: {trial_seconds: 60}
profiles: {cpu: {seeds: [0]}}
"""
        )
    )
    assert config.data.root == Path.cwd() / "data" and config.data.dataset == "birdsound"
    assert config.data.sizes is not None and config.data.sizes.model_dump() == {
        "train": 10,
        "val": 2,
        "test": 3,
    }
    assert config.data.where == {"kind": ("human_mask",), "clipped": ("yes", "no"), "snr_db": ("3", "2.5")}
    assert config.data.also_test == (Path.cwd() / "other", Path.cwd().parent / "more")
    assert (config.data.folds, config.data.fold) == (None, None)
    assert config.data.synthetic == {"seed": 3, "snr_db_min": -3}
    assert config.protocol.optimizer == OptimizerSettings(name="sgd", lr=1.0, weight_decay=0.01)
    assert type(config.protocol.optimizer.lr) is float
    assert config.segmenters[1].label == "unet-small"
    assert config.segmenters[1].options == {"encoder": "resnet18", "depth": None}
    assert config.plugins == (Path.cwd() / "mine.py",)
    assert config.seeds == (3, 1) and config.limits.trial_seconds == 60 and config.profile_names == ("cpu",)
    assert json.loads(json.dumps(config.as_dict()))["protocol"]["image_size"] == 64


def test_sections_that_say_nothing_have_their_defaults(write: Write) -> None:
    text = "data:\nprotocol:\nlimits:\nplugins:\nprofiles:\n"
    config = load_benchmark(write(SMALL + text))
    assert config == dataclasses.replace(load_benchmark(write(SMALL)), places=config.places)
    load_benchmark(write("name: b\nsegmenters:\n  - name: unet\n    label:\n    options:\n"))
    load_benchmark(write(SMALL + "data: {synthetic: , options: }\nprotocol: {optimizer: }\nprofiles: {cpu: }\n"))
    assert load_benchmark(write(SMALL + "data: {where: , also_test: , folds: , fold: }\n")).data == config.data


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "b.yaml:1:1: found nothing, expected a mapping with name, segmenters, protocol, …"),
        ("- a\n", "b.yaml:1:1: found a list, expected a mapping with name, segmenters, protocol, …"),
        ("segmenters: [unet]\n", "b.yaml:1:1: name: missing, expected a name"),
        ("name: b\n", "b.yaml:1:1: segmenters: missing, expected a list of segmenters"),
        ("name: b\nsegmenters: []\n", "b.yaml:2:13: segmenters: found an empty list, expected at least 1"),
        ("name: b\nsegmenters:\n", "b.yaml:2:12: segmenters: found nothing, expected a list"),
        ("name: b\nsegmenters: unet\n", "b.yaml:2:13: segmenters: found 'unet', expected a list"),
        (
            "name: ../x\nsegmenters: [unet]\n",
            "b.yaml:1:7: name: found '../x', expected lower-case letters, digits, '_' and '-', starting with "
            "a letter, at most 64",
        ),
        (
            "name: noise\nsegmenters: [unet]\n",
            "b.yaml:1:7: name: found 'noise', expected another name: a folder noise holds a noise budget",
        ),
        (
            "name: published\nsegmenters: [unet]\n",
            "b.yaml:1:7: name: found 'published', expected another name: results/published holds what",
        ),
        ("name: 3\nsegmenters: [unet]\n", "b.yaml:1:7: name: found 3, expected text"),
        (
            "name: b\nsegmenters: [3]\n",
            "b.yaml:2:14: segmenters[0]: found 3, expected a segmenter's name or a mapping with name, "
            "label and options",
        ),
        (
            "name: b\nsegmenters: [U-Net]\n",
            "b.yaml:2:14: segmenters[0]: found 'U-Net', expected lower-case letters, digits and '_', "
            "starting with a letter, at most 64",
        ),
        ("name: b\nsegmenters: [{label: x}]\n", "b.yaml:2:14: segmenters[0].name: missing, expected a name"),
        (
            "name: b\nsegmenters: [{name: x, option: {}}]\n",
            "b.yaml:2:24: segmenters[0].option: unknown key, did you mean 'options'?",
        ),
        (
            "name: b\nsegmenters: [unet, unet]\n",
            "b.yaml:2:20: segmenters[1]: found the label 'unet' a second time (first: segmenters[0]), "
            "expected a label of its own",
        ),
        (
            "name: b\nsegmenters: [unet, {name: x, label: unet}]\n",
            "b.yaml:2:37: segmenters[1].label: found the label 'unet' a second time (first: segmenters[0]), "
            "expected a label of its own",
        ),
        (SMALL + "protocol: 3\n", "b.yaml:3:11: protocol: found 3, expected a mapping"),
        (
            SMALL + "protocol: {epochs: '16'}\n",
            "b.yaml:3:20: protocol.epochs: found '16', expected a whole number (without quotes)",
        ),
        (
            SMALL + "protocol: {epochs: 16.0}\n",
            "b.yaml:3:20: protocol.epochs: found 16.0, expected a whole number",
        ),
        (
            SMALL + "protocol: {epochs: true}\n",
            "b.yaml:3:20: protocol.epochs: found true, expected a whole number",
        ),
        (SMALL + "protocol: {epochs: 0}\n", "b.yaml:3:20: protocol.epochs: found 0, expected at least 1"),
        (
            SMALL + "protocol: {image_size: 5000}\n",
            "b.yaml:3:24: protocol.image_size: found 5000, expected at most 4096",
        ),
        (
            SMALL + "protocol: {compile: on}\n",
            "b.yaml:3:21: protocol.compile: found 'on', expected false, true or cuda_graphs",
        ),
        (
            SMALL + "protocol: {channels_last: on}\n",
            "b.yaml:3:27: protocol.channels_last: found 'on', expected true or false",
        ),
        (
            SMALL + "protocol: {precision: fp16}\n",
            "b.yaml:3:23: protocol.precision: found 'fp16', expected fp32, tf32 or bf16",
        ),
        (
            SMALL + "protocol:\n  optimizer:\n    lr: 0\n",
            "b.yaml:5:9: protocol.optimizer.lr: found 0, expected a number greater than 0",
        ),
        (
            SMALL + "protocol:\n  optimizer: {lr: fast}\n",
            "b.yaml:4:19: protocol.optimizer.lr: found 'fast', expected a number",
        ),
        (
            SMALL + "protocol:\n  optimizer: {lr: 1e3}\n",
            "b.yaml:4:19: protocol.optimizer.lr: found 1000.0, expected a number less than 1000",
        ),
        (
            SMALL + "protocol: {epoch: 3}\n",
            "b.yaml:3:12: protocol.epoch: unknown key, did you mean 'epochs'?",
        ),
        (
            SMALL + "protocol: {optimizer: {momentum: 3}}\n",
            "b.yaml:3:24: protocol.optimizer.momentum: unknown key, expected one of name, lr, weight_decay",
        ),
        (SMALL + "epochs: 3\n", "b.yaml:3:1: epochs: unknown key, did you mean 'protocol.epochs'?"),
        (SMALL + "profile: {}\n", "b.yaml:3:1: profile: unknown key, did you mean 'profiles'?"),
        (SMALL + "seeds: []\n", "b.yaml:3:8: seeds: found an empty list, expected at least 1"),
        (SMALL + "seeds: [0, -1]\n", "b.yaml:3:12: seeds[1]: found -1, expected at least 0"),
        (SMALL + "seeds: [4, 4]\n", "b.yaml:3:12: seeds[1]: found 4 a second time, expected each seed once"),
        (SMALL + "plugins: mine.py\n", "b.yaml:3:10: plugins: found 'mine.py', expected a list"),
        (SMALL + "plugins: [3]\n", "b.yaml:3:11: plugins[0]: found 3, expected a path"),
        (
            SMALL + "limits: {trial_seconds: 0}\n",
            "b.yaml:3:25: limits.trial_seconds: found 0, expected a number greater than 0",
        ),
        (SMALL + "data: {root: 3}\n", "b.yaml:3:14: data.root: found 3, expected a path"),
        (SMALL + "data: {root: ''}\n", "b.yaml:3:14: data.root: found '', expected a path"),
        (
            SMALL + "data: {sizes: {train: 1, val: 1}}\n",
            "b.yaml:3:8: data.sizes.test: missing, expected a number of",
        ),
        (
            SMALL + "data: {name: synthetic, root: x}\n",
            "b.yaml:3:31: data.root: found a folder, expected none: 'synthetic' is made, not read",
        ),
        (
            SMALL + "data: {recording_pattern: '('}\n",
            "b.yaml:3:27: data.recording_pattern: found '(', expected a regular expression (missing )",
        ),
        (
            SMALL + "data: {recording_pattern: 'XC'}\n",
            "b.yaml:3:27: data.recording_pattern: found 'XC', expected a regular expression with a group",
        ),
        (SMALL + "data: {where: kind}\n", "b.yaml:3:15: data.where: found 'kind', expected a mapping"),
        (
            SMALL + "data: {where: {kind: {a: 1}}}\n",
            "b.yaml:3:22: data.where.kind: found a mapping, expected text, or a list of texts",
        ),
        (
            SMALL + "data: {where: {kind: []}}\n",
            "b.yaml:3:22: data.where.kind: found an empty list, expected text, or a list of texts",
        ),
        (SMALL + "data: {also_test: a}\n", "b.yaml:3:19: data.also_test: found 'a', expected a list"),
        (SMALL + "data: {also_test: [a, '']}\n", "b.yaml:3:23: data.also_test[1]: found '', expected a path"),
        (
            SMALL + "data: {folds: 2}\n",
            "b.yaml:3:15: data.folds: found 2, expected a whole number from 3 to 1000, or recordings",
        ),
        (
            SMALL + "data: {folds: true}\n",
            "b.yaml:3:15: data.folds: found true, expected a whole number from 3 to 1000, or recordings",
        ),
        (
            SMALL + "data: {folds: 5, sizes: {train: 1, val: 1, test: 1}}\n",
            "b.yaml:3:25: data.sizes: found sizes beside folds, expected none (data.sizes=): every sample is in one",
        ),
        (SMALL + "data: {fold: 2}\n", "b.yaml:3:14: data.fold: found 2, expected none without data.folds"),
        (
            SMALL + "data: {folds: 4, fold: 5}\n",
            "b.yaml:3:24: data.fold: found 5, expected at most 4, the number of folds",
        ),
        (SMALL + "data: {folds: recordings, fold: 0}\n", "b.yaml:3:33: data.fold: found 0, expected at least 1"),
        (SMALL + "data: {synthetic: [1]}\n", "b.yaml:3:19: data.synthetic: found a list, expected a mapping"),
        (
            SMALL + "data: {synthetic: {snr_min: 1}}\n",
            "b.yaml:3:20: data.synthetic.snr_min: unknown key, did you mean 'snr_db_min'?",
        ),
        (
            SMALL + "data: {synthetic: {seed: -1}}\n",
            "b.yaml:3:26: data.synthetic.seed: found -1, expected a whole",
        ),
        (
            SMALL + "profiles: [cpu]\n",
            "b.yaml:3:1: profiles: found a list, expected a mapping of profile names",
        ),
        (
            SMALL + "profiles: {full: {}}\n",
            "b.yaml:3:12: profiles.full: found 'full', expected lower-case letters",
        ),
        (
            SMALL + "profiles: {cpu: 3}\n",
            "b.yaml:3:12: profiles.cpu: found 3, expected a mapping of overrides",
        ),
        (
            SMALL + "profiles: {cpu: {profiles: {}}}\n",
            "b.yaml:3:18: profiles.cpu.profiles: found profiles within a profile, expected none",
        ),
    ],
)
def test_a_fault_and_its_place(write: Write, text: str, fault: str) -> None:
    found = faults_of(write(text))
    assert found[0].startswith(fault) and (text == "" or len(found) == 1)


def test_all_faults_at_once_in_the_file_s_order(write: Write) -> None:
    path = write(
        """name: Bird Sound
data:
  rooot: x
  sizes: {train: 0, val: 200}
protocol:
  epoch: 5
  batch_size: "16"
segmenters:
  - unet
  - unet
profiles:
  cpu:
    protocol: {image_size: 8}
"""
    )
    places = [fault.split(": ")[:2] for fault in faults_of(path, overrides=["protocol.compile=maybe"])]
    assert places == [
        ["b.yaml:1:7", "name"],
        ["b.yaml:3:3", "data.rooot"],
        ["b.yaml:4:3", "data.sizes.test"],
        ["b.yaml:4:18", "data.sizes.train"],
        ["b.yaml:6:3", "protocol.epoch"],
        ["b.yaml:7:15", "protocol.batch_size"],
        ["b.yaml:10:5", "segmenters[1]"],
        ["b.yaml:13:28", "protocol.image_size"],
        ["--set protocol.compile=maybe", "protocol.compile"],
    ]


def test_very_many_faults_are_cut_short(write: Write) -> None:
    faults = faults_of(write(SMALL + "seeds:\n" + "  - x\n" * 90 + "plugins:\n" + "  - 1\n" * 90))
    assert 90 < len(faults) <= 101


LAYERS = """name: b
data: {sizes: {train: 100, val: 20, test: 30}}
protocol: {epochs: 5, optimizer: {name: sgd, lr: 1e-2}}
segmenters: [{name: unet, options: {encoder: resnet50}}, threshold]
seeds: [0, 1, 2]
profiles:
  cpu:
    data: {sizes: {train: 10}}
    protocol: {optimizer: {lr: 0.5}}
    segmenters: [unet]
    seeds: [7]
  gpu:
    protocol: {precision: bf16}
"""


def test_profiles_merge_mappings_and_replace_lists(write: Write) -> None:
    path = write(LAYERS)
    assert profile_names(path) == ("cpu", "gpu")
    config = load_benchmark(path, profile="cpu")
    assert config.profile == "cpu"
    assert config.data.sizes is not None and config.data.sizes.model_dump() == {
        "train": 10,
        "val": 20,
        "test": 30,
    }
    assert config.protocol == Protocol(epochs=5, optimizer=OptimizerSettings(name="sgd", lr=0.5))
    assert [entry.options for entry in config.segmenters] == [{}]
    assert config.seeds == (7,)


@pytest.mark.parametrize("profile", [None, "full"])
def test_full_is_the_file_without_overrides(write: Write, profile: str | None) -> None:
    config = load_benchmark(write(LAYERS), profile=profile)
    assert (config.profile, config.seeds, config.protocol.optimizer.lr) == ("full", (0, 1, 2), 0.01)


def test_unknown_profile(write: Write) -> None:
    assert faults_of(write(LAYERS), "cpuu") == ["--profile cpuu: unknown profile, did you mean 'cpu'?"]
    assert faults_of(write(LAYERS), "x") == ["--profile x: unknown profile, expected one of cpu, gpu, full"]


def test_set_comes_after_the_profile_and_the_last_one_wins(write: Write) -> None:
    overrides = [
        "protocol.epochs=8",
        "protocol.epochs=9",
        "protocol={optimizer: {name: adam}, precision: tf32}",
        "segmenters=[unet, {name: unet, label: other, options: {encoder: resnet18}}]",
        "data.sizes=",
        "seeds=[5]",
        "protocol.optimizer.lr=1e-4",
    ]
    config = load_benchmark(write(LAYERS), profile="cpu", overrides=overrides)
    optimizer = OptimizerSettings(name="adam", lr=1e-4)
    assert config.protocol == Protocol(epochs=9, optimizer=optimizer, precision="tf32")
    assert [(entry.label, entry.options) for entry in config.segmenters] == [
        ("unet", {}),
        ("other", {"encoder": "resnet18"}),
    ]
    assert config.data.sizes is None and config.seeds == (5,)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("protocol.epochs=x", ": protocol.epochs: found 'x', expected a whole number"),
        ("protocol.epochs=", ": protocol.epochs: found nothing, expected a whole number"),
        ("protocol.epocs=3", ": protocol.epocs: unknown key, did you mean 'epochs'?"),
        ("epochs=3", ": epochs: unknown key, did you mean 'protocol.epochs'?"),
        ("protocol={epocs: 3}", ": protocol.epocs: unknown key, did you mean 'epochs'?"),
        ("protocol={epochs: [}", ": found '}', expected a value"),
        ("protocol={epochs: 1, epochs: 2}", ": epochs: found the key a second time"),
        ("seeds=[1, -2]", ": seeds[1]: found -2, expected at least 0"),
        ("segmenters.0=unet", ": segmenters: found a mapping, expected a list"),
        ("name", ": expected KEY=VALUE, such as protocol.epochs=20"),
        ("=3", ": expected KEY=VALUE, such as protocol.epochs=20"),
        ("protocol..epochs=3", ": expected KEY=VALUE, such as protocol.epochs=20"),
        ("profiles.cpu.seeds=[1]", ": profiles: profiles are set in the file, expected another key"),
        ("data.sizes.train=*x", ": found the alias *x, expected the value itself"),
    ],
)
def test_a_fault_in_set_names_the_option(write: Write, text: str, fault: str) -> None:
    (found,) = faults_of(write(LAYERS), overrides=[text])
    assert found.startswith(f"--set {text}{fault}")


def test_a_fault_in_any_profile_is_found(write: Write) -> None:
    path = write(LAYERS.replace("precision: bf16", "precision: fp8"))
    expected = ["b.yaml:13:27: protocol.precision: found 'fp8', expected fp32, tf32 or bf16"]
    for profile in (None, "cpu", "gpu"):
        assert faults_of(path, profile) == expected


def test_a_profile_may_supply_what_the_file_leaves_open(write: Write) -> None:
    path = write("name: b\nprofiles:\n  cpu: {segmenters: [unet]}\n")
    assert load_benchmark(path, profile="cpu").segmenters[0].name == "unet"
    assert faults_of(path) == ["b.yaml:1:1: segmenters: missing, expected a list of segmenters"]


def test_a_fault_that_a_profile_covers_is_still_found(write: Write) -> None:
    path = write(SMALL + "seeds: [x]\nprofiles: {cpu: {seeds: [1]}}\n")
    assert faults_of(path, "cpu") == ["b.yaml:3:9: seeds[0]: found 'x', expected a whole number"]


def test_paths_start_at_the_file_s_folder_or_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "study" / "b.yaml"
    text = "data: {root: ../birds}\nplugins: [a.py, /abs/b.py]\nprofiles: {cpu: {data: {root: cpu}}}\n"
    file.write_text(SMALL + text)
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", "/home/someone")
    config = load_benchmark(os.path.relpath(file))
    assert config.data.root == tmp_path / "birds"
    assert config.plugins == (tmp_path / "study" / "a.py", Path("/abs/b.py"))
    assert load_benchmark(file, profile="cpu").data.root == tmp_path / "study" / "cpu"
    overrides = ["data.root=here", "plugins=[../mine.py]"]
    config = load_benchmark(file, profile="cpu", overrides=overrides)
    assert config.data.root == tmp_path / "elsewhere" / "here"
    assert config.plugins == (tmp_path / "mine.py",)
    assert load_benchmark(file, overrides=["data={root: ~/x}"]).data.root == Path("/home/someone/x")
    assert load_benchmark(file, overrides=["data.root="]).data.dataset == "synthetic"


def test_unreadable_files(tmp_path: Path, write: Write) -> None:
    assert faults_of(tmp_path / "none.yaml") == [f"{tmp_path}/none.yaml: no such file"]
    assert faults_of(tmp_path) == [f"{tmp_path}: found a folder, expected a benchmark file (YAML)"]
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    assert faults_of(tmp_path / "latin.yaml") == [f"{tmp_path}/latin.yaml:1:7: found byte 0xe9, expected UTF-8 text"]
    with pytest.raises(ConfigError, match=r"b\.yaml:1:5: found ':' inside a value"):
        profile_names(write("a: b: c"))


def test_locate(write: Write) -> None:
    config = load_benchmark(write(LAYERS), profile="cpu", overrides=["protocol.epochs=9"])
    assert config.locate("protocol", "epochs") == "--set protocol.epochs=9"
    assert config.locate("protocol", "optimizer", "lr") == "b.yaml:9:32"
    assert config.locate("protocol", "optimizer", "name") == "b.yaml:3:41"
    assert config.locate("segmenters", 0, "options", "encoder") == "b.yaml:10:18"
    assert config.locate("limits", "trial_seconds") == "b.yaml:1:1"


def test_seeds_of_the_command_line(write: Write) -> None:
    config = load_benchmark(write(LAYERS))
    assert with_seeds(config, [4, 2]).seeds == (4, 2) and config.seeds == (0, 1, 2)
    for wrong in ([], [1, 1], [-1], [2**63]):
        with pytest.raises(ConfigError, match=r"^--seeds: found .*, expected whole numbers from 0 on"):
            with_seeds(config, wrong)


def test_only_some_labels(write: Write) -> None:
    config = load_benchmark(write(LAYERS))
    kept = only(config, ["threshold"])
    assert [entry.label for entry in kept.segmenters] == ["threshold"]
    assert kept.locate("segmenters", 0, "name") == config.locate("segmenters", 1, "name") == "b.yaml:4:58"
    assert [entry.label for entry in only(config, ["threshold", "unet"]).segmenters] == ["unet", "threshold"]
    with pytest.raises(ConfigError) as caught:
        only(config, ["unet", "treshold", "zzz"])
    assert [str(fault) for fault in caught.value.faults] == [
        "--only treshold: no segmenter has this label, did you mean 'threshold'?",
        "--only zzz: no segmenter has this label, expected one of unet, threshold",
    ]


def digest_of(config: BenchmarkConfig) -> str:
    return config.protocol.digest


def test_the_protocol_s_digest_ignores_order_comments_and_everything_else(write: Write) -> None:
    plain = load_benchmark(write(SMALL + "protocol: {epochs: 5, optimizer: {lr: 1, name: sgd}}\n"))
    other = load_benchmark(
        write(
            "# comment\nseeds: [8]\nprofiles: {cpu: {seeds: [9]}}\nprotocol:\n  optimizer:\n"
            "    name: 'sgd' # !\n"
            "    lr: 1.0\n  epochs: 0x5\nsegmenters: [{label: u, name: unet}]\nname: other\n"
            "limits: {trial_seconds: 5}\n"
        ),
        profile="cpu",
    )
    assert digest_of(plain) == digest_of(other) != Protocol().digest


def another_value(owner: type, name: str, value: Any) -> Any:
    hint = get_type_hints(owner)[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return next((choice for choice in get_args(hint) if choice != value), None)


@pytest.mark.parametrize(
    "override", ["data.also_test=[/tmp]", "data.where={kind: x}", "data.folds=5", "data.folds=recordings", "seeds=[4]"]
)
def test_what_is_no_protocol_key_changes_no_protocol_digest(write: Write, override: str) -> None:
    assert digest_of(load_benchmark(write(SMALL), overrides=[override])) == Protocol().digest


def test_each_resize_rule_has_a_version_of_its_own_in_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    area, bicubic = Protocol(), Protocol(resize="bicubic")
    digests = area.digest, bicubic.digest
    monkeypatch.setitem(RESIZE_VERSIONS, "bicubic", 99)
    assert area.digest == digests[0] != digests[1] != bicubic.digest


def protocol_keys() -> list[tuple[str, Any]]:
    keys = []
    for owner, prefix in ((Protocol, "protocol."), (OptimizerSettings, "protocol.optimizer.")):
        for field in dataclasses.fields(owner):
            if field.name != "optimizer":
                keys.append((prefix + field.name, another_value(owner, field.name, getattr(owner(), field.name))))
    return keys


@pytest.mark.parametrize(("key", "value"), [pair for pair in protocol_keys() if pair[1] is not None])
def test_every_protocol_key_changes_the_digest(write: Write, key: str, value: Any) -> None:
    config = load_benchmark(write(SMALL), overrides=[f"{key}={json.dumps(value)}"])
    assert digest_of(config) != Protocol().digest


def test_only_the_loss_has_a_single_choice() -> None:
    assert [key for key, value in protocol_keys() if value is None] == ["protocol.loss"]


SEED_PROTOCOL = Protocol(
    resize="bicubic", last_batch="keep", mask_target="fraction", selection="best_val_iou_batch_mean"
)
"""The strict protocol but for what AtrousSegNet's own training did otherwise."""


def test_the_seed_s_profiles_differ_in_what_they_say() -> None:
    def of(profile: str | None, name: str = "seed") -> BenchmarkConfig:
        return load_benchmark(ROOT / "benchmarks" / f"{name}.yaml", profile=profile)

    assert of("last_epoch").protocol == dataclasses.replace(SEED_PROTOCOL, selection="last_epoch")
    assert of("cpu_last_epoch").protocol == dataclasses.replace(of("cpu").protocol, selection="last_epoch")
    strict = of("cpu", "birdsound")
    changes = {"resize": "bicubic", "last_batch": "keep", "mask_target": "fraction",
               "selection": "best_val_iou_batch_mean"}  # fmt: skip
    assert of("cpu").protocol == dataclasses.replace(strict.protocol, **changes)  # type: ignore[arg-type]
    for profile in ("cpu", "cpu_last_epoch"):
        assert of(profile).segmenters == strict.segmenters and of(profile).data == strict.data


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks").glob("*.yaml")), ids=lambda file: file.name)
def test_the_benchmarks_that_come_along(file: Path) -> None:
    for profile in ("full", *profile_names(file)):
        config = load_benchmark(file, profile=profile)
        assert config.name == file.stem
    assert load_benchmark(file).protocol == (SEED_PROTOCOL if file.stem == "seed" else Protocol())
    written = yaml.safe_load(file.read_text(encoding="utf-8"))["protocol"]
    assert set(written) == {field.name for field in dataclasses.fields(Protocol)}, "write the protocol out"


KEYS = st.sampled_from(
    ["name", "data", "protocol", "segmenters", "plugins", "seeds", "limits", "profiles", "cpu", "full",
     "root", "sizes", "train", "synthetic", "seed", "options", "label", "optimizer", "lr", "epochs",
     "recording_pattern", "where", "folds", "fold", "also_test", "resize"]
)  # fmt: skip
SCALARS = (
    st.sampled_from(
        ["unet", "synthetic", "birdsound", "", "~x", "(?P<recording>x)", "(", "[[a]", "on", "x" * 5000]
    )
    | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
BENCHMARKS = st.dictionaries(KEYS, VALUES, max_size=6)
OVERRIDES = st.tuples(st.lists(KEYS, min_size=1, max_size=3).map(".".join), VALUES | st.text(max_size=10)).map(
    lambda pair: f"{pair[0]}={json.dumps(pair[1])}" if not isinstance(pair[1], str) else f"{pair[0]}={pair[1]}"
)


def load_or_refuse(text: str, profile: str | None, overrides: list[str]) -> None:
    Path("b.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        config = load_benchmark("b.yaml", profile=profile, overrides=overrides)
    except ConfigError as error:
        assert error.faults and str(error)
    else:
        json.dumps(config.as_dict(), allow_nan=False)
        assert config.segmenters and config.seeds


FUZZ = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(BENCHMARKS, st.sampled_from([None, "cpu", "full", "x"]), st.lists(OVERRIDES, max_size=2))
def test_any_structure_is_loaded_or_refused(
    write: Write, value: dict[str, Any], profile: str | None, overrides: list[str]
) -> None:
    load_or_refuse(json.dumps({"name": "b", "segmenters": ["unet"], **value}), profile, overrides)


@FUZZ
@given(st.text(alphabet=":-[]{}&*!|>'\"%@#?,\n\t \\x0123eUab~\x85", max_size=40), st.text(max_size=30))
def test_any_text_is_loaded_or_refused(write: Write, text: str, override: str) -> None:
    load_or_refuse(SMALL + text, None, [override])
