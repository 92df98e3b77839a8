"""`benchbird noise`: how much of a segmenter's score moves when nothing but a seed is changed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbird.errors import BenchbirdError

if TYPE_CHECKING:
    from benchbird.config.benchmark import BenchmarkConfig
    from benchbird.noise import Budget
    from benchbird.records import TrialRecord
    from benchbird.registry import Registry
    from benchbird.slots import Slot
    from benchbird.speeds import Speeds


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The command line of one noise budget."""

    benchmark: Path
    results: Path
    profile: str | None
    overrides: tuple[str, ...]
    plugins: tuple[Path, ...]
    labels: tuple[str, ...]
    seed: int
    repeats: int
    device: str
    jobs: int | None
    cache: Path | None
    retry_failed: bool
    dry_run: bool
    as_json: bool


@click.command(epilog="Example: benchbird noise benchmarks/birdsound.yaml --only unet --repeats 5")
@click.argument("benchmark", type=click.Path(path_type=Path))
@click.option("--repeats", type=click.IntRange(2, 100), default=3, show_default=True, metavar="R",
              help="Trainings of each of the four kinds.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**62), default=0, show_default=True, metavar="S",
              help="The base seed; the others are the R after it.")  # fmt: skip
@click.option("--only", "labels", multiple=True, metavar="LABEL", help="Only this segmenter. Can be repeated.")
@click.option("--profile", metavar="NAME", help="A profile of the benchmark, chosen as in `benchbird run`.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one key. Can be repeated.")
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="Also load this plugin file. Can be repeated.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True,
              help="Where to compute.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), metavar="N",
              help="Trainings at a time, as in `benchbird run`.  [default: one on each GPU, else one]")  # fmt: skip
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              metavar="DIR", help="Where trainings are kept, in the study's folder `noise`.")  # fmt: skip
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR",
              help="Where prepared data are kept.  [default: $BENCHBIRD_CACHE, else the user's cache "
              "folder]")  # fmt: skip
