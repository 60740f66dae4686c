"""`report.html`: what a fit found, in one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from connfit._io import write_bytes
from connfit._system.claim import claims
from connfit.errors import ConnfitError, DataError
from connfit.evaluation.evaluated import FILE as METRICS
from connfit.report import page
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.picture_budget import draw_all
from connfit.report.questions.answer import Answer, Questions
from connfit.report.questions.questions import Question, answer_all, write_answers
from connfit.report.questions.report_numbers import report_numbers
from connfit.report.run_files import UNEDITED, RunFiles
from connfit.report.sections import questions_section
from connfit.report.sections.limits import all_limits
from connfit.report.sections.order_of_sections import Section, sections
from connfit.report.sections.summary import head, where_next
from connfit.report.sections.value_ranges import ReportNumbers


@claims("run_dir")
def write_report(run_dir: str | Path, *, fresh: bool = False) -> Path:
    """Draw the figures of a run directory and write its `report.html`.

    Reads only files of that folder: `metrics.json` (required), `config.json`, `record.json`,
    `history.csv`, `forecasts.npz`, `parameters.npz`, `parameters_initial.npz`, `connectome.h5`, and what other
    commands have added: `study/study.json`, `analysis/analysis.json`, `recovery/recovery.json`,
    `gradient_fidelity.json`, `simulations/*/perturbation.json`, `measured/*/scores.json`,
    `record_next/record_next.json`. What is absent is left out, and the thirty questions name the command that makes it.
    Writes `figures/*.png`, `figures/*.svg`, `questions.json` and `report.html`; the page makes no request to anything
    outside itself.

    Parameters
    ----------
    fresh
        Draw every figure; otherwise those are kept whose files have not changed since they were drawn.

    Returns
    -------
    Path
        Of `report.html`.

    Raises
    ------
    DataError
        If the folder or its `metrics.json` is absent, or a file is damaged.
    """
    run = RunFiles.read(run_dir)
    name = run.evaluation.dataset or run.folder.name
    limits, found, answers, measured = texts(run)
    figures = draw_all({section.anchor: section.drawings for section in found}, run.folder / "figures", fresh=fresh)
    write_answers(run.folder / "questions.json", answers, measured)
    asked = Section(
        "questions", "Thirty questions", questions_section.blocks(answers, {section.anchor for section in found})
    )
    ordered = [
        shown for section in found for shown in ((section, asked) if section.anchor == "limitations" else (section,))
    ]
    body = [
        page.section(
            section.title,
            *section.blocks,
            *_figures(figures.get(section.anchor, [])),
            *section.after,
            anchor=section.anchor,
        )
        for section in ordered
    ]
    contents = page.contents((section.anchor, section.title) for section in ordered[1:])
    main = "\n".join(["<main>", body[0], where_next(limits, answers), contents, *body[1:], "</main>"])
    html = page.PAGE.substitute(
        title=page.escaped(f"connfit: {name}"), style=page.STYLE, body="\n".join([head(run, name), main])
    )
    path = run.folder / "report.html"
    write_bytes(path, html.encode())
    return path


Texts = tuple[Sequence[str], Sequence[Section], Sequence[tuple[Question, Answer]], ReportNumbers]


def texts(run: RunFiles) -> Texts:
    """Return what the page says: limits, sections, answers, and the numbers that the page itself measures.

    Raises
    ------
    DataError
        If a file holds what the others, or it itself, contradict; names the one without which there is a page.
    """
    try:
        return _texts(run)
    except ConnfitError:
        raise
    except Exception as error:
        problem = f"cannot be shown ({type(error).__name__}: {error})"
        raise DataError(problem, path=run.folder / _culprit(run), fix=UNEDITED) from error


def _texts(run: RunFiles) -> Texts:
    measured = report_numbers(run)
    documents = {**run.documents(), "questions.json": Questions(measured=measured)}
    limits = all_limits(documents)
    return limits, sections(run, limits), answer_all(documents, limits), measured


def _culprit(run: RunFiles) -> str:
    """The file without which the page could be written; the one that cannot be missing if there is none."""
    for name, absent in run.without():
        try:
            _texts(absent)
        except Exception:
            continue
        return name
    return METRICS


def _figures(made: Sequence[tuple[Drawing, str]]) -> list[str]:
    """Figures of the whole fit, then those of the recordings: the first to be seen, the others folded."""
    made = [(drawing, page.folded(drawing.fold, html) if drawing.fold else html) for drawing, html in made]
    blocks = [html for drawing, html in made if drawing.recording is None]
    names = list(dict.fromkeys(drawing.recording for drawing, _ in made if drawing.recording is not None))
    for at, name in enumerate(names):
        of = [html for drawing, html in made if drawing.recording == name]
        blocks += of if at == 0 else [page.folded(f"Recording {name}", *of)]
    return blocks
