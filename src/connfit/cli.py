"""The command line: `connfit demo | fit | resume | evaluate | report | data`."""

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
from connfit.errors import ConnfitError

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
    out: Out = None,
    epochs: Annotated[int | None, typer.Option(help="Passes through the training part, teacher-forced.")] = None,
    window: Annotated[int | None, typer.Option(help="K: steps between two changes of the parameters.")] = None,
    credit: Annotated[str | None, typer.Option(help="neuron or network.")] = None,
    carry: Annotated[str | None, typer.Option(help="trace, history or none.")] = None,
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
        "train.epochs": epochs, "learner.window": window, "learner.credit": credit, "learner.carry": carry,
        "model.drive": drive, "seed": seed,
    }  # fmt: skip
    assignments = [f"{key}={value}" for key, value in options.items() if value is not None]
    if recording:
        assignments.append(f"data.recordings={configuration.as_json(recording)}")
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
def report(folder: RunFolder) -> None:
    """Draw the figures and write report.html from a run's files."""
    from connfit.report import write_report

    with err_console.status("drawing figures"):
        path = write_report(folder)
    out_console.print(f"report: {path}", highlight=False, soft_wrap=True)


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
        table.add_row(key.replace("_", " "), str(value))
    out_console.print(table)


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
        total = sum(counts.values())
        bar.console.print(
            f"{total:,} parameters ({', '.join(f'{group} {count:,}' for group, count in counts.items() if count)}) for "
            f"{job.cohort.observations('train'):,} training observations",
            highlight=False,
            soft_wrap=True,
        )

    with bar:
        yield show, announce
