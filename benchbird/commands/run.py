"""`benchbird run`: the main job, from a benchmark's YAML to its leaderboard."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from benchbird.config.benchmark import BenchmarkConfig
    from benchbird.plan import Plan
    from benchbird.registry import Registry
    from benchbird.report.making import StudyData
    from benchbird.run_report import Outcome
    from benchbird.slots import Slot
    from benchbird.study_data import AlsoTest
    from benchbird.sweep import Sweep

REPORT_FILE = "report.html"
"""In a study's folder; written anew by each run."""


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
    """Run a benchmark: its study, or one for each fold of its cross-validation, which are then pooled."""
    from benchbird.execution.server import warm_up

    if not settings.dry_run:
        warm_up()  # before anything else, so that what trials import is imported beside what this process does
    config, plugin_files, registry, device = _decide(settings)
    # Not before: with these comes torch, and a mistake in the file is told sooner.
    from benchbird.cache_folder import cache_folder
    from benchbird.config.choices import resolve
    from benchbird.study_data import fold_numbers, with_fold

    cache = cache_folder(settings.cache)
    _, dataset = resolve(
        config,
        {name: offer.spec for name, offer in registry.segmenters.items()},
        {name: offer.spec for name, offer in registry.datasets.items()},
    )
    folds = fold_numbers(config, dataset, cache)
    if not folds:
        return _run_study(settings, config, plugin_files, registry, device)
    outcomes = []
    for number in folds:
        outcomes.append(_run_study(settings, with_fold(config, number), plugin_files, registry, device))
    return _pooled(settings, config.name, outcomes) if len(folds) > 1 else outcomes[0]


def _run_study(
    settings: Settings, config: BenchmarkConfig, plugin_files: tuple[Path, ...], registry: Registry, device: str
) -> Outcome:
    from benchbird.announcement import announce
    from benchbird.plan_summary import plan_document
    from benchbird.progress import Progress
    from benchbird.run_report import Outcome
    from benchbird.runner import run_plan

    plan, cache = _plan(settings, config, plugin_files, registry)
    further = _find_further(plan, cache)
    slots = _slots(settings, device)
    expected = announce(
        plan, cache, device, slots,
        profile_was_chosen=settings.profile is not None,
        say=lambda line: click.echo(line, err=True),
    )  # fmt: skip
    document = plan_document(plan, expected.run_s)
    if settings.dry_run:
        return Outcome(0, document, None, plan.study_folder)
    settings.tell({"event": "plan", **document})
    progress = Progress(len(plan.unended), plan.protocol.epochs, expected_s=expected.trials_s, at_a_time=len(slots))

    def observe(event: Mapping[str, Any]) -> None:
        progress.observe(event)
        settings.tell(event)

    with contextlib.closing(progress):
        records = run_plan(plan, cache, registry, expected.speeds, device=device, slots=slots, observe=observe)
    _test_further(plan, further, cache, device)
    del document["estimate_s"]
    document["trials"] = [
        {"label": record.segmenter.label, "seed": record.seed, "status": record.status, "reason": record.reason}
        for record in records
    ]
    document["results"] = str(plan.study_folder)
    code = 0 if all(record.status == "done" for record in records) else 1
    return _rank(settings, Outcome(code, document, None, plan.study_folder), None, _page_data(settings, plan, cache))


def _pooled(settings: Settings, name: str, outcomes: Sequence[Outcome]) -> Outcome:
    """The folds of a cross-validation as one outcome."""
    from benchbird.run_report import Outcome

    folder = settings.results / name
    document = {"benchmark": name, "folds": [outcome.document for outcome in outcomes], "results": str(folder)}
    code = max(outcome.code for outcome in outcomes)
    outcome = Outcome(code, document, None, folder)
    return outcome if settings.dry_run else _rank(settings, outcome, outcomes[-1].folder, None)


