"""F8: losses, logits and gradients that stop being numbers, and an output that never changes."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

from tests.faults.hostile_plugins import NAN_BACKWARD, Harm
from tests.faults.hostile_runs import HONEST, Ended, check_fates, check_honest, check_no_orphans, run_harms
from tests.faults.suite import Fault
from tests.small_bench import Bench

EPOCHS = 4
STEPS, VALIDATIONS = 3, 2
"""Forward passes of an epoch: 13 training images in whole batches of 4, and 6 validation images."""

NUMBERS = range(1, 11)
"""Which step, or which batch of an evaluation, it happens in."""

TOGETHER = "all four in one run"
CONSTANTS = (0.0, 1.0, -1.0, 1e-6, -1e-6, 50.0, -50.0, 1e4, -1e4, 0.5)

_COUNTED = "self.steps = getattr(self, 'steps', 0) + {when}; is_struck = {when} and self.steps == {number}"


def _harms(number: int) -> dict[str, Harm]:
    bad = ("nan", "inf", "-inf")[number % 3]
    in_training = _COUNTED.format(when="self.training", number=number)
    in_evaluation = _COUNTED.format(when="(not self.training)", number=number)
    return {
        "loss that is no number": Harm(
            name="bad_loss", status="diverged", reason="the training loss became", before=in_training,
            after=f"logits = logits * float('{bad}') if is_struck else logits"),
        "logits that are no numbers in evaluation only": Harm(
            name="bad_logits", status="diverged", reason="are not all finite numbers", before=in_evaluation,
            after=f"logits = logits.index_fill(0, torch.tensor([0]), float('{bad}')) if is_struck else logits"),
        "constant output": Harm(name="constant", after=f"logits = logits * 0 + {CONSTANTS[number - 1]}"),
        "exploding gradient": Harm(
            name="explodes", status="diverged", module=NAN_BACKWARD.format(factor="1e30 * 1e30", error="ValueError"),
            before=in_training, after="logits = Exploding.apply(logits) if is_struck else logits"),
    }  # fmt: skip


def check(case: str, folder: Path) -> None:
    """Carry out one case."""
    kind, _, text = case.rpartition(", ")
    number = int(text)
    harms = _harms(number)
    chosen = list(harms.values()) if kind == TOGETHER else [harms[kind]]
    bench, ended = run_harms(folder, chosen, honest_first=number % 2 == 0, epochs=EPOCHS)
    check_fates(ended, chosen)
    check_honest(ended, EPOCHS)
    check_no_orphans(bench)
    finished = {
        "bad_loss": (number - 1) // STEPS,
        "bad_logits": min((number - 1) // VALIDATIONS, EPOCHS),
        "explodes": (number - 1) // STEPS,
    }
    for name in finished.keys() & {harm.name for harm in chosen}:
        curve = ended.folders[name] / "curve.jsonl"
        epochs = len(curve.read_text().splitlines()) if curve.exists() else 0
        assert epochs == finished[name], f"{name} went on for {epochs} epochs, expected {finished[name]}"
    if "constant" in ended.records:
        expected = _share_of_bird(bench) if CONSTANTS[number - 1] > 0 else 0.0
        found = ended.records["constant"]["scores"]["test"]["iou_pooled"]
        assert abs(found - expected) < 1e-12, f"a constant {CONSTANTS[number - 1]} scores {found}, not {expected}"
    _check_order(bench, ended, [harm.name for harm in chosen if harm.status == "diverged"])


def _share_of_bird(bench: Bench) -> float:
    """IoU of a prediction that is bird everywhere: the share of bird at 16×16, by repeated pixels."""
    references = []
    for path in sorted((bench.folder / "birds" / "Test" / "Masks").iterdir()):
        mask = np.asarray(Image.open(path)) > 0  # (24, 40)
        fine = mask.repeat(16, axis=0).repeat(16, axis=1)
        references.append(fine.reshape(16, mask.shape[0], 16, mask.shape[1]).mean(axis=(1, 3)) >= 0.5)
    return float(np.mean(references))


def _check_order(bench: Bench, ended: Ended, diverged: list[str]) -> None:
    """Numbers by size, then those that diverged, each with its reason, in every format; no NaN anywhere."""
    table, _, rest = ended.stdout.partition("Failed trials:")
    assert not re.search(r"(?i)\bnan\b|\binf\b", table), table
    plain = rest.replace("\\", "")
    for name in diverged:
        assert f"**{name}**, seed 0: diverged: " in plain, ended.stdout
        assert name not in table.replace("\\", "")
    document = json.loads(_leaderboard(bench, "json"), parse_constant=_refuse)
    means = [row["score"]["mean"] for row in document["rows"]]
    assert means == sorted(means, reverse=True)
    assert len(means) >= len(HONEST)
    lines = list(csv.DictReader(io.StringIO(_leaderboard(bench, "csv"))))
    assert [line["status"] for line in lines] == ["done"] * len(means) + ["diverged"] * len(diverged)
    assert {line["label"] for line in lines[len(means) :]} == set(diverged)


def _leaderboard(bench: Bench, reporter: str) -> str:
    done = bench.call("leaderboard", "small.yaml", "--format", reporter)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _refuse(constant: str) -> float:
    raise AssertionError(f"found {constant} in the leaderboard")


FAULT = Fault(
    number="F8",
    title="NaN or Inf in the loss at step k or in evaluation alone, gradients that explode, a constant output",
    promise="`diverged` within the epoch, listed last with its reason, others' numbers identical; a constant is scored",
    cases=[f"{kind}, {number}" for kind in (*_harms(1), TOGETHER) for number in NUMBERS],
    short=[f"{TOGETHER}, 2"],
    case_s=9,
    check=check,
)
