"""F6: a checkpoint whose bytes aren't those that were saved: cut off, flipped, another trial's, of an old schema."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.f02_killed_saves import EPOCHS, trained
from tests.faults.f04_resumed_trainings import PASSES, TRIAL, stop
from tests.faults.studies import TWO_TRIALS, dice, fresh_bench, outcome, undisturbed
from tests.faults.suite import Fault

if TYPE_CHECKING:
    from benchbird.training import Training

Damage = Callable[[Path, str], None]
"""Done to a file; the second is the case, whose dice decide the rest."""


def _cut(percent: int) -> Damage:
    def cut(path: Path, _case: str) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * percent // 100])

    return cut


def flip(path: Path, case: str) -> None:
    """One bit, anywhere."""
    content = bytearray(path.read_bytes())
    bit = dice(f"{case} {path.name}").randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def exchange(path: Path, _case: str) -> None:
    """The same file of another trial, which is sound in itself."""
    other = path.with_name("other") / path.name
    other.parent.mkdir(exist_ok=True)
    states = copy.deepcopy(_trained())
    for state in states:
        for weights in state.model.state_dict().values():
            if weights.is_floating_point():
                weights += 1.0
    _save(other.parent, "another trial", int(path.stem[len("state-") :]) or 2, states)
    path.write_bytes(other.read_bytes())


def outdate(path: Path, _case: str) -> None:
    """A seal of the schema before, whose own hash is right."""
    seal = json.loads(path.read_text())
    body = json.loads(seal["body"])
    body["schema"] -= 1
    text = json.dumps(body)
    path.write_text(json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "body": text}))


SEAL, STATE, BEST = "seal", "state", "best weights"
PATTERNS = {SEAL: "state-{}.json", STATE: "state-{}.safetensors", BEST: "best-{}-*.safetensors"}
NEWEST, BOTH = "newest generation", "both generations"

DAMAGES: dict[str, tuple[Damage, tuple[str, ...], int]] = {
    "cut to 0 %": (_cut(0), (SEAL, STATE, BEST), 1),
    "cut to 1 %": (_cut(1), (SEAL, STATE, BEST), 1),
    "cut to 50 %": (_cut(50), (SEAL, STATE, BEST), 1),
    "cut to 99 %": (_cut(99), (SEAL, STATE, BEST), 1),
    "one bit flipped": (flip, (SEAL, STATE, BEST), 8),
    "another trial's": (exchange, (SEAL, STATE), 3),
    "old schema": (outdate, (SEAL,), 6),
}
"""What is done, to which files, and how often: each to the newest generation, and to both."""

LOADED = tuple(
    f"{name}, {file}, {generations}, {number}"
    for name, (_, files, times) in DAMAGES.items()
    for file in files
    for generations in (NEWEST, BOTH)
    for number in range(1, times + 1)
)
RUN = tuple(f"{name}, {file}, {generations}, in a run" for name, file, generations in (
    ("cut to 50 %", STATE, NEWEST), ("one bit flipped", STATE, BOTH), ("old schema", SEAL, NEWEST),
    ("one bit flipped", BEST, NEWEST),
))  # fmt: skip
CASES = (*LOADED, *RUN)


def check(case: str, folder: Path) -> None:
    name, file, generations, how = case.split(", ")
    if how == "in a run":
        _check_run(case, folder, name, file, generations)
        return
    from benchbird.checkpoint import load_checkpoint
    from tests.checkpoint_factory import TRIAL as OWN
    from tests.checkpoint_factory import assert_same_state, begin, make_protocol

    epochs = dice(case).randint(2, EPOCHS)
    _save(folder, OWN, epochs)
    _damage(folder, case, name, file, generations, epochs)
    loaded = begin(make_protocol())
    notice = load_checkpoint(folder, OWN, loaded)
    left = epochs - 1 if generations == NEWEST else 0
    assert notice is not None, "in silence"
    assert ("starting from the beginning" if left == 0 else f"going on after epoch {left}") in notice, notice
    assert notice.count("is damaged") == (1 if generations == NEWEST else 2), notice
    assert_same_state(_trained()[left], loaded)


def _check_run(case: str, folder: Path, name: str, file: str, generations: str) -> None:
    """The same through the command line: the log says it, and the trial comes to its own numbers all the same."""
    expected = undisturbed(TWO_TRIALS, "--jobs", "1")
    bench = fresh_bench(folder, TWO_TRIALS, expected.bench.folder / "cache")
    epochs = 3
    stop(bench, epochs * PASSES + 1, "SIGKILL", epochs)
    (checkpoint,) = bench.results.rglob("checkpoint")
    _damage(checkpoint, case, name, file, generations, epochs)
    resumed = bench.run("--seeds", "0")
    assert resumed.returncode == 0, resumed.stderr
    log = next(bench.results.rglob("log.txt")).read_text()
    assert "is damaged" in log, log
    assert ("going on after epoch 2" if generations == NEWEST else "starting from the beginning") in log, log
    assert outcome(bench) == {TRIAL: expected.outcome[TRIAL]}


def _damage(folder: Path, case: str, name: str, file: str, generations: str, epochs: int) -> None:
    damage = DAMAGES[name][0]
    for generation in (epochs % 2,) if generations == NEWEST else (0, 1):
        (path,) = folder.glob(PATTERNS[file].format(generation))
        before = path.read_bytes()
        damage(path, case)
        assert path.read_bytes() != before


def _save(folder: Path, trial: str, epochs: int, states: list[Training] | None = None) -> None:
    from benchbird.checkpoint import save_checkpoint

    for state in (states or _trained())[1 : epochs + 1]:
        save_checkpoint(folder, trial, state)


@functools.cache
def _trained() -> list[Training]:
    return trained()


def _some(*names: str) -> list[Any]:
    return [next(case for case in LOADED if case.startswith(name)) for name in names]


FAULT = Fault(
    number="F6",
    title="a checkpoint cut to 0, 1, 50 or 99 %, with one bit flipped, another trial's, of an old schema",
    promise="always detected and said; the previous generation goes on where it is sound; never a silent restart",
    cases=CASES,
    short=_some("cut to 0 %", "cut to 50 %, state", "one bit flipped", "one bit flipped, state, both",
                "one bit flipped, best", "another trial's", "another trial's, state, both", "old schema"),
    case_s=0.8,
    check=check,
)  # fmt: skip
