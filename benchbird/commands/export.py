"""`benchbird export`: a trial's model for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click


@click.command(epilog="Example: benchbird export --trial results/birdsound/2f0c.../unet-1a2b3c4d/seed-0 --to unet.onnx")
@click.option("--trial", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of the ended trial whose model is exported.")  # fmt: skip
@click.option("--to", "output", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.onnx",
              help="The file to write; one that is there is replaced.")  # fmt: skip
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="The plugin file that the segmenter comes from, if it was one.")  # fmt: skip
def command(trial: Path, output: Path, plugins: Sequence[Path]) -> None:
    """Write a trial's model as an ONNX file.

    It takes batches of any number of pictures of the protocol's size and gives logits. How a picture is prepared
    stands in its metadata, with the trial that it comes from. Before it is kept, its logits are compared with
    PyTorch's. Needs `pip install 'benchbird[onnx]'`.
    """
    from benchbird.durable import make_folder, write_durably
    from benchbird.errors import UsageError
    from benchbird.restoration import find_trial, own_protocol, request_model, restore_model

    if output.suffix.lower() != ".onnx":
        raise UsageError(f"--to {output}: expected a name that ends in .onnx")
    found = find_trial(trial)
    protocol = own_protocol(found)
    from benchbird.onnx_export import export_onnx, onnx_metadata

    model = restore_model(request_model(found, protocol, plugin_files=tuple(plugins), device="cpu"))
    content, difference = export_onnx(model.network, protocol.image_size, onnx_metadata(found.record, protocol))
    make_folder(output.parent)
    write_durably(output, content)
    click.echo(f"wrote {output} ({len(content) / 1e6:.1f} MB); logits within {difference:.1g} of PyTorch's", err=True)