@click.option("--retry-failed", is_flag=True, help="Train again what ended otherwise than done.")
@click.option("--dry-run", is_flag=True, help="Print how many trainings there are, with an estimate, and stop.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout in place of the tables.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Measure how much of a segmenter's score moves when nothing but a seed is changed.

    Four kinds of training, R of each, for every segmenter with gradients: `repeat` trains with seed S
    again and again; `initialisation` changes the first weights alone (to those of S+1 … S+R), `order`
    the order of batches alone, and `both` both, as ordinary seeds do. The trainings are never ranked.
    One that has ended is not run again; one that was interrupted goes on at its last epoch. Exit code 1
    if any isn't done.
    """  # fmt: skip
    ctx.exit(measure(Settings(**options)))


def measure(settings: Settings) -> int:
    """Carry out one noise budget; the exit code."""
    from benchbird.cache_folder import cache_folder
    from benchbird.execution.server import warm_up
    from benchbird.noise import summarize
    from benchbird.noise_report import noise_document, plan_document, render_noise
    from benchbird.slots import divide_machine

    if not settings.dry_run:
        warm_up()
    config, registry, device = _decide(settings)
    cache = cache_folder(settings.cache)
    budget, left_out = _plan(settings, config, registry, cache)
    slots, notice = divide_machine(device, settings.jobs)
    if notice:
        click.echo(f"notice     {notice}", err=True)
    speeds, seconds = _announce(budget, left_out, cache, device, slots)
    if settings.dry_run:
        if settings.as_json:
            click.echo(json.dumps(plan_document(budget, left_out, seconds), indent=2))
        return 0
    records = _train(budget, cache, registry, device, speeds, slots)
    noise = summarize(budget, records)
    if settings.as_json:
        click.echo(json.dumps(noise_document(budget, records, noise, left_out), indent=2))
    else:
        click.echo(render_noise(budget, records, noise, left_out).encode(), nl=False)
    return 0 if all(record.status == "done" for record in records) else 1


def _decide(settings: Settings) -> tuple[BenchmarkConfig, Registry, str]:
    """Read and check what needs no data, as `benchbird run` does."""
    from benchbird.backend import choose_device
    from benchbird.config.benchmark import load_benchmark, only, with_seeds
    from benchbird.config.schema import CPU_PROFILE
    from benchbird.registry import DATASETS, SEGMENTERS, load_registry

    config = load_benchmark(settings.benchmark, profile=settings.profile, overrides=settings.overrides)
    device = settings.device if settings.device == "cpu" else choose_device(settings.device).type
    if settings.profile is None and device == "cpu" and CPU_PROFILE in config.profile_names:
        config = load_benchmark(settings.benchmark, profile=CPU_PROFILE, overrides=settings.overrides)
    config = with_seeds(config, (settings.seed,))
    if settings.labels:
        config = only(config, settings.labels)
    registry = load_registry((*config.plugins, *settings.plugins), groups={SEGMENTERS, DATASETS})
    for warning in registry.warnings:
        click.echo(f"warning    {warning}", err=True)
    return config, registry, device


def _plan(
    settings: Settings, config: BenchmarkConfig, registry: Registry, cache: Path
) -> tuple[Budget, tuple[str, ...]]:
    """The budget, and the labels of segmenters that are no part of it.

    Raises:
        BenchbirdError: no segmenter depends on a seed.
    """
    from dataclasses import replace

    from benchbird.config.choices import resolve
    from benchbird.noise import plan_noise
    from benchbird.plan import make_plan
    from benchbird.runner import reopen_failed
    from benchbird.study_data import find_data

    specs = {name: offer.spec for name, offer in registry.segmenters.items()}
    choices, dataset = resolve(config, specs, {name: offer.spec for name, offer in registry.datasets.items()})
    trained = [choice for choice in choices if specs[choice.name].calibrate is None]
    left_out = tuple(choice.label for choice in choices if choice not in trained)
    if not trained:
        raise BenchbirdError(
            f"nothing to measure: {', '.join(left_out)} is calibrated, not trained by gradients, so no seed changes "
            "its score; expected at least one segmenter that is trained, such as unet"
        )
    plan = make_plan(
        config, trained, registry, find_data(config, dataset, cache),
        plugin_files=(*config.plugins, *settings.plugins), results=settings.results,
    )  # fmt: skip
    budget = plan_noise(plan, settings.seed, settings.repeats)
    if settings.retry_failed and not settings.dry_run:
        budget = replace(budget, plan=reopen_failed(budget.plan))
    return budget, left_out


def _announce(
    budget: Budget, left_out: Sequence[str], cache: Path, device: str, slots: tuple[Slot, ...]
) -> tuple[Speeds | None, float]:
    """Print the budget; this machine's speeds, where trainings are left, and the estimated seconds."""
    from benchbird.environment import describe_machine
    from benchbird.progress import duration
    from benchbird.results import NOISE_FOLDER
    from benchbird.speeds import estimate_seconds, find_speeds

    for line in (*_lines(budget, left_out, device), f"results    {budget.plan.study_folder / NOISE_FOLDER}"):
        click.echo(line, err=True)
    if not budget.plan.unended:
        click.echo("estimate   nothing is left to train", err=True)
        return None, 0.0
    speeds = find_speeds(budget.plan, device, slots[0].threads, cache)
    for label, reason in speeds.unusable.items():
        click.echo(f"warning    {label} will fail: {reason}", err=True)
    machine = f" on {describe_machine(speeds.environment)}" if speeds.environment else ""
    seconds = estimate_seconds(budget.plan, speeds.by_label) / len(slots)
    click.echo(f"estimate   about {duration(seconds)}{machine}, cache {cache}", err=True)
    return speeds, seconds


def _lines(budget: Budget, left_out: Sequence[str], device: str) -> list[str]:
    plan = budget.plan
    started = sum(trial.state == "started" for trial in plan.trials)
    failed = sum(trial.record is not None and trial.record.status != "done" for trial in plan.trials)
    each = len(plan.trials) // len(plan.segmenters)
    lines = [
        f"benchmark  {plan.config.name}, profile {plan.config.profile}, study {plan.study}",
        *(f"notice     {notice}" for notice in plan.data.notices),
        f"trainings  {len(plan.segmenters)} × {each} = {len(plan.trials)}: "
        f"{len(plan.trials) - len(plan.unended)} ended, {len(plan.unended)} to run on {device}"
        + (f", {started} of them from where they stopped" if started else ""),
        f"training   {plan.protocol.epochs} epochs, {plan.steps} steps",
    ]
    if left_out:
        lines.append(f"notice     left out, since no seed changes what is calibrated: {', '.join(left_out)}")
    if failed:
        lines.append(f"notice     {failed} ended trainings are not done; --retry-failed runs them again")
    return lines


def _train(
    budget: Budget,
    cache: Path,
    registry: Registry,
    device: str,
    speeds: Speeds | None,
    slots: tuple[Slot, ...],
) -> tuple[TrialRecord, ...]:
    """Train what is left; the records of all trainings."""
    from benchbird.progress import Progress
    from benchbird.runner import run_plan

    progress = Progress(len(budget.plan.unended), budget.plan.protocol.epochs)

    def observe(event: Mapping[str, Any]) -> None:
        # A seed doesn't tell the kinds apart, the folder's name does.
        name = f" {event['folder'].name}" if "folder" in event else ""
        progress.observe({**event, "label": f"{event.get('label')}{name}"})

    with contextlib.closing(progress):
        return run_plan(budget.plan, cache, registry, speeds, device=device, slots=slots, observe=observe)
