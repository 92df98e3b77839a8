"""One study of a run: planned, announced, trained, tested further, ranked, with its page.

Owns the order of these. Which studies a benchmark comes to is the command's, as is where lines and events go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchbird.announcement import announce
from benchbird.cache_folder import cache_folder
from benchbird.config.benchmark import BenchmarkConfig
from benchbird.config.choices import resolve
from benchbird.data.cache import prepare_splits
from benchbird.further_results import further_table
from benchbird.further_tests import run_further_tests
from benchbird.index import index_of
from benchbird.plan import Plan, make_plan
from benchbird.plan_summary import plan_document
from benchbird.progress import Progress
from benchbird.ranking import rank_study
from benchbird.registry import Registry
from benchbird.report.making import StudyData, write_page
from benchbird.results import find_records
from benchbird.run_report import Outcome
from benchbird.runner import reopen_failed, run_plan
from benchbird.slots import Slot, divide_machine
from benchbird.studies import Study
from benchbird.study_data import AlsoTest, find_also_test, find_data
from benchbird.tracks_report import lay_side_by_side

REPORT_FILE = "report.html"
"""In a study's folder; written anew by each run."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What all studies of a run have in common.

    Attributes:
        benchmark: the file, as it was given.
        results: the results root.
        profile_was_chosen: whether the user named the profile.
        overrides: `--set` as they were given.
        plugins: `--plugin` as they were given.
        plugin_files: all plugins that the user named, the benchmark's among them.
        registry: what they and the installed ones offer.
        device: `cpu`, `cuda` or `mps`.
        cache: where prepared data are kept; None for the default folder.
        jobs: trials at a time; None for one a GPU, else one.
        retry_failed: run again what ended otherwise than done.
        dry_run: stop at the plan.
        say: gets each line for people.
        tell: gets each event for programs.
    """

    benchmark: Path
    results: Path
    profile_was_chosen: bool
    overrides: tuple[str, ...]
    plugins: tuple[Path, ...]
    plugin_files: tuple[Path, ...]
    registry: Registry
    device: str
    cache: Path | None
    jobs: int | None
    retry_failed: bool
    dry_run: bool
    say: Callable[[str], None]
    tell: Callable[[Mapping[str, Any]], None]


def run_study(request: RunRequest, config: BenchmarkConfig) -> Outcome:
    """Train what is left of a study, rank it and write its page; nothing but the plan on a dry run."""
    outcome, plan = train_study(request, config)
    if request.dry_run:
        return outcome
    return finish_study(request, outcome, plan)


def finish_study(request: RunRequest, outcome: Outcome, plan: Plan) -> Outcome:
    """The outcome of a study that was trained, with its ranking and its page."""
    study = Study(outcome.folder.name, outcome.folder, find_records(outcome.folder).found, unended=0)
    return rank_outcome(request, outcome, study, page_data(request, plan))


def train_study(request: RunRequest, config: BenchmarkConfig) -> tuple[Outcome, Plan]:
    """Train what is left of a study; an outcome without a ranking."""
    plan = _plan(request, config)
    cache = cache_folder(request.cache)
    further = _find_further(request, plan, cache)
    slots = _slots(request)
    expected = announce(
        plan, cache, request.device, slots, profile_was_chosen=request.profile_was_chosen, say=request.say
    )
    document = plan_document(plan, expected.run_s)
    if request.dry_run:
        return Outcome(0, document, None, plan.study_folder), plan
    request.tell({"event": "plan", **document})
    progress = Progress(len(plan.unended), plan.protocol.epochs, expected_s=expected.trials_s, at_a_time=len(slots))

    def observe(event: Mapping[str, Any]) -> None:
        progress.observe(event)
        request.tell(event)

    with contextlib.closing(progress):
        records = run_plan(
            plan, cache, request.registry, expected.speeds, device=request.device, slots=slots, observe=observe
        )
    _test_further(request, plan, further, cache)
    del document["estimate_s"]
    document["trials"] = [
        {"label": record.segmenter.label, "seed": record.seed, "status": record.status, "reason": record.reason}
        for record in records
    ]
    document["results"] = str(plan.study_folder)
    code = 0 if all(record.status == "done" for record in records) else 1
    return Outcome(code, document, None, plan.study_folder), plan


def rank_outcome(request: RunRequest, outcome: Outcome, study: Study, data: StudyData | None = None) -> Outcome:
    """The outcome with the ranking and the page of its study.

    Args:
        request: of the run.
        outcome: what training came to; its folder gets the page.
        study: to be ranked.
        data: for the page; None where it has no images.
    """
    report = outcome.folder / REPORT_FILE
    with index_of(request.cache) as index:
        ranking = rank_study(study.found, index)
        fault = write_page(report, study, ranking, index, data)
        tracks = None if study.tuned is None else lay_side_by_side(study.tuned, ranking.leaderboard, index)
    waiting = study.tuned.waiting if study.tuned is not None else ()
    ranking = replace(ranking, notices=(*ranking.notices, *waiting, *study.faults, *([fault] if fault else [])))
    return replace(
        outcome,
        ranking=ranking,
        further=further_table(study.found),
        report=None if fault else report,
        tracks=tracks,
    )


def page_data(request: RunRequest, plan: Plan) -> StudyData:
    """The test split as the networks saw it, for the page's gallery."""
    protocol, samples = plan.protocol, plan.data.splits["test"]
    cache = cache_folder(request.cache)
    prepared = prepare_splits({"test": samples}, protocol.image_size, cache, resize=protocol.resize)
    return StudyData(
        benchmark=str(request.benchmark), overrides=request.overrides, plugins=tuple(map(str, request.plugins)),
        samples=samples, images=prepared.splits["test"].images,
    )  # fmt: skip


