"""``edgeseg models``: what is shipped, and what can be trained."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeseg.cli.open_model import Threads
from edgeseg.errors import EdgesegError, InputError, MissingDependencyError, ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from edgeseg.models.figures import NetworkFigures
    from edgeseg.models.receptive_field import ReceptiveField
    from edgeseg.spec import ModelSpec
    from edgeseg.weights import ShippedModel
    from edgeseg_export.timing import NetworkTimes

    Shipped = tuple[ShippedModel, str | None, ModelSpec]

EXAMPLES = """
edgeseg models
edgeseg models --measure
edgeseg models --all --size 480x360
edgeseg models fast_scnn enet --measure --threads 1
edgeseg run 'photos/*.jpg' --model people
"""

_DEFAULT = ", which is the default"

_SIZE, _CLASSES = "1024x512", 19

_LEGEND = """\
MB: what activations take at once, at the most, in float32. sees: what of the picture reaches a logit; with a +, all of
it as well, by pooling or attention. Trunk weights in brackets are in packages that are not installed.
Train one: edgeseg train --network NAME [--network-args KEY=VALUE,...]"""


def models(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NETWORK]...", help="Networks that edgeseg train can make.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", "--networks", help="List all networks that edgeseg train can make.")
    ] = False,
    size: Annotated[str | None, typer.Option(metavar="WxH", help=f"Of their pictures \\[default: {_SIZE}].")] = None,
    classes: Annotated[int | None, typer.Option(help=f"That they tell apart \\[default: {_CLASSES}].")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time each of them here by ONNX Runtime; networks in fp32 and in INT8.")
    ] = False,
    threads: Threads = None,
    json: Annotated[bool, typer.Option("--json", help="Print what is known of them as JSON.")] = False,
) -> None:
    """List the models that come trained, by what they see, with their size, accuracy, licence and, measured, ms here.

    Or networks, by name or --all of them, with what they cost at a size:
    parameters, multiply-accumulates, the memory that their activations take
    at once, and what each logit sees of the picture.
    """
    if not names and not every:
        if size is not None or classes is not None:
            raise InputError("--size and --classes are of networks", "Name some, or pass --all")
        _show_shipped(measure, threads, json)
        return
    input_size = _size(size or _SIZE)
    rows = _figures([] if every else names or [], _CLASSES if classes is None else classes, input_size)
    times = _times(rows, threads) if measure else {}
    if json:
        _print_json(rows, times)
    else:
        _print_networks(rows, times)


def _size(text: str) -> tuple[int, int]:
    """(height, width) of WxH."""
    if not (found := re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)):
        raise InputError(f"--size is {text!r:.40}", "Give a width and a height in pixels, as 480x360")
    return int(found[2]), int(found[1])


def _figures(names: Sequence[str], num_classes: int, size: tuple[int, int]) -> list[NetworkFigures]:
    """Of networks by name; of all that can take the size, where none is named."""
    from edgeseg.models.figures import figures_of
    from edgeseg.models.registry import network_names

    if names:
        return [figures_of(name, num_classes, size) for name in names]
    rows = []
    for name in network_names():
        try:
            rows.append(figures_of(name, num_classes, size))
        except InputError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return rows


def _times(rows: Sequence[NetworkFigures], threads: int | None) -> dict[str, NetworkTimes]:
    """Of those that can be measured; why others cannot is said on stderr."""
    from edgeseg.cli.progress import show_progress
    from edgeseg_export.timing import time_network

    times: dict[str, NetworkTimes] = {}
    for row in show_progress(rows, "measuring"):
        try:
            times[row.name] = time_network(row.name, row.num_classes, row.input_size, threads=threads)
        except MissingDependencyError as error:
            print(f"nothing is measured: {error}", file=sys.stderr)
            break
        except EdgesegError as error:
            print(f"{row.name} is not measured: {error}", file=sys.stderr)
            continue
        if times[row.name].not_int8:
            print(f"{row.name} is not measured in INT8: {times[row.name].not_int8}", file=sys.stderr)
    return times


def _print_json(rows: Sequence[NetworkFigures], times: dict[str, NetworkTimes]) -> None:
    from dataclasses import asdict

    from rich.console import Console

    from edgeseg.train.pretrained import packages_with

    listed = []
    for row in rows:
        field = row.receptive_field
        entry: dict[str, Any] = {**asdict(row), "receptive_field": None if field is None else field._asdict()}
        entry["trunk_weights"] = packages_with(row.backbone) if row.backbone else {}
        if row.name in times:
            entry |= asdict(times[row.name])
        listed.append(entry)
    Console().print_json(data=listed, default=str)


def _print_networks(rows: Sequence[NetworkFigures], times: dict[str, NetworkTimes]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("network", no_wrap=True)
    timed = ("fp32 ms", "INT8 ms") if times else ()
    for heading in ("year", "params M", "GMACs", "MB", "stride", "sees px", *timed):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("paper", "trunk weights", "made with"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        took = times.get(row.name)
        table.add_row(
            row.name,
            str(row.year or "-"),
            f"{row.parameters / 1e6:.2f}",
            f"{row.macs / 1e9:.2f}",
            f"{row.peak_activation_bytes / 1e6:.1f}",
            str(row.stride),
            _seen(row.receptive_field),
            *((_ms(took.fp32_ms if took else None), _ms(took.int8_ms if took else None)) if times else ()),
            row.paper or "-",
            _weights_of(row.backbone),
            ", ".join(f"{key}={value}" for key, value in row.args.items()),
        )
    console = _print_whole(table)
    if rows:
        height, width = rows[0].input_size
        console.print(f"\nOf {rows[0].num_classes} classes at {width}x{height}.\n{_LEGEND}")


def _print_whole(table: Table) -> Console:
    """Lines that go on below on a narrow terminal are better than columns of words cut up."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.width = console.measure(table, options=console.options.update(max_width=1000)).maximum
    console.print(table)
    return console


