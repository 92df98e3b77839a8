"""`benchbird run`: the main job, from a benchmark's YAML to its leaderboard."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from benchbird.config.benchmark import BenchmarkConfig
    from benchbird.registry import Registry
    from benchbird.run_report import Outcome
    from benchbird.study_run import RunRequest
    from benchbird.sweep import Sweep


@dataclass(frozen=True)
class Settings:
    """The command line of one run."""

    benchmark: Path
    results: Path
    profile: str | None
    overrides: tuple[str, ...]
    plugins: tuple[Path, ...]
    labels: tuple[str, ...]
    seeds: tuple[int, ...] | None
    sweep: str | None
    device: str
    cache: Path | None
    jobs: int | None
    retry_failed: bool
    dry_run: bool
    as_json: bool

    def tell(self, event: Mapping[str, Any]) -> None:
        """Write an event to standard output, for programs, where they asked for it."""
        if self.as_json:
            from benchbird.event_lines import EventLines

            EventLines(sys.stdout).observe(event)


def _seeds(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise click.BadParameter(f"found {text!r}, expected whole numbers with commas between, such as 0,1,2")
    return tuple(int(word) for word in words)


@click.command(epilog="Example: benchbird run benchmarks/birdsound.yaml --set data.root=birds")
@click.argument("benchmark", type=click.Path(path_type=Path))
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              metavar="DIR", help="Where trials are kept, and found again.")  # fmt: skip
@click.option("--profile", metavar="NAME",
              help="A profile of the benchmark; `full` for the file as it stands. Without this option: `cpu` where "
              "there is no GPU and the benchmark has one, else `full`.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
              help="Change one key, such as protocol.epochs=20. VALUE is YAML. Can be repeated.")  # fmt: skip
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="Also load this plugin file. Can be repeated.")  # fmt: skip
@click.option("--only", "labels", multiple=True, metavar="LABEL", help="Only this segmenter. Can be repeated.")
@click.option("--seeds", callback=_seeds, metavar="0,1,…", help="These seeds in place of the benchmark's.")
@click.option("--sweep", metavar="KEY=A,B,…",
              help="Run once for each value of a key, such as data.sizes.train=50,100; prints the curve.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True,
              help="Where to compute.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), metavar="N",
              help="Trials at a time, each with its own GPU or cores.  [default: one a GPU, else one]")  # fmt: skip
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR",
              help="Where prepared data are kept.  [default: $BENCHBIRD_CACHE, else a cache of yours]")  # fmt: skip
@click.option("--retry-failed", is_flag=True, help="Run again the trials that ended otherwise than done.")
@click.option("--dry-run", is_flag=True, help="Print the plan with its estimate and stop.")
@click.option("--json", "as_json", is_flag=True,
              help="Events as JSON Lines on stdout, the outcome last, in place of the table.")  # fmt: skip
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Train, test and time every segmenter of BENCHMARK under one protocol, then rank them.

    Trials that have ended are not run again; one that was interrupted goes on at its last epoch.
    The leaderboard goes to standard output, everything else to standard error. Exit code 1 if any
    trial isn't done.
    """  # fmt: skip
    ctx.exit(run(Settings(**options)))


def run(settings: Settings) -> int:
    """Carry out one run, or one for each value of a sweep, and show what it came to; the exit code."""
    from benchbird.sweep import parse_sweep

    if settings.sweep is None:
        outcome = carry_out(settings)
        _show(settings, outcome)
        return outcome.code
    sweep = parse_sweep(settings.sweep)
    outcomes = []
    for value in sweep.values:
        click.echo(f"sweep      {sweep.override(value)}", err=True)
        overrides = (*settings.overrides, sweep.override(value))
        outcomes.append(carry_out(replace(settings, overrides=overrides)))
    _show_sweep(settings, sweep, outcomes)
    return max(outcome.code for outcome in outcomes)


