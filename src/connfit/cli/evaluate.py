"""`connfit evaluate | compare | report`: scores of finished runs, and their pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connfit.cli.console import RunFolder, err_console, out_console

if TYPE_CHECKING:
    from connfit.train import Fit


def evaluate(folder: RunFolder) -> None:
    """Evaluate a finished fit again, against its baselines."""
    from connfit import run

    evaluate_and_report(run.load_fit(folder), folder)


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


def report(folder: RunFolder) -> None:
    """Draw the figures and write report.html from a run's files."""
    from connfit.report import write_report

    with err_console.status("drawing figures"):
        path = write_report(folder)
    out_console.print(f"report: {path}", highlight=False, soft_wrap=True)


def evaluate_and_report(fitted: Fit, out: Path) -> None:
    from connfit.evaluation_run import evaluate_run
    from connfit.report import print_table, write_report

    with err_console.status("evaluating against baselines"):
        metrics = evaluate_run(fitted, out)
    print_table(metrics, out_console)
    with err_console.status("drawing figures"):
        path = write_report(out)
    out_console.print(f"\nrun directory: {out}\nreport: {path}", highlight=False, soft_wrap=True)
