"""The command line: `connfit demo | fit | resume | evaluate | report | simulate | data`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from connfit import __version__
from connfit import config as configuration
from connfit.errors import ConfigError, ConnfitError

if TYPE_CHECKING:
    from connfit.run import Job
    from connfit.train import Fit, Progress

app = typer.Typer(
    help="Fit whole-brain models whose wiring is a connectome to recorded activity.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Named datasets: what there is, and whether it is here.", no_args_is_help=True)
app.add_typer(data_app, name="data")

out_console = Console()
err_console = Console(stderr=True)

_WHERE = {"here": "yes", "partial": "in part", "absent": "no", "generated": "generated"}

EXIT_MISTAKE = 2
"""A user's mistake: wrong option, file or value."""
EXIT_INTERRUPTED = 130

Out = Annotated[Path | None, typer.Option("--out", help="Folder of the run.", show_default="runs/<dataset>")]
Setting = Annotated[
    list[str] | None, typer.Option("--set", help="Any option of the configuration, as section.key=value.")
]
RunFolder = Annotated[Path, typer.Argument(help="Folder of a run.", metavar="DIR")]


def main() -> None:
    """Entry point: one line instead of a traceback for a user's mistake."""
    try:
        app()
    except ConnfitError as error:
        err_console.print(f"connfit: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(EXIT_MISTAKE) from None


def _version(wanted: bool) -> None:
    if wanted:
        out_console.print(f"connfit {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Fit whole-brain models whose wiring is a connectome to recorded activity."""


@app.command()
def demo(out: Out = None, setting: Setting = None) -> None:
    """Fit a small SURROGATE brain (2,000 neurons, 20 regions, a hidden teacher), then evaluate and report."""
    config = configuration.override(dataset_config("demo", ["all"]), setting or [])
    _fit_and_report(config, out or _free_folder("demo"))


@app.command()
def fit(
    source: Annotated[
        str, typer.Argument(help="Name of a dataset, or a configuration file (TOML or JSON).", metavar="DATASET|CONFIG")
    ],
    recording: Annotated[
        list[str] | None, typer.Option(help="Recording of the dataset, or all; may be repeated.")
    ] = None,
    held_out: Annotated[
        list[str] | None, typer.Option(help="Recording that is not trained on, only scored; may be repeated.")
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Share of the surrogate's neurons, 0 to 1 (fly-surrogate).")
    ] = None,
    out: Out = None,
    epochs: Annotated[int | None, typer.Option(help="Passes through the training part, teacher-forced.")] = None,
    window: Annotated[int | None, typer.Option(help="K: steps between two changes of the parameters.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="d-rtrl, hybrid, tbptt, pp-prop or bptt: sets credit and carry.")
    ] = None,
    credit: Annotated[str | None, typer.Option(help="neuron or network.")] = None,
    carry: Annotated[str | None, typer.Option(help="trace, factorised, history or none.")] = None,
    drive: Annotated[str | None, typer.Option(help="dense, anatomical or none.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is random.")] = None,
    setting: Setting = None,
) -> None:
    """Fit a model, evaluate it and write a report."""
    if Path(source).suffix in (".toml", ".json"):
        config, name = configuration.read(source), Path(source).stem
    else:
        config, name = dataset_config(source), source
    options: dict[str, Any] = {
        "train.epochs": epochs, "learner.window": window, "learner.preset": preset, "learner.credit": credit,
        "learner.carry": carry, "model.drive": drive, "seed": seed, "data.scale": scale,
    }  # fmt: skip
    assignments = [f"{key}={value}" for key, value in options.items() if value is not None]
    if recording:
        assignments.append(f"data.recordings={configuration.as_json(recording)}")
    if held_out:
        assignments.append(f"data.held_out={configuration.as_json(held_out)}")
    config = configuration.override(config, [*assignments, *(setting or [])])
    _fit_and_report(config, out or _free_folder(name))


@app.command()
def resume(folder: RunFolder) -> None:
    """Go on with an interrupted fit from its last checkpoint."""
    from connfit import run

    with _interruptible(folder), _progress() as (show, announce):
        fitted = run.resume(folder, on_progress=show, on_prepared=announce)
    _evaluate_and_report(fitted, folder)


@app.command()
def evaluate(folder: RunFolder) -> None:
    """Evaluate a finished fit again, against its baselines."""
    from connfit import run

    _evaluate_and_report(run.load_fit(folder), folder)


@app.command()
def compare(
    folder: RunFolder,
    null: Annotated[
        list[Path], typer.Argument(help="Runs of the same fit with --set data.null=NAME.", metavar="NULL...")
    ],
) -> None:
    """Put runs on null connectomes beside a run on the real one, in its table and report."""
    from connfit.evaluation_run import compare_with_nulls
    from connfit.report import print_table, write_report

    metrics = compare_with_nulls(folder, null)
    print_table(metrics, out_console)
    out_console.print(f"report: {write_report(folder)}", highlight=False, soft_wrap=True)


@app.command()
def report(folder: RunFolder) -> None:
    """Draw the figures and write report.html from a run's files."""
    from connfit.report import write_report

    with err_console.status("drawing figures"):
        path = write_report(folder)
    out_console.print(f"report: {path}", highlight=False, soft_wrap=True)


@app.command()
def gradcheck(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder of a run, name of a dataset, or a configuration file.", metavar="DIR|DATASET|CONFIG"
        ),
    ],
    frames: Annotated[int, typer.Option(help="Length of a segment; BPTT keeps all of it in memory.")] = 200,
    segments: Annotated[int, typer.Option(help="Segments of the training parts to average over.")] = 8,
    window: Annotated[
        list[int] | None, typer.Option(help="K to compare; may be repeated.", show_default="1, 4, 16, 64")
    ] = None,
    epochs: Annotated[
        int, typer.Option(help="Epochs of a fit before the second measurement, where DIR holds none; 0: only one.")
    ] = 20,
    free_run: Annotated[
        bool, typer.Option("--free-run", help="Segments as in the free-running phase of a fit.")
    ] = False,
    curves: Annotated[int, typer.Option(help="Also fit with each rule for so many epochs: learning curves.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to.", show_default="DIR or runs/gradcheck-<name>")
    ] = None,
    setting: Setting = None,
) -> None:
    """Compare the gradients of all learning rules with backpropagation through time, on your model and data."""
    from connfit import gradcheck as checking
    from connfit import run
    from connfit.report.gradient_figure import print_fidelity

    folder = Path(source)
    with err_console.status("reading") as status:
        if (folder / "config.json").exists():
            if setting:
                raise ConfigError(
                    "--set changes nothing in a run that has been made: leave it out, or give its dataset"
                )
            job, fitted = checking.job_of_run(folder)
        else:
            config = configuration.read(source) if folder.suffix in (".toml", ".json") else dataset_config(source)
            job, fitted = run.prepare(configuration.override(config, setting or [])), None
            folder = Path("runs", f"gradcheck-{folder.stem if folder.suffix else source}")
        record = checking.check_gradients(
            job, out or folder, fitted=fitted, epochs=epochs, frames=frames, segments=segments, windows=window,
            free_run=free_run, curve_epochs=curves, on_progress=lambda text: status.update(text),
        )  # fmt: skip
    print_fidelity(record, out_console)
    out_console.print(f"\nwritten to {out or folder}", highlight=False, soft_wrap=True)


@app.command()
def simulate(
    folder: RunFolder,
    stimulate: Annotated[
        list[str] | None,
        typer.Option(
            help="Hold neurons at a rate in units of the recording, as type:LB3=1.5; may be repeated.",
            metavar="SET=RATE",
        ),
    ] = None,
    silence: Annotated[
        list[str] | None, typer.Option(help="Hold neurons at 0, as region:GNG_L; may be repeated.", metavar="SET")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Length of the simulation, from the onset on.")] = 30.0,
    readout: Annotated[
        list[str] | None,
        typer.Option(
            help="Also follow the mean rate of these neurons, beside all units; may be repeated.", metavar="SET"
        ),
    ] = None,
    drive: Annotated[
        str,
        typer.Option(help="own: the model sees its own predictions; mean: units show their training mean; none."),
    ] = "own",
    name: Annotated[
        str | None, typer.Option(help="Folder within DIR/simulations.", show_default="what is done")
    ] = None,
) -> None:
    """Stimulate or silence neurons of a fitted model, and compare with the same model left alone.

    A SET is id:ID, type:NAME, region:NAME, any other column of the neuron table, or file:PATH with a list of ids.
    """
    from connfit.perturbation_run import Experiment, run_experiment
    from connfit.report.perturbation_figure import print_perturbation

    experiment = Experiment(tuple(stimulate or ()), tuple(silence or ()), tuple(readout or ()), seconds, drive)
    with err_console.status("simulating"):
        record, out = run_experiment(folder, experiment, name=name)
    print_perturbation(record, out_console)
    out_console.print(f"written to {out}", highlight=False, soft_wrap=True)


@data_app.command("list")
def data_list() -> None:
    """Datasets by name."""
    from connfit.data.registry import DATASETS, status

    table = Table("name", "organism", "here", "what it is", box=None, header_style="bold")
    for name, dataset in DATASETS.items():
        table.add_row(name, dataset.organism, _WHERE[status(name).state], dataset.title)
    out_console.print(table)


@data_app.command("info")
def data_info(name: Annotated[str, typer.Argument(help="Name of a dataset.")]) -> None:
    """Organism, sizes, licence, citation, files, and whether they are here."""
    from connfit.data.registry import info

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
    file: Annotated[
        list[str] | None, typer.Option("--file", help="Only this file of the dataset; may be repeated.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Folder like $CONNFIT_DATA, with one folder per dataset.", show_default="the cache"),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also optional files, which connfit does not read.")
    ] = False,
) -> None:
    """Download the absent files of a dataset, and verify those that are here. Interrupted downloads go on."""
    from connfit.data.download_progress import shown
    from connfit.data.fetch import fetch
    from connfit.data.registry import search_folders

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
    name: Annotated[str, typer.Argument(help="Name of a dataset that is generated: fly-surrogate.")],
    scale: Annotated[float, typer.Option(help="Fraction of the fly's neurons, 0.01 to 1.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of everything that is generated.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder like $CONNFIT_DATA, with one folder per dataset.", show_default="the cache"),
    ] = None,
) -> None:
    """Make the SURROGATE fly brain: wiring, hidden teacher and recordings, beside the published statistics."""
    from connfit.data.fly_surrogate import NAME, expected_time, find_fly_surrogate, make_fly_surrogate, making_progress
    from connfit.data.fly_surrogate_statistics import statistics_table
    from connfit.data.registry import search_folders
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


