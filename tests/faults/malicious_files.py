"""Files that somebody made to run code, to fill the memory or to lead out of the results folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchbird.results import add_record, read_record
from tests.faults.watched_commands import Answer, Sandbox
from tests.predictions_factory import write_study
from tests.small_bench import BENCHMARK, write_birds

HUGE_HEADER = struct.pack("<Q", 100 * 10**9) + b'{"x":'


class _Canary:
    """Makes a file where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ('touch "$CANARY"',)


PICKLE = pickle.dumps(_Canary())


def _study(sandbox: Sandbox) -> list[Path]:
    """A finished study; the folders of its trials."""
    write_study(sandbox.work / "results", {"unet": 0.7, "threshold": 0.5})
    return sorted(path.parent for path in (sandbox.work / "results").rglob("record.json"))


def _forge(folder: Path, name: str, content: bytes) -> None:
    """Replace a file of a trial, and have its record vouch for the new one."""
    (folder / name).write_bytes(content)
    record = read_record(folder / "record.json")
    files = {**record.files, name: hashlib.sha256(content).hexdigest()}
    add_record(folder, replace(record, files=files), replace=True)


def _in_place_of(name: str, content: bytes) -> Callable[[Sandbox], Iterator[Answer]]:
    def carry_out(sandbox: Sandbox) -> Iterator[Answer]:
        _forge(_study(sandbox)[0], name, content)
        yield _refused(sandbox.call("verify", "results"))
        yield sandbox.call("leaderboard", "results")
        yield sandbox.call("scores", "results")

    return carry_out


def _refused(answer: Answer) -> Answer:
    assert answer.code == 1, answer.stdout + answer.stderr
    return answer


