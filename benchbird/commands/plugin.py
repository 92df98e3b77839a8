"""`benchbird plugin check`: whether a segmenter keeps the contract."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from benchbird.plugin_check import OnnxExport, SegmenterCheck

MARKS = {True: ("ok", "green"), False: ("broken", "red")}
WIDTH = 6


@click.group("plugin")
def command() -> None:
    """Check plugins."""


@command.command(epilog="Example: benchbird plugin check my_net.py --option channels=32")
@click.argument("target", metavar="FILE|NAME")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE",
              help="An option of the segmenter; VALUE is YAML. Can be repeated.")  # fmt: skip
@click.option("--size", type=click.IntRange(16, 4096), default=64, show_default=True, metavar="PIXELS",
              help="Side of the test images; take the protocol's for what it costs there.")  # fmt: skip
@click.option("--onnx/--no-onnx", "with_onnx", default=True, show_default=True,
              help="Say whether it can be exported as ONNX, which isn't part of the contract.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def check(ctx: click.Context, target: str, options: Sequence[str], size: int, with_onnx: bool, as_json: bool) -> None:
    """Check segmenters against the contract, point by point.

    FILE is a plugin's Python file, all of whose segmenters are checked; NAME one that is installed. Each failure says
    what to change. All of it happens in a process of its own. Exit code 1 if anything is broken.
    """
    from benchbird.plugin_check import CheckRequest, check_plugin, file_and_name

    file, name = file_and_name(target)
    request = CheckRequest(
        file=file, name=name, options=dict(map(_pair, options)), image_size=size, with_onnx=with_onnx
    )

    def observe(event: Mapping[str, Any]) -> None:
        if as_json or {"refused", "cost", "onnx", "checked"} & event.keys():
            return
        if "not_looked_at" in event:
            for point in event["not_looked_at"]:
                click.echo(f"  {'–'.ljust(WIDTH)}  {point}: not looked at, since a point before it is broken")
        elif "point" not in event:
            click.secho(event["segmenter"], bold=True)
        else:
            for line in _lines(event["point"], event["failures"]):
                click.echo(line)

    checks = check_plugin(request, observe)
    if as_json:
        click.echo(json.dumps({"segmenters": [_document(one) for one in checks]}, indent=2))
    else:
        for one in checks:
            click.echo(_summary(one, size))
            if one.onnx is not None:
                click.echo(_onnx(one.onnx))
    ctx.exit(0 if all(one.is_kept for one in checks) else 1)


def _pair(text: str) -> tuple[str, Any]:
    from benchbird.config.strict_yaml import parse
    from benchbird.errors import UsageError

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--option {text}: expected KEY=VALUE, such as channels=32")
    return key, parse(value, f"--option {text}", lines=False).value


def _lines(point: str, failures: Sequence[str]) -> Iterator[str]:
    from benchbird.plain_text import plain_text

    word, colour = MARKS[not failures]
    yield f"  {click.style(word.ljust(WIDTH), fg=colour)}  {point}"
    for failure in failures:
        yield f"  {' ' * WIDTH}  - {plain_text(failure, 1000)}"


def _document(one: SegmenterCheck) -> dict[str, Any]:
    cost = None if one.cost is None else dataclasses.asdict(one.cost)
    points = [{"point": name, "failures": list(failures)} for name, failures in one.points.items()]
    onnx = None if one.onnx is None else dataclasses.asdict(one.onnx)
    return {
        "name": one.name, "kept": one.is_kept, "points": points, "not_looked_at": list(one.not_looked_at),
        "cost": cost, "onnx": onnx,
    }  # fmt: skip


def _summary(one: SegmenterCheck, size: int) -> str:
    from benchbird.reporters.columns import speed_text

    broken = sum(map(bool, one.points.values()))
    if one.cost is None:
        return f"{one.name}: {broken} of {len(one.points) + len(one.not_looked_at)} points broken"
    cost = one.cost
    parts = [f"{cost.parameters / 1e6:.3g} million parameters"]
    if cost.gflop is not None:
        parts.append(f"{cost.gflop:.3g} GFLOP an image")
    parts.append(f"forward {speed_text(cost.forward_ms)} ms")
    if cost.train_step_ms is not None:
        parts.append(f"a training step of 2 images {speed_text(cost.train_step_ms)} ms")
    if cost.memory_bytes is not None:
        parts.append(f"{cost.memory_bytes / 1e6:.0f} MB")
    rounded = "" if cost.image_size == size else f" ({size} isn't a size that it takes)"
    return (
        f"{one.name}: keeps the contract. At {cost.image_size}×{cost.image_size}{rounded} on this processor, at best: "
        f"{', '.join(parts)}."
    )


def _onnx(export: OnnxExport) -> str:
    from benchbird.plain_text import plain_text

    if export.reason is not None:
        return f"ONNX: {plain_text(export.reason, 1000)}"
    return f"ONNX: can be exported, within {export.difference:.2g} of PyTorch"
