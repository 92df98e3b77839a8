"""Records made up for tests: valid in every field, each field open to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchbird.protocol import OptimizerSettings, Protocol, study_digest
from benchbird.records import (
    SCHEMA_VERSION,
    DataSummary,
    Environment,
    Latency,
    Scores,
    SegmenterIdentity,
    SplitScores,
    Status,
    Throughput,
    Timing,
    TrialRecord,
)

PROTOCOL = Protocol(image_size=64, batch_size=8, epochs=30, optimizer=OptimizerSettings(lr=1e-3))

CPU = Environment(
    machine=None,
    device="cpu",
    cpu="AMD EPYC 7B13",
    cores=2,
    threads=2,
    memory_bytes=8 * 2**30,
    accelerator=None,
    accelerator_memory_bytes=None,
    os="Linux x86_64",
    python="3.11.9",
    packages={"torch": "2.14.1"},
)
GPU = replace(
    CPU,
    machine="lab",
    device="cuda",
    cores=16,
    memory_bytes=128 * 2**30,
    accelerator="NVIDIA H100 80GB HBM3",
    accelerator_memory_bytes=80 * 2**30,
)

DATA = DataSummary(
    name="synthetic",
    digest="d" * 12,
    content_sha256="c" * 64,
    n_train=400,
    n_val=80,
    n_test=120,
    n_recordings_test=118,
    leaks_allowed=0,
    ceiling_iou_native=0.7051,
)


def make_segmenter(
    label: str = "atrous_segnet",
    *,
    name: str | None = None,
    options: Mapping[str, Any] | None = None,
    pretraining: str = "none",
    source: str = "a",
) -> SegmenterIdentity:
    return SegmenterIdentity(
        name=name or label,
        label=label,
        options={"base_channels": 64, **(options or {})},
        non_default_options=dict(options or {}),
        plugin="benchbird 0.1.0",
        source_sha256=source * 64,
        pretraining=pretraining,
    )


def make_scores(iou: float | None) -> Scores:
    def near(step: float) -> float | None:
        return None if iou is None else min(max(iou + step, 0.0), 1.0)

    return Scores(
        iou_pooled=iou,
        iou_native=near(-0.03),
        iou_image_mean=near(-0.08),
        iou_batch_mean=near(-0.01),
        miou_two_class=near(0.15),
        miou_two_class_batch_mean=near(0.14),
        dice=None if iou is None else 2 * iou / (1 + iou),
        precision=near(0.05),
        recall=near(0.04),
        n_images=120,
        n_ref_empty=9,
        ref_empty_false_positive_share=0.4,
        undefined={} if iou is not None else {"iou_pooled": "no pixel is bird, in reference or prediction"},
    )


def make_timing(speed: float = 100.0, parameters: int = 720_705, gflop: float | None = 1.06) -> Timing:
    return Timing(
        train_images_per_s=speed,
        inference=(
            Throughput(batch_size=1, images_per_s=speed * 2),
            Throughput(batch_size=16, images_per_s=speed * 3),
        ),
        latency_ms=Latency(p50=1000 / speed / 2, p95=1000 / speed),
        peak_memory_bytes=900 * 2**20,
        parameters=parameters,
        gflop=gflop,
    )


def make_record(
    segmenter: SegmenterIdentity | None = None,
    *,
    seed: int = 0,
    iou: float | None = 0.6,
    val_iou: float | None = None,
    status: Status = "done",
    reason: str = "",
    protocol: Protocol = PROTOCOL,
    data: DataSummary = DATA,
    benchmark: str = "birdsound",
    profile: str = "cpu",
    environment: Environment = CPU,
    timing: Timing | None = None,
    started_at: str = "2026-11-20T10:00:00+00:00",
) -> TrialRecord:
    is_done = status == "done"
    validation = iou if val_iou is None else val_iou
    return TrialRecord(
        schema=SCHEMA_VERSION,
        status=status,
        reason=reason,
        segmenter=segmenter or make_segmenter(),
        seed=seed,
        initialisation_seed=seed,
        benchmark=benchmark,
        profile=profile,
        study=study_digest(protocol.digest, data.digest),
        protocol={**protocol.as_dict(), "digest": protocol.digest},
        data=data,
        best_epoch=21 if is_done else None,
        scores=SplitScores(val=make_scores(validation), test=make_scores(iou)) if is_done else None,
        last_epoch=SplitScores(val=make_scores(validation), test=make_scores(iou)) if is_done else None,
        predictions_file="predictions.npz" if is_done else None,
        weights_file="weights.safetensors" if is_done else None,
        files={"predictions.npz": "1" * 64, "weights.safetensors": "2" * 64} if is_done else {},
        timing=(timing or make_timing()) if is_done else None,
        environment=environment,
        started_at=started_at,
        duration_s=61.5,
        attempts=1,
    )


def realistic_records(*, several_machines: bool = True) -> list[TrialRecord]:
    """Four segmenters, three failed trials of two, one superseded trial, two machines."""
    other = GPU if several_machines else CPU
    atrous = make_segmenter("atrous_segnet", options={"base_channels": 16})
    encoder = {"encoder": "resnet18", "pretrained": "imagenet"}
    unet = make_segmenter("unet", options=encoder, pretraining="imagenet")
    deeplab = make_segmenter("deeplabv3", options={"backbone": "resnet18"})
    threshold = make_segmenter("threshold")
    floor = replace(make_timing(51_234.0, parameters=1, gflop=0.0), train_images_per_s=None)
    records = [
        make_record(atrous, seed=seed, iou=iou, val_iou=iou + 0.021, timing=make_timing(118.3 + seed))
        for seed, iou in enumerate((0.6713, 0.6581, 0.6834, 0.6702, 0.6655))
    ]
    for seed, iou in enumerate((0.6121, 0.6254, 0.5983)):
        timing = make_timing(2210.4 + seed, parameters=14_328_209, gflop=2.71)
        records.append(make_record(unet, seed=seed, iou=iou, val_iou=iou + 0.035, environment=other, timing=timing))
    for seed in (3, 4):
        reason = "the loss became NaN in epoch 2, step 41"
        records.append(make_record(unet, seed=seed, status="diverged", reason=reason))
    records += [
        make_record(deeplab, seed=0, iou=0.3012, timing=make_timing(64.2, 15_900_000, 3.4)),
        make_record(deeplab, seed=1, status="out_of_memory", reason="the trial used more than 8 GiB"),
        make_record(make_segmenter("threshold", source="e"), started_at="2026-11-01T10:00:00+00:00"),
    ]
    for seed in range(5):
        records.append(replace(make_record(threshold, seed=seed, iou=0.2315, timing=floor), best_epoch=None))
    return records


MALICIOUS_NAMES = (
    "../../x",
    "a|b",
    "a | 0.999 | b",
    "<script>alert(1)</script>",
    "</script>",
    "--><!-- benchbird:leaderboard birdsound/cpu end -->",
    "=cmd()",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "a;=cmd()",
    'a","=cmd()',
    "\\input{/etc/passwd}",
    "\\end{table}",
    "$x_1^2$ & 5 % # ~",
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;http://x\x07link\x1b]8;;\x07",
    "\x9b2Jcleared",
    "\u202etxt.exe",
    "a\u200bb",
    "line\nbreak\r\n| forged | row |",
    "tab\there",
    "`code`",
    "**bold** _it_ ~~gone~~",
    "[text](javascript:alert(1))",
    "![image](http://x/y.png)",
    "https://example.org and www.example.org",
    "&lt;b&gt;",
    "back\\slash\\|pipe",
    "\ud800 lone",
    "# heading",
    "- bullet",
    "1. number",
    "x" * 10_000,
    "\u2028separator",
    "é ü β 鳥 🐦",
    "'quoted\" text`",
    "^^M\x00nul",
    "{{ jinja }} {% raw %}",
    "%n%s%x",
)
"""Names that someone may put into a record or a plugin."""