def dataset_config(name: str, recordings: list[str] | None = None) -> configuration.Config:
    """The default configuration of a named dataset, with the options that suit it.

    Raises
    ------
    ConfigError
        If there is no such dataset; names the nearest.
    """
    from connfit.data.registry import get_dataset

    dataset = get_dataset(name)
    config = configuration.from_dict({"data": {"dataset": name, "recordings": recordings or []}})
    return configuration.override(
        config, [f"{key}={configuration.as_json(value)}" for key, value in dataset.fit.items()]
    )


def _free_folder(name: str) -> Path:
    """`runs/<name>`, or the first of `runs/<name>-2`, `-3`, ... that holds no run yet."""
    folder, number = Path("runs", name), 1
    while (folder / "config.json").exists():
        number += 1
        folder = Path("runs", f"{name}-{number}")
    return folder


def _fit_and_report(config: configuration.Config, out: Path) -> None:
    from connfit import run

    with _interruptible(out), _progress() as (show, announce):
        command = shlex.join(["connfit", *sys.argv[1:]])
        fitted = run.start(config, out, command=command, on_progress=show, on_prepared=announce)
    _evaluate_and_report(fitted, out)


def _evaluate_and_report(fitted: Fit, out: Path) -> None:
    from connfit.evaluation_run import evaluate_run
    from connfit.report import print_table, write_report

    with err_console.status("evaluating against baselines"):
        metrics = evaluate_run(fitted, out)
    print_table(metrics, out_console)
    with err_console.status("drawing figures"):
        path = write_report(out)
    out_console.print(f"\nrun directory: {out}\nreport: {path}", highlight=False, soft_wrap=True)


