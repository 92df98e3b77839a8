"""`benchbird verify`: checks results against themselves, and on demand against their weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbird.errors import UsageError
from benchbird.option_types import FiniteRange

if TYPE_CHECKING:
    from benchbird.findings import Finding
    from benchbird.verification import Verification

_WORDS = {"ok": "ok", "incomplete": "incomplete", "failed": "FAILED"}


@dataclass(frozen=True)
class Settings:
    """The command line of one verification."""

    results: Path
    as_json: bool
    allow_missing: bool
    again: bool
    benchmark: Path | None
    profile: str | None
    overrides: tuple[str, ...]
    plugins: tuple[Path, ...]
    cache: Path | None
    device: str
    tolerance: float


@click.command(epilog="Example: benchbird verify results/birdsound --re-evaluate --benchmark benchmarks/birdsound.yaml")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--allow-missing", is_flag=True, help="Exit 0 although predictions, weights or curves aren't there.")
@click.option("--re-evaluate", "again", is_flag=True,
              help="Predict the test split again with each trial's weights; needs --benchmark.")  # fmt: skip
@click.option("--benchmark", type=click.Path(path_type=Path), metavar="FILE", help="Says where the data are.")
@click.option("--profile", metavar="NAME", help="A profile of the benchmark.  [default: each record's own]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As for run. Can be repeated.")
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="Also load this plugin file. Can be repeated.")  # fmt: skip
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR",
              help="Where prepared data are kept.  [default: as for run]")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True,
              help="Where to predict again.")  # fmt: skip
@click.option("--tolerance", type=FiniteRange(min=0, max=1), default=1e-4, show_default=True, metavar="X",
              help="Largest difference of IoU, pooled or native, that counts as the same.")  # fmt: skip
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Check results: every file's hash, every score from its predictions.

    RESULTS is a results root, or the folder of a benchmark, study, segmenter or trial. Exit code 1 if
    anything contradicts anything, or is missing without --allow-missing.
    """  # fmt: skip
    ctx.exit(run(Settings(**options)))


def run(settings: Settings) -> int:
    """Carry out one verification; the exit code."""
    from benchbird.verification import verify

    if settings.again and settings.benchmark is None:
        raise UsageError("--re-evaluate needs --benchmark FILE, which says where the data are")
    sources = {
        "--benchmark": settings.benchmark,
        "--profile": settings.profile,
        "--set": settings.overrides,
        "--plugin": settings.plugins,
        "--cache": settings.cache,
    }
    if not settings.again and (given := [name for name, value in sources.items() if value]):
        raise UsageError(f"{' and '.join(given)}: only with --re-evaluate; without it no data are read")
    verification = verify(settings.results)
    if settings.again:
        verification = verification.with_findings(_reproduce(settings, verification))
    if settings.as_json:
        click.echo(json.dumps({"results": str(settings.results), **verification.as_dict()}, indent=2))
    else:
        _show(verification)
    return 0 if verification.is_sound(allow_missing=settings.allow_missing) else 1


def _reproduce(settings: Settings, verification: Verification) -> dict[Path, tuple[Finding, ...]]:
    """Predict again with the weights of every trial that is sound so far."""
    from benchbird.backend import choose_device
    from benchbird.cache_folder import cache_folder
    from benchbird.reproduction import Sources, reproduce

    assert settings.benchmark is not None, "the command line was checked"
    sources = Sources(
        benchmark=settings.benchmark,
        profile=settings.profile,
        overrides=settings.overrides,
        plugin_files=settings.plugins,
        cache=cache_folder(settings.cache),
        device=choose_device(settings.device).type,
        tolerance=settings.tolerance,
    )
    return reproduce(verification.reproducible, sources, _tell)


def _tell(event: Mapping[str, Any]) -> None:
    click.echo(f"[{event['number']}/{event['of']}] {event['label']} seed {event['seed']}: predicting again", err=True)


def _show(verification: Verification) -> None:
    from benchbird.plain_text import plain_text

    for trial in verification.trials:
        click.echo(f"{_WORDS[trial.status]:<10}  {plain_text(trial.folder.as_posix(), 300)}")
        _show_findings(trial.findings)
    if verification.unended:
        trials = "1 trial has" if verification.unended == 1 else f"{verification.unended} trials have"
        click.echo(f"{trials} not ended, and nothing is known of them", err=True)
    click.echo(verification.summary)


def _show_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        click.echo(f"    {finding}")