def _archive_of(array: np.ndarray | None, name: str = "sample_ids") -> bytes:
    """A predictions file with one array replaced: by a pickled object, or by `array`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        inner = io.BytesIO()
        objects = np.array([_Canary()], dtype=object) if array is None else array
        np.save(inner, objects, allow_pickle=True)
        archive.writestr(f"{name}.npy", inner.getvalue())
    return stream.getvalue()


def _bomb(size: int) -> bytes:
    """An archive of a few MB that unpacks to `size` bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("counts.npy", "w") as member:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (size // 32, 4)})
        member.write(header.getvalue())
        for _ in range(size // 2**20):
            member.write(bytes(2**20))
    return stream.getvalue()


def _unpacking_bomb(sandbox: Sandbox) -> Iterator[Answer]:
    return _in_place_of("predictions.npz", _bomb(1900 * 2**20))(sandbox)


def _weights_again(content: bytes) -> Callable[[Sandbox], Iterator[Answer]]:
    """Weights of a trial that was really run, forged, and asked to predict again."""

    def carry_out(sandbox: Sandbox) -> Iterator[Answer]:
        _write_bench(sandbox)
        assert sandbox.call("run", "small.yaml", "--device", "cpu", "--set", "protocol.epochs=1").code == 0
        [record] = (sandbox.work / "results").glob("small/*/atrous*/seed-0/record.json")
        _forge(record.parent, "weights.safetensors", content)
        arguments = ("--re-evaluate", "--benchmark", "small.yaml", "--set", "protocol.epochs=1", "--device", "cpu")
        _refused(sandbox.call("verify", "results", *arguments))
        yield sandbox.call("leaderboard", "results")

    return carry_out


def _write_bench(sandbox: Sandbox) -> None:
    (sandbox.work / "small.yaml").write_text(BENCHMARK)
    write_birds(sandbox.work / "birds", {"Train": 8, "Valid": 4, "Test": 4})


def _as_checkpoint(content: bytes) -> Callable[[Sandbox], Iterator[Answer]]:
    """A checkpoint's files under way, all replaced: the trial begins anew, and says so in its log."""

    def carry_out(sandbox: Sandbox) -> Iterator[Answer]:
        _write_bench(sandbox)
        run = ("run", "small.yaml", "--device", "cpu", "--only", "atrous_segnet")
        assert sandbox.call(*run).code == 0
        [record] = (sandbox.work / "results").rglob("record.json")
        record.unlink()
        checkpoint = record.parent / "checkpoint"
        checkpoint.mkdir()
        for name in ("state-0.json", "state-1.json", "state-0.safetensors", "best-0-1.safetensors", "best-1-1.pt"):
            (checkpoint / name).write_bytes(content)
        again = sandbox.call(*run)
        assert again.code == 0, again.stderr
        assert "checkpoint" in (record.parent / "log.txt").read_text()
        yield sandbox.call("leaderboard", "results")

    return carry_out


def _link_in_trial(name: str) -> Callable[[Sandbox], Iterator[Answer]]:
    """A trial's folder, or something in it, that leads to somebody's files: nothing is written or removed there."""

    def carry_out(sandbox: Sandbox) -> Iterator[Answer]:
        _write_bench(sandbox)
        run = ("run", "small.yaml", "--device", "cpu", "--only", "atrous_segnet")
        assert sandbox.call(*run).code == 0
        [record] = (sandbox.work / "results").rglob("record.json")
        trial, victim = record.parent, sandbox.work / "somebody's"
        victim.mkdir()
        for own in ("state-0.json", "best-1-9.safetensors", "log.txt"):
            (victim / own).write_text("precious\n")
        record.unlink()
        target = victim / "log.txt" if name == "log.txt" else victim
        if name:
            (trial / name).unlink(missing_ok=True)
            (trial / name).symlink_to(target)
        else:
            shutil.rmtree(trial)
            trial.symlink_to(target)
        refused = _refused(sandbox.call(*run))
        assert ": a link, expected a plain file or folder of this trial" in refused.stderr, refused.stderr
        assert {path.read_text() for path in victim.iterdir()} == {"precious\n"}
        yield sandbox.call("status", "results")

    return carry_out


def _in_cache(sandbox: Sandbox) -> Iterator[Answer]:
    """The prepared arrays and the index replaced by pickles: made anew."""
    _write_bench(sandbox)
    run = ("run", "small.yaml", "--device", "cpu", "--only", "threshold")
    first = sandbox.call(*run)
    assert first.code == 0, first.stderr
    for path in (sandbox.folder / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(PICKLE)
    shutil.rmtree(sandbox.work / "results")
    again = sandbox.call(*run)
    assert again.code == 0, again.stderr
    yield sandbox.call("leaderboard", "results")


def _yaml(*texts: str, as_option: bool = True) -> Callable[[Sandbox], Iterator[Answer]]:
    """Benchmark files that are refused at a line, and the first of them as an option, too."""

    def carry_out(sandbox: Sandbox) -> Iterator[Answer]:
        commands = [("run", "--device", "cpu", "--dry-run"), ("leaderboard",)]
        for text in texts:
            (sandbox.work / "evil.yaml").write_text(text)
            for command in commands:
                answer = _refused(sandbox.call(*command, "evil.yaml"))
                assert "evil.yaml" in answer.stderr
                yield answer
            del commands[:-1]  # `run` imports torch first, which takes seconds
        if as_option:
            _write_bench(sandbox)
            option = f"data.options={texts[0][:5000]}"
            yield _refused(sandbox.call("run", "small.yaml", "--device", "cpu", "--dry-run", "--set", option))
        assert not (sandbox.work / "results").exists()

    return carry_out


def _record_file(content: Callable[[Path], None]) -> Callable[[Sandbox], Iterator[Answer]]:
    """A record replaced by something else: named and left out, the others are shown."""

    def carry_out(sandbox: Sandbox) -> Iterator[Answer]:
        record = _study(sandbox)[0] / "record.json"
        content(record)
        shown = sandbox.call("leaderboard", "results")
        assert shown.code == 0, shown.stderr
        assert "record.json" in shown.stderr
        assert "root:" not in shown.stdout + shown.stderr
        yield shown
        yield _refused(sandbox.call("verify", "results"))

    return carry_out


def _nested(record: Path) -> None:
    record.write_text("[" * 200_000)


def _of_1_gb(record: Path) -> None:
    with record.open("r+b") as stream:
        stream.truncate(10**9)


def _twice(record: Path) -> None:
    text = record.read_text()
    record.write_text(text.replace('"seed": 0,', '"seed": 0, "seed": 1,', 1))


def _link(record: Path) -> None:
    record.unlink()
    record.symlink_to("/etc/passwd")


def _pipe(record: Path) -> None:
    record.unlink()
    os.mkfifo(record)


def _outside(record: Path) -> None:
    document = json.loads(record.read_text())
    document["predictions_file"] = document["weights_file"] = "../../../../../../canary"
    record.write_text(json.dumps(document))


def _object(record: Path) -> None:
    record.write_bytes(PICKLE)


ALIASES = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))

FILES: dict[str, Callable[[Sandbox], Iterator[Answer]]] = {
    "pickle as weights": _in_place_of("weights.safetensors", PICKLE),
    "pickle as weights that predict again": _weights_again(PICKLE),
    "pickle as predictions": _in_place_of("predictions.npz", PICKLE),
    "pickle within predictions": _in_place_of("predictions.npz", _archive_of(None)),
    "pickle as checkpoint": _as_checkpoint(PICKLE),
    "pickle as record": _record_file(_object),
    "pickle in the cache": _in_cache,
    "weights with a header of 100 GB": _in_place_of("weights.safetensors", HUGE_HEADER),
    "weights with a header of 100 GB that predict again": _weights_again(HUGE_HEADER),
    "checkpoint with a header of 100 GB": _as_checkpoint(HUGE_HEADER),
    "predictions that unpack to 2 GB": _unpacking_bomb,
    "predictions with an array of 10**15 entries": _in_place_of(
        "predictions.npz", _archive_of(np.zeros(1)).replace(b"(1,)", b"(9,)")),
    "record nested 200,000 deep": _record_file(_nested),
    "record of 1 GB": _record_file(_of_1_gb),
    "record with a key twice": _record_file(_twice),
    "record that is a link elsewhere": _record_file(_link),
    "record that is a pipe": _record_file(_pipe),
    "record whose files lie elsewhere": _record_file(_outside),
    "trial's folder that is a link": _link_in_trial(""),
    "checkpoint that is a link": _link_in_trial("checkpoint"),
    "log that is a link": _link_in_trial("log.txt"),
    "tags of Python objects in YAML": _yaml(
        "!!python/object/apply:os.system ['touch \"$CANARY\"']\n",
        "name: !!python/name:os.system\n", "name: !<tag:yaml.org,2002:python/object/new:os.system> [x]\n"),
    "alias bomb in YAML": _yaml(ALIASES, "a: &a [*a]\n"),
    "keys twice in YAML": _yaml("{name: a, name: b}\n", "name: a\nseeds: [0]\nname: b\n"),
    "merge keys in YAML": _yaml("base: &base {name: x}\n<<: *base\n", "<<: {name: x}\n"),
    "YAML nested 100,000 deep": _yaml("[" * 100_000, "a: " * 10, "{a: " * 5000),
    "YAML of 100 MB": _yaml("name: x\n" + "#" * 100_000_000, as_option=False),
}  # fmt: skip
"""Case → what is done; yields the commands whose memory and time are watched."""
