"""`benchbird sound`: how much cleaner a study's segmenters make the test recordings."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from benchbird.sound_study import SoundTable
    from benchbird.statistics.crossed import Interval

HEADINGS = {"si_sdr_improvement_db": "SI-SDR improvement, dB", "si_sdr_db": "SI-SDR, dB", "sdr_db": "SDR, dB"}
REFERENCES = {
    "voice": "Against the clean voice that was mixed in",
    "mask": "Against the recording under a person's mask, not against the bird",
}


@click.command(epilog="Example: benchbird sound results/published/birdsound-cpu-synthetic --benchmark "
                      "benchmarks/birdsound.yaml")  # fmt: skip
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--benchmark", required=True, type=click.Path(path_type=Path), metavar="FILE",
              help="Says where the data are.")  # fmt: skip
@click.option("--profile", metavar="NAME", help="A profile of the benchmark.  [default: the study's own]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As for run. Can be repeated.")
@click.option("--by", "column", metavar="COLUMN", help="One table a stratum, as for scores: snr_db, recording, …")
@click.option("--published-sdr", is_flag=True,
              help="Also the figure that the public data set's papers print. It says nothing of quality.")  # fmt: skip
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              metavar="DIR", help="Results root in which a YAML's name is looked up.")  # fmt: skip
@click.option("--digest", metavar="PREFIX", help="The study whose digest begins so, where there are several.")
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="Also load this plugin file. Can be repeated.")  # fmt: skip
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR",
              help="Where prepared data are kept.  [default: as for run]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(
    target: Path,
    benchmark: Path,
    profile: str | None,
    overrides: tuple[str, ...],
    column: str | None,
    published_sdr: bool,
    results: Path,
    digest: str | None,
    plugins: tuple[Path, ...],
    cache: Path | None,
    as_json: bool,
) -> None:
    """Score the sound of a study's stored masks: SI-SDR, its improvement, SDR.

    TARGET is chosen as for `benchbird leaderboard`. Each test recording is cleaned by each trial's mask and compared
    with its reference. Beside the segmenters stand the recording unchanged, a spectral gate, and masks that the voice
    itself tells.
    """
    from tqdm import tqdm

    from benchbird.cache_folder import cache_folder
    from benchbird.errors import ResultsError
    from benchbird.reproduction import Sources, find_material
    from benchbird.sound_study import sound_tables
    from benchbird.studies import select_study

    choice = select_study(target, results=results, digest=digest)
    for notice in choice.notices:
        click.echo(notice, err=True)
    if choice.study.found[0].folds:
        raise ResultsError(f"{target}: the folds of a cross-validation are scored one by one; give the folder of one")
    record = choice.study.found[0].record
    pictures = tuple(
        f"protocol.{key}={record.protocol[key]}" for key in ("rendering", "spectrum") if key in record.protocol
    )
    sources = Sources(benchmark=benchmark, profile=profile, overrides=(*pictures, *overrides), plugin_files=plugins,
                      cache=cache_folder(cache), device="cpu", tolerance=0.0)  # fmt: skip
    material = find_material(sources, profile or record.profile, record.data.fold.number if record.data.fold else 0)
    if material.data.digest != record.data.digest:
        raise ResultsError(
            f"the study was made on the data {record.data.digest}, {benchmark} gives {material.data.digest}; "
            "give the run's --set and --profile again"
        )
    with tqdm(desc="listen", unit="sample", disable=None, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        tables = sound_tables(choice.study.found, material.data.splits["test"], column, show)
    click.echo(json.dumps(_document(tables), indent=2) if as_json else "\n".join(_lines(tables, column, published_sdr)))


_NOTES = (
    "Means over samples, each value kept within −30 and 60 dB; in parentheses 95 % intervals over recordings, and over",
    "seeds where there are several. input unchanged: the recording as it is. spectral gate: the cells above 3 times",
    "the median of their row, a floor. reference mask: what a segmenter without a fault would give at this size.",
)
_ORACLE_NOTE = "oracle masks: cells kept whole, or by the voice's share of their power, as the voice itself tells."


_PUBLISHED_NOTE = (
    "as printed in papers on the public set: 10·ln(|recording| / |output − recording|), how little was changed. Doing",
    "nothing gives infinity, deleting everything 0: set it beside their figures, rank nothing by it.",
)


def _lines(tables: Sequence[SoundTable], column: str | None, published_sdr: bool) -> Iterator[str]:
    from benchbird.plain_text import plain_text
    from benchbird.reporters.markdown import table

    for one in tables:
        stratum = f"{plain_text(column or '', 60)} {plain_text(one.name, 80)}: " if column else ""
        samples = f"{one.n_samples} test sample{'s' if one.n_samples > 1 else ''}"
        recordings = f"{one.n_recordings} recording{'s' if one.n_recordings > 1 else ''}"
        yield f"{stratum}{samples} of {recordings}. {REFERENCES[one.kind]}."
        yield ""
        body = [[plain_text(row.name, 80), *(_text(row.estimates[name]) for name in HEADINGS)] for row in one.rows]
        headings = ["masked by", *HEADINGS.values()]
        if published_sdr:
            headings.append("as printed in papers")
            for cells, row in zip(body, one.rows, strict=True):
                cells.append(f"{row.published_sdr:.2f}" if math.isfinite(row.published_sdr) else "∞")
        yield table(headings, body, [False] + [True] * (len(headings) - 1))
        yield ""
    yield from _NOTES
    if any(one.kind == "voice" for one in tables):
        yield _ORACLE_NOTE
    if any(value.covers == "seeds" for one in tables for row in one.rows for value in row.estimates.values()):
        yield "ˢ: over seeds alone, since there is one recording."
    if published_sdr:
        yield from _PUBLISHED_NOTE


def _text(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.2f}"
    mark = "ˢ" if interval.covers == "seeds" else ""
    return f"{interval.mean:.2f} ({interval.low:.2f} to {interval.high:.2f}){mark}"


def _document(tables: Sequence[SoundTable]) -> dict[str, Any]:
    return {
        "tables": [
            {
                "stratum": one.name,
                "reference": one.kind,
                "n_samples": one.n_samples,
                "n_recordings": one.n_recordings,
                "rows": [
                    {
                        "name": row.name,
                        "is_segmenter": row.is_segmenter,
                        **{
                            name: {"mean": value.mean, "low": value.low, "high": value.high, "covers": value.covers}
                            for name, value in row.estimates.items()
                        },
                        "published_sdr": row.published_sdr if math.isfinite(row.published_sdr) else None,
                    }
                    for row in one.rows
                ],
            }
            for one in tables
        ]
    }
