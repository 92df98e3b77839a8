"""`benchbird new`: files to begin with."""

from __future__ import annotations

from pathlib import Path

import click

KINDS = ("benchmark", "plugin")


@click.command(epilog="Example: benchbird new plugin my_net --file")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), default=Path(),
              metavar="DIR", help="Where it is written.  [default: here]")  # fmt: skip
@click.option("--file", "is_file", is_flag=True, help="A plugin as a single file, in place of a package.")
def command(kind: str, name: str, output: Path, is_file: bool) -> None:
    """Write a benchmark, or a segmenter's plugin, to begin with.

    NAME is that of the benchmark or segmenter. A plugin is a package that pip installs: pyproject with the entry point,
    one module, a test that checks benchbird's contract, README. What is there already is never replaced.
    """
    from benchbird.durable import make_folder, write_durably
    from benchbird.errors import UsageError
    from benchbird.scaffolds import benchmark_files, check_name, plugin_file, plugin_package

    check_name(name)
    if kind == "benchmark" and is_file:
        raise UsageError("--file goes with a plugin: a benchmark is a file anyway")
    files = benchmark_files(name) if kind == "benchmark" else plugin_file(name) if is_file else plugin_package(name)
    targets = {output / path: text for path, text in files.items()}
    if there := [path for path in targets if path.exists()]:
        raise UsageError(f"{there[0]}: is there already; choose another name or -o")
    for path, text in targets.items():
        make_folder(path.parent)
        write_durably(path, text.encode())
        click.echo(f"wrote {path}")
    click.echo(_next(kind, name, output, is_file), err=True)


def _next(kind: str, name: str, output: Path, is_file: bool) -> str:
    if kind == "benchmark":
        return f"next: benchbird run {output / f'{name}.yaml'} --dry-run"
    if is_file:
        file = output / f"{name}.py"
        return f"next: benchbird plugin check {file}"
    folder = output / f"benchbird-{name.replace('_', '-')}"
    return f"next: pip install -e {folder}, then benchbird plugin check {name}"