def carry_out(settings: Settings) -> Outcome:
    """Run a benchmark: its study, one for each fold of its cross-validation, or those of its two tracks."""
    from benchbird.execution.server import warm_up

    if not settings.dry_run:
        warm_up()  # before anything else, so that what trials import is imported beside what this process does
    config, plugin_files, registry, device = _decide(settings)
    # Not before: with these comes torch, and a mistake in the file is told sooner.
    from benchbird.cache_folder import cache_folder
    from benchbird.config.choices import resolve
    from benchbird.study_data import fold_numbers, with_fold
    from benchbird.study_run import RunRequest, run_study
    from benchbird.tuned_run import run_tracks

    _, dataset = resolve(
        config,
        {name: offer.spec for name, offer in registry.segmenters.items()},
        {name: offer.spec for name, offer in registry.datasets.items()},
    )
    request = RunRequest(
        benchmark=settings.benchmark, results=settings.results, profile_was_chosen=settings.profile is not None,
        overrides=settings.overrides, plugins=settings.plugins, plugin_files=plugin_files, registry=registry,
        device=device, cache=settings.cache, jobs=settings.jobs, retry_failed=settings.retry_failed,
        dry_run=settings.dry_run, say=lambda line: click.echo(line, err=True), tell=settings.tell,
    )  # fmt: skip
    if config.tuning is not None:
        return run_tracks(request, config)
    folds = fold_numbers(config, dataset, cache_folder(settings.cache))
    outcomes = [run_study(request, with_fold(config, number)) for number in folds]
    if not folds:
        return run_study(request, config)
    return _pooled(request, config.name, outcomes) if len(folds) > 1 else outcomes[0]


def _pooled(request: RunRequest, name: str, outcomes: Sequence[Outcome]) -> Outcome:
    """The folds of a cross-validation as one outcome."""
    from benchbird.run_report import Outcome
    from benchbird.studies import pooled_study
    from benchbird.study_run import rank_outcome

    folder = request.results / name
    document = {"benchmark": name, "folds": [outcome.document for outcome in outcomes], "results": str(folder)}
    outcome = Outcome(max(one.code for one in outcomes), document, None, folder)
    return outcome if request.dry_run else rank_outcome(request, outcome, pooled_study(folder, outcomes[-1].folder))


def _decide(settings: Settings) -> tuple[BenchmarkConfig, tuple[Path, ...], Registry, str]:
    """Read and check everything that needs no data: file, profile, plugins, names, options, device."""
    from benchbird.config.benchmark import load_benchmark, only, with_seeds
    from benchbird.config.schema import CPU_PROFILE
    from benchbird.registry import DATASETS, OBSERVERS, REPORTERS, SEGMENTERS, load_registry

    config = load_benchmark(settings.benchmark, profile=settings.profile, overrides=settings.overrides)
    device = _device(settings.device)
    if settings.profile is None and device == "cpu" and CPU_PROFILE in config.profile_names:
        config = load_benchmark(settings.benchmark, profile=CPU_PROFILE, overrides=settings.overrides)
    if settings.seeds is not None:
        config = with_seeds(config, settings.seeds)
    if settings.labels:
        config = only(config, settings.labels)
    plugin_files = (*config.plugins, *settings.plugins)
    registry = load_registry(plugin_files, groups={SEGMENTERS, DATASETS, REPORTERS, OBSERVERS})
    for warning in registry.warnings:
        click.echo(f"warning: {warning}", err=True)
    return config, plugin_files, registry, device


def _device(name: str) -> str:
    """The device type to use; torch is imported only where it must be asked."""
    if name == "cpu":
        return name
    from benchbird.backend import choose_device

    return choose_device(name).type


def _show(settings: Settings, outcome: Outcome) -> None:
    """Print what `benchbird leaderboard` would print of this study, and where the rest is."""
    from benchbird.run_report import outcome_document, outcome_text

    _tell_notices([outcome])
    if settings.as_json:
        settings.tell({"event": "outcome", **outcome_document(outcome)})
    elif outcome.ranking is not None:
        click.echo(outcome_text(outcome), nl=False)
        where = outcome.folder if outcome.tracks is None else f"{outcome.folder.parent} and …-search beside it"
        click.echo(f"\nrecords, weights and predictions: {where}", err=True)
        if outcome.report is not None:
            click.echo(f"page to look at: {outcome.report}", err=True)
        click.echo(f"every score: benchbird scores {outcome.folder}", err=True)
        click.echo(f"into a document: benchbird publish {outcome.folder} --to REPORT.md", err=True)


def _show_sweep(settings: Settings, sweep: Sweep, outcomes: Sequence[Outcome]) -> None:
    """Print the leaderboards of a sweep and the curve that they make."""
    from benchbird.run_report import sweep_document, sweep_text

    _tell_notices(outcomes)
    if settings.as_json:
        settings.tell({"event": "outcome", **sweep_document(sweep, outcomes)})
    elif not settings.dry_run:
        click.echo(sweep_text(sweep, outcomes), nl=False)


def _tell_notices(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        for notice in outcome.notices:
            click.echo(f"notice     {notice}", err=True)
    sys.stderr.flush()
