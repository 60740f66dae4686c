"""The sections of the report in their order, each from the files that it needs; absent files leave theirs out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connfit.report import gradient_section, page, perturbation_section, provenance
from connfit.report.drawings import Drawing, drawings
from connfit.report.run_files import GRADIENT, RunFiles
from connfit.report.score_tables import connectivity_blocks, held_out_blocks, score_blocks
from connfit.report.summary import against_itself, summary

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
    """All sections that a run allows, but for the questions, in the order in which a reader in a hurry wants them."""
    return [one for one in _all(run, limits) if not one.is_empty]


def _all(run: RunFiles, limits: Sequence[str]) -> Iterator[Section]:
    metrics = run.metrics
    of: dict[str, list[Drawing]] = {}
    for one in drawings(run):
        of.setdefault(_SECTION_OF[one.name.rstrip("0123456789").rstrip("_")], []).append(one)
    yield Section("summary", "In short", summary(run), of.get("summary", ()))
    yield Section("scores", "How well unseen frames are predicted", score_blocks(metrics), of.get("scores", ()))
    yield Section("held-out", "Held-out animals", held_out_blocks(metrics), of.get("held-out", ()))
    connectivity = [page.paragraph(against_itself(metrics)), *connectivity_blocks(metrics)]
    yield Section("connectivity", "Functional connectivity", connectivity, of.get("connectivity", ()))
    yield Section("parameters", "Fitted parameters", provenance.counts(metrics), of.get("parameters", ()))
    if gradient := run.added.get(GRADIENT):
        shown = gradient_section.blocks(gradient), list(gradient_section.drawings(gradient))
        yield Section("gradient", "How exact the learning rule is", *shown)
    if run.simulations:
        shown = perturbation_section.blocks(run.simulations), list(perturbation_section.drawings(run.simulations))
        yield Section("perturbation", "Stimulation and silencing", *shown)
    listed = page.bullets(limits) or page.paragraph("None of the checks of this report found any.")
    yield Section("limitations", "Limitations", [listed])
    made = [
        *provenance.fitted(run),
        *provenance.preprocessing(run.record),
        *provenance.unmatched(run.record),
        provenance.performance(metrics),
    ]
    yield Section("made", "How it was made", made, of.get("made", ()))
    yield Section("provenance", "Provenance", provenance.provenance(run))
