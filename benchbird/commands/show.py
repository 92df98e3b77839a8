"""`benchbird show`: samples of a data set with their masks, as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from benchbird.contract import AnySample


@click.command(epilog="Example: benchbird show my-recordings --split train -o sheet.png")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=Path("sheet.png"),
              show_default=True, metavar="FILE.png", help="Where the picture is written.")  # fmt: skip
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="train", show_default=True,
              help="Which samples.")  # fmt: skip
@click.option("--number", type=click.IntRange(1, 300), metavar="N", default=24, show_default=True,
              help="Most samples, drawn without looking at them.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another draws others.")
@click.option("--profile", metavar="NAME", help="A profile of the benchmark.  [default: full]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As for run. Can be repeated.")
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="Also load this plugin file. Can be repeated.")  # fmt: skip
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR",
              help="Where prepared data are kept.  [default: as for run]")  # fmt: skip
def command(
    target: Path,
    output: Path,
    split: str,
    number: int,
    seed: int,
    profile: str | None,
    overrides: tuple[str, ...],
    plugins: tuple[Path, ...],
    cache: Path | None,
) -> None:
    """Draw samples with their masks, to see whether they fit.

    TARGET is a data root, or a benchmark's YAML, whose data are taken with their profile, subset and rendering. Each
    sample is drawn as its image, brightened, and once more with its mask in colour over it.
    """
    from benchbird.data.contact_sheet import contact_sheet, draw_samples
    from benchbird.durable import make_folder, write_durably
    from benchbird.errors import DataError, UsageError
    from benchbird.results import BENCHMARK_SUFFIXES

    if target.suffix.lower() in BENCHMARK_SUFFIXES:
        samples = _of_benchmark(target, split, profile, overrides, plugins, cache)
    elif profile is not None or overrides:
        raise UsageError(f"{target}: --profile and --set go with a benchmark's YAML, not with a folder")
    else:
        from benchbird.data import birdsound

        samples = birdsound.find(target, {})[split]
    if not samples:
        raise DataError(f"{target}: no samples in the split {split}")
    drawn = draw_samples(samples, number, seed)
    stream = io.BytesIO()
    contact_sheet(drawn).save(stream, "PNG", optimize=True)
    make_folder(output.parent)
    write_durably(output, stream.getvalue())
    click.echo(f"wrote {output}: {len(drawn)} of {len(samples)} samples of {split}", err=True)


def _of_benchmark(
    benchmark: Path,
    split: str,
    profile: str | None,
    overrides: tuple[str, ...],
    plugins: tuple[Path, ...],
    cache: Path | None,
) -> Sequence[AnySample]:
    from benchbird.cache_folder import cache_folder
    from benchbird.config.schema import FULL
    from benchbird.reproduction import Sources, find_material

    sources = Sources(benchmark=benchmark, profile=profile, overrides=overrides, plugin_files=plugins,
                      cache=cache_folder(cache), device="cpu", tolerance=0.0)  # fmt: skip
    return find_material(sources, profile or FULL, 0).data.splits[split]
