"""`benchbird report`: a study as a page that people look at."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from benchbird.index import Index
    from benchbird.ranking import Ranking
    from benchbird.report.making import StudyData
    from benchbird.studies import Study


@click.command(epilog="Example: benchbird report benchmarks/birdsound.yaml -o report.html")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=Path("report.html"),
              show_default=True, metavar="FILE", help="Where the page is written.")  # fmt: skip
@click.option("--benchmark", type=click.Path(path_type=Path), metavar="FILE",
              help="Says where the data are, for inputs and sound.  [default: TARGET, if a YAML]")  # fmt: skip
@click.option("--profile", metavar="NAME", help="A profile of the benchmark.  [default: the study's own]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As for run. Can be repeated.")
@click.option("--paper", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Also write a table, figures and a methods paragraph, ready to be included by LaTeX.")  # fmt: skip
@click.option("--gallery", type=click.IntRange(0, 200), metavar="N", default=16, show_default=True,
              help="Most images in the gallery.")  # fmt: skip
@click.option("--no-sound", is_flag=True, help="Clean no recordings, which may take minutes.")
@click.option("--metric", default="iou_pooled", show_default=True, metavar="NAME",
              help="The score to rank by; `benchbird list metrics` explains them.")  # fmt: skip
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              metavar="DIR", help="Results root in which a YAML's name is looked up.")  # fmt: skip
@click.option("--digest", metavar="PREFIX", help="The study whose digest begins so, where there are several.")
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="Also load this plugin file. Can be repeated.")  # fmt: skip
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR",
              help="Where prepared data are kept.  [default: as for run]")  # fmt: skip
def command(
    target: Path,
    output: Path,
    benchmark: Path | None,
    profile: str | None,
    overrides: tuple[str, ...],
    paper: Path | None,
    gallery: int,
    no_sound: bool,
    metric: str,
    results: Path,
    digest: str | None,
    plugins: tuple[Path, ...],
    cache: Path | None,
) -> None:
    """Write a page with everything that a study has to show.

    TARGET is chosen as for `benchbird leaderboard`. The page is one file that needs no network: leaderboard, verdict,
    learning curves, score against cost, where segmenters fail, a gallery, the protocol. Inputs and sound need the
    data, so that without a benchmark's file the gallery shows masks alone. Unfinished studies have a page too.
    """
    from tqdm import tqdm

    from benchbird.errors import ResultsError
    from benchbird.index import index_of
    from benchbird.plain_text import plain_text
    from benchbird.ranking import rank_study, require_metric
    from benchbird.report.making import Wishes, make_page
    from benchbird.results import BENCHMARK_SUFFIXES, target_folder
    from benchbird.studies import select_study

    require_metric(metric)
    if benchmark is None and target.suffix.lower() in BENCHMARK_SUFFIXES:
        benchmark = target
    with index_of(cache) as index, tqdm(desc="listen", unit="sample", disable=None, leave=False) as bar:
        try:
            choice = select_study(target, results=results, digest=digest, index=index)
        except ResultsError:
            # A paper has nothing to show of what has only begun.
            if paper is not None or not _write_waiting(output, target_folder(target, results), index):
                raise
            return
        ranking = rank_study(choice.study.found, index, metric)
        for notice in (*choice.notices, *ranking.notices):
            click.echo(plain_text(notice, 1000), err=True)
        data = None
        if benchmark is not None:
            data = _data(benchmark, profile, overrides, plugins, cache, choice.study)

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        wishes = Wishes(gallery=gallery, has_sound=not no_sound)
        page = make_page(choice.study, ranking, index, data, wishes, show)
    _write(output, page)
    if paper is not None:
        _write_paper(paper, choice.study, ranking)


def _write_waiting(output: Path, folder: Path, index: Index) -> bool:
    """Write the page of trials that were begun, where none has ended; whether there are any."""
    from benchbird.report.making import make_waiting_page

    waiting = make_waiting_page(folder, index, datetime.now(UTC))
    if waiting is None:
        return False
    _write(output, waiting)
    click.echo("no trial has ended yet: the page is about those that were begun", err=True)
    return True


def _write(output: Path, page: str) -> None:
    from benchbird.durable import make_folder, write_durably

    make_folder(output.parent)
    write_durably(output, page.encode())
    click.echo(f"wrote {output} ({len(page.encode()) / 1e6:.1f} MB)", err=True)


def _write_paper(folder: Path, study: Study, ranking: Ranking) -> None:
    from benchbird.report.making import make_paper

    with_pdf = find_spec("matplotlib") is not None
    if not with_pdf:
        click.echo("figures as SVG alone; for PDF, pip install 'benchbird[plots]'", err=True)
    files = make_paper(folder, study, ranking, with_pdf=with_pdf)
    click.echo(f"wrote {len(files)} files into {folder}; paper.tex includes them all", err=True)


def _data(
    benchmark: Path,
    profile: str | None,
    overrides: tuple[str, ...],
    plugins: tuple[Path, ...],
    cache: Path | None,
    study: Study,
) -> StudyData | None:
    """The study's data, where the benchmark gives them; else a line that says why the page goes without."""
    from benchbird.cache_folder import cache_folder
    from benchbird.errors import BenchbirdError
    from benchbird.report.making import StudyData
    from benchbird.reproduction import Sources, find_material, protocol_of
    from benchbird.tuned_run import rule_of

    record = study.found[0].record
    sources = Sources(benchmark=benchmark, profile=profile, overrides=overrides, plugin_files=plugins,
                      cache=cache_folder(cache), device="cpu", tolerance=0.0)  # fmt: skip
    try:
        material = find_material(sources, profile or record.profile, 0)
        said = (record.protocol.get("digest"), record.data.digest)
        given = protocol_of(record, material.config).digest
        if study.tuned is not None and material.config.tuning is not None:
            given = rule_of(material.config, material.data.digest).tuned_protocol["digest"]
        if (given, material.data.digest) != said:
            click.echo(
                f"without inputs and sound: {benchmark} gives protocol {given} and data "
                f"{material.data.digest}, the study was made with {said[0]} and {said[1]}; give the run's --set and "
                "--profile again",
                err=True,
            )
            return None
        split = material.prepare(sources.cache).splits["test"]
    except BenchbirdError as error:
        click.echo(f"without inputs and sound: {error}", err=True)
        return None
    return StudyData(
        benchmark=str(benchmark),
        overrides=overrides,
        plugins=tuple(map(str, plugins)),
        samples=material.data.splits["test"],
        images=split.images,
    )
