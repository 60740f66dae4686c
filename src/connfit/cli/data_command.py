"""`connfit data list | info | fetch | make`: named datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from connfit._system.devices import check_device
from connfit._system.paths import user_path
from connfit.cli.terminal import EXIT_MISTAKE, err_console, out_console

data_app = typer.Typer(help="List, describe, download and generate named datasets.", no_args_is_help=True)

_WHERE = {"here": "yes", "partial": "in part", "absent": "no", "generated": "generated"}


@data_app.command("list")
def data_list() -> None:
    """List the named datasets."""
    from connfit.datasets.fetch import status
    from connfit.datasets.registry import DATASETS

    table = Table("name", "organism", "here", "what it is", box=None, header_style="bold")
    for name, dataset in DATASETS.items():
        table.add_row(name, dataset.organism, _WHERE[status(dataset).state], dataset.label)
    out_console.print(table)


@data_app.command("info")
def data_info(name: Annotated[str, typer.Argument(help="Name of a dataset.")]) -> None:
    """Show the organism, sizes, licence, citation and files of a dataset, and which of these are here."""
    from connfit.datasets.fetch import search_folders, size_in_words, status
    from connfit.datasets.registry import DATASETS

    dataset, here = DATASETS[name], status(name)
    downloadable = {None: "nothing is missing", True: f"yes: connfit data fetch {name}", False: "not all"}
    rows: dict[str, str | Mapping[str, object] | Sequence[object]] = {
        "name": name,
        "title": dataset.label,
        "organism": dataset.organism,
        "sizes": dataset.sizes,
        "variants": dataset.variants,
        "recordings": [f"{name}/{recording}" for recording in dataset.recordings],
        "licence": dataset.licence,
        "citation": dataset.citation,
        "doi": dataset.doi,
        "source": dataset.source,
        "bytes": str(sum(file.bytes or 0 for file in dataset.files if not file.optional)),
        "files": {
            file.path: f"{size_in_words(file.bytes)}, {file.url or 'no public address'}{', optional' * file.optional}"
            for file in dataset.files
        },
        "status": here.state,
        "found": here.found,
        "missing": here.missing,
        "downloadable": downloadable[here.downloadable],
        "searched": search_folders(name),
    }
    table = Table(show_header=False, box=None)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows.items():
        lines = [f"{inner}: {fact}" for inner, fact in value.items()] if isinstance(value, Mapping) else value
        table.add_row(key, lines if isinstance(lines, str) else "\n".join(map(str, lines)))
    out_console.print(table)


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="Name of a dataset.")],
    file: Annotated[list[str] | None, typer.Option("--file", help="Download this file only; may be repeated.")] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            parser=user_path,
            metavar="DIR",
            help="Folder like $CONNFIT_DATA, with one folder per dataset.",
            show_default="the cache",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Include optional files, which connfit does not read.")
    ] = False,
) -> None:
    """Download the missing files of a dataset and verify those that are here. Interrupted downloads resume."""
    from connfit.datasets.download_progress import shown
    from connfit.datasets.fetch import fetch, search_folders, size_in_words

    with shown(err_console) as watch:
        fetched = fetch(name, file or (), to=to, everything=everything, watch=watch)
    elsewhere = {"optional": "left out: --all or --file takes it", "failed": "see below"}
    for result in fetched:
        where = elsewhere.get(result.state, result.where)
        _say(f"{result.path}: {result.state}, {size_in_words(result.bytes)}, {where}")
    here = [result.bytes or 0 for result in fetched if result.where is not None]
    _say(f"{len(here)} {'file' if len(here) == 1 else 'files'} here, {sum(here):,} bytes")
    failed = [result for result in fetched if result.state == "failed"]
    for result in failed:
        if result.error is not None:
            err_console.print(f"connfit: {result.error}", style="red", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(EXIT_MISTAKE)
    _say_where(to, search_folders(name))


@data_app.command("make")
def data_make(
    name: Annotated[str, typer.Argument(help="Dataset to generate: fly-surrogate.")],
    scale: Annotated[float, typer.Option(help="Fraction of the fly's neurons, 0.01 to 1.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of everything that is generated.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=user_path,
            metavar="DIR",
            help="Folder like $CONNFIT_DATA, with one folder per dataset.",
            show_default="the cache",
        ),
    ] = None,
) -> None:
    """Generate the SURROGATE fly (wiring, hidden teacher, recordings), and compare it with published statistics."""
    from connfit.datasets.fetch import search_folders
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
    check_device()
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
        _say(f"({number}) {source}")
    seconds = ", ".join(f"{what} {took:g} s" for what, took in made.seconds.items())
    for line in (
        f"SURROGATE: {made.neurons:,} real neurons; {made.connections_real:,} of {made.connections:,} "
        f"connections are real, the others generated",
        f"SURROGATE recordings: {len(made.recordings)} flies, {made.frames:,} frames at "
        f"{made.frame_rate:g} Hz, {len(made.units)} regions, generated by a hidden teacher",
        f"made in {seconds}; peak memory {made.peak_memory_bytes / 1e9:.2f} GB",
        f"folder: {surrogate.folder}",
    ):
        _say(line)
    _say_where(out, search_folders(NAME))


def _say(line: str) -> None:
    out_console.print(line, highlight=False, soft_wrap=True)


def _say_where(root: Path | None, searched: Sequence[Path]) -> None:
    """Name the variable to set where files went into a folder that is not looked into."""
    if root is not None and not any(folder.is_relative_to(root) for folder in searched):
        _say(f"set CONNFIT_DATA={root} so that connfit looks there")
