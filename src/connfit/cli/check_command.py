"""`connfit check` and `connfit new`: what connfit understands of a user's own files, and a configuration of them."""

from __future__ import annotations

import inspect
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connfit._display import visible
from connfit._system.claimed_file import claimed_file
from connfit._system.paths import user_path
from connfit.cli.terminal import EXIT_MISTAKE, EXIT_SIGNAL, err_console, out_console, say_problem
from connfit.errors import ConfigError, ConnfitError, DataError, did_you_mean

if TYPE_CHECKING:
    from connfit.datasets.own_files import Answers, CheckedData, Question

_MOST_CHOICES = 50
"""Choices that a question on the terminal lists."""

FLAGS = {
    "frame_rate": "--frame-rate HZ",
    "sign_rule": "--sign-rule RULE",
    "unknown_transmitter": "--unknown-transmitter WORD",
    "edges": "--edges FILE",
    "neurons": "--neurons FILE",
    "connectome": "--edges FILE --neurons FILE",
    "recordings": "the recording as an argument",
}
"""Options that answer a question; readers' options are `--option NAME=VALUE`, columns `--column ROLE=TITLE`."""

Format = Annotated[str | None, typer.Option(help="Format of the recordings: {readers}.", metavar="FORMAT")]
FrameRate = Annotated[
    float | None, typer.Option(help="Frames per second (Hz) of recordings that do not say it.", metavar="HZ")
]
Kind = Annotated[str | None, typer.Option(help="What the values are, as dff, where a file does not say it.")]
ReaderOptions = Annotated[
    list[str] | None,
    typer.Option("--option", help="Option of the readers, as series=traces; may be repeated.", metavar="NAME=VALUE"),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="Column of a table by role (pre, post, count or weight, sign, connection_type; id, type, region, "
        "transmitter, side), as pre=source; may be repeated.",
        metavar="ROLE=TITLE",
    ),
]
WiringFormat = Annotated[
    str | None,
    typer.Option(help="Format of the connectome, where its file does not tell: {connectomes}.", metavar="FORMAT"),
]
WiringOptions = Annotated[
    list[str] | None,
    typer.Option("--wiring-option", help="Option of that format, as rows=post; may be repeated.", metavar="NAME=VALUE"),
]
LeaveOut = Annotated[
    list[str] | None, typer.Option(help="File or folder not to look at; may be repeated.", metavar="FILE")
]
Edges = Annotated[str | None, typer.Option(help="The edge table.", metavar="FILE")]
Neurons = Annotated[str | None, typer.Option(help="The neuron table.", metavar="FILE")]
SignRule = Annotated[
    str | None,
    typer.Option(
        help="Sign of each transmitter: fly-paper, shiu, worm, or a CSV file transmitter,sign.", metavar="RULE"
    ),
]
Unknown = Annotated[
    str | None,
    typer.Option(help="Neurons that the rule does not cover: excitatory, inhibitory, drop or error.", metavar="WORD"),
]
Figure = Annotated[
    Path | None,
    typer.Option(
        "--figure", parser=user_path, metavar="FILE", help="Draw the data, as PNG or SVG.", show_default="none"
    ),
]


def _answers(
    *,
    edges: Edges = None,
    neurons: Neurons = None,
    column: Columns = None,
    format: Format = None,
    frame_rate: FrameRate = None,
    kind: Kind = None,
    option: ReaderOptions = None,
    sign_rule: SignRule = None,
    unknown_transmitter: Unknown = None,
    leave_out: LeaveOut = None,
    wiring_format: WiringFormat = None,
    wiring_option: WiringOptions = None,
) -> Answers:
    from connfit.datasets.own_files import Answers

    return Answers(
        edges=edges,
        neurons=neurons,
        columns={role: str(title) for role, title in _pairs(column, "--column", plain=True).items()},
        format=format,
        frame_rate=frame_rate,
        kind=kind,
        options=_pairs(option, "--option", plain=False),
        sign_rule=sign_rule,
        unknown_transmitter=unknown_transmitter,
        leave_out=tuple(leave_out or ()),
        wiring_format=wiring_format,
        wiring_options=_pairs(wiring_option, "--wiring-option", plain=False),
    )


