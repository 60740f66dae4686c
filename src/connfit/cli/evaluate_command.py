"""`connfit evaluate | compare | report`: scores of finished runs, and their pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connfit._system.heap import peak_rss_bytes
from connfit._system.paths import user_path
from connfit._system.stages import measured_stages, stage, stages_so_far, told
from connfit.cli.terminal import RunFolder, Setting, draw_again, err_console, out_console, study_progress
from connfit.errors import ConfigError

if TYPE_CHECKING:
    from connfit.evaluation.study.run_study import StudyOptions
    from connfit.training.fitted import Fit


def evaluate(
    folder: RunFolder,
    full: Annotated[
        bool, typer.Option("--full", help="Also fit null connectomes, ablations and baselines over several seeds.")
    ] = False,
    seeds: Annotated[int, typer.Option(help="With --full: seeds of each row.")] = 3,
    rows: Annotated[
        list[str] | None,
        typer.Option(help="With --full: only this row; may be repeated. Beside ablations there are {rows}."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="With --full: fits at once.", show_default="one per core, as memory allows")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="With --full: address or file of a scheduler of dask, on whose workers the fits run."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="With --full: teacher-forced passes of every row.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --full: show the rows and about how long they take.")
    ] = False,
    setting: Setting = None,
) -> None:
    """Evaluate a finished fit again, against its baselines; with --full a study of whether it can be believed."""
    from connfit.evaluation.study.run_study import StudyOptions
    from connfit.training import runs

    if full:
        settings = [*([] if epochs is None else [f"train.epochs={epochs}"]), *(setting or [])]
        _study(folder, StudyOptions(seeds, tuple(rows or ()), jobs, tuple(settings), scheduler), dry_run)
        return
    studies = (rows, "--rows"), (jobs, "--jobs"), (scheduler, "--scheduler"), (epochs, "--epochs"), (setting, "--set")
    for given, name in studies:
        if given:
            raise ConfigError(f"{name} belongs to a study: give --full too (a fit keeps its own options)")
    if dry_run:
        raise ConfigError("--dry-run belongs to a study: give --full too")
    with measured_stages():
        evaluate_and_report(runs.load_fit(folder), folder)


def _study(folder: Path, options: StudyOptions, dry_run: bool) -> None:
    from connfit.evaluation.study.run_study import plan_study, run_study
    from connfit.report import write_report
    from connfit.report.console_study import print_plan, print_study
    from connfit.training import runs

    if dry_run:
        with err_console.status("reading"):
            plan = plan_study(folder, options)
        print_plan(plan, out_console)
        return
    if not (folder / "metrics.json").exists():
        evaluate_and_report(runs.load_fit(folder), folder)
    with study_progress() as show:
        study = run_study(folder, options, on_progress=show)
    print_study(study, out_console)
    with err_console.status("drawing figures"):
        path = write_report(folder)
    out_console.print(f"\nstudy: {folder / 'study' / 'study.json'}\nreport: {path}", highlight=False, soft_wrap=True)


def compare(
    folder: RunFolder,
    others: Annotated[
        list[Path],
        typer.Argument(
            parser=user_path, metavar="RUN...", help="Another run; or runs of the same fit with --null NAME: {nulls}."
        ),
    ],
) -> None:
    """Compare two runs; or put runs on null connectomes beside one on the real one, in its table and report."""
    from connfit.evaluation.compare_runs import RunComparison, compare_with
    from connfit.report import print_table
    from connfit.report.console_compare import print_comparison

    with err_console.status("comparing"):
        found = compare_with(folder, others)
    if isinstance(found, RunComparison):
        print_comparison(found, out_console)
        return
    print_table(found, out_console, config=_options(folder))
    draw_again(folder)


def report(
    folder: RunFolder,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Also write explore.html, to zoom into activity, FC and wiring.")
    ] = False,
) -> None:
    """Draw the figures and write report.html from a run's files."""
    from connfit.report import write_report

    with err_console.status("drawing figures"):
        path = write_report(folder, fresh=True)
    out_console.print(f"report: {path}", highlight=False, soft_wrap=True)
    if interactive:
        from connfit.report.explore import write_explorer

        with err_console.status("writing the interactive page"):
            path = write_explorer(folder)
        out_console.print(f"interactive: {path}", highlight=False, soft_wrap=True)


def evaluate_and_report(fitted: Fit, out: Path) -> None:
    from connfit.evaluation.evaluate_run import evaluate_run
    from connfit.report import print_table, write_report

    with err_console.status("evaluating against baselines"):
        evaluation = evaluate_run(fitted, out)
    print_table(evaluation, out_console, config=_options(out))
    unchanged = fitted.unchanged_warning()
    if unchanged is not None:
        out_console.print(f"caution: {unchanged}", style="yellow", highlight=False, soft_wrap=True)
    with err_console.status("drawing figures"), stage("report"):
        path = write_report(out)
    out_console.print(f"\nrun directory: {out}\nreport: {path}", highlight=False, soft_wrap=True)
    if took := stages_so_far():
        peak = peak_rss_bytes() / 1e9
        out_console.print(f"time: {told(took)}; memory: {peak:.2f} GB at peak", highlight=False, soft_wrap=True)


def _options(folder: Path) -> dict[str, Any]:
    """The options of a run."""
    from connfit import config as configuration

    return configuration.to_dict(configuration.read(folder / "config.json"))
