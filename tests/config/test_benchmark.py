"""A benchmark file: its layers, its paths, and every fault with the place where it stands."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchbird.config.benchmark import load_benchmark, only, profile_names, with_seeds
from benchbird.errors import ConfigError
from benchbird.protocol import OptimizerSettings, Protocol
from tests.config.benchmark_files import LAYERS, SMALL, Write

ROOT = Path(__file__).parents[2]


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