@contextmanager
def _interruptible(folder: Path) -> Iterator[None]:
    """Say how to go on after an interrupt from the keyboard (which typer would end without a word)."""
    try:
        yield
    except KeyboardInterrupt:
        hint = f"; go on with `connfit resume {folder}`" if (folder / "config.json").exists() else ""
        err_console.print(f"connfit: interrupted{hint}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


@contextmanager
def _progress() -> Iterator[tuple[Callable[[Progress], None], Callable[[Job], None]]]:
    """A bar with loss, validation skill, ms per step and time left; without a terminal, a line now and then."""
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        console=err_console, disable=not err_console.is_terminal,
    )  # fmt: skip
    task = bar.add_task("preparing", total=None, state="")
    spoken: set[tuple[str, int]] = set()

    def show(now: Progress) -> None:
        skill = "–" if now.validation_skill is None else f"{now.validation_skill:+.3f}"
        state = f"loss {now.loss:.4g}  validation skill {skill}  {now.ms_per_step:.3g} ms/step"
        done = now.epoch + now.window / now.windows
        bar.update(
            task,
            description=f"{now.phase} epoch {now.epoch + 1}/{now.epochs}",
            total=now.epochs,
            completed=done,
            state=state,
        )
        tenth = (now.phase, 10 * now.epoch // max(now.epochs, 1))
        if not err_console.is_terminal and tenth not in spoken and now.window == now.windows:
            spoken.add(tenth)
            err_console.print(f"{now.phase} epoch {now.epoch + 1}/{now.epochs}  {state}", highlight=False)

    def announce(job: Job) -> None:
        brain, counts = job.connectome, job.parameter_counts()
        surrogate = "SURROGATE " if brain.notes.get("surrogate") else ""
        bar.console.print(
            f"{surrogate}{brain.name}: {brain.n:,} neurons, {brain.m:,} connections; "
            f"{len(job.cohort.recordings)} recordings, {len(job.cohort.units)} units",
            highlight=False,
            soft_wrap=True,
        )
        for name, match in job.matches.items():
            bar.console.print(f"{name}: {match.report()}", highlight=False, soft_wrap=True)
        for caution in job.cautions():
            bar.console.print(f"caution: {caution}", style="yellow", highlight=False, soft_wrap=True)
        bar.console.print(job.memory().report(), highlight=False, soft_wrap=True)
        total = sum(counts.values())
        bar.console.print(
            f"{total:,} parameters ({', '.join(f'{group} {count:,}' for group, count in counts.items() if count)}) for "
            f"{job.cohort.observations('train'):,} training observations",
            highlight=False,
            soft_wrap=True,
        )

    with bar:
        yield show, announce
