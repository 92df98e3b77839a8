"""`benchbird run`: the main job, from a benchmark's YAML to its leaderboard."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbird.errors import UsageError

if TYPE_CHECKING:
    from benchbird.config.benchmark import BenchmarkConfig
    from benchbird.estimate import Speed
    from benchbird.plan import Plan
    from benchbird.records import Environment, TrialRecord
    from benchbird.registry import Registry

CPU_PROFILE = "cpu"
LONG_RUN_S = 30 * 60


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
    device: str
    cache: Path | None
    retry_failed: bool
    dry_run: bool
    as_json: bool


def _seeds(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise click.BadParameter(f"found {text!r}, expected whole numbers with commas between, such as 0,1,2")
    return tuple(int(word) for word in words)


@click.command(epilog="Example: benchbird run benchmarks/birdsound.yaml --set data.root=birds")
@click.argument("benchmark", type=click.Path(path_type=Path))
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    metavar="DIR",
    help="Where trials are kept, and found again.",
)
@click.option(
    "--profile",
    metavar="NAME",
    help="A profile of the benchmark; `full` for the file as it stands. "
    "Without this option: `cpu` where there is no GPU and the benchmark has one, else `full`.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one key, such as protocol.epochs=20. VALUE is YAML. Can be repeated.",
)
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also load this plugin file. Can be repeated.",
)
@click.option("--only", "labels", multiple=True, metavar="LABEL", help="Only this segmenter. Can be repeated.")
@click.option("--seeds", callback=_seeds, metavar="0,1,…", help="These seeds in place of the benchmark's.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where prepared data are kept.  [default: $BENCHBIRD_CACHE, else the user's cache folder]",
)
@click.option("--retry-failed", is_flag=True, help="Run again the trials that ended otherwise than done.")
@click.option("--dry-run", is_flag=True, help="Print the plan with its estimate and stop.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout in place of the table.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Train, test and time every segmenter of BENCHMARK under one protocol, then rank them.

    Trials that have ended are not run again; one that was interrupted goes on at its last epoch.
    The leaderboard goes to standard output, everything else to standard error. Exit code 1 if any
    trial isn't done.
    """  # fmt: skip
    ctx.exit(run(Settings(**options)))


def run(settings: Settings) -> int:
    """Carry out one run; the exit code."""
    from benchbird.execution.local import warm_up

    config, plugin_files, registry, device = _decide(settings)
    if not settings.dry_run:
        warm_up()
    plan, cache = _plan(settings, config, plugin_files, registry)
    threads = None
    environment, seconds = _announce(settings, plan, cache, device, threads)
    if settings.dry_run:
        if settings.as_json:
            click.echo(json.dumps(_plan_document(plan, seconds), indent=2))
        return 0
    records = _carry_out(settings, plan, cache, registry, device, threads, environment)
    _show_leaderboard(settings, plan, records)
    return 0 if all(record.status == "done" for record in records) else 1


def _decide(settings: Settings) -> tuple[BenchmarkConfig, tuple[Path, ...], Registry, str]:
    """Read and check everything that needs no data: file, profile, plugins, names, options, device."""
    from benchbird.config.benchmark import load_benchmark, only, with_seeds
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


def _plan(
    settings: Settings, config: BenchmarkConfig, plugin_files: Sequence[Path], registry: Registry
) -> tuple[Plan, Path]:
    from benchbird.config.choices import resolve
    from benchbird.data.cache import cache_folder
    from benchbird.plan import find_data, make_plan
    from benchbird.runner import reopen_failed

    choices, dataset = resolve(
        config,
        {name: offer.spec for name, offer in registry.segmenters.items()},
        {name: offer.spec for name, offer in registry.datasets.items()},
    )
    cache = cache_folder(settings.cache)
    data = find_data(config, dataset, cache)
    plan = make_plan(config, choices, registry, data, plugin_files=plugin_files, results=settings.results)
    if settings.retry_failed and not settings.dry_run:
        plan = reopen_failed(plan)
    return plan, cache


def _announce(
    settings: Settings, plan: Plan, cache: Path, device: str, threads: int | None
) -> tuple[Environment | None, float | None]:
    """Print the plan; the machine and the estimated seconds, where a probe was needed for them."""
    from benchbird.data.cache import folder_size_bytes, prepared_already
    from benchbird.environment import describe_machine
    from benchbird.progress import duration
    from benchbird.runner import probe_preparation_s, probe_speeds

    cached = prepared_already(plan.data.splits, plan.protocol.image_size, cache)
    for line in _plan_lines(settings, plan, device):
        click.echo(line, err=True)
    state = "prepared data are there" if all(cached.values()) else "data will be prepared"
    click.echo(f"cache      {cache} ({folder_size_bytes(cache) / 1e6:.0f} MB): {state}", err=True)
    if not plan.unended:
        click.echo("estimate   nothing is left to train", err=True)
        return None, 0.0
    environment, speeds, unusable = probe_speeds(plan, device, threads)
    for label, reason in unusable.items():
        click.echo(f"warning    {label} will fail: {reason}", err=True)
    seconds = _estimate(plan, speeds)
    if not all(cached.values()):
        seconds += probe_preparation_s(plan)
    machine = f" on {describe_machine(environment)}" if environment else ""
    click.echo(f"estimate   about {duration(seconds)}{machine}", err=True)
    if seconds > LONG_RUN_S:
        click.echo(_long_run_advice(settings, plan), err=True)
    return environment, seconds


