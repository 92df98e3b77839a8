"""`benchbird list segmenters|datasets|plugins|metrics`: what can be named in a benchmark or by --metric."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from benchbird.contract import DatasetSpec, Option, SegmenterSpec
    from benchbird.registry import Offer, Registry

KINDS = ("segmenters", "datasets", "plugins", "metrics")


@click.command("list", epilog="Example: benchbird list segmenters --plugin my_segmenter.py")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="Also load this plugin file. Can be repeated.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(kind: str, names: Sequence[str], plugins: Sequence[Path], as_json: bool) -> None:
    """List what can be named: segmenters, data sets, the plugins they come from, or scores to rank by.

    With NAMEs, those alone.
    """
    from benchbird.registry import DATASETS, GROUPS, SEGMENTERS, load_registry

    groups = {"segmenters": {SEGMENTERS}, "datasets": {DATASETS}, "plugins": set(GROUPS), "metrics": set[str]()}[kind]
    registry = load_registry(plugins, groups=groups)
    rows = _rows(kind, registry)
    known = [row["name"] for row in rows]
    if unknown := [name for name in names if name not in known]:
        from benchbird.config.faults import suggestion
        from benchbird.errors import UsageError

        raise UsageError(f"list {kind} {unknown[0]}: there is none of this name, {suggestion(unknown[0], known)}")
    rows = [row for row in rows if not names or row["name"] in names]
    if as_json:
        click.echo(json.dumps({kind: rows, "warnings": list(registry.warnings)}, indent=2))
    else:
        click.echo("\n\n".join(_as_text(row) for row in rows))
    for warning in registry.warnings:
        click.echo(f"warning: {warning}", err=True)


def _rows(kind: str, registry: Registry) -> list[dict[str, Any]]:
    if kind == "metrics":
        return _metrics()
    if kind == "segmenters":
        return [_segmenter(offer) for offer in registry.segmenters.values()]
    if kind == "datasets":
        return [_dataset(offer) for offer in registry.datasets.values()]
    return [
        {"name": plugin.name if plugin.provenance != Path(plugin.name).name else plugin.provenance,
         "from": plugin.origin, "source_sha256": plugin.source_sha256}
        for plugin in registry.plugins
    ]  # fmt: skip


def _metrics() -> list[dict[str, Any]]:
    from benchbird.definitions import DEFINITIONS

    return [
        {"name": one.name, "summary": one.meaning, "better": "higher" if one.higher_is_better else "lower"}
        for one in DEFINITIONS.values()
    ]


def _segmenter(offer: Offer[SegmenterSpec]) -> dict[str, Any]:
    spec = offer.spec
    return {
        "name": spec.name,
        "summary": spec.summary,
        "source": spec.source,
        "parameters": spec.parameters,
        "GFLOP at 256×256": spec.gflop,
        "learns by": "gradient descent" if spec.calibrate is None else "calibration on the training split",
        "image size": f"a multiple of {spec.size_multiple}" if spec.size_multiple > 1 else "any",
        "options": {name: _option(option) for name, option in spec.options.items()},
        "from": offer.plugin.provenance,
    }


def _dataset(offer: Offer[DatasetSpec]) -> dict[str, Any]:
    spec = offer.spec
    return {
        "name": spec.name,
        "summary": spec.summary,
        "source": spec.source,
        "data.root": "needed" if spec.needs_root else "must be empty",
        "from": offer.plugin.provenance,
    }


def _option(option: Option) -> dict[str, Any]:
    facts: dict[str, Any] = {"default": option.default, "help": option.help}
    if option.choices is not None:
        facts["choices"] = list(option.choices)
    if option.minimum is not None:
        facts["minimum"] = option.minimum
    if option.maximum is not None:
        facts["maximum"] = option.maximum
    return facts


def _as_text(row: Mapping[str, Any]) -> str:
    lines = [click.style(str(row["name"]), bold=True)]
    for key, value in row.items():
        if key == "options":
            lines += [_option_line(name, facts) for name, facts in value.items()]
        elif key != "name" and value:
            value = f"{value:,}" if isinstance(value, int) else value
            lines.append(f"  {key}: {value}" if key != "summary" else f"  {value}")
    return "\n".join(lines)


def _option_line(name: str, facts: Mapping[str, Any]) -> str:
    allowed = ""
    if "choices" in facts:
        allowed = " | ".join(str(choice) for choice in facts["choices"])
    elif "minimum" in facts or "maximum" in facts:
        allowed = f"{facts.get('minimum', '')}…{facts.get('maximum', '')}"
    described = "; ".join(part for part in (allowed, facts["help"]) if part)
    return f"  option {name} = {facts['default']}" + (f"  ({described})" if described else "")
