"""Progress of a fit in terminals and notebooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rich.console import Console

from connfit._console import Output, literal
from connfit._system.stages import listening
from connfit.training.fit import Progress
from connfit.training.long_recordings import bounds
from connfit.training.problem import Job

SECONDS_BETWEEN_LINES = 20
"""After which what takes long says where it is, where nothing can be redrawn."""

OnProgress = Callable[[Progress], None]
OnPrepared = Callable[[Job], None]


@contextmanager
def show_progress(console: Console) -> Iterator[tuple[OnProgress, OnPrepared]]:
    """Show a bar with loss, validation skill, ms per step and time left; where nothing can be redrawn, lines.

    Yields
    ------
    tuple
        What is to be called after every window, and once with what is fitted.
    """
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from connfit._system.progress_bar import ProgressBar

    # In notebooks a bar is a widget.
    live = console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)
    bar = ProgressBar(
        TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[state]}", markup=False),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        console=console, live=live,
    )  # fmt: skip
    task = bar.add_task("preparing, finding a start", total=None, state="")
    spoken: set[tuple[str, int]] = set()
    last_line = time.monotonic()

    def is_time() -> bool:
        return time.monotonic() - last_line >= SECONDS_BETWEEN_LINES

    def say(*lines: str, style: str = "") -> None:
        nonlocal last_line
        last_line = time.monotonic()
        console.print(literal(*lines, style=style), highlight=False, soft_wrap=True)

    def show(now: Progress) -> None:
        skill, where = now.validation_skill, f"{now.phase} epoch {now.epoch + 1}/{now.epochs}"
        before = "" if skill is None else f"  validation skill {skill:+.3f} after the epoch before"
        state = f"loss {now.loss:.4g}{before}  {now.ms_per_step:.3g} ms/step"
        done = now.epoch + now.window / now.windows
        bar.update(
            task,
            description=where,
            total=now.epochs,
            completed=done,
            state=state,
        )
        tenth = (now.phase, 10 * now.epoch // max(now.epochs, 1))
        if not live and now.window == now.windows and (tenth not in spoken or is_time()):
            spoken.add(tenth)
            say(f"{where}  {state}")

    def hear(where: str) -> None:
        bar.update(task, description=f"preparing, {where}")
        if not live and is_time():
            say(where)

    def announce(job: Job) -> None:
        brain, counts = job.connectome, job.parameter_counts()
        surrogate = "SURROGATE " if brain.notes.get("surrogate") else ""
        say(
            f"{surrogate}{brain.name}: {brain.n:,} neurons, {brain.m:,} connections; "
            f"{_counted(len(job.cohort.recordings), 'recording')}, {_counted(len(job.cohort.units), 'unit')}"
        )
        for name, match in job.matches.items():
            first, *rest = match.report().split("\n")
            say(f"{name}: {first}", *rest)
        for caution in job.cautions():
            say(f"caution: {caution}", style="yellow")
        if job.recipe.chosen:
            found = ", ".join(f"{name} {value}" for name, value in job.recipe.chosen.items())
            say(f"start found among {len(job.recipe.candidates)} on {job.recipe.tuned_on}: {found}")
        if (bounded := bounds(job.cohort)) is not None:
            say(bounded)
        say(job.memory().report())
        groups = ", ".join(f"{group} {count:,}" for group, count in counts.items() if count)
        say(
            f"{sum(counts.values()):,} parameters ({groups or 'nothing is trained'}) for "
            f"{job.observations()['train']:,} training observations (scored: after the warm-up)"
        )

    with bar, listening(hear):
        yield show, announce


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@contextmanager
def default_progress(shown: bool | None = None) -> Iterator[tuple[OnProgress, OnPrepared]]:
    """Show progress on the error stream.

    Parameters
    ----------
    shown
        Default: in terminals and notebooks, and nowhere else.
    """
    console = Output(stderr=True)
    if shown or (shown is None and (console.is_terminal or console.is_jupyter)):
        with show_progress(console) as show:
            yield show
    else:
        yield (lambda now: None), (lambda job: None)