def _seen(field: ReceptiveField | None) -> str:
    if field is None:
        return "?"
    size = str(field.height) if field.height == field.width else f"{field.width}x{field.height}"
    return f"{size} +" if field.whole else size


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _weights_of(backbone: str | None) -> str:
    """The package that a training would take them from; in brackets those of which none is installed."""
    from edgeseg.train.pretrained import packages_with

    if backbone is None:
        return "-"
    packages = packages_with(backbone)
    if at_hand := [package for package, is_installed in packages.items() if is_installed]:
        return f"{backbone}: {at_hand[0]}"
    return f"{backbone}: ({' or '.join(packages)})" if packages else f"{backbone}: none"


def _show_shipped(measure: bool, threads: int | None, json: bool) -> None:
    from edgeseg.artifact.onnx import read_spec
    from edgeseg.runtime.real_time import time_model
    from edgeseg.weights import TASKS, shipped, task_of

    rows = [(model, task_of(model.name), read_spec(model.path)) for model in shipped()]
    if not rows:
        raise ModelError("no trained models are installed", "Install edgeseg again, or train one: edgeseg train")
    order = [*TASKS, None]
    rows.sort(key=lambda row: order.index(row[1]))
    times = {model.name: time_model(model.name, threads) for model, _, _ in rows} if measure else {}
    if json:
        _print_shipped_json(rows, times)
    else:
        _print_shipped(rows, times, threads)


def _print_shipped_json(rows: Sequence[Shipped], times: dict[str, float]) -> None:
    from rich.console import Console

    listed = []
    for model, task, spec in rows:
        entry: dict[str, Any] = {"name": model.name, "task": task, "path": str(model.path), "card": str(model.card)}
        entry |= {"network": spec.network, "class_names": spec.class_names, "input_size": spec.input_size}
        entry |= {"precision": spec.precision, "license": spec.license, "data": spec.data, "metrics": spec.metrics}
        entry["bytes"] = model.path.stat().st_size
        listed.append(entry | ({"ms": times[model.name]} if times else {}))
    Console().print_json(data=listed)


def _print_shipped(rows: Sequence[Shipped], times: dict[str, float], threads: int | None) -> None:
    from rich.table import Table

    from edgeseg.runtime.choose import choose
    from edgeseg.weights import DEFAULT_TASK

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("for", no_wrap=True)
    for heading in ("classes", "input", "params M", "GMACs", "mIoU %", "MB", *(["ms here"] if times else [])):
        table.add_column(heading, justify="right")
    table.add_column("licence", no_wrap=True)
    for model, task, spec in rows:
        table.add_row(
            model.name,
            task or "-",
            str(spec.num_classes),
            f"{spec.input_size[1]}x{spec.input_size[0]}",
            _metric(spec, "parameters", 1e-6, 2),
            _metric(spec, "macs", 1e-9, 2),
            _metric(spec, "val_miou", 100, 1),
            f"{model.path.stat().st_size / 1e6:.1f}",
            *([_ms(times[model.name])] if times else []),
            spec.license or "not stated",
        )
    console = _print_whole(table)
    console.print("\nmIoU is that of the validation split.")
    for task in dict.fromkeys(task for _, task, _ in rows if task):
        name = choose(task, threads=threads).path.stem
        console.print(f"--model {task} is {name} on this machine{_DEFAULT if task == DEFAULT_TASK else ''}.")


def _metric(spec: ModelSpec, name: str, scale: float, decimals: int) -> str:
    value = spec.metrics.get(name)
    return "-" if value is None else f"{value * scale:.{decimals}f}"
