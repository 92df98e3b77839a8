"""A run with two tracks: the fixed one, the search for learning rates, the tuned one.

Owns which configuration each stage runs, and in which order. How a study is run is `study_run.py`'s, what follows from
its trials `tuning.py`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from benchbird.config.benchmark import BenchmarkConfig, only
from benchbird.contract import SegmenterSpec
from benchbird.plan import Plan
from benchbird.progress import duration
from benchbird.protocol import SEARCH_SUFFIX
from benchbird.results import trial_hash
from benchbird.run_report import Outcome
from benchbird.studies import tuned_study
from benchbird.study_run import RunRequest, finish_study, page_data, rank_outcome, run_study, train_study
from benchbird.tuning import ANSWERS, RateChoice, TuningRule, Version, find_track, write_rule


def run_tracks(request: RunRequest, config: BenchmarkConfig) -> Outcome:
    """Run both tracks of a benchmark: every network at one learning rate, and each at its own.

    Args:
        request: of the run.
        config: with a `tuning`. Where no segmenter learns by gradients there is one track.
    """
    searches = list(search_stages(config, {name: offer.spec for name, offer in request.registry.segmenters.items()}))
    if not searches:
        return run_study(request, fixed_stage(config))
    request.say(f"tracks     fixed, a search of rates, tuned: up to {budget(config):.1f} times the fixed track's time")
    fixed, plan = _run_stage(request, fixed_stage(config), "fixed")
    rule = rule_of(config, plan.data.digest)
    data = None
    if not request.dry_run:
        fixed, data = finish_study(request, fixed, plan), page_data(request, plan)
    tried, versions = [], set[Version]()
    for stage in searches:
        outcome, search = _run_stage(request, stage, "search")
        tried.append(outcome)
        versions |= _versions(search)
    folder = request.results / config.name / rule.study
    if not request.dry_run:
        write_rule(rule, folder.parent)
    choices = find_track(rule, folder.parent).choices
    refits = [_refit(request, stage, rule) for stage in refit_stages(config, choices, sorted(versions))]
    document = {
        "benchmark": config.name,
        "study": rule.study,
        "fixed": fixed.document,
        "searches": [one.document for one in tried],
        "refits": [one.document for one in refits],
        "results": str(folder),
    }
    if request.dry_run:
        open_labels = sorted(label for label, version in versions if (label, version) not in choices)
        total = sum(one.document["estimate_s"] for one in (fixed, *tried, *refits))
        request.say(f"estimate   about {duration(total)} in all{_and_refits_of(open_labels)}")
        return Outcome(0, {**document, "estimate_s": total, "rates_open": open_labels}, None, folder)
    # A rate with which a network diverges is an answer; a network without a rate is none, and so is any other end.
    is_whole = all(version in choices and choices[version].rate is not None for version in versions)
    has_answers = all(trial["status"] in ANSWERS for one in tried for trial in one.document["trials"])
    code = max(fixed.code, *(one.code for one in refits), 0 if is_whole and has_answers else 1)
    return rank_outcome(request, Outcome(code, document, None, folder, fixed=fixed), tuned_study(folder), data)


def _run_stage(request: RunRequest, stage: BenchmarkConfig, name: str) -> tuple[Outcome, Plan]:
    rate, labels = stage.protocol.optimizer.lr, [entry.label for entry in stage.segmenters]
    whose = f" for {', '.join(labels)}" if name == "tuned" else f", seed {stage.seeds[0]}" if name == "search" else ""
    request.say(f"{'search     ' if name == 'search' else f'track      {name}: '}lr {rate:g}{whose}")
    request.tell({"event": "stage", "stage": name, "learning_rate": rate, "labels": labels})
    return train_study(request, stage)


def _refit(request: RunRequest, stage: BenchmarkConfig, rule: TuningRule) -> Outcome:
    # What the fixed track has just run again isn't run a third time.
    is_fixed = stage.protocol.optimizer.lr == rule.fixed_rate
    return _run_stage(replace(request, retry_failed=request.retry_failed and not is_fixed), stage, "tuned")[0]


def _versions(plan: Plan) -> set[Version]:
    return {(one.label, trial_hash(one)) for one in plan.segmenters}


def _and_refits_of(labels: list[str]) -> str:
    if not labels:
        return ""
    return f", and for {', '.join(labels)} once more what the fixed track takes, at rates still to be found"


def rule_of(config: BenchmarkConfig, data_digest: str) -> TuningRule:
    """The rule of a benchmark with a tuned track."""
    assert config.tuning is not None, "callers have a tuned track"
    return TuningRule(
        protocol=config.protocol.as_dict(),
        data_digest=data_digest,
        tuning=config.tuning,
    )


def fixed_stage(config: BenchmarkConfig) -> BenchmarkConfig:
    """The fixed track: the benchmark as if it had no other."""
    return replace(config, tuning=None)


def search_stages(config: BenchmarkConfig, specs: Mapping[str, SegmenterSpec]) -> Iterator[BenchmarkConfig]:
    """The search: every network with every rate and the one seed; none where all learn without gradients.

    Args:
        config: the benchmark.
        specs: name → spec of every loaded segmenter.
    """
    assert config.tuning is not None, "callers have a tuned track"
    labels = [entry.label for entry in config.segmenters if specs[entry.name].calibrate is None]
    for rate in sorted(config.tuning.learning_rates) if labels else ():
        stage = _at_rate(only(config, labels), rate)
        yield replace(stage, name=f"{config.name}{SEARCH_SUFFIX}", seeds=(config.tuning.seed,))


def refit_stages(
    config: BenchmarkConfig, choices: Mapping[Version, RateChoice], versions: Iterable[Version]
) -> Iterator[BenchmarkConfig]:
    """The tuned track: for each rate that was chosen, its networks with all seeds.

    Args:
        config: the benchmark.
        choices: of every version on disk.
        versions: those of this run; one without a choice is left out.
    """
    labels: dict[float, list[str]] = defaultdict(list)
    for version in versions:
        rate = choices[version].rate if version in choices else None
        if rate is not None:
            labels[rate].append(version[0])
    for rate, chosen in sorted(labels.items()):
        yield _at_rate(only(config, chosen), rate)


def budget(config: BenchmarkConfig) -> float:
    """How many times what the fixed track takes both tracks take at most, search included."""
    assert config.tuning is not None, "callers have a tuned track"
    return 2 + len(config.tuning.learning_rates) / len(config.seeds)


def _at_rate(config: BenchmarkConfig, rate: float) -> BenchmarkConfig:
    protocol = replace(config.protocol, optimizer=replace(config.protocol.optimizer, lr=rate))
    return replace(config, protocol=protocol, tuning=None)