def _plan(request: RunRequest, config: BenchmarkConfig) -> Plan:
    choices, dataset = resolve(
        config,
        {name: offer.spec for name, offer in request.registry.segmenters.items()},
        {name: offer.spec for name, offer in request.registry.datasets.items()},
    )
    data = find_data(config, dataset, cache_folder(request.cache))
    plan = make_plan(
        config, choices, request.registry, data, plugin_files=request.plugin_files, results=request.results
    )
    return reopen_failed(plan) if request.retry_failed and not request.dry_run else plan


def _slots(request: RunRequest) -> tuple[Slot, ...]:
    """How many trials run at a time, and where; says what that does to their timings."""
    slots, notice = divide_machine(request.device, request.jobs)
    if notice:
        request.say(f"notice     {notice}")
    return slots


def _find_further(request: RunRequest, plan: Plan, cache: Path) -> tuple[AlsoTest, ...]:
    """The sets of `data.also_test`, before anything is trained, so that what is wrong with them is said early."""
    tests = find_also_test(plan.config, cache, plan.data)
    for test in tests:
        if test.leaks:
            request.say(
                f"notice     {test.name}: recordings in train or val too (data.allow_leaks): {test.leaks}; "
                "its scores will flatter"
            )
    return tests


def _test_further(request: RunRequest, plan: Plan, tests: Sequence[AlsoTest], cache: Path) -> None:
    """Score the trained models on further sets, where that isn't done yet, and say what couldn't be."""
    if not tests:
        return

    def observe(event: Mapping[str, Any]) -> None:
        request.say(f"[{event['number']}/{event['of']}] {event['label']} seed {event['seed']} on {event['test']}")

    problems = run_further_tests(
        find_records(plan.study_folder).found,
        tests,
        plan.protocol,
        plugin_files=plan.plugin_files,
        cache=cache,
        device=request.device,
        threads=None,
        observe=observe,
    )
    for problem in problems:
        request.say(f"warning    not scored: {problem}")