def _plan_lines(settings: Settings, plan: Plan, device: str) -> list[str]:
    from importlib.metadata import version

    config, data, protocol = plan.config, plan.data, plan.protocol
    chosen = ""
    if settings.profile is None and config.profile == CPU_PROFILE:
        chosen = " (taken because there is no GPU; --profile full runs the whole protocol)"
    sizes = ", ".join(f"{len(samples)} {name}" for name, samples in data.splits.items())
    states = {state: sum(trial.state == state for trial in plan.trials) for state in ("ended", "started")}
    resumed = [f"{trial.segmenter.label} seed {trial.seed} after epoch {trial.epochs_done}"
               for trial in plan.trials if trial.state == "started"]  # fmt: skip
    trials = f"{_count(len(plan.segmenters), 'segmenter')} × {_count(len(config.seeds), 'seed')} = {len(plan.trials)}"
    lines = [
        f"benchbird {version('benchbird')}: benchmark {config.name}, profile {config.profile}{chosen}",
        f"study      {plan.study} (protocol {protocol.digest}, data {data.digest})",
        f"data       {data.dataset}: {sizes} images, {data.n_recordings('test')} test recordings",
        *(f"notice     {notice}" for notice in data.notices),
        f"trials     {trials}: {states['ended']} ended, {len(plan.unended)} to run on {device}",
        *([f"resuming   {'; '.join(resumed)}"] if resumed else []),
        f"training   {protocol.epochs} epochs, {plan.steps} steps of {protocol.batch_size} images at "
        f"{protocol.image_size}×{protocol.image_size}, {protocol.optimizer.name} lr {protocol.optimizer.lr:g}, "
        f"{protocol.precision}",
        f"results    {plan.study_folder}",
    ]
    failed = [trial for trial in plan.trials if trial.record is not None and trial.record.status != "done"]
    if failed:
        lines.append(f"notice     {len(failed)} ended trials are not done; --retry-failed runs them again")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _estimate(plan: Plan, speeds: Mapping[str, Speed]) -> float:
    from benchbird.estimate import trial_seconds
    from benchbird.training import steps_per_epoch

    steps = steps_per_epoch(len(plan.data.splits["train"]), plan.protocol)
    return sum(
        trial_seconds(
            speeds[trial.segmenter.label],
            plan.protocol,
            epochs=plan.protocol.epochs - trial.epochs_done,
            steps=steps,
            n_val=len(plan.data.splits["val"]),
            n_test=len(plan.data.splits["test"]),
        )
        for trial in plan.unended
        if trial.segmenter.label in speeds
    )


def _long_run_advice(settings: Settings, plan: Plan) -> str:
    advice = "notice     that is more than 30 minutes; it can be stopped at any time and goes on where it was"
    if CPU_PROFILE in plan.config.profile_names and plan.config.profile != CPU_PROFILE:
        command = f"benchbird run {settings.benchmark} --profile {CPU_PROFILE}"
        advice += f". The small profile takes minutes:\n           {command}"
    return advice


def _plan_document(plan: Plan, seconds: float | None) -> dict[str, Any]:
    return {
        "benchmark": plan.config.name,
        "profile": plan.config.profile,
        "study": plan.study,
        "protocol": {**plan.protocol.as_dict(), "digest": plan.protocol.digest},
        "data": {"name": plan.data.dataset, "digest": plan.data.digest,
                 **{f"n_{name}": len(samples) for name, samples in plan.data.splits.items()}},
        "steps": plan.steps,
        "trials": [{"label": trial.segmenter.label, "seed": trial.seed, "state": trial.state,
                    "epochs_done": trial.epochs_done} for trial in plan.trials],
        "estimate_s": seconds,
    }  # fmt: skip


def _carry_out(
    settings: Settings,
    plan: Plan,
    cache: Path,
    registry: Registry,
    device: str,
    threads: int | None,
    environment: Environment | None,
) -> tuple[TrialRecord, ...]:
    from benchbird.progress import Progress
    from benchbird.runner import prepare, run_trials

    if not plan.unended:
        return tuple(trial.record for trial in plan.trials if trial.record is not None)
    if environment is None:
        raise UsageError(
            "the probe of this machine ended without an answer: a process could not be started, or was killed; "
            "try `benchbird -v run …`"
        )
    prepared, summary = prepare(plan, cache)
    progress = Progress(len(plan.unended), plan.protocol.epochs)
    try:
        return run_trials(plan, prepared, summary, environment, registry,
                          device=device, threads=threads, observe=progress.observe)  # fmt: skip
    finally:
        progress.close()


def _show_leaderboard(settings: Settings, plan: Plan, records: Sequence[TrialRecord]) -> None:
    """Print what `benchbird leaderboard` would print of this study, and where the rest is."""
    from benchbird.leaderboard import rank
    from benchbird.registry import REPORTERS, load_registry
    from benchbird.reporters.rendering import find_reporter, render_leaderboard
    from benchbird.results import find_records

    in_study = [found.record for found in find_records(plan.study_folder).found]
    registry = load_registry(groups={REPORTERS})
    if settings.as_json:
        document = _plan_document(plan, None)
        del document["estimate_s"]
        document["trials"] = [
            {"label": record.segmenter.label, "seed": record.seed, "status": record.status,
             "reason": record.reason} for record in records
        ]  # fmt: skip
        document["results"] = str(plan.study_folder)
        offer = find_reporter(registry, "json")
        document["leaderboard"] = json.loads(render_leaderboard(offer, rank(in_study)))
        click.echo(json.dumps(document, indent=2))
        return
    sys.stderr.flush()
    click.echo(render_leaderboard(find_reporter(registry, "markdown"), rank(in_study)), nl=False)
    click.echo(f"\nrecords, weights and predictions: {plan.study_folder}", err=True)
    click.echo(f"into a document: benchbird publish {plan.study_folder} --to README.md", err=True)