def _rank(settings: Settings, outcome: Outcome, fold: Path | None, data: StudyData | None) -> Outcome:
    """The outcome with its ranking and its page.

    Args:
        settings: of the run.
        outcome: says where the study lies, or the cross-validation.
        fold: one of the cross-validation's folds; None for a study.
        data: for the page.
    """
    from benchbird.further_results import further_table
    from benchbird.index import index_of
    from benchbird.ranking import rank_study
    from benchbird.report.making import write_page
    from benchbird.results import find_records
    from benchbird.studies import Study, pooled_study

    if fold is not None:
        study = pooled_study(outcome.folder, fold)
    else:
        study = Study(outcome.folder.name, outcome.folder, find_records(outcome.folder).found, unended=0)
    report = outcome.folder / REPORT_FILE
    with index_of(settings.cache) as index:
        ranking = rank_study(study.found, index)
        fault = write_page(report, study, ranking, index, data)
    ranking = replace(ranking, notices=(*ranking.notices, *study.faults, *([fault] if fault else [])))
    return replace(outcome, ranking=ranking, further=further_table(study.found), report=None if fault else report)


def _page_data(settings: Settings, plan: Plan, cache: Path) -> StudyData:
    """The test split as the networks saw it, for the page's gallery."""
    from benchbird.data.cache import prepare_splits
    from benchbird.report.making import StudyData

    protocol, samples = plan.protocol, plan.data.splits["test"]
    prepared = prepare_splits({"test": samples}, protocol.image_size, cache, resize=protocol.resize)
    return StudyData(
        benchmark=str(settings.benchmark), overrides=settings.overrides, plugins=tuple(map(str, settings.plugins)),
        samples=samples, images=prepared.splits["test"].images,
    )  # fmt: skip


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


def _plan(
    settings: Settings, config: BenchmarkConfig, plugin_files: Sequence[Path], registry: Registry
) -> tuple[Plan, Path]:
    from benchbird.cache_folder import cache_folder
    from benchbird.config.choices import resolve
    from benchbird.plan import make_plan
    from benchbird.runner import reopen_failed
    from benchbird.study_data import find_data

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


def _slots(settings: Settings, device: str) -> tuple[Slot, ...]:
    """How many trials run at a time, and where; says what that does to their timings."""
    from benchbird.slots import divide_machine

    slots, notice = divide_machine(device, settings.jobs)
    if notice:
        click.echo(f"notice     {notice}", err=True)
    return slots


def _find_further(plan: Plan, cache: Path) -> tuple[AlsoTest, ...]:
    """The sets of `data.also_test`, before anything is trained, so that what is wrong with them is said early."""
    from benchbird.study_data import find_also_test

    tests = find_also_test(plan.config, cache, plan.data)
    for test in tests:
        if test.leaks:
            click.echo(
                f"notice     {test.name}: recordings in train or val too (data.allow_leaks): {test.leaks}; "
                "its scores will flatter",
                err=True,
            )
    return tests


def _test_further(plan: Plan, tests: Sequence[AlsoTest], cache: Path, device: str) -> None:
    """Score the trained models on further sets, where that isn't done yet, and say what couldn't be."""
    from benchbird.further_tests import run_further_tests
    from benchbird.results import find_records

    if not tests:
        return

    def observe(event: Mapping[str, Any]) -> None:
        click.echo(
            f"[{event['number']}/{event['of']}] {event['label']} seed {event['seed']} on {event['test']}", err=True
        )

    problems = run_further_tests(
        find_records(plan.study_folder).found,
        tests,
        plan.protocol,
        plugin_files=plan.plugin_files,
        cache=cache,
        device=device,
        threads=None,
        observe=observe,
    )
    for problem in problems:
        click.echo(f"warning    not scored: {problem}", err=True)


def _show(settings: Settings, outcome: Outcome) -> None:
    """Print what `benchbird leaderboard` would print of this study, and where the rest is."""
    from benchbird.run_report import outcome_document, outcome_text

    _tell_notices([outcome])
    if settings.as_json:
        settings.tell({"event": "outcome", **outcome_document(outcome)})
    elif outcome.ranking is not None:
        click.echo(outcome_text(outcome), nl=False)
        click.echo(f"\nrecords, weights and predictions: {outcome.folder}", err=True)
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
