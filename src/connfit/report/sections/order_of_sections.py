"""The sections of the report in their order, each from the files that it needs; absent files leave theirs out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from connfit.report import page
from connfit.report.figures.drawings import Drawing, drawings
from connfit.report.run_files import RunFiles
from connfit.report.sections import (
    analysis_section,
    ceiling_section,
    explained_section,
    fitted_spikes_section,
    gradient_section,
    measured_section,
    perturbation_section,
    provenance,
    record_next_section,
    recovery_section,
    study_section,
)
from connfit.report.sections.observation_section import observation_blocks
from connfit.report.sections.recipe_section import recipe_blocks
from connfit.report.sections.score_tables import connectivity_blocks, held_out_blocks, score_blocks
from connfit.report.sections.summary import against_itself, summary
from connfit.report.sections.training_status import is_untrained, with_note

_SECTION_OF = {
    "horizon_skill": "summary",
    "traces": "scores",
    "traces_held_out": "held-out",
    "functional_connectivity": "connectivity",
    "functional_connectivity_held_out": "held-out",
    "loss_history": "made",
    "weights": "parameters",
    "time_constants": "parameters",
}
"""Where the figures of the fit itself go, by their name without the number of a recording."""

_OF_PARAMETERS = {"weights_and_counts", "time_constants_by_group"}
"""Figures of an analysis that stand with the fitted parameters."""

_FOLDED = {
    "avalanche_scaling": "Mean size by duration, and shapes of avalanches",
    "branching": "Branching ratio, of units and of samples of neurons",
    "time_constants_by_group": "Time constants by group of neurons",
}
"""Figures of an analysis that a click shows."""


_NOT_OF_THE_MODEL = {"study", "recovery", "record-next"}
"""Sections whose figures are of other fits."""


@dataclass(frozen=True)
class Section:
    """One section of the page; nothing of it is there if all of its parts are empty.

    Parameters
    ----------
    anchor
        What links to it name.
    title
        Its heading.
    blocks
        HTML above its figures.
    drawings
        Its figures.
    after
        HTML below them.
    """

    anchor: str
    title: str
    blocks: Sequence[str] = ()
    drawings: Sequence[Drawing] = ()
    after: Sequence[str] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (any(self.blocks) or self.drawings or any(self.after))


def sections(run: RunFiles, limits: Sequence[str]) -> list[Section]:
    """Return all sections that a run allows, but for the questions, in the order that a reader in a hurry wants."""
    return [
        replace(
            section,
            drawings=[replace(each, caption=with_note(each.caption, run.evaluation)) for each in section.drawings],
        )
        if section.anchor not in _NOT_OF_THE_MODEL
        else section
        for section in _all(run, limits)
        if not section.is_empty
    ]


def _all(run: RunFiles, limits: Sequence[str]) -> Iterator[Section]:
    evaluation = run.evaluation
    of: dict[str, list[Drawing]] = {}
    for drawing in drawings(run):
        of.setdefault(_SECTION_OF[drawing.name.rstrip("0123456789").rstrip("_")], []).append(drawing)
    yield Section("summary", "In short", summary(run), of.get("summary", ()))
    yield Section("scores", "How well unseen frames are predicted", score_blocks(evaluation), of.get("scores", ()))
    shown = explained_section.explained_blocks(evaluation), list(explained_section.explained_drawings(evaluation))
    yield Section("explained", "What explains the recording", *shown)
    if (study := run.study) is not None:
        words, tables = _split(study_section.study_blocks(study), 2)
        title = "Against baselines, null connectomes and ablations, over seeds"
        yield Section("study", title, words, study_section.study_drawings(study), tables)
    shown = ceiling_section.ceiling_blocks(evaluation), list(ceiling_section.ceiling_drawings(evaluation))
    yield Section("possible", "Share of the ceiling", *shown)
    yield Section("held-out", "Held-out animals", held_out_blocks(evaluation), of.get("held-out", ()))
    connectivity = [page.paragraph(against_itself(evaluation)), *connectivity_blocks(evaluation)]
    yield Section("connectivity", "Functional connectivity", connectivity, of.get("connectivity", ()))
    if run.analysis is not None:
        words, tables = _split(analysis_section.analysis_blocks(run.analysis), 1)
        for drawing in analysis_section.analysis_drawings(run.analysis):
            folded = replace(drawing, fold=_FOLDED[drawing.name]) if drawing.name in _FOLDED else drawing
            of.setdefault("parameters" if drawing.name in _OF_PARAMETERS else "analysis", []).append(folded)
        tables = [
            *analysis_section.own_tables(run.analysis),
            page.folded("Tables: avalanches, exponents of data and surrogates, radii", *tables),
        ]
        yield Section("analysis", "What the fitted brain does", words, of.get("analysis", ()), tables)
        words, tables = _split(fitted_spikes_section.fitted_spikes_blocks(run.analysis), 1)
        shown = fitted_spikes_section.fitted_spikes_drawings(run.analysis)
        yield Section("spikes", fitted_spikes_section.TITLE, words, shown, tables)
    titled = "Parameters, as they started" if is_untrained(evaluation) else "Fitted parameters"
    counted = [*provenance.counts(evaluation), *observation_blocks(evaluation)]
    yield Section("parameters", titled, counted, of.get("parameters", ()))
    if run.gradients is not None:
        words, tables = _split(gradient_section.blocks(run.gradients), 1)
        figures = list(gradient_section.drawings(run.gradients))
        yield Section("gradient", "How exact the learning rule is", words, figures, tables)
    if run.recovery is not None:
        words = recovery_section.blocks(run.recovery)
        title = "Whether known parameters are recovered"
        yield Section("recovery", title, words[:-1], recovery_section.drawings(run.recovery), words[-1:])
    if run.simulations:
        shown = perturbation_section.blocks(run.simulations), list(perturbation_section.drawings(run.simulations))
        yield Section("perturbation", "Stimulation and silencing", *shown)
    if run.measured:
        shown = measured_section.measured_blocks(run.measured), list(measured_section.measured_drawings(run.measured))
        yield Section("measured", measured_section.title(run.measured), *shown)
    if (found := run.record_next) is not None:
        words, tables = record_next_section.record_next_blocks(found), record_next_section.record_next_tables(found)
        shown = record_next_section.record_next_drawings(found)
        yield Section("record-next", "What to record next", words, shown, tables)
    listed = page.bullets(limits) or page.paragraph("None of the checks of this report found any.")
    yield Section("limitations", "Limitations", [listed])
    made = [
        *recipe_blocks(run.record),
        *provenance.fitted(run),
        *provenance.preprocessing(run.record),
        *provenance.unmatched(run.record),
        provenance.performance(evaluation),
    ]
    yield Section("made", "How it was made", made, of.get("made", ()))
    yield Section("provenance", "Provenance", provenance.provenance(run))


def _split(blocks: Sequence[str], words: int) -> tuple[Sequence[str], Sequence[str]]:
    """What stands above the figures, and the tables below them."""
    return blocks[:words], blocks[words:]