def _takes_answers(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, in place of its `**options`, those of `_answers`."""
    *own, _ = inspect.signature(command, eval_str=True).parameters.values()
    given = inspect.signature(_answers).parameters.values()
    # They are names of types of this module, for which nothing need be imported.
    options = [each.replace(annotation=globals()[str(each.annotation)]) for each in given]
    command.__signature__ = inspect.Signature([*own, *options])  # pyright: ignore[reportFunctionMemberAccess]
    command.__annotations__ = {each.name: each.annotation for each in (*own, *options)}
    return command


@_takes_answers
def check(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help="A configuration; or recordings, an edge table and a neuron table, folders with such files, and the "
            "name of a dataset whose connectome is meant.",
        ),
    ],
    write: Annotated[
        Path | None,
        typer.Option("--write", parser=user_path, metavar="FILE", help="Write a configuration.", show_default="none"),
    ] = None,
    figure: Figure = None,
    **options: Any,
) -> None:
    """Say what connfit understands of your data, draw it, and write a configuration that is ready to fit."""
    from connfit.datasets.own_files import check_data

    _refuse_taken(write)
    answers = _answers(**options)
    with err_console.status("reading"):
        checked = check_data(data, answers)
    _show(checked, figure)
    _say_open(checked)
    if write is not None:
        _write(checked, write)
    if checked.problems:
        raise typer.Exit(EXIT_MISTAKE)


@_takes_answers
def new(
    place: Annotated[
        Path, typer.Argument(parser=user_path, metavar="FOLDER", help="Folder with tables and recordings.")
    ],
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", parser=user_path, metavar="FILE", help="The configuration.", show_default="FOLDER/config.toml"
        ),
    ] = None,
    figure: Figure = None,
    **options: Any,
) -> None:
    """Write a configuration for the files of a folder; what they do not say is asked, or given as an option."""
    from connfit.datasets.own_files import check_data

    out = write or place / "config.toml"
    _refuse_taken(out)
    if not place.is_dir():
        raise DataError("no such folder", path=place, fix="Name the folder with your tables and recordings")
    answers = _answers(**options)
    with err_console.status("reading"):
        checked = check_data([place], answers)
    asked: set[str] = set()
    while checked.questions and _is_terminal():
        question = next((each for each in checked.questions if _can_ask(each) and each.key not in asked), None)
        if question is None:
            break
        try:
            given = _with_answer(answers, question, _ask(question))
            checked, answers = check_data([place], given), given
        except ConnfitError as error:
            say_problem(str(error))
        else:
            asked.add(question.key)
    _show(checked, figure)
    _say_open(checked)
    if checked.questions:
        raise typer.Exit(EXIT_MISTAKE)
    _write(checked, out)
    if checked.problems:
        raise typer.Exit(EXIT_MISTAKE)


def _pairs(given: list[str] | None, flag: str, *, plain: bool) -> dict[str, Any]:
    import json

    found: dict[str, Any] = {}
    for pair in given or ():
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"{flag} {pair}: write it as NAME=VALUE")
        try:
            found[name.strip()] = text if plain else json.loads(text)
        except ValueError:
            found[name.strip()] = text
    return found


def _refuse_taken(path: Path | None) -> None:
    if path is not None and path.exists():
        raise ConfigError(f"{path} is there already: write to another file with --write, or remove it")
    if path is not None and path.suffix.lower() != ".toml":
        raise ConfigError(f"--write {path}: the name must end with .toml")


def _show(checked: CheckedData, figure: Path | None) -> None:
    from connfit.report.console_check import print_check, print_open

    print_check(checked, out_console)
    print_open(checked, out_console)
    if figure is None:
        return
    if figure.suffix.lower() not in (".png", ".svg"):
        raise ConfigError(f"--figure {figure}: the name must end with .png or .svg")
    from connfit.report.figures.check_figure import check_figure
    from connfit.report.figures.style import save_one

    with err_console.status("drawing"), claimed_file(figure):
        save_one(check_figure(checked), figure)
    out_console.print(f"figure: {figure}", highlight=False, soft_wrap=True)


def _say_open(checked: CheckedData) -> None:
    for question in checked.questions:
        choices = f" ({', '.join(question.choices[:20])})" if question.choices else ""
        out_console.print(
            f"open: {question.text}{choices}; answer it with {_flag(question)}",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )
    if checked.ready:
        out_console.print("ready to fit", highlight=False)


def _flag(question: Question) -> str:
    if question.option in FLAGS:
        return FLAGS[question.option]
    if question.option == "columns":
        return f"--column {question.key.rpartition('.')[2]}=TITLE"
    if question.key.startswith("data.connectome.options."):
        return f"--wiring-option {question.option}=VALUE"
    return f"--option {question.option}=VALUE"


def _write(checked: CheckedData, path: Path) -> None:
    from connfit._io import replacing
    from connfit.datasets.own_files.config_text import config_text

    if checked.source is not None:
        raise ConfigError(f"{checked.source} is a configuration already: name data to write another")
    text = config_text(checked, path.parent)
    with claimed_file(path), replacing(path) as unfinished:
        _refuse_taken(path)
        unfinished.write_text(text, encoding="utf-8")
    left = len(checked.questions)
    to_do = f"; fill in {left} line{'s' * (left > 1)} first" if left else ""
    out_console.print(f"written: {path}: connfit fit {path}{to_do}", highlight=False, soft_wrap=True)


def _is_terminal() -> bool:
    return sys.stdin.isatty() and err_console.is_terminal


def _can_ask(question: Question) -> bool:
    return question.option not in ("recordings", "connectome")


def _ask(question: Question) -> str:
    fixed = question.choices if question.option != "sign_rule" and len(question.choices) <= _MOST_CHOICES else ()
    shown = f" ({', '.join(map(visible, fixed))})" if fixed else ""
    try:
        while True:
            text = f"{visible(question.text)}{shown}\n{question.key.rpartition('.')[2]}"
            given = str(typer.prompt(text, err=True)).strip()
            if not fixed or given in fixed:
                return given
            say_problem(f"{given!r} is none of these{did_you_mean(given, fixed)}")
    except typer.Abort:
        say_problem("interrupted; nothing was written")
        raise typer.Exit(EXIT_SIGNAL + signal.SIGINT) from None


def _with_answer(answers: Answers, question: Question, given: str) -> Answers:
    from dataclasses import replace

    name = question.key.rpartition(".")[2]
    if question.option == "columns":
        return replace(answers, columns={**answers.columns, name: given})
    if question.option == "frame_rate":
        try:
            return replace(answers, frame_rate=float(given))
        except ValueError:
            raise ConfigError(f"frame_rate = {given!r} is no number: give the frames per second in Hz") from None
    if question.option in ("edges", "neurons", "sign_rule", "unknown_transmitter"):
        return replace(answers, **{question.option: given})
    if question.key.startswith("data.connectome.options."):
        return replace(answers, wiring_options={**answers.wiring_options, question.option: given})
    return replace(answers, options={**answers.options, question.option: given})
