"""`connfit data list | info | fetch | make`: named datasets."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from connfit.cli.terminal import EXIT_INTERRUPTED, EXIT_MISTAKE, err_console, out_console

data_app = typer.Typer(help="List, describe, download and generate named datasets.", no_args_is_help=True)

_WHERE = {"here": "yes", "partial": "in part", "absent": "no", "generated": "generated"}


@data_app.command("list")
def data_list() -> None:
    """List the named datasets."""
    from connfit.datasets.registry import DATASETS, status

    table = Table("name", "organism", "here", "what it is", box=None, header_style="bold")
    for name, dataset in DATASETS.items():
        table.add_row(name, dataset.organism, _WHERE[status(name).state], dataset.title)
    out_console.print(table)


@data_app.command("info")
def data_info(name: Annotated[str, typer.Argument(help="Name of a dataset.")]) -> None:
    """Show the organism, sizes, licence, citation and files of a dataset, and which of these are here."""
    from connfit.datasets.registry import info

    table = Table(show_header=False, box=None)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in info(name).items():
        if isinstance(value, (list, tuple)):
            value = "\n".join(str(one) for one in value)
        elif isinstance(value, dict):
            value = "\n".join(f"{inner}: {one}" for inner, one in value.items())
        elif key == "downloadable":
            value = {None: "nothing is missing", True: f"yes: connfit data fetch {name}", False: "not all"}[value]
        table.add_row(key.replace("_", " "), str(value))
    out_console.print(table)


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="Name of a dataset.")],
    file: Annotated[list[str] | None, typer.Option("--file", help="Download this file only; may be repeated.")] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Folder like $CONNFIT_DATA, with one folder per dataset.", show_default="the cache"),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Include optional files, which connfit does not read.")
    ] = False,
) -> None:
    """Download the missing files of a dataset and verify those that are here. Interrupted downloads resume."""
    from connfit.datasets.download_progress import shown
    from connfit.datasets.fetch import fetch
    from connfit.datasets.registry import search_folders

    try:
        with shown(err_console) as watch:
            files = fetch(name, file or (), to=to, everything=everything, watch=watch)
    except KeyboardInterrupt:
        err_console.print(
            f"connfit: interrupted; what was received is kept, go on with `{shlex.join(['connfit', *sys.argv[1:]])}`",
            style="red", markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
        raise typer.Exit(EXIT_INTERRUPTED) from None
    for one in files:
        size = "size not known" if one.bytes is None else f"{one.bytes:,} bytes"
        where = (
            "left out: --all or --file takes it"
            if one.state == "optional"
            else one.where or ("see below" if one.state == "failed" else "not here")
        )
        out_console.print(f"{one.path}: {one.state}, {size}, {where}", markup=False, highlight=False, soft_wrap=True)
    here = [one for one in files if one.where is not None]
    out_console.print(
        f"{len(here)} {'file' if len(here) == 1 else 'files'} here, {sum(one.bytes or 0 for one in here):,} bytes",
        highlight=False,
    )
    failed = [one for one in files if one.state == "failed"]
    for one in failed:
        if one.error is not None:
            err_console.print(f"connfit: {one.error}", style="red", markup=False, highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(EXIT_MISTAKE)
    if to is not None and not any(folder.is_relative_to(to.expanduser()) for folder in search_folders(name)):
        out_console.print(f"set CONNFIT_DATA={to} so that connfit looks there", highlight=False, soft_wrap=True)


@data_app.command("make")
def data_make(
    name: Annotated[str, typer.Argument(help="Dataset to generate: fly-surrogate.")],
    scale: Annotated[float, typer.Option(help="Fraction of the fly's neurons, 0.01 to 1.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of everything that is generated.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder like $CONNFIT_DATA, with one folder per dataset.", show_default="the cache"),
    ] = None,
) -> None:
    """Generate the SURROGATE fly (wiring, hidden teacher, recordings), and compare it with published statistics."""
    from connfit.datasets.registry import search_folders
    from connfit.datasets.synthetic.fly.fly_statistics import statistics_table
    from connfit.datasets.synthetic.fly.fly_surrogate import (
        NAME,
        expected_time,
        find_fly_surrogate,
        make_fly_surrogate,
        making_progress,
    )
    from connfit.errors import one_of

    one_of("dataset to make", name, [NAME])
    if find_fly_surrogate(scale, seed, out) is None:
        err_console.print(
            f"making the SURROGATE fly brain, scale {scale:g}, seed {seed}: {expected_time(scale)} on two cores",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    with making_progress() as progress:
        surrogate = make_fly_surrogate(scale, seed, out, progress=progress)
    made = surrogate.made
    rows = statistics_table(surrogate.statistics())
    sources = list(dict.fromkeys(row.source for row in rows if row.source))
    table = Table("SURROGATE wiring", "real part", "generated", "whole", "published, whole brain", box=None)
    for row in rows:
        published = f"{row.literature} ({sources.index(row.source) + 1})" if row.source else row.literature
        table.add_row(row.quantity, row.real, row.generated, row.whole, published)
    out_console.print(table)
    for number, source in enumerate(sources, 1):
        out_console.print(f"({number}) {source}", highlight=False, soft_wrap=True)
    seconds = ", ".join(f"{what} {took:g} s" for what, took in made["seconds"].items())
    for line in (
        f"SURROGATE: {made['neurons']:,} real neurons; {made['connections_real']:,} of {made['connections']:,} "
        f"connections are real, the others generated",
        f"SURROGATE recordings: {len(made['recordings'])} flies, {made['frames']:,} frames at "
        f"{made['frame_rate']:g} Hz, {len(made['units'])} regions, generated by a hidden teacher",
        f"made in {seconds}; peak memory {made['peak_memory_bytes'] / 1e9:.2f} GB",
        f"folder: {surrogate.folder}",
    ):
        out_console.print(line, highlight=False, markup=False, soft_wrap=True)
    if out is not None and not any(folder.is_relative_to(out.expanduser()) for folder in search_folders(NAME)):
        out_console.print(f"set CONNFIT_DATA={out} so that connfit looks there", highlight=False, soft_wrap=True)
