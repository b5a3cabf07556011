"""``edgeseg models``: what is shipped, and what can be trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgeseg.errors import ModelError

if TYPE_CHECKING:
    from edgeseg.spec import ModelSpec

EXAMPLES = """
edgeseg models
edgeseg models --networks
edgeseg run street.mp4 --model fast_scnn-camvid
"""


def models(
    networks: Annotated[
        bool, typer.Option("--networks", help="List the networks that edgeseg train can make instead.")
    ] = False,
) -> None:
    """List the models that come with edgeseg, with their size, accuracy and licence."""
    if networks:
        _show_networks()
        return
    from rich.console import Console
    from rich.table import Table

    from edgeseg.artifact.onnx import read_spec
    from edgeseg.weights import default_model, shipped

    found = shipped()
    if not found:
        raise ModelError("no trained models are installed", "Install edgeseg again, or train one: edgeseg train")
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")  # fits 80 columns
    table.add_column("model", no_wrap=True)
    for heading in ("classes", "input", "params M", "GMACs", "mIoU %", "MB"):
        table.add_column(heading, justify="right")
    table.add_column("licence", overflow="fold")
    for model in found:
        spec = read_spec(model.path)
        table.add_row(
            model.name,
            str(spec.num_classes),
            f"{spec.input_size[1]}x{spec.input_size[0]}",
            _metric(spec, "parameters", 1e-6, 2),
            _metric(spec, "macs", 1e-9, 2),
            _metric(spec, "val_miou", 100, 1),
            f"{model.path.stat().st_size / 1e6:.1f}",
            spec.license or "not stated",
        )
    console = Console(highlight=False)
    console.print(table)
    console.print("\nmIoU is that of the validation split.")
    console.print(f"The default on this machine is {default_model()}.")


def _show_networks() -> None:
    import torch
    from rich.console import Console
    from rich.table import Table

    from edgeseg.models.network import count_macs, count_parameters
    from edgeseg.models.registry import arguments_of, build, network_names

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("network", no_wrap=True)
    for heading in ("params M", "GMACs", "stride"):
        table.add_column(heading, justify="right")
    table.add_column("made with", overflow="fold")
    for name in network_names():
        with torch.device("meta"):  # shapes are enough
            network = build(name, 19)
        args = ", ".join(f"{key}={value}" for key, value in arguments_of(name).items())
        figures = (f"{count_parameters(network) / 1e6:.2f}", f"{count_macs(network, (512, 1024)) / 1e9:.2f}")
        table.add_row(name, *figures, str(network.stride), args)
    console = Console(highlight=False)
    console.print(table)
    console.print("\nOf 19 classes at 1024x512. Train one: edgeseg train --network NAME [--network-args KEY=VALUE,...]")


def _metric(spec: ModelSpec, name: str, scale: float, decimals: int) -> str:
    value = spec.metrics.get(name)
    return "-" if value is None else f"{value * scale:.{decimals}f}"
